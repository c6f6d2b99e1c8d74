"""Threads that wait for each other, whatever their kernel: who waits for which lock, and who holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding, Lock

MOST_WAITERS = 8
"""Of one lock that are told of."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A thread that waits for a lock."""

    thread: int
    lock: int
    kind: str
    """"mutex", "rwlock" ..."""
    owner: int | None
    """The thread that holds the lock; None where that is not known."""


def remember(case: Case, waits: Iterable[Waiting]) -> None:
    """Put the locks into the report."""
    known = {lock.address for lock in case.locks}
    found: dict[int, list[Waiting]] = {}
    for wait in waits:
        if wait.lock not in known:
            found.setdefault(wait.lock, []).append(wait)
    for address, waiters in found.items():
        owners = (waiters[0].owner,) if waiters[0].owner else ()
        case.locks.append(
            Lock(address, waiters[0].kind, case.symbol_name(address), owners, tuple(one.thread for one in waiters))
        )


def circles(waits: Iterable[Waiting]) -> list[list[Waiting]]:
    """Circles of threads: each one's lock is held by the next one. A circle begins with its lowest thread."""
    by_thread = {wait.thread: wait for wait in waits}
    found: list[list[Waiting]] = []
    done: set[int] = set()
    for start in by_thread:
        way: list[int] = []
        thread: int | None = start
        while thread is not None and thread in by_thread and thread not in done:
            done.add(thread)
            way.append(thread)
            thread = by_thread[thread].owner
        if thread in way:
            circle = way[way.index(thread) :]
            first = circle.index(min(circle))
            found.append([by_thread[one] for one in (*circle[first:], *circle[:first])])
    return found


def cycle_findings(case: Case, waits: Sequence[Waiting]) -> Iterator[Finding]:
    """``lock.cycle`` for each circle."""
    for circle in circles(waits):
        facts = [
            Evidence(
                f"{case.who(wait.thread)} waits for {wait.kind} {case.where(wait.lock)}, which "
                f"{case.who(wait.owner or 0)} holds",
                f"{wait.thread:x}::findstack -v",
            )
            for wait in circle
        ]
        names = " and ".join(case.who(wait.thread) for wait in circle[:4]) + (" and others" if len(circle) > 4 else "")
        summary = (
            f"{names} waits for a lock that it holds itself"
            if len(circle) == 1
            else (f"{names} wait for each other's locks")
        )
        yield case.finding(
            "lock.cycle",
            summary,
            f"{circle[0].thread:x}::findstack -v",
            facts,
            threads=[wait.thread for wait in circle],
            locks=[wait.lock for wait in circle],
        )


def orphan_findings(case: Case, waits: Sequence[Waiting], gone: Callable[[int], bool]) -> Iterator[Finding]:
    """``lock.owner-gone`` for each lock whose owner is no thread that lives."""
    by_lock: dict[int, list[Waiting]] = {}
    for wait in waits:
        by_lock.setdefault(wait.lock, []).append(wait)
    for lock, waiters in by_lock.items():
        case.check()
        owner = waiters[0].owner
        if owner is None or not gone(owner):
            continue
        threads = [wait.thread for wait in waiters]
        yield case.finding(
            "lock.owner-gone",
            f"{waiters[0].kind} {case.where(lock)} is held by {owner:x}, which is no thread any more",
            f"{threads[0]:x}::findstack -v",
            [Evidence(f"{case.who(one)} waits for it", f"{one:x}::findstack -v") for one in threads[:MOST_WAITERS]],
            threads=threads,
            locks=[lock],
            addresses=[owner],
        )


def long_finding(case: Case, thread: int, seconds: float, for_what: str, wait: Waiting | None) -> Finding:
    """``thread.blocked-long``."""
    holder = f", which {case.who(wait.owner)} holds" if wait is not None and wait.owner else ""
    return case.finding(
        "thread.blocked-long",
        f"{case.who(thread)} has waited {seconds:.0f} s for {for_what}{holder}",
        f"{thread:x}::findstack -v",
        threads=[thread],
        locks=[wait.lock] if wait is not None else [],
    )

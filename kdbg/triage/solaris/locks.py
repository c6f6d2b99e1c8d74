"""Who waits for whom, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdbg.kernels.solaris.clock import lbolt
from kdbg.kernels.solaris.locks import HeldLock, Locks, circles
from kdbg.kernels.solaris.threads import FREE, STATES, ZOMBIE, SolarisThread
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding, Lock

TICKS = 100
"""A second (hz)."""
LONG = 10 * TICKS
"""Ticks that a thread may wait for a lock, or for I/O."""
WAITS_FOR_DEVICE = frozenset({"biowait", "sema_p"})
"""Functions of a thread that waits for I/O: a buffer's semaphore."""
GONE = frozenset({STATES[FREE], STATES[ZOMBIE]})


def held(case: Case) -> list[HeldLock]:
    """The locks that threads wait for; they go into the report too."""
    found = list(case.kernel.part(Locks).waited_for(thread for thread in case.threads if _is_solaris(thread)))
    known = {lock.address for lock in case.locks}
    for lock in found:
        if lock.address not in known:
            owners = (lock.owner,) if lock.owner else ()
            case.locks.append(Lock(lock.address, lock.kind, case.symbol_name(lock.address), owners, lock.waiters))
    return found


def _is_solaris(thread: object) -> bool:
    return isinstance(thread, SolarisThread)


@analyser("locks", "who waits for whom", finds=("lock.cycle", "lock.owner-gone"), needs=("solaris",))
def locks(case: Case) -> Iterator[Finding]:
    """Circles of threads, and locks whose owners are no more."""
    found = held(case)
    for circle in circles(found):
        yield _circle(case, circle)
    for lock in found:
        case.check()
        if lock.owner is not None and _gone(case, lock.owner):
            yield case.finding(
                "lock.owner-gone",
                f"{lock.kind} {case.where(lock.address)} is held by {lock.owner:x}, which is no thread any more",
                f"{lock.waiters[0]:x}::findstack -v",
                [Evidence(f"{case.who(waiter)} waits for it", f"{waiter:x}::thread -s") for waiter in lock.waiters[:8]],
                threads=lock.waiters,
                locks=[lock.address],
                addresses=[lock.owner],
            )


def _circle(case: Case, circle: Sequence[HeldLock]) -> Finding:
    owners = [lock.owner for lock in circle if lock.owner is not None]
    first = owners.index(min(owners))
    circle, owners = [*circle[first:], *circle[:first]], [*owners[first:], *owners[:first]]
    waiters = [*owners[-1:], *owners[:-1]]  # each lock's waiter is the owner of the one before it
    facts = [
        Evidence(
            f"{case.who(waiter)} waits for {lock.kind} {case.where(lock.address)}, which {case.who(owner)} holds",
            f"{waiter:x}::findstack -v",
        )
        for waiter, lock, owner in zip(waiters, circle, owners, strict=True)
    ]
    names = " and ".join(case.who(owner) for owner in owners[:4]) + (" and others" if len(owners) > 4 else "")
    summary = (
        f"{case.who(owners[0])} waits for a lock that it holds itself"
        if len(owners) == 1
        else f"{names} wait for each other's locks"
    )
    return case.finding(
        "lock.cycle",
        summary,
        f"{owners[0]:x}::findstack -v",
        facts,
        threads=owners,
        locks=[lock.address for lock in circle],
    )


def _gone(case: Case, owner: int) -> bool:
    """Whether a lock's owner is no thread that lives: not in the kernel's list, or dead in it."""
    thread = case.by_address.get(owner)
    if thread is not None:
        return thread.state in GONE
    return bool(case.threads) and not case.truncated and owner not in {cpu.thread for cpu in case.cpus}


@analyser("waits", "threads that wait for long", finds=("thread.blocked-long",), needs=("solaris",))
def waits(case: Case) -> Iterator[Finding]:
    """Threads asleep on a lock, or waiting for a buffer, for more than ten seconds."""
    now = lbolt(case.kernel)
    if now <= 0:
        return
    by_waiter = {waiter: lock for lock in held(case) for waiter in lock.waiters}
    for thread in case.threads:
        case.check()
        if not isinstance(thread, SolarisThread) or thread.state != "sleep":
            continue
        ticks = now - (thread.dispatch_time & 0xFFFFFFFFFFFFFFFF)
        lock = by_waiter.get(thread.address)
        if not LONG <= ticks <= now:
            continue
        if lock is not None:
            owner = f", which {case.who(lock.owner)} holds" if lock.owner else ""
            for_what = f"{lock.kind} {case.where(lock.address)}{owner}"
        elif any(frame.function in WAITS_FOR_DEVICE for frame in case.stack(thread.address)[:6]):
            for_what = "I/O"
        else:
            continue
        yield case.finding(
            "thread.blocked-long",
            f"{case.who(thread.address)} has waited {ticks / TICKS:.0f} s for {for_what}",
            f"{thread.address:x}::findstack -v",
            threads=[thread.address],
            locks=[lock.address] if lock is not None else [],
        )

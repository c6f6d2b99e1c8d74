"""Who waits for whom, and for how long."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.kernels.solaris.clock import lbolt
from kdbg.kernels.solaris.locks import Locks
from kdbg.kernels.solaris.threads import FREE, SLEEP, STATES, ZOMBIE, SolarisThread
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.locks import Waiting, cycle_findings, long_finding, orphan_findings, remember
from kdbg.triage.report import Finding

TICKS = 100
"""A second (hz)."""
LONG = 10 * TICKS
"""Ticks that a thread may wait for a lock, or for I/O."""
WAITS_FOR_DEVICE = frozenset({"biowait", "sema_p"})
"""Functions of a thread that waits for I/O: a buffer's semaphore."""
GONE = frozenset({STATES[FREE], STATES[ZOMBIE]})
DEEP = 6
"""Frames, from the innermost on, among which they are looked for."""


def waiting(case: Case) -> list[Waiting]:
    """The threads that wait for mutexes and readers/writer locks."""
    threads = (thread for thread in case.threads if isinstance(thread, SolarisThread))
    found = [
        Waiting(waiter, lock.address, lock.kind, lock.owner)
        for lock in case.kernel.part(Locks).waited_for(threads)
        for waiter in lock.waiters
    ]
    remember(case, found)
    return found


@analyser("locks", "who waits for whom", finds=("lock.cycle", "lock.owner-gone"), needs=("solaris",))
def locks(case: Case) -> Iterator[Finding]:
    """Circles of threads, and locks whose owners are no more."""
    found = waiting(case)
    yield from cycle_findings(case, found)
    yield from orphan_findings(case, found, lambda owner: _gone(case, owner))


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
    by_thread = {wait.thread: wait for wait in waiting(case)}
    for thread in case.threads:
        case.check()
        if not isinstance(thread, SolarisThread) or thread.state != STATES[SLEEP]:
            continue
        ticks = now - thread.dispatch_time
        if not LONG <= ticks <= now:
            continue
        wait = by_thread.get(thread.address)
        if wait is not None:
            yield long_finding(case, thread.address, ticks / TICKS, f"{wait.kind} {case.where(wait.lock)}", wait)
        elif any(frame.function in WAITS_FOR_DEVICE for frame in case.stack(thread.address)[:DEEP]):
            yield long_finding(case, thread.address, ticks / TICKS, "I/O", None)

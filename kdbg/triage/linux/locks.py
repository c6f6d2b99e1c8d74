"""Who waits for whom, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdbg.kernels.linux.tasks import LinuxThread
from kdbg.kernels.linux.waits import CONTENDED, Blocked, Waits
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.locks import Waiting, cycle_findings, long_finding, orphan_findings, remember
from kdbg.triage.report import Finding

LONG = 60.0
"""Seconds in uninterruptible sleep; the kernel itself warns after 120 (kernel/hung_task.c)."""
UNINTERRUPTIBLE, MAY_LAST = 0x2, 0x100 | 0x400 | 0x8000
"""TASK_UNINTERRUPTIBLE; TASK_WAKEKILL, _NOLOAD and _FROZEN of include/linux/sched.h: waits that may take long."""
AWAKE = frozenset({"running", "zombie", "dead"})
GONE = frozenset({"dead", "zombie"})


def blocked(case: Case) -> list[Blocked]:
    """The tasks that are blocked, with what each waits for, the longest first. Raises `TypeNotFound`."""
    return case.once("blocked", lambda: sorted(_blocked(case), key=lambda one: -(one.waited or 0)))


def _blocked(case: Case) -> Iterator[Blocked]:
    """As ``::blocked`` has them, but for what cannot be read, which is left out with a note."""
    waits = case.kernel.part(Waits)
    asleep = [one for one in case.threads if isinstance(one, LinuxThread) and not one.on_cpu and one.state not in AWAKE]
    for address, frames in case.account.stacks(asleep):
        case.check()
        thread = case.by_address[address]
        found: Blocked = waits.blocked(thread, frames)
        if thread.state == "disk sleep" or found.kind in CONTENDED:
            yield found


def waiting(case: Case) -> list[Waiting]:
    """The tasks that wait for a lock that somebody else holds."""
    found = [
        Waiting(one.address, one.object, one.kind, one.owner)
        for one in blocked(case)
        if one.kind in CONTENDED and one.object is not None
    ]
    remember(case, found)
    return found


@analyser("locks", "who waits for whom", finds=("lock.cycle", "lock.owner-gone"), needs=("linux", "types"))
def locks(case: Case) -> Iterator[Finding]:
    """Circles of tasks, and locks whose owners are no more."""
    found = waiting(case)
    yield from cycle_findings(case, found)
    yield from orphan_findings(case, found, lambda owner: _gone(case, owner))


def _gone(case: Case, owner: int) -> bool:
    task: Any = case.by_address.get(owner)
    if task is not None:
        return task.state in GONE
    return bool(case.threads) and not case.truncated


def _is_hung(case: Case, task: int) -> bool:
    """Whether a task sleeps in a way that the kernel itself takes for a hang if it lasts (kernel/hung_task.c)."""
    told = case.kernel.at("struct task_struct", task)
    state = int(told["__state" if told.has("__state") else "state"])
    return state & UNINTERRUPTIBLE != 0 and not state & MAY_LAST


@analyser("waits", "tasks that wait for long", finds=("thread.blocked-long",), needs=("linux", "types"))
def waits(case: Case) -> Iterator[Finding]:
    """Tasks in uninterruptible sleep for more than a minute."""
    by_thread = {wait.thread: wait for wait in waiting(case)}
    for one in blocked(case):
        case.check()
        if one.waited is None or one.waited < LONG or not _is_hung(case, one.address):
            continue
        wait = by_thread.get(one.address)
        what = " ".join(word for word in (one.kind, one.mode) if word) or "something"
        if one.object is not None:
            what += f" {case.where(one.object)}"
        if one.function:
            what += f", in {one.caller or one.function}"
        yield long_finding(case, one.address, one.waited, what, wait)

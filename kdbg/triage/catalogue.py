"""The findings: each has a name that stays, a severity, and what it means. ``docs/triage.md`` has a section on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdbg.triage.report import Severity

ERROR, WARNING, NOTE = Severity


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of finding."""

    severity: Severity
    meaning: str


CATALOGUE: Mapping[str, Entry] = {
    "lock.cycle": Entry(ERROR, "threads wait for each other's locks in a circle"),
    "lock.owner-gone": Entry(ERROR, "a lock is held by a thread that is no more"),
    "cpu.spinning": Entry(ERROR, "a CPU runs with interrupts off or at a high interrupt level and makes no progress"),
    "cpu.stuck-in-hypervisor": Entry(WARNING, "a CPU stands in a call to the hypervisor that should have returned"),
    "thread.blocked-long": Entry(WARNING, "a thread has waited for a lock or for I/O for a long time"),
    "taskq.stuck": Entry(WARNING, "a task queue has work and none of its threads gets on"),
    "workqueue.stuck": Entry(WARNING, "a work queue has work and none of its workers gets on"),
    "kmem.corrupt": Entry(ERROR, "memory of the kernel's allocator was written to by somebody who did not own it"),
    "kmem.exhausted": Entry(ERROR, "the kernel's allocator has nothing left to give"),
    "stack.overflow": Entry(ERROR, "a kernel stack has grown past its end"),
    "list.corrupt": Entry(ERROR, "a list of the kernel's leads nowhere or in a circle"),
    "pte.kernel-user": Entry(WARNING, "user mode may access a page of the kernel's half"),
    "pte.user-not-global": Entry(NOTE, "a user page of a Xen domain is not global, as its kernel makes them"),
    "pte.writable-text": Entry(WARNING, "text of the kernel can be written to"),
    "evtchn.pending-masked": Entry(WARNING, "an event channel has an event that its mask keeps from being delivered"),
    "irq.storm": Entry(WARNING, "an interrupt takes nearly all of a CPU's time"),
    "log.oom": Entry(ERROR, "the log tells that memory ran out"),
    "log.hardware": Entry(ERROR, "the log tells of failing hardware"),
    "log.warning": Entry(WARNING, "the log has a warning of the kernel's own"),
    "process.crashed": Entry(ERROR, "a process was ended by a signal"),
    "pointer.cut": Entry(ERROR, "a process used an address of which one half got lost"),
    "stack.corrupt": Entry(WARNING, "a stack cannot be followed to its end"),
    "dump.incomplete": Entry(WARNING, "the dump lacks memory that it should hold"),
    "dump.damaged": Entry(ERROR, "the dump's file is damaged"),
}
"""By name, in the order in which ``docs/triage.md`` tells of them."""

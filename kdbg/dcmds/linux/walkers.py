"""Walkers over what a Linux kernel consists of."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.registry import Walk, walker
from kdbg.kernels.linux.tasks import Tasks

MODULE = "linux"


@walker("thread", "tasks: all, or those of the process at the address", module=MODULE)
def threads(walk: Walk) -> Iterator[int]:
    """All tasks, those of the idle CPUs first; or the threads of the process that the task at the address leads."""
    part: Tasks = walk.kernel.part(Tasks)
    yield from part.walk() if walk.start is None else part.threads_of(walk.start)


@walker("proc", "processes: all, or the one at the address and those below it", module=MODULE)
def processes(walk: Walk) -> Iterator[int]:
    """The tasks that lead processes, parents before their children."""
    part: Tasks = walk.kernel.part(Tasks)
    children, seen = part.children(), set[int]()
    pending = [part.first() if walk.start is None else walk.start]
    while pending:
        address = pending.pop()
        if address in seen:
            walk.warn(f"tree of processes: it leads back to {address:x}")
            continue
        seen.add(address)
        yield address
        pending.extend(reversed(children.get(address, [])))


@walker("cpu", "tasks on the CPUs", module=MODULE)
def cpus(walk: Walk) -> Iterator[int]:
    """The task on each CPU."""
    for cpu in walk.kernel.cpus():
        if cpu.thread:
            yield cpu.thread


@walker("module", "modules, the newest first", module=MODULE)
def modules(walk: Walk) -> Iterator[int]:
    """Each module's struct module."""
    for module in walk.kernel.module_images:
        yield module.address

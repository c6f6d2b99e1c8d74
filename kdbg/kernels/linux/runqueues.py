"""The run queues of a Linux kernel's CPUs: where they lie, what runs, what waits to run.

Source: kernel/sched/sched.h (struct rq, a per-CPU variable ``runqueues``; cfs_rq.rq leads to it, and so does each
task's se.cfs_rq). Kernels whose data has no names are asked by their tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_CPUS = 8192


def run_queues(kernel: Linux) -> dict[int, int]:
    """CPU -> address of its struct rq; empty where they are not found."""
    return kernel.part(_run_queues)


def _run_queues(kernel: Linux) -> dict[int, int]:
    try:
        return dict(enumerate(kernel.per_cpu_places("runqueues")))
    except Error:
        return by_tasks(kernel)


def by_tasks(kernel: Linux) -> dict[int, int]:
    """Those that the scheduling entities of processes belong to: each CPU has threads that stay on it."""
    from kdbg.kernels.linux.tasks import Tasks

    found: dict[int, int] = {}
    try:
        part, rq = kernel.part(Tasks), kernel.type("struct rq")
        for address in part.leaders():
            queue = kernel.at("struct task_struct", address).se.cfs_rq
            place = int(queue.rq) if queue.has("rq") else int(queue) - rq.member("cfs").offset
            number = int(kernel.at("struct rq", place).cpu)
            if 0 <= number < MOST_CPUS:
                found.setdefault(number, place)
    except Error:
        pass
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Queued:
    """A task that waits to run."""

    address: int
    name: str
    tid: int
    priority: int


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What a CPU does."""

    id: int
    address: int
    """Of its run queue."""
    runnable: int
    """How many tasks want it, the one on it included; the idle task does not count."""
    thread: int
    """The task on it."""
    name: str
    tid: int
    priority: int
    idle: bool
    """Whether that is the idle task."""
    switches: int
    """How often it changed from one task to another."""
    since: float | None
    """Seconds since the task on it got it, by the queue's clock."""
    behind: float | None
    """Seconds by which the queue's clock is behind the latest one of all: a CPU that sleeps does not look."""
    model: str | None
    """The processor's name, where the kernel keeps it (x86)."""
    queue: tuple[Queued, ...] = ()
    """The tasks that wait, those of high priority first."""


def cpu_infos(kernel: Linux, with_queues: bool = False) -> Iterator[CpuInfo]:
    """What each CPU does, by id; one that cannot be read is left out with a note. Raises `TypeNotFound`."""
    waiting = _waiting(kernel) if with_queues else {}
    models = _models(kernel)
    for ident, address in sorted(run_queues(kernel).items()):
        try:
            yield _cpu_info(kernel, ident, address, models.get(ident), waiting.get(ident, []))
        except Error as error:
            kernel.target.note(f"CPU {ident}: its run queue {address:x}: {error}")


def _cpu_info(kernel: Linux, ident: int, address: int, model: str | None, waiting: list[Queued]) -> CpuInfo:
    from kdbg.kernels.linux.clock import NANOSECONDS, scheduler_clock
    from kdbg.kernels.linux.tasks import Tasks

    rq = kernel.load("struct rq", address)
    thread, clock = int(rq.curr), int(rq.clock)
    task = kernel.part(Tasks).record(thread)
    value = kernel.at("struct task_struct", thread)
    arrived = int(value.sched_info.last_arrival) if value.has("sched_info") else 0
    return CpuInfo(
        id=ident,
        address=address,
        runnable=int(rq.nr_running),
        thread=thread,
        name=task.name,
        tid=task.tid or 0,
        priority=task.priority,
        idle=thread == int(rq.idle),
        switches=int(rq.nr_switches),
        since=max(clock - arrived, 0) / NANOSECONDS if arrived else None,
        behind=(kernel.part(scheduler_clock) - clock) / NANOSECONDS,
        model=model,
        queue=tuple(one for one in sorted(waiting, key=lambda one: (one.priority, one.tid)) if one.address != thread),
    )


def _waiting(kernel: Linux) -> dict[int, list[Queued]]:
    """CPU -> the tasks on its queue (on_rq), that on the CPU included.

    Since 6.12 a task that has gone to sleep may stay queued for a while (sched_delayed): it does not want the CPU.
    """
    from kdbg.kernels.linux.tasks import Tasks
    from kdbg.symbols.layouts import Layout

    found: dict[int, list[Queued]] = {}
    part = kernel.part(Tasks)
    queued = Layout(kernel.type("struct task_struct"), {"queued": "on_rq?", "delayed": "se.sched_delayed?"})
    for address in part.walk():
        try:
            told = queued.read(kernel.memory.read, address)
            if not told["queued"] or told["delayed"]:
                continue
            task = part.record(address)
        except Error as error:
            kernel.target.note(f"task {address:x}: {error}")
            continue
        if task.tid and task.cpu is not None:
            found.setdefault(task.cpu, []).append(Queued(address, task.name, task.tid, task.priority))
    return found


def _models(kernel: Linux) -> dict[int, str]:
    """CPU -> the processor's name: x86_model_id of the per-CPU cpu_info."""
    try:
        places = kernel.per_cpu_places("cpu_info")
        return {at: kernel.at("struct cpuinfo_x86", place).x86_model_id.string() for at, place in enumerate(places)}
    except Error:
        return {}

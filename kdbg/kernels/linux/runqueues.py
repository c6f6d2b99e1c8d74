"""The run queues of a Linux kernel's CPUs: where they lie, what runs, what waits to run.

Source: kernel/sched/sched.h (struct rq, a per-CPU variable ``runqueues``; cfs_rq.rq leads to it, and so does each
task's se.cfs_rq). Kernels whose data has no names are asked by their tasks.
"""

from __future__ import annotations

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
        return _by_tasks(kernel)


def _by_tasks(kernel: Linux) -> dict[int, int]:
    """Those that the scheduling entities of tasks belong to."""
    from kdbg.kernels.linux.tasks import Tasks

    found: dict[int, int] = {}
    try:
        part, rq = kernel.part(Tasks), kernel.type("struct rq")
        for address in part.walk():
            queue = kernel.at("struct task_struct", address).se.cfs_rq
            place = int(queue.rq) if queue.has("rq") else int(queue) - rq.member("cfs").offset
            number = int(kernel.at("struct rq", place).cpu)
            if 0 <= number < MOST_CPUS:
                found.setdefault(number, place)
    except Error:
        pass
    return dict(sorted(found.items()))

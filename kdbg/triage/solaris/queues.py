"""Task queues whose threads do not get on with the work that waits.

Facts: <sys/taskq_impl.h>: the tasks that wait hang on tq_task, a ring; tq_active threads are at work.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.errors import Error
from kdbg.kernels.solaris.clock import lbolt
from kdbg.kernels.solaris.threads import SolarisThread
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

TICKS = 100
LONG = 10 * TICKS
MOST_TASKS = 100_000
RUNS = frozenset({"run", "onproc"})


@analyser("task queues", "task queues that do not get on", finds=("taskq.stuck",), needs=("solaris",))
def task_queues(case: Case) -> Iterator[Finding]:
    """A queue with tasks that wait, none of whose threads has run for ten seconds."""
    now = lbolt(case.kernel)
    queues: dict[int, list[SolarisThread]] = {}
    for thread in case.threads:
        if isinstance(thread, SolarisThread) and thread.taskq:
            queues.setdefault(thread.taskq, []).append(thread)
    for address, threads in queues.items():
        case.check()
        try:
            waiting = _waiting(case, address)
            name = case.kernel.load("taskq_t", address).tq_name.string()
        except Error as error:
            case.target.note(f"task queue {address:x}: {error}")
            continue
        if not waiting or any(thread.state in RUNS for thread in threads):
            continue
        idle_for = min(now - thread.dispatch_time for thread in threads)
        if now > 0 and idle_for < LONG:
            continue
        facts = [
            Evidence(
                f"{case.who(thread.address)}: {_stands(case, thread.address)}", f"{thread.address:x}::findstack -v"
            )
            for thread in threads[:8]
        ]
        yield case.finding(
            "taskq.stuck",
            f"task queue {name} has {waiting} task{'s' if waiting != 1 else ''} waiting and none of its {len(threads)} "
            f"threads has run for {idle_for / TICKS:.0f} s",
            f"{address:x}::print taskq_t",
            facts,
            threads=[thread.address for thread in threads],
            addresses=[address],
        )


def _stands(case: Case, thread: int) -> str:
    functions = [frame.function for frame in case.stack(thread) if frame.function]
    return " < ".join(functions[:4]) or "no stack"


def _waiting(case: Case, address: int) -> int:
    """How many tasks wait. Raises `Error`."""
    head = case.kernel.at("taskq_t", address).tq_task
    start, at, count = head.address, int(head.tqent_next), 0
    seen = {start}
    while at and at not in seen and count < MOST_TASKS:
        seen.add(at)
        count += 1
        at = int(case.kernel.load("taskq_ent_t", at).tqent_next)
    return count

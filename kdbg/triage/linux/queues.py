"""Work queues whose workers do not get on with the work that waits.

Source: kernel/workqueue.c (wq_watchdog_timer_fn: a pool with work on its list has stalled when ``watchdog_ts``, the
jiffies of its last progress, lies too far back).
"""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.errors import Error
from kdbg.kernels.linux.clock import jiffies, ticks_a_second
from kdbg.kernels.linux.workqueues import Pool, WorkQueues
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case, Unsuited
from kdbg.triage.report import Evidence, Finding

LONG = 30.0
"""Seconds without progress (the kernel's own limit, wq_watchdog_thresh)."""
MOST_SHOWN = 8


@analyser("work queues", "work queues that do not get on", finds=("workqueue.stuck",), needs=("linux", "types"))
def work_queues(case: Case) -> Iterator[Finding]:
    """Each pool with work that waits and no progress for half a minute."""
    kernel = case.kernel
    if not kernel.type("struct worker_pool").has("watchdog_ts"):
        raise Unsuited("the kernel does not keep the time of its pools' progress")
    rate = ticks_a_second(kernel)
    if rate is None:
        raise Unsuited("how long a tick lasts is not known")
    now = jiffies(kernel)
    for pool in kernel.part(WorkQueues).pools():
        case.check()
        if not pool.pending:
            continue
        try:
            last = int(kernel.at("struct worker_pool", pool.address).watchdog_ts)
        except Error:
            continue
        seconds = ((now - last) & (1 << kernel.bits) - 1) / rate
        if LONG <= seconds < 1e9:
            yield _stuck(case, pool, seconds)


def _stuck(case: Case, pool: Pool, seconds: float) -> Finding:
    where = f"CPU {pool.cpu}" if pool.cpu is not None else "all CPUs"
    facts = [Evidence(f"{work.worker_name} does {work.function}", _stack(work.worker)) for work in pool.busy]
    facts += [
        Evidence(f"{work.function} waits", f"{work.address:x}::print struct work_struct") for work in pool.pending
    ]
    works = f"{len(pool.pending)} work{'s' if len(pool.pending) != 1 else ''}"
    return case.finding(
        "workqueue.stuck",
        f"pool {pool.id} of {where} has {works} waiting ({pool.pending[0].function}) and made no progress for "
        f"{seconds:.0f} s",
        "::workqueues",
        facts[:MOST_SHOWN],
        threads=[work.worker for work in pool.busy if work.worker is not None],
        addresses=[pool.address],
        cpus=[pool.cpu] if pool.cpu is not None else [],
    )


def _stack(worker: int | None) -> str | None:
    return f"{worker:x}::findstack -v" if worker is not None else None

"""Triage a fleet: ``python -m bench.fleet [--dumps N] [--damaged N] [FOLDER]``.

Small domains with planted faults, and damaged files, are looked over by one process, by two, and by a Dask cluster of
two workers, one of which is killed in the middle. Dumps a second of each, and whether the causes are those planned.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kdbg.fleet.causes import causes
from kdbg.fleet.names import Named, named
from kdbg.fleet.row import Row
from kdbg.fleet.running import Run, cluster, local
from kdbg.fleet.worker import Limits
from samples.faults import FAULTS
from samples.solaris import standard

HEALTHY = "healthy"
DAMAGED = "damaged"
BUSY = (("taskq_d_thread", (0x7777,)), ("thread_start", ()))


def build(folder: Path, count: int, damaged: int) -> Counter[str]:
    """Write the fleet; how many dumps of each plan there are."""
    models = folder / "models"
    models.mkdir(parents=True)
    paths = {}
    for name in (HEALTHY, *FAULTS):
        domain = standard().thread("busy", state="onproc", cpu=0, stack=BUSY).function("hypercall_page", "unix").build()
        if name != HEALTHY:
            FAULTS[name](domain)
        paths[name] = domain.write(models, name=name)
    fleet = folder / "fleet"
    fleet.mkdir()
    planned: Counter[str] = Counter()
    names = list(paths)
    for number in range(count):
        name = names[number % len(names)]
        if number < damaged:
            data = paths[name].read_bytes()
            (fleet / f"{DAMAGED}-{number:05d}.core").write_bytes(data[: 1000 + 37 * number])
            name = DAMAGED
        else:
            os.link(paths[name], fleet / f"{name}-{number:05d}.core")
        planned[name] += 1
    return planned


def found(rows: list[Row]) -> Counter[str]:
    """How many dumps of each plan were told as planned: by what was found, not by their names."""
    counted: Counter[str] = Counter()
    for row in rows:
        plan = Path(row.dump).name.rpartition("-")[0]
        if plan == DAMAGED:
            good = row.outcome == "error" or "dump.damaged" in row.findings
        elif plan == HEALTHY:
            good = row.kind == "live"
        else:
            good = row.outcome == "done" and any(name in row.findings for name in FINDINGS[plan])
        counted[plan if good else f"{plan}: not as planned"] += 1
    return counted


FINDINGS = {
    "lock_cycle": ("lock.cycle",),
    "owner_gone": ("lock.owner-gone",),
    "blocked_long": ("thread.blocked-long",),
    "stuck_taskq": ("taskq.stuck",),
    "overwritten_redzone": ("kmem.corrupt",),
    "changed_after_free": ("kmem.corrupt",),
    "stack_overflow": ("stack.overflow",),
    "broken_list": ("list.corrupt",),
    "exposed_page": ("pte.kernel-user",),
    "user_not_global": ("pte.user-not-global",),
    "spinning": ("cpu.spinning",),
    "in_hypervisor": ("cpu.stuck-in-hypervisor",),
}


def measure(what: str, run: Run, dumps: list[Named], planned: Counter[str]) -> None:
    """Run it, and say how fast that was and whether the causes are those planned."""
    start = time.perf_counter()
    rows = list(run(dumps, Limits()))
    seconds = time.perf_counter() - start
    once = len({row.dump for row in rows}) == len(rows) == len(dumps)
    good = found(rows) == planned
    verdict = "as planned" if once and good else f"NOT as planned: {dict(found(rows) - planned)}"
    print(
        f"{what:40} {len(rows) / seconds:8.1f} dumps/s   {len(causes(rows))} causes, each once, {verdict}", flush=True
    )


def killing(run: Run, pids: list[int], after: int) -> Run:
    """The same, but for a worker that is killed after so many rows."""

    def wrapped(dumps: list[Named], limits: Limits) -> Iterator[Row]:  # type: ignore[misc]
        for number, row in enumerate(run(dumps, limits)):
            if number == after:
                os.kill(pids[0], signal.SIGKILL)
            yield row

    return wrapped  # type: ignore[return-value]


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dumps", type=int, default=1000)
    parser.add_argument("--damaged", type=int, default=50)
    parser.add_argument("folder", nargs="?", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        planned = build(folder, given.dumps, given.damaged)
        dumps = named([str(folder / "fleet")])
        measure("one process", local(1), dumps, planned)
        measure("two processes", local(2), dumps, planned)
        try:
            from distributed import LocalCluster
        except ImportError:
            print("Dask is not installed: pip install 'kdbg[fleet]'")
            return 0
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers:  # type: ignore[no-untyped-call]
            run = cluster(workers.scheduler_address)
            pids = [worker.pid for worker in workers.workers.values()]
            measure("Dask, two workers, one killed", killing(run, pids, len(dumps) // 3), dumps, planned)
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

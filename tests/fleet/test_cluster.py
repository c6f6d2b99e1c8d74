"""A fleet on a Dask cluster: the same rows, and a worker that dies in the middle costs nothing."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdbg.errors import UsageError
from kdbg.fleet.names import Named, named
from kdbg.fleet.running import cluster
from kdbg.fleet.worker import Limits
from samples.faults import lock_cycle
from samples.solaris import standard

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
COUNT = 24


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made:
        yield made


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> list[Named]:
    """As many dumps as `COUNT`, every third one a deadlock, the last one cut."""
    folder = tmp_path_factory.mktemp("fleet")
    healthy, locked = standard().build(), standard().build()
    lock_cycle(locked)
    for number in range(COUNT):
        path = (locked if number % 3 == 0 else healthy).write(folder, name=f"{number:02d}.core")
    path.write_bytes(path.read_bytes()[:4000])
    return named([str(folder)])


def kinds(dumps: list[Named]) -> dict[str, str]:
    """What was planned, by the file's name."""
    planned = {f"{number:02d}.core": "deadlock" if number % 3 == 0 else "live" for number in range(COUNT)}
    return {**planned, Path(dumps[-1].text).name: "error"}


def test_each_dump_once_and_as_planned(two_workers: Any, dumps: list[Named]) -> None:
    rows = list(cluster(two_workers.scheduler_address)(dumps, Limits()))
    assert {Path(row.dump).name: row.kind or row.outcome for row in rows} == kinds(dumps)
    assert len(rows) == COUNT


def test_a_worker_that_dies_in_the_middle_costs_nothing(two_workers: Any, dumps: list[Named]) -> None:
    rows = []
    for row in cluster(two_workers.scheduler_address)(dumps, Limits()):
        rows.append(row)
        if len(rows) == 3:
            os.kill(next(iter(two_workers.workers.values())).pid, signal.SIGKILL)
    assert max(Counter(row.dump for row in rows).values()) == 1
    assert {Path(row.dump).name: row.kind or row.outcome for row in rows} == kinds(dumps)


def test_a_scheduler_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match=r"--scheduler tcp://127\.0\.0\.1:1"):
        list(cluster("tcp://127.0.0.1:1")([], Limits()))

"""Opening reads headers only: neither memory nor time grows with the dump."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import kdbg
from bench.__main__ import best, peak, process
from bench.builders import GIGABYTE, sparse


@pytest.mark.slow
def test_a_hundred_times_the_memory_costs_nothing(tmp_path: Path) -> None:
    small, large = sparse(tmp_path, GIGABYTE // 10), sparse(tmp_path, 10 * GIGABYTE)
    assert large.stat().st_size > 10 * GIGABYTE
    assert peak(large, "::status") < peak(small, "::status") + 4

    def status(path: Path) -> float:
        return min(process([sys.executable, "-m", "kdbg.cli", str(path)], "::status\n") for _ in range(5))

    assert status(large) < status(small) + 0.1


def test_look_ups_in_a_large_table(tmp_path: Path) -> None:
    """A frame that ascends with its place is found without an index; one that is not there is not searched for long."""
    with kdbg.open(sparse(tmp_path, 4 * GIGABYTE)) as target:
        count = 4 * GIGABYTE // 4096
        assert target.read_physical((count - 1) * 4096, 16) == bytes(16)
        assert best(lambda: [target.read_physical(pfn * 4096, 8) for pfn in range(0, count, count // 1000)]) < 0.5
        for _ in range(20):
            with pytest.raises(kdbg.Missing):
                target.read_physical(count * 4096, 1)
        assert [thread.pid for thread in target.threads()]

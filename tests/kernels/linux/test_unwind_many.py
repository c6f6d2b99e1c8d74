"""Stacks walked together are those walked one by one, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import kdbg
from kdbg.kernels.linux import unwind_many
from kdbg.kernels.linux.unwind import thread_stack

DUMPS = (
    "lx61.elf",
    "lx61-novmci.elf",
    "lx61-panic.elf",
    "lx61-kdump.kdump-zlib-d31",
    "xen-linux-pv.core",
    "lx61-arm64.elf",
)


@pytest.mark.parametrize("name", DUMPS)
@pytest.mark.parametrize("at_once", [7, 2048])
def test_they_are_the_same(
    name: str, at_once: int, shared_dump: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwind_many, "FEW", 1)
    monkeypatch.setattr(unwind_many, "AT_ONCE", at_once)
    with kdbg.open(shared_dump(name)) as target:
        kernel = target.kernel
        threads = list(kernel.threads())
        together = list(unwind_many.task_stacks(kernel, iter(threads)))
        assert [found.thread for found in together] == threads
        for found in together:
            alone = tuple(thread_stack(kernel, found.thread.address))
            assert found.frames == alone, found.thread
            assert found.pcs == tuple(frame.pc for frame in alone)
        if "arm64" not in name:
            walked = sum(getattr(found.make, "func", None) is not None for found in together)
            assert walked > len(threads) * 0.9  # the rest is left to the walk of one stack


def test_none() -> None:
    assert list(unwind_many.task_stacks(_Kernel(), ())) == []  # type: ignore[arg-type]


class _Kernel:
    def part(self, _: object) -> object:
        return None

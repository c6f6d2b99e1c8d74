"""Any frame table that a writer can make reads back: unsorted, with holes, with invalid entries, of any size."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from samples.memory import PAGE
from samples.xen_core import INVALID, Core, ElfShape, context, write_elf, write_xc_core

NUMBERS = st.integers(1, (1 << 40) - 1)


def page_of(pfn: int) -> bytes:
    """A page whose content tells which it is."""
    return pfn.to_bytes(8, "little") * (PAGE // 8)


def core_of(frames: list[tuple[int, int]], paravirtual: bool, bits: int = 64) -> Core:
    """A core with these frames and one context that means nothing."""
    form = bits if paravirtual else 64
    registers = {"rip" if form == 64 else "eip": 0x1234, "cr0": 0x80000001}
    pages = {pfn: page_of(pfn) for pfn, _ in frames if pfn != INVALID}
    return Core([context(registers, form)], frames, pages, paravirtual, form)


def check(path: Path, expected: dict[int, int], paravirtual: bool) -> None:
    """Every frame of the table is found with its page and its other number; nothing else is."""
    with kdbg.open(path) as target:
        assert list(target.pages) == sorted(expected)
        assert len(target.pages) == len(expected)
        for pfn, mfn in expected.items():
            assert pfn in target.pages
            assert target.read_physical(pfn * PAGE + 8, 8) == pfn.to_bytes(8, "little")
            if paravirtual:
                assert target.pfn_to_mfn(pfn) == mfn
                assert target.mfn_to_pfn(mfn) == pfn
        for pfn in (0, max(expected, default=0) + 1):
            if pfn not in expected:
                assert pfn not in target.pages
                with pytest.raises(kdbg.Missing):
                    target.read_physical(pfn * PAGE, 1)


@st.composite
def tables(draw: Any) -> list[tuple[int, int]]:
    """A frame table: distinct pfns with distinct mfns, in any order, invalid entries between them."""
    pfns = draw(st.lists(NUMBERS, min_size=1, max_size=40, unique=True))
    mfns = draw(st.lists(NUMBERS, min_size=len(pfns), max_size=len(pfns), unique=True))
    frames = list(zip(pfns, mfns, strict=True))
    for _ in range(draw(st.integers(0, 4))):
        frames.insert(draw(st.integers(0, len(frames))), (INVALID, INVALID))
    return frames


@given(tables(), st.booleans(), st.booleans(), st.sampled_from([64, 32]))
@settings(max_examples=150, deadline=None)
def test_elf(tmp_path_factory: Any, frames: list[tuple[int, int]], paravirtual: bool, first: bool, bits: int) -> None:
    path = tmp_path_factory.mktemp("elf") / "core"
    write_elf(path, core_of(frames, paravirtual, bits), ElfShape(frames_first=first, shuffle_sections=len(frames)))
    expected = {pfn: mfn for pfn, mfn in frames if pfn != INVALID}
    check(path, expected, paravirtual)


@given(st.sets(st.integers(1, 120), min_size=1, max_size=60), st.booleans(), st.sampled_from([64, 32]), st.data())
@settings(max_examples=100, deadline=None)
def test_xc_core_in_pfn_order(
    tmp_path_factory: Any, pfns: set[int], paravirtual: bool, bits: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("xc") / "core"
    largest = (1 << 40) - 1 if bits == 64 else (1 << 32) - 2
    mfns = data.draw(st.lists(st.integers(1, largest), min_size=len(pfns), max_size=len(pfns), unique=True))
    frames = list(zip(sorted(pfns), mfns, strict=True))
    write_xc_core(path, core_of(frames, paravirtual, bits))
    check(path, dict(frames), paravirtual)


@pytest.mark.parametrize("order", ["ascending", "descending", "scrambled", "sparse"])
def test_large_tables(tmp_path: Path, order: str) -> None:
    """Beyond 65,536 entries no dictionary is made at once; every way of finding a frame is taken here."""
    count = 70_000
    pfns = [pfn * 3 + 1 if order == "sparse" else pfn for pfn in range(count)]
    if order == "descending":
        pfns.reverse()
    choose = random.Random(1)
    if order == "scrambled":
        choose.shuffle(pfns)
    mfns = [0x100000 + pfn * 0x9E3B % 0x20000 if order != "sparse" else 0x100000 + pfn for pfn in pfns]
    core = Core([context({"rip": 1})], list(zip(pfns, mfns, strict=True)), {p: page_of(p) for p in pfns[::1000]})
    with kdbg.open(write_elf(tmp_path / "core", core)) as target:
        assert len(target.pages) == count
        for position in (0, 1, count // 2, count - 1, *(choose.randrange(count) for _ in range(60))):
            assert target.pfn_to_mfn(pfns[position]) == mfns[position]
            assert target.mfn_to_pfn(mfns[position]) == pfns[position]
        for pfn in pfns[::1000]:
            assert target.read_physical(pfn * PAGE, 8) == pfn.to_bytes(8, "little")
        assert target.pfn_to_mfn(max(pfns) + 1) is None
        assert target.mfn_to_pfn(1) is None


def test_of_a_frame_that_stands_twice_the_first_counts(tmp_path: Path) -> None:
    core = Core([context({"rip": 1})], [(5, 50), (6, 60), (5, 70)], {5: page_of(5), 6: page_of(6)})
    with kdbg.open(write_elf(tmp_path / "core", core)) as target:
        assert target.pfn_to_mfn(5) == 50
        assert list(target.pages) == [5, 6]

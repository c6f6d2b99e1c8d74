"""The map of memory: what is there, left out, lost, and a page table, held against counting page by page."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import kdbg
from kdbg.dump import Dump
from kdbg.formats.ranges import union
from kdbg.triage.memorymap import CELLS, _covered, memory_map, page_tables
from kdbg.vm.arrays import tables
from kdbg.vm.space import AddressSpace
from samples import unpack

X86 = [name for name in unpack.names() if "arm" not in name]


def slow_tables(space: AddressSpace) -> set[int]:
    """The frames of a space's tables, an entry at a time."""
    found, mode = set(), space.mode
    waiting = [(space.root, len(mode.levels) - 1)]
    while waiting:
        at, number = waiting.pop()
        if (at, number) in found:
            continue
        found.add((at, number))
        page = space.image.page(at >> 12)
        if not number or page is None:
            continue
        level = mode.levels[number]
        for index in range(1 << level.bits):
            place = (at & 0xFFF) + index * mode.entry_size
            entry = int.from_bytes(page[place : place + mode.entry_size], "little")
            if entry & 1 and not entry & level.reserved and not level.is_leaf(entry):
                waiting.append((mode.table_address(entry), number - 1))
    return {at >> 12 for at, _ in found}


@pytest.mark.parametrize("name", X86)
def test_tables_are_those_of_a_walk_entry_by_entry(sample: Callable[[str], Dump], name: str) -> None:
    space = sample(name).space
    found = tables(space).tolist()
    assert found == sorted(slow_tables(space))
    assert len(found) > len(space.mode.levels)


def test_tables_are_bounded(sample: Callable[[str], Dump]) -> None:
    space = sample("domu-sxc16.elf").space
    assert len(tables(space, 5)) == 5


@pytest.mark.parametrize("name", X86)
def test_the_map_counts_every_page_once(sample: Callable[[str], Dump], name: str) -> None:
    target = sample(name)
    found = memory_map(target)
    assert found is not None
    held: dict[int, int] = {}
    for pfn in target.pages:
        held[pfn // found.stretch] = held.get(pfn // found.stretch, 0) + 1
    full = {number for number, count in held.items() if count == found.stretch}
    assert {at for at, cell in enumerate(found.cells) if cell == "#"} == full
    assert {at for at, cell in enumerate(found.cells) if cell in "#+"} == set(held)
    for at, share in enumerate(found.present_cells):
        tenths = {" ": 0, "#": 10}.get(share) if share in " #" else int(share)
        assert abs(tenths - 10 * held.get(at, 0) / found.stretch) <= 0.5 or (tenths, at in held) in (
            (1, True),
            (9, True),
        )
    assert len({len(found.cells), len(found.present_cells), len(found.excluded_cells), len(found.table_cells)}) == 1
    assert found.stretch & found.stretch - 1 == 0
    assert sum(cell != " " for cell in found.cells) <= CELLS


@pytest.mark.parametrize("name", ["domu-sxc16.elf", "hvm.elf"])
def test_page_tables_stand_where_their_pages_are(sample: Callable[[str], Dump], name: str) -> None:
    target = sample(name)
    found = memory_map(target)
    numbers = page_tables(target)
    assert found is not None
    assert numbers is not None
    assert found.page_tables == len(numbers)
    assert {at for at, cell in enumerate(found.table_cells) if cell != " "} == {
        pfn // found.stretch for pfn in numbers.tolist()
    }
    for pfn in numbers.tolist():
        assert target.image.page_of_pfn(pfn) is not None


def test_what_is_excluded_is_told(tmp_path: Path) -> None:
    import lzma

    packed = Path(unpack.__file__).parent / "real" / "lx61-slice.flat-zlib.xz"
    path = tmp_path / "dump"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    with kdbg.open(path) as target:
        found = memory_map(target)
        assert found is not None
        excluded = sum(end - first for first, end in target.image.excluded)
        assert found.missing.get("excluded", 0) == excluded
        assert ("x" in found.cells or found.excluded_cells.strip() != "") == bool(excluded)


def test_pages_in_ranges_are_counted_as_one_by_one() -> None:
    choose = random.Random(4)
    for _ in range(300):
        ranges = union(
            *[[(first, first + choose.randrange(1, 40))] for first in choose.choices(range(300), k=5)][
                : choose.randrange(6)
            ]
        )
        stretch, size = choose.choice((1, 2, 8, 64)), choose.randrange(1, 200)
        pages = [pfn for first, end in ranges for pfn in range(first, end) if pfn < stretch * size]
        slow = np.bincount([pfn // stretch for pfn in pages], minlength=size) if pages else np.zeros(size, int)
        assert _covered(ranges, stretch, size).tolist() == slow.tolist()


def test_a_process_has_no_map(sample: Callable[[str], Dump]) -> None:
    from processes import unpacked as process

    with kdbg.open(process("threads.core")) as target:
        assert memory_map(target) is None

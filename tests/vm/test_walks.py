"""Walks through page tables of every mode, with every size of page, native and paravirtual."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from samples.memory import LEGACY, LONG, PAE, PAGE, Bit, Frames, PageTables, Paging
from samples.xen_core import Core, context, write_elf

FLAGS = int(Bit.PRESENT | Bit.WRITE | Bit.ACCESSED)
CR4_PSE, CR4_PAE = 0x10, 0x20


@dataclass
class Machine:
    """A guest without a kernel: page tables, and one vCPU that uses them."""

    frames: Frames
    tables: PageTables
    paging: Paging

    @property
    def bits(self) -> int:
        """Width of its addresses."""
        return 64 if self.paging is LONG else 32

    def write(self, folder: Path, **registers: int) -> Path:
        """Write it as an ELF core."""
        paravirtual = self.frames.paravirtual
        bits = 32 if paravirtual and self.paging is PAE else 64
        number = self.frames.number(self.tables.root)
        cr3 = (number << 12 | number >> 20) & 0xFFFFFFFF if bits == 32 else number << 12
        general = {"rip": 0xFFFFFFFF81000000} if self.paging is LONG else {"rip" if bits == 64 else "eip": 0xC0100000}
        values = {"cr0": 0x80000001, "cr4": CR4_PSE | (0 if self.paging is LEGACY else CR4_PAE), "cr3": cr3} | general
        core = Core(
            [context(values | registers, bits)],
            [(pfn, self.frames.number(pfn)) for pfn in self.frames],
            self.frames.pages,
            paravirtual,
            bits,
        )
        return write_elf(folder / "core", core)


def machine(paging: Paging, paravirtual: bool = False) -> Machine:
    """An empty guest."""
    frames = Frames(paravirtual, first_mfn=0x100000 if paging is PAE else 0x10000)
    return Machine(frames, PageTables(frames, paging), paging)


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    """Write a guest and open it: the target and its first vCPU's cr3."""
    targets: list[Any] = []

    def write_and_open(guest: Machine, **registers: int) -> tuple[Any, int]:
        target = kdbg.open(guest.write(tmp_path, **registers))
        targets.append(target)
        return target, target.cpus()[0].registers["cr3"]

    yield write_and_open
    for target in targets:
        target.close()


MODES = [(LONG, False), (LONG, True), (PAE, False), (PAE, True), (LEGACY, False)]
IDS = ["long", "long-pv", "pae", "pae-pv", "32-bit"]


@pytest.mark.parametrize(("paging", "paravirtual"), MODES, ids=IDS)
def test_small_pages(paging: Paging, paravirtual: bool, opened: Callable[..., Any]) -> None:
    guest = machine(paging, paravirtual)
    choose = random.Random(4)
    top = 1 << 47 if paging is LONG else 1 << 32
    wanted = {}
    for _ in range(50):
        va = choose.randrange(top // PAGE) * PAGE
        if paging is LONG and choose.random() < 0.5:
            va |= 0xFFFF800000000000
        pfn = guest.frames.take()
        guest.tables.map(va, pfn, FLAGS)
        wanted[va] = pfn
    target, root = opened(guest)
    for va, pfn in wanted.items():
        found = target.translate(va + 0xABC, root=root)
        assert (found.pfn, found.physical, found.level, found.page_size) == (pfn, pfn * PAGE + 0xABC, 0, PAGE)
        assert found.entry == guest.tables.entry(va)
        assert found.mfn == (guest.frames.mfn(pfn) if paravirtual else None)


@pytest.mark.parametrize(
    ("paging", "level", "size"),
    [(LONG, 1, 2 << 20), (LONG, 2, 1 << 30), (PAE, 1, 2 << 20), (LEGACY, 1, 4 << 20)],
    ids=["long 2M", "long 1G", "PAE 2M", "32-bit 4M"],
)
def test_large_pages(paging: Paging, level: int, size: int, opened: Callable[..., Any]) -> None:
    guest = machine(paging)
    frame = 3 * (size >> 12)
    va = 0xFFFFFF8040000000 if paging is LONG else 0xC0000000
    guest.tables.map_number(va, frame, FLAGS, level)
    inside = frame + 5
    guest.frames.pages[inside] = bytearray(b"inside".ljust(PAGE, b"\0"))
    target, root = opened(guest)
    found = target.translate(va + 5 * PAGE + 1, root=root)
    assert (found.pfn, found.level, found.page_size) == (inside, level, size)
    assert found.physical == inside * PAGE + 1
    assert found.missing is None
    # mapped by the same entry, but no page of the dump
    other = target.translate(va + 6 * PAGE, root=root)
    assert (other.pfn, other.missing is not None) == (inside + 1, True)
    # the leaf is remembered: what it tells of other places is what the tables tell
    space = target.space_for(root=root)
    for offset in (0, PAGE - 1, (1 << 21) - 1, size // 2, size - 1, 0):
        found = target.translate(va + offset, root=root)
        walk = space.walk(va + offset)
        assert (found.pfn, found.entry, found.level) == (frame + offset // PAGE, walk.entry, walk.level)


def test_4m_pages_reach_beyond_4_gb(opened: Callable[..., Any]) -> None:
    """PSE-36: bits 13 to 20 of a 4M leaf are bits 32 to 39 of its address."""
    guest = machine(LEGACY)
    guest.tables.map_number(0x80000000, 0, FLAGS | 0x5 << 13 | 0x00C00000, 1)
    target, root = opened(guest)
    assert target.translate(0x80001000, root=root).physical == 0x500C01000


def test_without_pse_the_large_bit_means_nothing(opened: Callable[..., Any]) -> None:
    guest = machine(LEGACY)
    pfn = guest.frames.take()
    guest.tables.map(0x1000, pfn, FLAGS)
    guest.tables.set_entry(0x1000, guest.tables.entry(0x1000, 1) | Bit.LARGE, 1)
    target, root = opened(guest, cr4=0)
    assert target.translate(0x1000, root=root).pfn == pfn


@pytest.mark.parametrize(("paging", "paravirtual"), MODES, ids=IDS)
def test_where_a_walk_ends(paging: Paging, paravirtual: bool, opened: Callable[..., Any]) -> None:
    """An address that does not translate says at which level, and with which entry, it ended."""
    guest = machine(paging, paravirtual)
    guest.tables.map(0x400000, guest.frames.take(), FLAGS)
    ends = {paging.levels - 1: 0x40000000 << (9 if paging is LONG else 1), 0: 0x401000}
    if paging is LONG:
        ends |= {2: 0x80000000, 1: 0x800000}
    target, root = opened(guest)
    for level, va in ends.items():
        with pytest.raises(kdbg.Unmapped) as raised:
            target.translate(va, root=root)
        assert (raised.value.level, raised.value.entry) == (level, 0)


def test_the_present_bit_counts(opened: Callable[..., Any]) -> None:
    """An entry with a frame and without the present bit is swapped out or retired: no mapping."""
    guest = machine(LONG)
    for level in (0, 1, 2, 3):
        va = 0x1000 + (level << 42)
        guest.tables.map(va, guest.frames.take(), FLAGS)
        guest.tables.set_entry(va, guest.tables.entry(va, level) & ~Bit.PRESENT, level)
    target, root = opened(guest)
    for level in (0, 1, 2, 3):
        with pytest.raises(kdbg.Unmapped) as raised:
            target.translate(0x1000 + (level << 42), root=root)
        assert raised.value.level == level
        assert raised.value.entry
        assert "not present" in str(raised.value)


def test_addresses_that_are_none(opened: Callable[..., Any]) -> None:
    guest = machine(LONG)
    target, root = opened(guest)
    for va in (1 << 47, 0xFFFF7FFFFFFFFFFF, 1 << 63):
        with pytest.raises(kdbg.Unmapped, match="canonical"):
            target.translate(va, root=root)


def test_a_table_that_the_dump_does_not_hold(opened: Callable[..., Any]) -> None:
    guest = machine(LONG, paravirtual=True)
    guest.tables.map(0x400000, guest.frames.take(), FLAGS)
    guest.tables.set_entry(0x400000, 0x7777777000 | FLAGS, 1)
    target, root = opened(guest)
    with pytest.raises(kdbg.Unmapped) as raised:
        target.translate(0x400000, root=root)
    assert raised.value.level == 0
    assert "7777777" in str(raised.value)


def test_paging_off_is_identity(opened: Callable[..., Any]) -> None:
    guest = machine(LONG)
    pfn = guest.frames.take()
    target, _ = opened(guest, cr0=1, cr3=0)
    found = target.translate(pfn * PAGE + 7, root=0)
    assert (found.physical, found.pfn, found.entry) == (pfn * PAGE + 7, pfn, 0)


def test_a_table_that_maps_itself(opened: Callable[..., Any]) -> None:
    """A linear page table: the top table is its own entry 258. Walks end, scans are bounded."""
    guest = machine(LONG)
    pfn = guest.frames.take()
    guest.tables.map(0xFFFF880000001000, pfn, FLAGS)
    linear = 0xFFFF810000000000
    guest.frames.pages[guest.tables.root][258 * 8 : 259 * 8] = (guest.tables.root << 12 | FLAGS).to_bytes(8, "little")
    target, root = opened(guest)
    assert target.translate(0xFFFF880000001000, root=root).pfn == pfn
    assert target.translate(linear | 258 << 30 | 258 << 21 | 258 << 12, root=root).pfn == guest.tables.root
    space = target.space_for(root)
    assert any(batch for batch in space.leaves(0xFFFF880000000000, 0xFFFF890000000000))


def test_user_tables_of_a_paravirtual_vcpu(domain: Any) -> None:
    """A 64-bit paravirtual process has two top tables; user mode's does not map the kernel."""
    process = domain.planned.process("bash")
    mfn = domain.built.image.frames.mfn(process.user_root)
    va = min(process.pages)
    assert domain.translate(va, root=mfn << 12).pfn == process.pages[va]
    with pytest.raises(kdbg.Unmapped):
        domain.translate(domain.planned.threads[0].address, root=mfn << 12)


# --- many addresses at once -----------------------------------------------------------------------------------------


def mixed(paging: Paging, seed: int, paravirtual: bool = False) -> Machine:
    """A guest with pages of every size, holes, entries that are not present, and tables that are not there."""
    guest = machine(paging, paravirtual)
    choose = random.Random(seed)
    top = 1 << 47 if paging is LONG else 1 << 32
    for _ in range(60):
        base = choose.randrange(8) * (top // 8) + choose.randrange(1 << 12) * PAGE
        if paging is LONG and choose.random() < 0.5:
            base |= 0xFFFF800000000000
        try:
            guest.tables.map(base, guest.frames.take(), FLAGS | choose.choice([0, 4, 0x100]))
            if choose.random() < 0.1:
                guest.tables.set_entry(base, guest.tables.entry(base) & ~1)
            if choose.random() < 0.1 and not paravirtual:
                guest.tables.map_number(base + (512 << 21) & (1 << guest.bits) - 1, 0x80000, FLAGS, 1)
        except KeyError:
            pass
    level = 1 if paging is LONG else 0
    guest.tables.map(0x7000, guest.frames.take(), FLAGS)
    guest.tables.set_entry(0x7000, 0x3333333000 & (1 << 32) - 1 | 1, level)
    return guest


@pytest.mark.parametrize(("paging", "paravirtual"), MODES, ids=IDS)
@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=15, deadline=None)
def test_array_walks_say_the_same_as_single_ones(
    tmp_path_factory: Any, paging: Paging, paravirtual: bool, seed: int
) -> None:
    guest = mixed(paging, seed, paravirtual)
    with kdbg.open(guest.write(tmp_path_factory.mktemp("walk"))) as target:
        root = target.cpus()[0].registers["cr3"]
        space = target.space_for(root)
        choose = random.Random(seed)
        bits = guest.bits
        addresses = [choose.randrange(1 << bits) for _ in range(50)]
        bases = [base for level, base in guest.tables.tables if level == 0]
        addresses += [base + choose.randrange(1 << 21) & (1 << bits) - 1 for base in bases for _ in range(40)]
        found = space.translate_array(np.array(addresses, np.uint64))
        for at, address in enumerate(addresses):
            walk = space.walk(address)
            assert bool(found.mapped[at]) == (walk.page_address is not None)
            assert int(found.levels[at]) == walk.level
            if walk.page_address is not None:
                assert int(found.frames[at]) == walk.page_address >> 12
                assert int(found.entries[at]) == walk.entry


@pytest.mark.parametrize(("paging", "paravirtual"), MODES, ids=IDS)
def test_leaves_are_all_leaves(paging: Paging, paravirtual: bool, opened: Callable[..., Any]) -> None:
    guest = machine(paging, paravirtual)
    wanted = {}
    choose = random.Random(9)
    for _ in range(300):
        va = choose.randrange(1 << 32 - 12) * PAGE
        pfn = wanted[va] = guest.frames.take()
        guest.tables.map(va, pfn, FLAGS)
    target, root = opened(guest)
    space = target.space_for(root)
    found = {}
    for batch in space.leaves():
        found.update(zip(batch.addresses.tolist(), batch.frames.tolist(), strict=True))
    assert found == {va: guest.frames.number(pfn) for va, pfn in wanted.items()}
    low, high = 0x40000000, 0x80000000
    part = {va for batch in space.leaves(low, high) for va in batch.addresses.tolist()}
    assert part == {va for va in wanted if low <= va < high}


def test_runs_join_what_follows(opened: Callable[..., Any]) -> None:
    guest = machine(LONG)
    pages = [guest.frames.take() for _ in range(16)]
    for number, pfn in enumerate(pages):
        guest.tables.map(0x400000 + number * PAGE, pfn, FLAGS | (Bit.USER if number >= 8 else 0))
    guest.tables.map(0x500000, pages[3], FLAGS)
    guest.tables.map_number(0x40000000, 0x40000, FLAGS, 1)
    guest.tables.map_number(0x40200000, 0x40200, FLAGS, 1)
    target, root = opened(guest)
    after = [(run.address, run.size, run.frame, run.level) for run in target.space_for(root).runs(0, 1 << 47)]
    expected = {(0x500000, PAGE, pages[3], 0), (0x40000000, 4 << 20, 0x40000, 1)}
    first = [(0x400000, 8 * PAGE), (0x408000, 8 * PAGE)]
    # frames were handed out in between to tables, so the first ones may be in more than one run
    assert expected <= set(after)
    for start, size in first:
        assert sum(s for a, s, _, _ in after if start <= a < start + size) == size


def test_reads_across_pages(domain: Any) -> None:
    space = domain.built.image.space
    thread = domain.planned.threads[0]
    data = domain.read(thread.stack_base + 100, PAGE + 500)
    assert data == space.read(thread.stack_base + 100, PAGE + 500)
    assert domain.read(thread.stack_base, 0) == b""


def test_a_read_that_runs_into_a_hole_names_the_page(domain: Any) -> None:
    """The red zone above a stack is not mapped."""
    thread = domain.planned.threads[0]
    end = thread.stack_base + 0x2000
    with pytest.raises(kdbg.Unmapped) as raised:
        domain.read(end - 16, 32)
    assert raised.value.address == end
    partial = domain.read_partial(end - 16, 32)
    assert [(at, size) for at, size, _ in partial.missing] == [(end, 16)]

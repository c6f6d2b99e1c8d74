"""Old cores that hold machine frames alone: pfns from the guest's own lists, when a pfn is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from samples.xen_core import CONTEXT32, CONTEXT64, Core, write_xc_core


def as_old_core(elf: Any, path: Path, index: str = "mfn", seed: int | None = 3) -> Path:
    """Write an ELF core's content in the old format: its pages in another order, and no pfn (``index`` "mfn")."""
    image = elf.image
    tables = image.tables
    size = CONTEXT64 if image.bits == 64 else CONTEXT32
    starts = [tables.contexts_at + at * tables.context_size for at in range(tables.contexts)]
    contexts = [bytes(image.source.read(start, size)) for start in starts]
    frames, pages = [], {}
    for at in range(image.pages_in_file):
        pfn = image.pfns.words[at]
        frames.append((pfn, tables.mfns.words[at]))
        pages[pfn] = bytes(image.source.read(tables.pages_at + at * 4096, 4096))
    if seed is not None:
        random.Random(seed).shuffle(frames)
    return write_xc_core(path, Core(contexts, frames, pages, bits=image.bits), index)


@pytest.mark.parametrize("name", ["xen-tiny.core", "xen-tiny-4v.core", "domu-sxc16.elf", "domu32.elf"])
def test_pfns_by_the_guest_s_list(sample: Callable[[str], Any], tmp_path: Path, name: str) -> None:
    elf = sample(name)
    with kdbg.open(as_old_core(elf, tmp_path / "core")) as old:
        planned = {pfn: elf.pfn_to_mfn(pfn) for pfn in elf.pages}
        assert {pfn: old.pfn_to_mfn(pfn) for pfn in planned} == planned
        assert {mfn: old.mfn_to_pfn(mfn) for mfn in planned.values()} == {mfn: pfn for pfn, mfn in planned.items()}
        assert list(old.pages) == list(elf.pages)
        for pfn in list(planned)[::50]:
            assert old.read_physical(pfn * 4096, 4096) == elf.read_physical(pfn * 4096, 4096)


@pytest.mark.parametrize("name", ["xen-tiny.core", "xen-tiny-4v.core"])
def test_virtual_addresses_need_no_pfn(sample: Callable[[str], Any], tmp_path: Path, name: str) -> None:
    """Page tables hold machine frames: nothing is numbered before a pfn is asked for."""
    elf = sample(name)
    with kdbg.open(as_old_core(elf, tmp_path / "core")) as old:
        pc = elf.cpus()[0].registers["rip"]
        assert old.read(pc, 16) == elf.read(pc, 16)
        assert old.image.order_assumed
        assert old.translate(pc).pfn == elf.translate(pc).pfn
        assert not old.image.order_assumed


def test_an_index_in_pfn_order_stays(sample: Callable[[str], Any], tmp_path: Path) -> None:
    elf = sample("xen-tiny.core")
    with kdbg.open(as_old_core(elf, tmp_path / "core", index="pfn", seed=None)) as old:
        assert [old.pfn_to_mfn(pfn) for pfn in (0, 0x500, 0x501)] == [elf.pfn_to_mfn(pfn) for pfn in (0, 0x500, 0x501)]


def test_without_a_list_pages_are_numbered_as_they_lie(sample: Callable[[str], Any], tmp_path: Path) -> None:
    path = as_old_core(sample("xen-tiny.core"), tmp_path / "core")
    path.write_bytes(path.read_bytes().replace(b"xen-3.0-x86_64", b"xen-9.9-x86_64"))
    with kdbg.open(path) as old:
        assert old.pfn_to_mfn(0) == old.image.tables.mfns.words[0]
        assert any("no list" in note for note in old.notes)


def test_a_list_of_something_else_is_not_believed(sample: Callable[[str], Any], tmp_path: Path) -> None:
    """A start_info page whose mfn_list leads to the guest's code."""
    elf = sample("xen-tiny.core")
    path = as_old_core(elf, tmp_path / "core")
    data = bytearray(path.read_bytes())
    at = data.index(b"xen-3.0-x86_64") + 104
    data[at : at + 8] = (elf.cpus()[0].registers["rip"] & -4096).to_bytes(8, "little")
    path.write_bytes(data)
    with kdbg.open(path) as old:
        assert old.pfn_to_mfn(0) == old.image.tables.mfns.words[0]
        assert any("not believed" in note for note in old.notes)


@pytest.mark.shared
def test_a_linux_guest_s_list(shared_dump: Callable[[str], Path], tmp_path: Path) -> None:
    with kdbg.open(shared_dump("xen-linux-pv.core")) as elf, kdbg.open(as_old_core(elf, tmp_path / "core")) as old:
        assert list(old.pages) == list(elf.pages)
        assert all(old.pfn_to_mfn(pfn) == elf.pfn_to_mfn(pfn) for pfn in elf.pages)
        assert old.symbol("linux_banner") == elf.symbol("linux_banner")

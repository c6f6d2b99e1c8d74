"""Array walks remember regions: whatever they remember, they say what single walks say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kdbg
from kdbg.vm import regions
from kdbg.vm.space import AddressSpace
from kdbg.vm.vcpu import space_of

TINY = ("xen-tiny.core", "xen-tiny-4v.core", "xen-tiny-pvh.core", "xen-tiny-pvh32.core")
SOLARIS = ("domu-sxc16.core", "domu32.elf", "hvm.elf")


def spaces(image: Any) -> Iterator[AddressSpace]:
    """All address spaces that the contexts in a dump name, made anew."""
    for registers in image.contexts:
        for name in ("cr3", "user_cr3"):
            if registers.get(name):
                yield space_of(image, registers, registers[name])


def some_addresses(space: AddressSpace, count: int = 3000) -> np.ndarray:
    """Mapped addresses of a space, what lies beside them, and addresses at random."""
    choose = np.random.default_rng(8)
    mapped = [batch.addresses for batch in space.leaves()]
    known = np.concatenate(mapped) if mapped else np.zeros(1, np.uint64)
    picked = choose.choice(known, min(count, len(known)), replace=False)
    beside = picked + choose.integers(0, 1 << 22, len(picked)).astype(np.uint64)
    anywhere = choose.integers(0, 1 << 63, 200).astype(np.uint64) * np.uint64(2)
    found = np.concatenate([picked, beside, anywhere, np.array([0, (1 << 64) - 1], np.uint64)])
    return found & np.uint64(0xFFFFFFFF) if space.mode.canonical_bits == 32 else found


def check(space: AddressSpace, addresses: np.ndarray) -> int:
    """Hold the array walk against single walks; how many are mapped."""
    found = space.translate_array(addresses)
    for at, address in enumerate(addresses.tolist()):
        walk = space.walk(address)
        said = bool(found.mapped[at]), int(found.levels[at])
        assert said == (walk.page_address is not None, walk.level), hex(address)
        assert int(found.frames[at]) == (walk.page_address or 0) >> 12
        reached = walk.steps and walk.steps[-1].level == walk.level
        assert int(found.entries[at]) == (walk.entry if reached else 0)
    return int(found.mapped.sum())


@pytest.mark.parametrize("name", TINY + SOLARIS)
def test_real_tables(sample: Callable[[str], Any], name: str) -> None:
    total = 0
    for space in spaces(sample(name).image):
        addresses = some_addresses(space, 500)
        total += check(space, addresses)
        check(space, addresses[::-1].copy())  # what the first walk remembered answers the second
    assert total > 500


def test_regions_that_take_each_other_s_place(sample: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four slots and eight tables for many regions: most of what is remembered is lost at once."""
    monkeypatch.setattr(regions, "SLOTS", 4)
    monkeypatch.setattr(regions, "TABLES", 8)
    for space in spaces(sample("xen-tiny.core").image):
        assert check(space, some_addresses(space, 500)) > 0


def test_more_new_regions_than_are_remembered(sample: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "NEW", 3)
    for space in spaces(sample("xen-tiny-pvh.core").image):
        check(space, some_addresses(space, 500))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["xen-linux-pv.core", "xen-linux-pvh.core", "lx61.elf", "lx61-panic.elf"])
def test_a_linux_guest(shared_dump: Callable[[str], Path], name: str) -> None:
    with kdbg.open(shared_dump(name)) as target:
        found = [space for space in spaces(target.image) if check(space, some_addresses(space)) > 1000]
        assert found

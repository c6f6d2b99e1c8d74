"""Caches and slabs of old kernels: rings, on a few planned structures."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import pytest

from kdbg.errors import ReadError, SymbolNotFound
from kdbg.kernels.solaris.kmem_rings import Rings, has_rings
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.symbols.ctf import CtfContainer
from samples.ctf import CtfWriter

NULL_CACHE, FIRST, SECOND = 0x1000, 0x2000, 0x3000
SLABS = (0x5000, 0x5100, 0x5200)


def old_types() -> CtfContainer:
    c = CtfWriter()
    long = c.integer("unsigned long", 64)
    cache, slab = c.structure("kmem_cache"), c.structure("kmem_slab")
    to_cache, to_slab = c.pointer(cache), c.pointer(slab)
    c.define(slab, [("slab_cache", to_cache), ("slab_base", long), ("slab_next", to_slab), ("slab_prev", to_slab),
                    ("slab_head", long), ("slab_refcnt", long), ("slab_chunks", long)])  # fmt: skip
    c.define(cache, [("cache_bufsize", long), ("cache_next", to_cache), ("cache_prev", to_cache),
                     ("cache_freelist", to_slab), ("cache_nullslab", slab)])  # fmt: skip
    c.typedef("kmem_cache_t", cache)
    c.typedef("kmem_slab_t", slab)
    return CtfContainer(c.bytes(), 64)


@dataclass
class OldKernel:
    """As much of a kernel as rings ask for; structures are put into it member by member."""

    bits: int = 64
    words: dict[int, int] = field(default_factory=dict)
    types: CtfContainer = field(default_factory=old_types)

    @property
    def memory(self) -> OldKernel:
        return self

    def type(self, name: str) -> Any:
        return self.types.lookup(name)

    def symbol(self, name: str) -> Any:
        if name != "kmem_null_cache":
            raise SymbolNotFound(name)
        return type("Symbol", (), {"address": NULL_CACHE})

    def read(self, address: int, size: int) -> bytes:
        if not 0x1000 <= address < 0x6000:
            raise ReadError(address)
        return b"".join(struct.pack("<Q", self.words.get(at, 0)) for at in range(address, address + size, 8))

    def put(self, type_name: str, address: int, **members: int) -> None:
        for name, value in members.items():
            at, of = address, self.type(type_name)
            for part in name.split("__"):
                member = of.member(part)
                at, of = at + member.offset, member.type
            self.words[at] = value

    def null_slab(self, cache: int) -> int:
        offset: int = self.type("kmem_cache_t").member("cache_nullslab").offset
        return cache + offset


@pytest.fixture
def kernel() -> OldKernel:
    """Two caches: the first with two complete slabs and a partial one, the second without any."""
    kernel = OldKernel()
    ring = (NULL_CACHE, FIRST, SECOND)
    for here, after in zip(ring, (*ring[1:], NULL_CACHE), strict=True):
        kernel.put("kmem_cache_t", here, cache_next=after)
    null = kernel.null_slab(FIRST)
    kernel.put("kmem_cache_t", FIRST, cache_freelist=SLABS[2], cache_nullslab__slab_next=SLABS[0],
               cache_nullslab__slab_prev=SLABS[2])  # fmt: skip
    for here, after in zip(SLABS, (*SLABS[1:], null), strict=True):
        kernel.put("kmem_slab_t", here, slab_cache=FIRST, slab_next=after)
    null = kernel.null_slab(SECOND)
    links = dict.fromkeys(("cache_freelist", "cache_nullslab__slab_next", "cache_nullslab__slab_prev"), null)
    kernel.put("kmem_cache_t", SECOND, **links)
    return kernel


def test_the_form_is_known_by_its_member(kernel: OldKernel) -> None:
    assert has_rings(kernel.type("kmem_cache_t"))
    assert not has_rings(kernel.type("kmem_slab_t"))


def test_caches_hang_on_the_null_cache(kernel: OldKernel) -> None:
    assert list(Rings(kernel).caches()) == [FIRST, SECOND]  # type: ignore[arg-type]


def test_slabs_complete_ones_first(kernel: OldKernel) -> None:
    rings = Rings(kernel)  # type: ignore[arg-type]
    assert list(rings.slabs(FIRST)) == list(SLABS)
    assert list(rings.slabs(FIRST, partial=True)) == [SLABS[2]]
    assert list(rings.slabs(SECOND)) == list(rings.slabs(SECOND, partial=True)) == []


def test_without_partial_slabs_the_last_one_stands_in(kernel: OldKernel) -> None:
    kernel.put("kmem_cache_t", FIRST, cache_freelist=kernel.null_slab(FIRST))
    assert list(Rings(kernel).slabs(FIRST, partial=True)) == [SLABS[2]]  # type: ignore[arg-type]


def test_rings_that_do_not_close_end(kernel: OldKernel) -> None:
    kernel.put("kmem_slab_t", SLABS[2], slab_next=SLABS[1])
    with pytest.raises(StoppedError, match="slab at 0x5100 comes a second time"):
        list(Rings(kernel).slabs(FIRST))  # type: ignore[arg-type]
    kernel.put("kmem_slab_t", SLABS[1], slab_next=0xBAD0)
    with pytest.raises(StoppedError, match="failed to read slab at bad0: no mapping for address"):
        list(Rings(kernel).slabs(FIRST))  # type: ignore[arg-type]
    kernel.put("kmem_slab_t", SLABS[0], slab_cache=SECOND)
    with pytest.raises(StoppedError, match=r"slab 5000 isn't in cache 2000 \(in cache 3000\)"):
        list(Rings(kernel).slabs(FIRST))  # type: ignore[arg-type]

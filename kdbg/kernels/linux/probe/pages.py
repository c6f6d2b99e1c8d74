"""Struct page by VMCOREINFO, and what a slab keeps in it by its form: struct slab, as kernels from 5.17 on call it.

Sources: kernel/vmcore_info.c (SIZE(page), OFFSET(page.*), PG_slab); mm/slub.c: the struct page of a slab has the cache,
the first free object (or 0), and in 32 bits the objects in use, those in all (15 bits) and whether a CPU has it.
``random`` of a cache is what pointers of free objects are mixed with (CONFIG_SLAB_FREELIST_HARDENED).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy

from kdbg.errors import Error
from kdbg.kernels.linux.probe.samples import MOST_ROWS, Column, Samples, share, words_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.probe.table import Table
    from kdbg.kernels.linux.slab_forms import SlabMark
    from kdbg.kernels.linux.vmcoreinfo import VmCoreInfo

MEMBERS = {"flags": "unsigned long", "_refcount": "int", "_mapcount": "int", "mapping": "struct address_space *",
           "private": "unsigned long", "compound_head": "unsigned long"}  # fmt: skip
FEWEST = 8
"""Slabs from which anything is concluded."""
PAGE = 4096


def probe(table: Table) -> None:
    """Find what can be found of struct page. Raises `Error` where the kernel's page structures are not found."""
    kernel, word = table.kernel, table.word
    told = kernel.vmcoreinfo
    if told is None or "SIZE(page)" not in told:
        return
    size, offsets = told.of_kind("SIZE", 10)["page"], told.of_kind("OFFSET", 10)
    table.size("page", size)
    for name, of in MEMBERS.items():
        table.member("page", name, of, offsets.get(f"page.{name}"))
    for at, (name, of) in enumerate((("freelist", "void **"), ("tid", "unsigned long"), ("slab", "struct page *"),
                                     ("partial", "struct page *"))):  # fmt: skip
        table.member("kmem_cache_cpu", name, of, at * word)
    marked = {"PG_slab", "PAGE_SLAB_MAPCOUNT_VALUE"} & told.of_kind("NUMBER", 10).keys()
    if not marked or not table.caches or table.offset("kmem_cache", "offset") is None or not _tells_pages(told):
        return
    table.size("slab", size)
    slabs = Slabs(table)
    if len(slabs.samples) >= FEWEST:
        slabs.probe()


def _tells_pages(told: VmCoreInfo) -> bool:
    """Whether VMCOREINFO alone tells where page structures lie: there are no types to be asked yet."""
    offsets, sections = told.of_kind("OFFSET", 10), "mem_section.section_mem_map"
    whole = "mem_map" in told.symbols and {"pglist_data.node_start_pfn", "pglist_data.node_spanned_pages"} <= set(
        offsets
    )
    by_sections = "SIZE(mem_section)" in told and sections in offsets
    return {"page.flags", "page._mapcount", "page.compound_head"} <= set(offsets) and (whole or by_sections)


class Slabs:
    """Struct pages of slabs side by side."""

    def __init__(self, table: Table) -> None:
        from kdbg.kernels.linux.pages import PageMap
        from kdbg.kernels.linux.slab_forms import SlabMark

        self.table, self.kernel = table, table.kernel
        self.pages = self.kernel.part(PageMap)
        self.caches = dict(table.caches.values())
        self.base = self._direct_base()
        self.samples = Samples(self.kernel, self._addresses(self.kernel.part(SlabMark)), self.pages.size)

    def _addresses(self, mark: SlabMark) -> list[int]:
        word, found = self.table.word, list[int]()
        head = self.pages.offset("compound_head") // word
        for chunk in self.pages.chunks():
            words = chunk.words
            marks = words[:, mark.offset // word] >> words.dtype.type(mark.offset % word * 8)
            good = (marks & mark.mask == mark.value) & (words[:, head] & 1 == 0)
            found += [chunk.address + at * self.pages.size for at in numpy.flatnonzero(good).tolist()]
            if len(found) > MOST_ROWS:
                break
        return found

    def _direct_base(self) -> int:
        """Where frame 0 would be mapped: caches lie in slabs, and these where all memory is mapped in one piece."""
        for address in self.caches:
            if not self.kernel.mapping.holds(address) or self.kernel.bits == 32:
                pfn = self.kernel.space.translate(address).pfn
                if pfn is not None:
                    return (address & -PAGE) - (pfn << 12) & (1 << self.kernel.bits) - 1
        return 0

    def probe(self) -> None:
        """Find the members, one by the other."""
        put, samples = self.table.member, self.samples
        known = numpy.array(sorted(self.caches), samples.words.dtype)
        cache_at = put("slab", "slab_cache", "struct kmem_cache *",
                       samples.first_word(lambda column: share(numpy.isin(column, known)) > 0.9))  # fmt: skip
        if cache_at is None:
            return
        owners = samples.at(cache_at)
        counts = samples.first_int(lambda column: self._are_counts(column, owners))
        put("slab", "inuse", "unsigned short", counts)
        put("slab", "objects", "unsigned short", None if counts is None else counts + 2)
        if counts is None:
            return
        objects = samples.int_at(counts) >> 16 & 0x7FFF
        freelist = samples.first_word(lambda column: self._are_heads(column, owners, objects))
        if put("slab", "freelist", "void *", freelist) is not None and freelist is not None:
            self._random(samples.at(freelist), owners, objects)

    def _are_counts(self, column: Column, owners: Column) -> bool:
        """Objects in use and in all: as many as the cache says that a slab has."""
        orders = self._of_caches("oo", owners) & 0xFFFF
        total, used = column >> 16 & 0x7FFF, column & 0xFFFF
        return bool(share((total == orders) & (used <= total)) > 0.8)

    def _are_heads(self, column: Column, owners: Column, objects: Column) -> bool:
        """Nothing, or the beginning of an object of the slab."""
        inside = self._is_object(column, self._firsts(), self._sizes(owners), objects)
        return bool(share((column == 0) | inside) > 0.95 and inside.any())

    @staticmethod
    def _is_object(column: Column, firsts: Column, sizes: Column, objects: Column) -> Column:
        """Which words are the beginning of an object of their slab; damaged ones may be of any size."""
        there = column.astype("u8") - firsts
        return (there < sizes * objects.astype("u8")) & (there % numpy.maximum(sizes, numpy.uint64(1)) == 0)

    def _firsts(self) -> Column:
        """Where each slab's pages are mapped: uint64[n]."""
        pfns = [self.pages.pfn_of(address) or 0 for address in self.samples.addresses]
        mask = (1 << self.kernel.bits) - 1
        return numpy.array([self.base + (pfn << 12) & mask for pfn in pfns], "u8")

    def _sizes(self, owners: Column) -> Column:
        """Bytes from one object to the next, by slab: uint64[n]."""
        return self._of_caches("size", owners).astype("u8")

    def _of_caches(self, member: str, owners: Column) -> Column:
        """A 32-bit member of each slab's cache; 0 where it has none that is known."""
        offset = self.table.offset("kmem_cache", member)
        if offset is None:
            return numpy.zeros(len(owners), "u8")
        numbers = {0: 0}
        for address in self.caches:
            numbers[address] = int.from_bytes(_read(self.kernel, address + offset, 4), "little")
        return numpy.array([numbers.get(int(owner), 0) for owner in owners], "u8")

    def _random(self, heads: Column, owners: Column, objects: Column) -> None:
        """The member of a cache with which the pointers in free objects are mixed, if they are."""
        word, sizes, firsts = self.table.word, self._sizes(owners), self._firsts()
        offsets = self._of_caches("offset", owners)
        rows = [row for row in range(len(heads)) if heads[row] and sizes[row]]
        if not rows:
            return
        heads, owners, offsets = heads[rows].astype("u8"), owners[rows], offsets[rows]
        sizes, firsts, objects = sizes[rows], firsts[rows], objects[rows]
        places = heads + offsets
        stored = numpy.array([_word(self.kernel, int(place)) for place in places], "u8")

        def fits(pointers: Column) -> bool:
            good = (pointers == 0) | self._is_object(pointers, firsts, sizes, objects)
            return bool(share(good) > 0.95)

        if fits(stored):
            return
        swapped = numpy.array([int.from_bytes(int(p).to_bytes(word, "little"), "big") for p in places], "u8")
        for at in range(0, self.table.limit("kmem_cache", 256) - word + 1, word):
            mixed = numpy.array(words_of(self.kernel, [int(owner) for owner in owners], at), "u8")
            if fits(stored ^ mixed ^ swapped) or fits(stored ^ mixed ^ places):
                self.table.member("kmem_cache", "random", "unsigned long", at)
                return
        self.table.missing.append("kmem_cache.random")


def _read(kernel: Linux, address: int, size: int) -> bytes:
    try:
        return kernel.memory.read(address, size)
    except Error:
        return bytes(size)


def _word(kernel: Linux, address: int) -> int:
    return int.from_bytes(_read(kernel, address, kernel.bits // 8), "little")

"""What a slab and its cache consist of, in all forms that kernels have had; how a struct page tells that it is a slab.

Sources: mm/slab.h (struct slab, since 5.17; before it struct page), slub_def.h, page-flags.h in include/linux (PG_slab;
since 6.10 a page type), kernel/vmcore_info.c (PAGE_SLAB_MAPCOUNT_VALUE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import TypeNotFound
from kdbg.kernels.linux.pages import told_offset
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.model import Type

PGTY_SLAB = "PGTY_slab"

CACHE_MEMBERS = {"size": "size", "object_size": "object_size", "offset": "offset?", "random": "random?",
                 "pad": "red_left_pad?", "cpu_slab": "cpu_slab?", "order": "oo.x?", "name": "name",
                 "objects": "num?"}  # fmt: skip
SLAB_MEMBERS = {"cache": "slab_cache", "freelist": "freelist", "inuse": "inuse?", "objects": "objects?",
                "frozen": "frozen?", "active": "active?", "first": "s_mem?"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slab:
    """A slab: some pages full of objects of one cache."""

    address: int
    """Of its struct slab (before 5.17: struct page)."""
    cache: int
    pfn: int
    pages: int
    first: int
    """Address of its first object."""
    objects: int
    in_use: int
    """Objects that are not on the slab's own list; those on a CPU's list are among them."""
    frozen: bool
    """Whether it belongs to a CPU."""
    freelist: int
    """Its first free object, 0 for none."""


@dataclass(frozen=True, slots=True)
class Cache:
    """What is needed of a kmem_cache to find its objects."""

    address: int
    name: str
    size: int
    object_size: int
    offset: int
    """Of the pointer to the next free object in a free object."""
    random: int | None
    pad: int
    """Bytes before the first object."""
    cpu_slab: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the slabs of a cache have together."""

    slabs: int
    pages: int
    objects: int
    in_use: int
    """Those on CPUs' lists of free ones are among them."""
    partial: int
    """Slabs with free objects on their own lists."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a slab."""

    slab: int
    cache: int
    text: str


def slab_form(kernel: Linux) -> tuple[Type, Layout]:
    """(type, members) of what describes a slab. Raises `TypeNotFound`."""
    try:
        of = kernel.type("struct slab")
        if of.has("slab_cache"):
            return of, Layout(of, SLAB_MEMBERS)
    except TypeNotFound:
        pass
    of = kernel.type("struct page")
    return of, Layout(of, SLAB_MEMBERS)


def page_flags(kernel: Linux) -> dict[str, int]:
    """Name of a page's flag -> its bit: by the kernel's types, or what VMCOREINFO tells. Raises `TypeNotFound`."""
    try:
        return dict(kernel.type("enum pageflags").enumerators)
    except TypeNotFound:
        told = kernel.vmcoreinfo
        found = told.of_kind("NUMBER", 10) if told is not None else {}
        flags = {name: bit for name, bit in found.items() if name.startswith("PG_") and "mask" not in name}
        if not flags:
            raise
        if "PG_private" in flags:  # include/linux/page-flags.h: so in all kernels that write VMCOREINFO
            flags.setdefault("PG_reserved", flags["PG_private"] - 1)
        return flags


class SlabMark:
    """How a struct page tells that it begins a slab. Raises `TypeNotFound` where no way is known."""

    def __init__(self, kernel: Linux) -> None:
        told = kernel.vmcoreinfo
        numbers = told.of_kind("NUMBER", 10) if told is not None else {}
        bit = numbers.get("PG_slab")
        if bit is None and "PAGE_SLAB_MAPCOUNT_VALUE" in numbers:
            self._by_type(kernel, numbers["PAGE_SLAB_MAPCOUNT_VALUE"])
            return
        bit = page_flags(kernel).get("PG_slab") if bit is None else bit
        if bit is None:
            types = dict(kernel.type("enum pagetype").enumerators)
            if PGTY_SLAB not in types:
                raise TypeNotFound(PGTY_SLAB, "nothing tells how slabs are marked")
            self._by_type(kernel, types[PGTY_SLAB] << 24)
            return
        self.offset = told_offset(kernel, "page", "flags")
        self.mask = self.value = 1 << bit

    def _by_type(self, kernel: Linux, value: int) -> None:
        """``page_type`` lies where ``_mapcount`` does."""
        self.offset, self.mask = told_offset(kernel, "page", "_mapcount"), 0xFFFFFFFF
        self.value = value & self.mask

    def holds(self, data: bytes) -> bool:
        """Whether the struct page in the bytes begins a slab."""
        return int.from_bytes(data[self.offset : self.offset + 4], "little") & self.mask == self.value

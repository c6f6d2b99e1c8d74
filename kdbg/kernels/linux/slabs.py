"""The slab caches of a Linux kernel.

Source: mm/slab.h, include/linux/slub_def.h (struct kmem_cache; all hang on ``slab_caches`` by their ``list``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.linux.lists import elements
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.model import Type

MEMBERS = {"name": "name", "size": "size", "object_size": "object_size", "flags": "flags", "align": "align",
           "references": "refcount", "order": "oo.x?", "offset": "offset?"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlabCache:
    """A cache of objects of one size."""

    address: int
    """Of its kmem_cache."""
    name: str
    object_size: int
    """Bytes that an object has."""
    size: int
    """Bytes from one object to the next."""
    align: int
    flags: int
    objects: int | None
    """Objects in a slab of the usual size; None where the kernel does not tell (SLAB)."""
    order: int | None
    """A slab has 2**order pages."""


def cache_span(of: Type) -> int:
    """Bytes of struct kmem_cache that there are in any case: of ``node`` the kernel allocates what it needs."""
    last = next((name for name in ("node", "per_node") if of.has(name)), None)
    return min(of.size, of.member(last).offset) if last else of.size


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a cache has in memory."""

    address: int
    name: str
    size: int
    object_size: int
    in_use: int
    """Objects that are handed out."""
    total: int
    """Objects that its slabs have."""
    memory: int
    """Bytes of its slabs."""
    slabs: int
    partial: int
    """Slabs with free objects on their own lists."""
    on_cpus: int
    """Free objects on the lists of CPUs."""


class SlabCaches:
    """The caches of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        of = kernel.type("struct kmem_cache")
        self.layout = Layout(of, MEMBERS)
        self.span = cache_span(of)

    def record(self, address: int) -> SlabCache:
        """The cache at an address. Raises `ReadError`."""
        told = self.layout.unpack(self.kernel.memory.read(address, self.span))
        try:
            name = self.kernel.string(told["name"], 256)
        except ReadError:
            name = ""
        order = told["order"]
        return SlabCache(
            address=address,
            name=name,
            object_size=told["object_size"],
            size=told["size"],
            align=told["align"],
            flags=told["flags"],
            objects=order & 0xFFFF if order is not None else None,
            order=order >> 16 if order is not None else None,
        )

    def walk(self) -> Iterator[int]:
        """Addresses of all caches, the newest first. Raises `SymbolNotFound`."""
        return elements(self.kernel, self.kernel.place("slab_caches"), "struct kmem_cache", "list", "slab_caches")


def slab_caches(kernel: Linux) -> Iterator[SlabCache]:
    """All caches; one that cannot be read is left out with a note. Raises `SymbolNotFound`, `TypeNotFound`."""
    part = kernel.part(SlabCaches)
    for address in part.walk():
        try:
            yield part.record(address)
        except Error as error:
            kernel.target.note(f"kmem_cache {address:x}: {error}")


def cache_use(kernel: Linux, address: int) -> CacheUse:
    """What a cache has in memory. Raises `Error`."""
    from kdbg.kernels.linux.slub import SlabPages

    swept = kernel.part(SlabPages)
    books = swept.slubs
    cache, totals = books.cache(address), swept.totals(address)
    on_cpus = books.on_cpus(cache)
    return CacheUse(address, cache.name, cache.size, cache.object_size, max(totals.in_use - on_cpus, 0), totals.objects,
                    totals.pages << 12, totals.slabs, totals.partial, on_cpus)  # fmt: skip


def use_of_caches(kernel: Linux) -> Iterator[CacheUse]:
    """What all caches have in memory; what cannot be read is left out with a note. Raises `Error` without types."""
    for address in kernel.part(SlabCaches).walk():
        try:
            yield cache_use(kernel, address)
        except ReadError as error:
            kernel.target.note(f"kmem_cache {address:x}: {error}")

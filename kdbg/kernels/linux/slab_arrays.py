"""The slabs of a Linux kernel with the SLAB allocator (up to 6.7): free objects by indexes and in arrays.

A slab's ``freelist`` is an array of object numbers; those from ``active`` on are free. Objects that were handed back
are kept in array caches first: each CPU's, one that a node's CPUs share, and those for other nodes' objects.

Written from the sources, not tried on a dump: mm/slab.c (struct array_cache, struct alien_cache, get_free_obj),
include/linux/slab_def.h (struct kmem_cache: num, cpu_cache), mm/slab.h (struct slab, struct kmem_cache_node).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, TypeNotFound
from kdbg.kernels.linux.places import per_cpu_offsets
from kdbg.kernels.linux.slab_forms import Cache, Slab
from kdbg.kernels.linux.slub import Slubs

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_ENTRIES = 1 << 16
"""Objects in an array cache."""
MOST_NODES = 1 << 10


class ArraySlabs(Slubs):
    """The slabs of one kernel one by one, and the free objects in them (SLAB)."""

    def __init__(self, kernel: Linux) -> None:
        super().__init__(kernel)
        try:
            self._index_size = kernel.type("freelist_idx_t").size
        except TypeNotFound:
            self._index_size = 1
        self._arrays: dict[int, dict[int, int | None]] = {}

    def _counts(self) -> bool:
        return False

    def _first(self, cache: Cache, pfn: int, told: dict[str, Any]) -> int:
        return told["first"] or super()._first(cache, pfn, told)

    def _in_use(self, told: dict[str, Any]) -> int:
        return told["active"] or 0

    def free(self, slab: Slab) -> dict[int, int | None]:
        """The free objects of a slab: address -> the CPU in whose array it is, or None. What is damaged is noted."""
        cache = self.cache(slab.cache)
        found: dict[int, int | None] = dict.fromkeys(self.own_free(slab))
        arrays = self._of_arrays(cache)
        found.update((at, arrays[at]) for at in self.objects(slab) if at in arrays)
        return found

    def own_free(self, slab: Slab) -> list[int]:
        """Those that the slab's own indexes tell."""
        cache, size = self.cache(slab.cache), self._index_size
        count = slab.objects - slab.in_use
        if not 0 < count <= slab.objects:
            if count:
                self._damaged(slab, cache, f"{slab.in_use} of {slab.objects} objects are in use by its count")
            return []
        try:
            data = self.kernel.memory.read(slab.freelist + slab.in_use * size, count * size)
        except ReadError as error:
            self._damaged(slab, cache, f"its indexes of free objects at {slab.freelist:x}: {error.reason}")
            return []
        numbers = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
        if len(set(numbers)) != count or max(numbers) >= slab.objects:
            self._damaged(slab, cache, "an index of a free object is no object of it, or comes twice")
        return [slab.first + number * cache.size for number in dict.fromkeys(numbers) if number < slab.objects]

    def cpu_lists(self, cache: Cache) -> dict[int, list[tuple[int, int]]]:
        """None: no CPU has a slab of its own."""
        return {}

    def on_cpus(self, cache: Cache) -> int:
        """How many free objects of a cache are in array caches."""
        return len(self._of_arrays(cache))

    def _of_arrays(self, cache: Cache) -> dict[int, int | None]:
        """The objects in a cache's arrays -> the CPU whose it is; None for those that several share."""
        if cache.address not in self._arrays:
            found: dict[int, int | None] = {}
            for cpu, address in self._array_caches(cache):
                try:
                    found.update((entry, cpu) for entry in self._entries(address))
                except Error as error:
                    self.kernel.target.note(f"cache {cache.name}: array cache {address:x}: {error}")
            self._arrays[cache.address] = found
        return self._arrays[cache.address]

    def _array_caches(self, cache: Cache) -> Iterator[tuple[int | None, int]]:
        """(CPU, address) of a cache's array caches."""
        kernel, value = self.kernel, self.kernel.at("struct kmem_cache", cache.address)
        mask = (1 << kernel.bits) - 1
        try:
            base = int(value.cpu_cache)
            yield from ((cpu, base + offset & mask) for cpu, offset in enumerate(kernel.part(per_cpu_offsets)))
        except Error as error:
            kernel.target.note(f"cache {cache.name}: the CPUs' array caches: {error}")
        try:
            count = int.from_bytes(kernel.memory.read(kernel.place("nr_node_ids"), 4), "little")
        except Error:
            count = 1
        for node in range(min(max(count, 1), MOST_NODES)):
            try:
                place = value.node[node]
                if not place:
                    continue
                if place.shared:
                    yield None, int(place.shared)
                aliens = int(place.alien)
                for other in range(count) if aliens else ():
                    alien = kernel.word(aliens + other * self._word)
                    if alien:
                        inner = kernel.type("struct alien_cache").member("ac").offset
                        yield None, alien + inner
            except Error as error:
                kernel.target.note(f"cache {cache.name}: node {node}: {error}")

    def _entries(self, address: int) -> list[int]:
        found = self.kernel.at("struct array_cache", address)
        count = found.avail
        if not 0 <= count <= MOST_ENTRIES:
            raise ReadError(address, f"an array of {count} objects is not believed")
        data, word = self.kernel.memory.read(found.address_of("entry"), count * self._word), self._word
        return [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data), word)]

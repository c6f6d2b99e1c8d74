"""The slabs of a Linux kernel and the objects in them: which are handed out, which are free.

All slabs are found by their struct pages (`SlabPages`), as the kernel keeps no list of full ones. An object is free if
it is on the list of its slab, or on that of the CPU that allocates from the slab at present. Lists go through the free
objects themselves; CONFIG_SLAB_FREELIST_HARDENED stores each pointer xor the cache's ``random`` xor the place where it
is stored (since 5.7 with its bytes reversed).

Sources: mm/slub.c (freelist_ptr_decode, get_freepointer, struct kmem_cache_cpu), mm/slab.h (struct slab, since 5.17;
before it struct page), include/linux/page-flags.h (PG_slab; since 6.10 a page type), kernel/vmcore_info.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.linux.pages import DirectMap, PageMap
from kdbg.kernels.linux.slab_forms import CACHE_MEMBERS, Cache, Problem, Slab, SlabMark, Totals, slab_form
from kdbg.kernels.linux.slabs import SlabCaches, cache_span
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_OBJECTS = 1 << 15
"""Objects that a slab can have: struct slab counts them in 15 bits."""
MOST_PAGES = 1 << 10


class Slubs:
    """The slabs of one kernel one by one, and the free objects in them (SLUB)."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.pages = kernel.part(PageMap)
        self.direct = kernel.part(DirectMap)
        self.mark = kernel.part(SlabMark)
        self.type, self.layout = slab_form(kernel)
        of = kernel.type("struct kmem_cache")
        self._caches, self._span = Layout(of, CACHE_MEMBERS), cache_span(of)
        self._known: dict[int, Cache] = {}
        self._has_sheaves = of.has("cpu_sheaves")
        self._in_sheaves: dict[int, dict[int, int | None]] = {}
        self._of_cpus: dict[int, dict[int, list[tuple[int, int]]]] = {}
        self._head = self.pages.head_offset
        self._read, self._word = kernel.memory.read, kernel.bits // 8
        self._swapped: bool | None = None
        """Whether the address in a hardened pointer has its bytes reversed; None: not known yet."""
        self.problems: list[Problem] = []
        self.counts = self._counts()
        """Whether a slab tells how many objects it has."""

    def _counts(self) -> bool:
        """SLUB's slabs count their objects; before 5.17 struct page has members for both allocators, in one place."""
        return bool(self.type.has("objects"))

    # caches and slabs

    def cache(self, address: int) -> Cache:
        """The cache at an address. Raises `ReadError`."""
        found = self._known.get(address)
        if found is None:
            told = self._caches.unpack(self._read(address, self._span))
            if not 0 < told["object_size"] <= told["size"] < 1 << 26:
                raise ReadError(address, f"no kmem_cache: objects of {told['size']} bytes")
            try:
                name = self.kernel.string(told["name"], 256)
            except ReadError:
                name = ""
            found = Cache(address, name, told["size"], told["object_size"], told["offset"] or 0, told["random"],
                          told["pad"] or 0, told["cpu_slab"])  # fmt: skip
            self._known[address] = found
        return found

    def slab_of_pfn(self, pfn: int) -> Slab | None:
        """The slab that a frame belongs to, None where it belongs to none. Raises `ReadError`."""
        page = self.pages.page_of(pfn)
        if page is None:
            return None
        head = self.kernel.word(page + self._head)
        if head & 1:
            import numpy as np

            page = int(self.pages.heads(np.uint64(page), np.uint64(head)))
            first = self.pages.pfn_of(page)
            if first is None or not first <= pfn < first + MOST_PAGES:
                return None
            pfn = first
        if not self.mark.holds(self._read(page, self.pages.size)):
            return None
        return self.slab(page, pfn)

    def slab(self, address: int, pfn: int | None = None, pages: int | None = None) -> Slab:
        """The slab whose structure lies at an address. Raises `ReadError`."""
        pfn = self.pages.pfn_of(address) if pfn is None else pfn
        if pfn is None:
            raise ReadError(address, "no struct page")
        told = self.layout.read(self._read, address)
        cache = self.cache(told["cache"])
        objects = told["objects"] if self.counts else self.objects_in(cache.address)
        frozen = told["frozen"] if told["frozen"] is not None else objects & MOST_OBJECTS  # the bit behind the count
        objects &= MOST_OBJECTS - 1
        first = self._first(cache, pfn, told)
        in_use = self._in_use(told)
        pages = pages or -(-objects * cache.size >> 12)
        return Slab(address, cache.address, pfn, pages, first, objects, in_use, bool(frozen), told["freelist"])

    def _first(self, cache: Cache, pfn: int, told: dict[str, Any]) -> int:
        """Address of the first object of a slab."""
        return self.direct.address_of(pfn) + cache.pad

    def _in_use(self, told: dict[str, Any]) -> int:
        """How many objects are not on a slab's own list."""
        return told["inuse"] or 0

    def objects_in(self, cache: int) -> int:
        """How many objects each slab of a cache has where the cache tells that (SLAB). Raises `ReadError`."""
        return min(self._caches.unpack(self._read(cache, self._span))["objects"] or 0, MOST_OBJECTS)

    # objects

    def free(self, slab: Slab) -> dict[int, int | None]:
        """The free objects of a slab: address -> the CPU on whose list it is, or None. What is damaged is noted."""
        cache = self.cache(slab.cache)
        found: dict[int, int | None] = dict.fromkeys(self._chain(cache, slab, slab.freelist))
        for cpu, first in self.cpu_lists(cache).get(slab.address, ()):
            found.update((at, cpu) for at in self._chain(cache, slab, first))
        if kept := self._sheaves(cache):
            found.update((at, kept[at]) for at in self.objects(slab) if at in kept)
        return found

    def own_free(self, slab: Slab) -> list[int]:
        """Those on the slab's own list."""
        return self._chain(self.cache(slab.cache), slab, slab.freelist)

    def objects(self, slab: Slab) -> range:
        """Addresses of all objects of a slab."""
        size = self.cache(slab.cache).size
        return range(slab.first, slab.first + slab.objects * size, size)

    def allocated(self, slab: Slab) -> list[int]:
        """Addresses of the objects that are handed out."""
        free = self.free(slab)
        return [at for at in self.objects(slab) if at not in free] if free else list(self.objects(slab))

    def cpu_lists(self, cache: Cache) -> dict[int, list[tuple[int, int]]]:
        """Slab -> (CPU, first free object on that CPU's list): the slabs that CPUs allocate from."""
        found = self._of_cpus.get(cache.address)
        if found is None:
            found = self._of_cpus[cache.address] = {}
            for cpu, told in self._cpu_structures(cache):
                if told["slab"]:
                    found.setdefault(told["slab"], []).append((cpu, told["freelist"]))
        return found

    def _sheaves(self, cache: Cache) -> dict[int, int | None]:
        """The free objects of a cache in sheaves (6.18 on)."""
        if not self._has_sheaves:
            return {}
        found = self._in_sheaves.get(cache.address)
        if found is None:
            from kdbg.kernels.linux.sheaves import sheaf_objects

            found = self._in_sheaves[cache.address] = sheaf_objects(self.kernel, cache.address)
        return found

    def on_cpus(self, cache: Cache) -> int:
        """How many free objects of a cache are on the lists of CPUs, and in sheaves."""
        count = len(self._sheaves(cache))
        for address, lists in self.cpu_lists(cache).items():
            try:
                slab = self.slab(address)
            except ReadError as error:
                self.kernel.target.note(f"cache {cache.name}: a CPU's slab {address:x}: {error}")
                continue
            if slab.cache == cache.address:
                count += sum(len(self._chain(cache, slab, first)) for _, first in lists)
            else:
                self._damaged(slab, cache, "a CPU allocates from it, and it is of another cache")
        return count

    def _cpu_structures(self, cache: Cache) -> Iterator[tuple[int, dict[str, Any]]]:
        from kdbg.kernels.linux.places import per_cpu_offsets

        if not cache.cpu_slab:
            return
        try:
            offsets = self.kernel.part(per_cpu_offsets)
        except Error as error:
            if "no CPU's slabs" not in self._said:
                self._said.add("no CPU's slabs")
                self.kernel.target.note(f"slabs: free objects on CPUs' lists are taken for allocated: {error}")
            return
        for cpu, offset in enumerate(offsets):
            at = cache.cpu_slab + offset & (1 << self.kernel.bits) - 1
            try:
                yield cpu, self.cpu_structure(at)
            except ReadError as error:
                self.kernel.target.note(f"cache {cache.name}: its slab of CPU {cpu}: {error}")

    def cpu_structure(self, address: int) -> dict[str, Any]:
        """Members freelist, slab, partial of the kmem_cache_cpu at an address. Raises `ReadError`."""
        return self.kernel.part(_cpu_layout).read(self._read, address)

    @property
    def _said(self) -> set[str]:
        said: set[str] = self.kernel.part(_said)
        return said

    def _chain(self, cache: Cache, slab: Slab, first: int) -> list[int]:
        """The objects of a list of free ones. Where it is damaged it ends, with a note."""
        found: list[int] = []
        seen, at, size = set[int](), first, cache.size
        end = slab.first + slab.objects * size
        while at:
            if not slab.first <= at < end or (at - slab.first) % size:
                self._damaged(slab, cache, f"its free list leads from {found[-1] if found else slab.address:x} "
                                           f"to {at:x}, which is no object of it")  # fmt: skip
                break
            if at in seen:
                self._damaged(slab, cache, f"its free list leads from {found[-1]:x} back to {at:x}")
                break
            seen.add(at)
            found.append(at)
            try:
                at = self._next(cache, slab, at)
            except ReadError as error:
                self._damaged(slab, cache, f"its free list ends at {at:x}: {error.reason}")
                break
        return found

    def _next(self, cache: Cache, slab: Slab, at: int) -> int:
        where = at + cache.offset
        stored = self.kernel.word(where)
        if cache.random is None:
            return stored
        plain = stored ^ cache.random ^ where
        swapped = stored ^ cache.random ^ int.from_bytes(where.to_bytes(self._word, "little"), "big")
        if self._swapped is None:
            good = [self._is_object(cache, slab, one) for one in (plain, swapped)]
            if good[0] != good[1]:
                self._swapped = good[1]
        return plain if self._swapped is False else swapped

    @staticmethod
    def _is_object(cache: Cache, slab: Slab, at: int) -> bool:
        inside = slab.first <= at < slab.first + slab.objects * cache.size and not (at - slab.first) % cache.size
        return not at or inside

    def _damaged(self, slab: Slab, cache: Cache, what: str) -> None:
        text = f"slab {slab.address:x} of cache {cache.name}: {what}"
        problem = Problem(slab.address, cache.address, what)
        if problem not in self.problems and len(self.problems) < 10_000:
            self.problems.append(problem)
            self.kernel.target.note(text)


def _said(_: Linux) -> set[str]:
    return set()


def _cpu_layout(kernel: Linux) -> Layout:
    of = kernel.type("struct kmem_cache_cpu")
    slab = "slab" if of.has("slab") else "page"
    return Layout(of, {"freelist": "freelist", "slab": slab, "partial": "partial?"})


def cpu_structures(kernel: Linux) -> list[tuple[int, int]]:
    """(cache, its ``cpu_slab``: a per-CPU address) of all caches that have one. Raises `SymbolNotFound`."""
    part, found = kernel.part(slubs), list[tuple[int, int]]()
    for address in kernel.part(SlabCaches).walk():
        try:
            cache = part.cache(address)
        except ReadError:
            continue
        if cache.cpu_slab:
            found.append((address, cache.cpu_slab))
    if not found:
        raise SymbolNotFound("cpu_slab", "no cache has structures of CPUs")
    return found


class SlabPages:
    """All slabs of one kernel: a sweep over the struct pages, done once; the slabs of a cache lie together."""

    def __init__(self, kernel: Linux) -> None:
        import numpy as np

        self.kernel = kernel
        self.slubs = kernel.part(slubs)
        pages, mark = self.slubs.pages, self.slubs.mark
        word, head_at = kernel.bits // 8, pages.head_offset
        cache_at = self.slubs.type.member("slab_cache").offset
        self.unread = 0
        """Frames whose structure cannot be read."""
        parts: list[tuple[Any, Any, Any]] = []
        for chunk in pages.chunks():
            self.unread += len(chunk.there) - int(chunk.there.sum())
            marks = chunk.words[:, mark.offset // word] >> chunk.words.dtype.type(mark.offset % word * 8)
            heads = chunk.words[:, head_at // word]
            begins = chunk.there & (heads & 1 == 0) & (marks & mark.mask == mark.value)
            at = np.flatnonzero(begins)
            tail = np.flatnonzero(heads & 1)
            own = np.uint64(chunk.address) + tail.astype(np.uint64) * np.uint64(pages.size)
            tails = pages.heads(own, heads[tail].astype(np.uint64))
            inside = (tails >= chunk.address) & (tails < chunk.address + len(heads) * pages.size)
            of = ((tails[inside] - np.uint64(chunk.address)) // np.uint64(pages.size)).astype(np.int64)
            follow = np.bincount(of, minlength=len(heads))
            chosen = chunk.words[at]
            numbers = [self._column(chosen, name) for name in ("inuse", "objects")]
            parts.append((chosen[:, cache_at // word].astype(np.uint64), at + chunk.first, follow[at] + 1, *numbers))
        caches = np.concatenate([part[0] for part in parts])
        order = np.argsort(caches, kind="stable")
        self._caches = caches[order]
        columns = [np.concatenate([part[at] for part in parts])[order] for at in range(1, 5)]
        self._pfns, self._counts, self._in_use, self._objects = columns

    def _column(self, words: Any, name: str) -> Any:
        """A number (bit-fields too) of the structures in rows of words: int64[n]."""
        import numpy as np

        of, width = self.slubs.type, self.kernel.bits
        if not self.slubs.counts:  # SLAB: it counts ``active`` ones, and all slabs of a cache have as many
            if name == "objects" or not of.has("active"):
                return np.zeros(len(words), np.int64)
            name = "active"
        member = of.member(name)
        bits = min(member.bit_size or member.type.size * 8, 15 if name == "objects" else 16)  # the next bit: frozen
        column = words[:, member.bit_offset // width] >> words.dtype.type(member.bit_offset % width)
        return (column & words.dtype.type((1 << bits) - 1)).astype(np.int64)

    def __len__(self) -> int:
        return len(self._pfns)

    def caches(self) -> list[int]:
        """Addresses of the caches that slabs name, ascending."""
        import numpy as np

        return [int(one) for one in np.unique(self._caches)]

    def _range(self, cache: int) -> slice:
        import numpy as np

        return slice(*(int(np.searchsorted(self._caches, np.uint64(cache), side)) for side in ("left", "right")))

    def totals(self, cache: int) -> Totals:
        """What the slabs of a cache have together."""
        rows = self._range(cache)
        in_use, objects = self._in_use[rows], self._objects[rows]
        if not self.slubs.counts:
            objects = objects + self.slubs.objects_in(cache)
        return Totals(
            rows.stop - rows.start,
            int(self._counts[rows].sum()),
            int(objects.sum()),
            int(in_use.sum()),
            int((in_use < objects).sum()),
        )

    def of(self, cache: int) -> Iterator[Slab]:
        """The slabs of a cache, frames ascending; one that cannot be read is left out with a note."""
        rows = self._range(cache)
        for pfn, count in zip(self._pfns[rows].tolist(), self._counts[rows].tolist(), strict=True):
            address = self.slubs.pages.page_of(pfn)
            try:
                if address is not None:
                    yield self.slubs.slab(address, pfn, min(count, MOST_PAGES))
            except Error as error:
                self.kernel.target.note(f"slab {address or 0:x}: {error}")


def slubs(kernel: Linux) -> Slubs:
    """The slabs of a kernel, by its allocator. Raises `TypeNotFound`, `SymbolNotFound` for an allocator not known."""
    of = kernel.type("struct kmem_cache")
    if of.has("offset"):
        return Slubs(kernel)
    if of.has("cpu_cache") and of.has("num"):
        from kdbg.kernels.linux.slab_arrays import ArraySlabs

        return ArraySlabs(kernel)
    raise SymbolNotFound("kmem_cache", "neither SLUB nor SLAB: its slabs cannot be followed")

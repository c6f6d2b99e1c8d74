"""The object allocator's buffers: allocated and free, in slabs and in magazines.

A cache's buffers lie in slabs. One that is free is in a magazine (of the depot or of a CPU) or on its slab's freelist;
all others are allocated. Messages that a walk gives on its way go to ``warn``; one that ends it is a `StoppedError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.kmem_structures import (
    KMF_BUFTAG,
    KMF_DEADBEEF,
    KMF_DUMPDIVERT,
    KMF_LITE,
    KMF_NOMAGAZINE,
    MOST_BUFFERS,
    Buffer,
    Cache,
    Slab,
    Structures,
    Warn,
)
from kdbg.kernels.solaris.lists import StoppedError

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_CPUS = 4096
MOST_SLAB = 1 << 26
"""Bytes beyond which a slab's size is taken for rubbish."""
SPARE_MAGAZINES = 100
"""How many more magazines than the cache counts a walk takes."""


class Kmem(Structures):
    """The allocator of one kernel."""

    # magazines

    def magazine_size(self, cache: Cache, warn: Warn) -> int:
        """Rounds of a cache's magazines; 0 if it has none."""
        size: int = self._cpu.read(self.read, self.cpu_cache_at(cache.address, 0))["magsize"]
        if size or cache.flags & KMF_NOMAGAZINE:
            return size
        form = self.kernel.type("kmem_magtype_t")
        try:
            types = self.kernel.symbol("kmem_magtype")
        except Error as error:
            warn(f"unable to read 'kmem_magtype': {error.reason}")
        else:
            at = cache.magtype - types.address
            if not 0 <= at <= types.size - form.size or at % form.size:
                warn(f"cache '{cache.name}' has invalid magtype pointer ({cache.magtype:x})")
                return 0
        try:
            return int(self.kernel.load("kmem_magtype_t", cache.magtype).mt_magsize)
        except ReadError as error:
            warn(f"unable to read magtype at {cache.magtype:x}: {error.reason}")
            return 0

    def magazines(self, cache: Cache, warn: Warn) -> list[int]:
        """The buffers in a cache's magazines: the depot's, then each CPU's loaded ones and those loaded before.

        Raises `StoppedError`.
        """
        cpus = self.cpus()
        size = self.magazine_size(cache, warn)
        if not size:
            return []
        form = self.kernel.type("kmem_magazine_t")
        rounds_at, next_at = form.member("mag_round").offset, form.member("mag_next").offset
        length = rounds_at + size * self.word
        if size < 0 or length >= 2048:  # half a page
            text = f"magazine size for cache {cache.address:x} unreasonable ({length & self.mask:x})"
            raise StoppedError(text, False, cache.address)
        most = (cache.full_total + 2 * cpus + SPARE_MAGAZINES) * size
        found: list[int] = []

        def take(magazine: int, rounds: int) -> int:
            try:
                data = self.read(magazine, length)
            except ReadError as error:
                text = f"couldn't read magazine at {magazine:x}"
                raise StoppedError(text, False, magazine, error.reason) from None
            found.extend(self.words(data, rounds_at, min(rounds, size)))
            if len(found) >= most or len(found) > MOST_BUFFERS:
                raise StoppedError(f"{len(found)} magazines exceeds fudge factor", False, magazine)
            return int.from_bytes(data[next_at : next_at + self.word], "little")

        at = cache.full
        while at:
            at = take(at, size)
            if at == cache.full:
                break
        self._say("cache_full list done")
        for cpu in range(cpus):
            place = self.cpu_cache_at(cache.address, cpu)
            self._say(f"reading cpu cache {place:x}")
            entry = self._cpu.read(self.read, place)
            diverted = entry["flags"] & KMF_DUMPDIVERT and entry["dump_rounds"] is not None
            for magazine, rounds, name in (("loaded", "rounds", ""), ("ploaded", "prounds", "previously ")):
                count = entry["dump_" + rounds if diverted else rounds]
                if count > 0 and entry[magazine]:
                    self._say(f"reading {count} {name}loaded rounds")
                    take(entry[magazine], count)
        self._say(f"magazine layer: {len(found)} buffers")
        return found

    def cpus(self) -> int:
        """How many CPUs the caches have room for."""
        try:
            return max(0, min(int(self.kernel.variable("max_ncpus")), MOST_CPUS))
        except Error:
            return 1

    # buffers

    def opened(self, address: int) -> Cache:
        """The cache at an address, which must look like one. Raises `StoppedError`."""
        self._say(f"walking {address:x}")
        try:
            cache = self.cache(address)
            self.read(address, self._cpus_at + self.cpus() * self._cpu.size)
        except ReadError as error:
            raise StoppedError(f"couldn't read cache at addr {address:x}", False, address, error.reason) from None
        try:
            quantum = self._quantum(cache.arena)
        except ReadError:
            quantum = 0
        if (
            quantum == 0
            or quantum & (quantum - 1)
            or cache.slabsize < quantum
            or cache.slabsize % quantum
            or not 0 < cache.chunksize <= cache.slabsize
        ):
            raise StoppedError(f"{address:x} is not a valid kmem_cache_t", False, address)
        self._say(f"buf total is {cache.buftotal}")
        return cache

    def _is_empty(self, cache: Cache, bufctls: bool) -> bool:
        """Whether there is nothing to walk: no buffers at all, or no bufctls."""
        if cache.buftotal and bufctls and not cache.hashed:
            self._say(f"bufctl requested, not KMF_HASH (flags: {cache.flags:x})")
        return cache.buftotal == 0 or (bufctls and not cache.hashed)

    def _quantum(self, arena: int) -> int:
        at = self.kernel.type("vmem_t").member("vm_quantum").offset
        return self.kernel.word(arena + at & self.mask)

    def allocated(self, address: int, warn: Warn, bufctls: bool = False) -> Iterator[Buffer]:
        """The allocated buffers of a cache; with ``bufctls`` only where it has bufctls. Raises `StoppedError`."""
        cache = self.opened(address)
        if self._is_empty(cache, bufctls):
            return
        kept = frozenset(self.magazines(cache, warn))
        if cache.hashed:
            for bufctl, buffer in layered("kmem_hash", self.hashed(address, warn), warn):
                if buffer not in kept:
                    yield Buffer(buffer, bufctl)
            return
        for slab in self.slabs(address):
            for buffer in self.in_use(cache, slab, warn):
                if buffer not in kept:
                    yield Buffer(buffer)

    def in_use(self, cache: Cache, slab: Slab, warn: Warn) -> Iterator[int]:
        """The buffers of a small slab that are not on its freelist, those in magazines too. Raises `StoppedError`."""
        free = {(buffer - slab.base) // cache.chunksize for buffer, _ in self.freelist(cache, slab, warn)}
        for number in range(slab.chunks):
            if number not in free:
                yield slab.base + number * cache.chunksize

    def free(self, address: int, warn: Warn, bufctls: bool = False, constructed: bool = False) -> Iterator[Buffer]:
        """The free buffers of a cache: those in magazines, then those on freelists; ``constructed``: the former only.

        Raises `StoppedError`.
        """
        cache = self.opened(address)
        if self._is_empty(cache, bufctls):
            return
        if constructed and (not cache.constructor or cache.flags & (KMF_DEADBEEF | KMF_LITE) == KMF_DEADBEEF):
            return
        kept = self.magazines(cache, warn)
        slabs = layered("kmem_slab_partial", self.first_partial_slabs(address), warn)
        first = next(slabs, None)
        if first is None:  # nothing is told without a slab, magazines neither
            return
        yield from self.in_magazines(cache, kept, warn, bufctls)
        slab: Slab | None = first
        while slab is not None and not constructed:
            for buffer, bufctl in self.freelist(cache, slab, warn):
                yield Buffer(buffer, bufctl)
            slab = next(slabs, None)

    def in_magazines(self, cache: Cache, kept: list[int], warn: Warn, bufctls: bool) -> Iterator[Buffer]:
        """The buffers in magazines, with their bufctls if asked for; one whose bufctl is not found is left out."""
        for buffer in kept:
            found = self.bufctl_of_free(cache, buffer, warn) if bufctls else 0
            if found is not None:
                yield Buffer(buffer, found)

    def bufctl_of_free(self, cache: Cache, buffer: int, warn: Warn) -> int | None:
        """The bufctl of a buffer in a magazine, by its tag or the hash table; None, and a word on it, if none."""
        if cache.flags & KMF_BUFTAG:
            at = buffer + cache.buftag_at & self.mask
            try:
                return self.buftag(cache, buffer)
            except ReadError as error:
                warn(f"reading buftag for {buffer:x} at {at:x}: {error.reason}")
                return None
        try:
            for bufctl, found in self.chain(cache, buffer):
                if found == buffer:
                    return bufctl
        except ReadError as error:
            if error.address == self.bucket(cache, buffer):
                warn(f"unable to read hash bucket for {buffer:x} in cache {cache.address:x}: {error.reason}")
            else:
                warn(f"unable to read bufctl at {error.address:x}: {error.reason}")
            return None
        except StoppedError as stop:
            warn(str(stop))
            return None
        warn(f"unable to find bufctl for {buffer:x} in cache {cache.address:x}")
        return None

    def freelist(self, cache: Cache, slab: Slab, warn: Warn) -> Iterator[tuple[int, int]]:
        """(buffer, bufctl) of a slab's freelist; one more than the slab counts may be on it. Raises `StoppedError`."""
        size = slab.chunks * cache.chunksize
        self._say(f"kbase is {slab.base:x}")
        contents = b""
        if not cache.hashed:
            try:
                if not 0 <= size <= MOST_SLAB:
                    raise ReadError(slab.base)
                contents = self.read(slab.base, size)
            except ReadError as error:
                text = f"failed to read slab contents at {slab.base:x}"
                raise StoppedError(text, True, slab.base, error.reason) from None
        at = slab.head
        self._say(f"refcnt is {slab.refcnt}; chunks is {slab.chunks}")
        for number in range(max(slab.refcnt, 0), min(slab.chunks, MOST_BUFFERS) + 1):
            self._say(f"bcp is {at:x}")
            if not at:
                if number != slab.chunks:
                    place = f"slab {slab.address:x} in cache {cache.address:x}"
                    warn(f"{place} freelist too short by {slab.chunks - number}")
                return
            if cache.hashed:
                try:
                    following, buffer = self.bufctl(at)
                except ReadError as error:
                    warn(f"failed to read bufctl ptr at {at:x}: {error.reason}")
                    return
            else:
                offset = at - slab.base & self.mask
                if offset > size:
                    warn(f"found corrupt bufctl ptr {at:x} in slab {slab.address:x} in cache {cache.address:x}")
                    return
                where = offset + self._next_at
                following = int.from_bytes(contents[where : where + self.word], "little")
                buffer = at - cache.bufctl_at & self.mask
            if (buffer - slab.base & self.mask) // cache.chunksize > cache.slabsize // max(cache.bufsize, 1):
                warn(f"buf {buffer:x} is out of range for slab {slab.address:x}, cache {cache.address:x}")
            else:
                yield buffer, at
            at = following


def layered(name: str, walk: Iterator[Any], warn: Warn) -> Iterator[Any]:
    """A walk under another: where it cannot begin, its own message comes first. Raises `StoppedError`."""
    try:
        yield from walk
    except StoppedError as stop:
        if stop.started:
            raise
        warn(str(stop))
        text = f"unable to start layered '{name}' walk"
        raise StoppedError(text, False, stop.address, "failed to initialize walk") from None


def kmem(kernel: Solaris) -> Kmem:
    """The allocator of a kernel, made once."""
    return kernel.part(Kmem)

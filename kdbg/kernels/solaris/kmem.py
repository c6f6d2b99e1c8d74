"""The object allocator: caches, slabs, magazines, and the buffers in them, allocated and free.

A cache's buffers lie in slabs. One that is free is in a magazine (of the depot or of a CPU) or on its slab's freelist;
all others are allocated. Small slabs keep the freelist's links in the buffers; a cache with a hash table (KMF_HASH) has
a bufctl for each buffer, one that is audited (KMF_AUDIT) with thread, time and stack of the last transaction.

Sources: <sys/kmem_impl.h>, <sys/kmem.h>. Messages that a walk gives on its way go to ``warn``; one that ends it is a
`StoppedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.layouts import Layout
from kdbg.kernels.solaris.lists import Guard, StoppedError, avl_elements, list_elements

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

KMF_AUDIT, KMF_DEADBEEF, KMF_REDZONE, KMF_NOMAGAZINE = 0x1, 0x2, 0x4, 0x20
KMF_LITE, KMF_HASH, KMF_DUMPDIVERT = 0x100, 0x200, 0x1000
KMF_BUFTAG = KMF_DEADBEEF | KMF_REDZONE
KMC_NOTOUCH, KMC_IDENTIFIER = 0x10000, 0x400000
BUFTAG_ALLOCATED, BUFTAG_FREE = 0xA110C8ED, 0xF4EEF4EE
"""What bt_bxstat ^ bt_bufctl is (KMEM_BUFTAG_ALLOC, KMEM_BUFTAG_FREE)."""

MOST_CPUS = 4096
MOST_SLAB = 1 << 26
"""Bytes beyond which a slab's size is taken for rubbish."""
MOST_HASH = 1 << 26
"""Bytes beyond which a hash table's size is taken for rubbish."""
MOST_BUFFERS = 1 << 24
SPARE_MAGAZINES = 100
"""How many more magazines than the cache counts a walk takes."""

Warn = Callable[[str], None]

_CACHE = {
    "name": "cache_name", "flags": "cache_flags", "cflags": "cache_cflags", "bufsize": "cache_bufsize",
    "buftotal": "cache_buftotal", "chunksize": "cache_chunksize", "slabsize": "cache_slabsize",
    "maxchunks": "cache_maxchunks", "bufctl_at": "cache_bufctl", "buftag_at": "cache_buftag",
    "maxcolor": "cache_maxcolor", "hash_shift": "cache_hash_shift", "hash_mask": "cache_hash_mask",
    "hash_table": "cache_hash_table", "magtype": "cache_magtype", "full": "cache_full.ml_list",
    "full_total": "cache_full.ml_total", "arena": "cache_arena", "constructor": "cache_constructor",
    "partial_count": "cache_partial_slabs.avl_numnodes",
}  # fmt: skip
_CPU = {
    "flags": "cc_flags", "rounds": "cc_rounds", "prounds": "cc_prounds", "loaded": "cc_loaded", "ploaded": "cc_ploaded",
    "magsize": "cc_magsize", "dump_rounds": "cc_dump_rounds?", "dump_prounds": "cc_dump_prounds?",
}  # fmt: skip
_SLAB = {
    "cache": "slab_cache", "base": "slab_base", "head": "slab_head", "refcnt": "slab_refcnt", "chunks": "slab_chunks",
}  # fmt: skip
_AUDIT = {
    "buffer": "bc_addr", "cache": "bc_cache", "slab": "bc_slab", "timestamp": "bc_timestamp", "thread": "bc_thread",
    "lastlog": "bc_lastlog", "contents": "bc_contents", "depth": "bc_depth",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cache:
    """A kmem_cache_t."""

    address: int
    name: str
    flags: int
    cflags: int
    bufsize: int
    buftotal: int
    chunksize: int
    slabsize: int
    maxchunks: int
    bufctl_at: int
    """Where a small slab's bufctl lies in its buffer's chunk."""
    buftag_at: int
    maxcolor: int
    hash_shift: int
    hash_mask: int
    hash_table: int
    magtype: int
    full: int
    """First of the depot's full magazines."""
    full_total: int
    arena: int
    constructor: int
    partial_count: int

    @property
    def hashed(self) -> bool:
        """Whether it has a hash table, and a bufctl for each buffer."""
        return bool(self.flags & KMF_HASH)

    @property
    def audited(self) -> bool:
        """Whether its bufctls tell of the last transaction."""
        return bool(self.flags & KMF_AUDIT)

    @property
    def touched(self) -> bool:
        """Whether its buffers are its own: those of the others show as free memory of other caches."""
        return not self.cflags & KMC_NOTOUCH


@dataclass(frozen=True, slots=True)
class Slab:
    """A kmem_slab_t."""

    address: int
    cache: int
    base: int
    head: int
    """First of its freelist: a bufctl."""
    refcnt: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Bufctl:
    """A kmem_bufctl_audit_t: the last transaction of a buffer."""

    address: int
    buffer: int
    cache: int
    slab: int
    timestamp: int
    """hrtime, ns."""
    thread: int
    lastlog: int
    contents: int
    stack: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer of a cache; ``bufctl`` is 0 where there is none, or where it was not asked for."""

    address: int
    bufctl: int = 0


class Kmem:
    """The allocator of one kernel: its layouts, and what is worth keeping of its structures."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.word = kernel.bits // 8
        self.mask = (1 << kernel.bits) - 1
        self.read = kernel.memory.read
        cache = kernel.type("kmem_cache_t")
        cpu = kernel.type("kmem_cpu_cache_t")
        self._cache = Layout(cache, _CACHE)
        self._cpu = Layout(cpu, _CPU)
        self._cpus_at = cache.member("cache_cpu").offset
        self._slab = Layout(kernel.type("kmem_slab_t"), _SLAB)
        self.slab_size = self._slab.size
        """Bytes of a slab's structure, which lies at the end of a small slab."""
        audit = kernel.type("kmem_bufctl_audit_t")
        self._audit = Layout(audit, _AUDIT)
        stack = audit.member("bc_stack")
        self._stack_at, self._stack_most = stack.offset, stack.type.size // self.word
        self._bufctl = Layout(kernel.type("kmem_bufctl_t"), {"next": "bc_next", "buffer": "bc_addr"})
        self._next_at = kernel.type("kmem_bufctl_t").member("bc_next").offset
        self._complete_at = cache.member("cache_complete_slabs").offset
        self._partial_at = cache.member("cache_partial_slabs").offset

    # caches

    def cache_addresses(self) -> Iterator[int]:
        """All caches in the order of the kernel's list. Raises `StoppedError`, `SymbolNotFound`."""
        return list_elements(self.kernel, self.kernel.symbol("kmem_caches").address, "cache list", "cache")

    def caches(self) -> Iterator[Cache]:
        """All caches in the order of the kernel's list. Raises `StoppedError`, `SymbolNotFound`, `ReadError`."""
        return (self.cache(address) for address in self.cache_addresses())

    def cache(self, address: int) -> Cache:
        """The cache at an address. Raises `ReadError`."""
        return Cache(address=address, **self._cache.read(self.read, address))

    def cpu_cache_at(self, address: int, cpu: int) -> int:
        """Address of a cache's kmem_cpu_cache_t for the CPU with that sequence number."""
        return address + self._cpus_at + cpu * self._cpu.size & self.mask

    def check_cpu_cache(self, address: int) -> None:
        """Read a kmem_cpu_cache_t. Raises `ReadError`."""
        self.read(address, self._cpu.size)

    def named(self, name: str) -> int | None:
        """Address of the cache of that name that was found last, or None."""
        found = None
        try:
            for cache in self.caches():
                if cache.name == name:
                    found = cache.address
        except Error:
            pass
        return found

    # slabs

    def slab(self, data: bytes, address: int) -> Slab:
        """The slab that these bytes are."""
        return Slab(address=address, **self._slab.unpack(data.ljust(self._slab.size, b"\0")))

    def complete_slabs(self, cache: int, most: int | None = None) -> Iterator[Slab]:
        """Slabs of which all buffers are out; at most ``most``, and then their state is not checked.

        Raises `StoppedError`.
        """
        found: list[Slab] = []
        taken = 0

        def check(address: int, data: bytes) -> bool | None:
            slab = self.slab(data, address)
            _belongs(slab, cache)
            if most is not None:
                found.append(slab)
                return taken >= most
            if slab.refcnt != slab.chunks:
                raise StoppedError(f"slab {address:x} is not completely allocated", True, address)
            found.append(slab)
            return None

        where = cache + self._complete_at & self.mask
        for _ in list_elements(self.kernel, where, "slab list", "slab", check):
            taken += 1
            yield found.pop()

    def partial_slabs(self, cache: int) -> Iterator[Slab]:
        """Slabs with free buffers, in the order in which they are used. Raises `StoppedError`."""
        found: list[Slab] = []

        def check(address: int, data: bytes) -> bool | None:
            slab = self.slab(data, address)
            _belongs(slab, cache)
            if not 0 < slab.refcnt < slab.chunks:
                raise StoppedError(f"slab {address:x} is not a partial slab", True, address)
            found.append(slab)
            return None

        for _ in avl_elements(self.kernel, cache + self._partial_at & self.mask, "slab list", "slab", check):
            yield found.pop()

    def slabs(self, cache: int) -> Iterator[Slab]:
        """All slabs: the complete ones, then the partial ones. Raises `StoppedError` (never before the first step)."""
        try:
            yield from self.complete_slabs(cache)
            yield from self.partial_slabs(cache)
        except StoppedError as stop:
            raise StoppedError(str(stop), True, stop.address) from None

    def first_partial_slabs(self, cache: int) -> Iterator[Slab]:
        """The partial slabs, or, where there are none, the first complete one. Raises `StoppedError`."""
        try:
            partial = self.cache(cache).partial_count
        except ReadError as error:
            raise StoppedError(f"couldn't read kmem_cache at {cache:x}", False, cache, error.reason) from None
        try:
            yield from self.partial_slabs(cache) if partial else self.complete_slabs(cache, 1)
        except StoppedError as stop:
            raise StoppedError(str(stop), True, stop.address) from None

    # bufctls

    def bufctl(self, address: int) -> tuple[int, int]:
        """(bc_next, bc_addr) of the bufctl at an address. Raises `ReadError`."""
        found = self._bufctl.read(self.read, address)
        return found["next"], found["buffer"]

    def audit(self, address: int) -> Bufctl:
        """The audited bufctl at an address. Raises `ReadError`."""
        return self.audit_from(self.read(address, self._audit.size), address)

    @property
    def audit_size(self) -> int:
        """Bytes of an audited bufctl."""
        return self._audit.size

    def audit_from(self, data: bytes, address: int) -> Bufctl:
        """The audited bufctl that these bytes are."""
        found = self._audit.unpack(data)
        depth = max(0, min(found.pop("depth"), self._stack_most))
        found["timestamp"] &= (1 << 64) - 1
        stack = self.words(data, self._stack_at, depth)
        return Bufctl(address=address, stack=tuple(stack), **found)

    def words(self, data: bytes, at: int, count: int) -> list[int]:
        """Pointers out of bytes."""
        return memoryview(data)[at : at + count * self.word].cast("Q" if self.word == 8 else "I").tolist()

    def bucket(self, cache: Cache, buffer: int) -> int:
        """Address of the word that the chain of a buffer's bufctl begins with."""
        return cache.hash_table + self.word * (buffer >> cache.hash_shift % 64 & cache.hash_mask) & self.mask

    def chain(self, cache: Cache, buffer: int) -> Iterator[tuple[int, int]]:
        """(bufctl, buffer) of the chain in which a buffer's bufctl hangs. Raises `ReadError`, `StoppedError`."""
        at, guard = self.kernel.word(self.bucket(cache, buffer)), Guard("bufctl")
        while at:
            following, found = self.bufctl(guard(at))
            yield at, found
            at = following

    def hashed(self, address: int, warn: Warn) -> Iterator[tuple[int, int]]:
        """(bufctl, buffer) of all bufctls in a cache's hash table, bucket by bucket. Raises `StoppedError`."""
        try:
            cache = self.cache(address)
        except ReadError as error:
            raise StoppedError(f"couldn't read cache at addr {address:x}", False, address, error.reason) from None
        if not cache.hashed:
            warn(f"cache {address:x} doesn't have a hash table")
            return
        size = (cache.hash_mask + 1) * self.word
        try:
            if size > MOST_HASH:
                raise ReadError(cache.hash_table)
            table = self.words(self.read(cache.hash_table, size), 0, cache.hash_mask + 1)
        except ReadError as error:
            text = f"failed to read hash table at {cache.hash_table:x}"
            raise StoppedError(text, False, address, error.reason) from None
        guard = Guard("kmem_bufctl_t", MOST_BUFFERS)
        for at in table:
            while at:
                try:
                    following, buffer = self.bufctl(at)
                except ReadError as error:
                    raise StoppedError(f"couldn't read kmem_bufctl_t at addr {at:x}", True, at, error.reason) from None
                yield guard(at), buffer
                at = following

    def buftag(self, cache: Cache, buffer: int) -> int:
        """The bufctl that a buffer's tag names. Raises `ReadError`."""
        tag = self.kernel.load("kmem_buftag_t", buffer + cache.buftag_at & self.mask)
        return int(tag.bt_bufctl)

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
        for cpu in range(cpus):
            entry = self._cpu.read(self.read, self.cpu_cache_at(cache.address, cpu))
            diverted = entry["flags"] & KMF_DUMPDIVERT and entry["dump_rounds"] is not None
            for magazine, rounds in (("loaded", "rounds"), ("ploaded", "prounds")):
                count = entry["dump_" + rounds if diverted else rounds]
                if count > 0 and entry[magazine]:
                    take(entry[magazine], count)
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
        return cache

    def _quantum(self, arena: int) -> int:
        at = self.kernel.type("vmem_t").member("vm_quantum").offset
        return self.kernel.word(arena + at & self.mask)

    def allocated(self, address: int, warn: Warn, bufctls: bool = False) -> Iterator[Buffer]:
        """The allocated buffers of a cache; with ``bufctls`` only where it has bufctls. Raises `StoppedError`."""
        cache = self.opened(address)
        if cache.buftotal == 0 or (bufctls and not cache.hashed):
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

    def free(
        self, address: int, warn: Warn, bufctls: bool = False, constructed: bool = False
    ) -> Iterator[Buffer]:
        """The free buffers of a cache: those in magazines, then those on freelists; ``constructed``: the former only.

        Raises `StoppedError`.
        """
        cache = self.opened(address)
        if cache.buftotal == 0 or (bufctls and not cache.hashed):
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
        for number in range(max(slab.refcnt, 0), min(slab.chunks, MOST_BUFFERS) + 1):
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


def _belongs(slab: Slab, cache: int) -> None:
    if slab.cache != cache:
        text = f"slab {slab.address:x} isn't in cache {cache:x} (in cache {slab.cache:x})"
        raise StoppedError(text, True, slab.address)


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

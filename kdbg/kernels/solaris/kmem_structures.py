"""The object allocator's structures: caches, slabs, bufctls.

A cache's buffers lie in slabs. One that is free is in a magazine (of the depot or of a CPU) or on its slab's freelist;
all others are allocated. Small slabs keep the freelist's links in the buffers; a cache with a hash table (KMF_HASH) has
a bufctl for each buffer, one that is audited (KMF_AUDIT) with thread, time and stack of the last transaction.

Sources: <sys/kmem_impl.h>, <sys/kmem.h>. Messages that a walk gives on its way go to ``warn``; one that ends it is a
`StoppedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.kmem_rings import Rings, has_rings
from kdbg.kernels.solaris.lists import Guard, StoppedError, avl_elements, list_elements
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

KMF_AUDIT, KMF_DEADBEEF, KMF_REDZONE, KMF_NOMAGAZINE = 0x1, 0x2, 0x4, 0x20
KMF_LITE, KMF_HASH, KMF_DUMPDIVERT = 0x100, 0x200, 0x1000
KMF_BUFTAG = KMF_DEADBEEF | KMF_REDZONE
KMC_NOTOUCH, KMC_IDENTIFIER = 0x10000, 0x400000
BUFTAG_ALLOCATED, BUFTAG_FREE = 0xA110C8ED, 0xF4EEF4EE
"""What bt_bxstat ^ bt_bufctl is (KMEM_BUFTAG_ALLOC, KMEM_BUFTAG_FREE)."""

MOST_HASH = 1 << 26
"""Bytes beyond which a hash table's size is taken for rubbish."""
MOST_BUFFERS = 1 << 24

Warn = Callable[[str], None]

_CACHE = {
    "name": "cache_name", "flags": "cache_flags", "cflags": "cache_cflags", "bufsize": "cache_bufsize",
    "buftotal": "cache_buftotal", "chunksize": "cache_chunksize", "slabsize": "cache_slabsize",
    "bufctl_at": "cache_bufctl", "buftag_at": "cache_buftag", "verify": "cache_verify",
    "maxcolor": "cache_maxcolor", "hash_shift": "cache_hash_shift", "hash_mask": "cache_hash_mask",
    "hash_table": "cache_hash_table", "magtype": "cache_magtype", "full": "cache_full.ml_list",
    "full_total": "cache_full.ml_total", "arena": "cache_arena", "constructor": "cache_constructor",
    "partial_count": "cache_partial_slabs.avl_numnodes?",
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
    bufctl_at: int
    """Where a small slab's bufctl lies in its buffer's chunk."""
    buftag_at: int
    verify: int
    """Bytes of a free buffer that hold the pattern."""
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
    partial_count: int | None
    """Slabs with free buffers; None where the kernel does not count them."""

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


class Structures:
    """The allocator of one kernel: its layouts, and what is worth keeping of its structures."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.trace: Callable[[str], None] | None = None
        """Told each step of a walk, if somebody wants to know (::kmem_debug)."""
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
        self._rings = Rings(kernel) if has_rings(cache) else None
        if self._rings is None:
            self._complete_at = cache.member("cache_complete_slabs").offset
            self._partial_at = cache.member("cache_partial_slabs").offset

    def _say(self, text: str) -> None:
        if self.trace is not None:
            self.trace(text)

    # caches

    def cache_addresses(self) -> Iterator[int]:
        """All caches in the order of the kernel's list. Raises `StoppedError`, `SymbolNotFound`."""
        if self._rings is not None and not self.kernel.has_symbol("kmem_caches"):
            return self._rings.caches()
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

    def slab_at(self, address: int) -> Slab:
        """The slab at an address. Raises `ReadError`."""
        return self.slab(self.read(address, self.slab_size), address)

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
            if self._rings is not None:
                yield from (self.slab_at(address) for address in self._rings.slabs(cache))
                return
            yield from self.complete_slabs(cache)
            yield from self.partial_slabs(cache)
        except StoppedError as stop:
            raise StoppedError(str(stop), True, stop.address) from None

    def first_partial_slabs(self, cache: int) -> Iterator[Slab]:
        """The partial slabs, or, where there are none, a complete one. Raises `StoppedError`."""
        if self._rings is not None:
            yield from (self.slab_at(address) for address in self._rings.slabs(cache, partial=True))
            return
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


def _belongs(slab: Slab, cache: int) -> None:
    if slab.cache != cache:
        text = f"slab {slab.address:x} isn't in cache {cache:x} (in cache {slab.cache:x})"
        raise StoppedError(text, True, slab.address)

"""Whether somebody wrote to the object allocator's memory who did not own it.

A cache with KMF_REDZONE puts a tag (kmem_buftag_t) behind each buffer: a redzone that nobody may touch, and a word that
tells with the bufctl's address whether the buffer is allocated or free. ``kmem_alloc`` asks for fewer bytes than the
buffer has: it writes a byte behind them, and how many they are into the redzone's second half. A free buffer of a cache
with KMF_DEADBEEF is full of a pattern.

Sources: <sys/kmem_impl.h> (KMEM_REDZONE_PATTERN, KMEM_REDZONE_BYTE, KMEM_FREE_PATTERN, KMEM_SIZE_ENCODE, _DECODE,
_VALID; kmem_buftag_t).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.kmem_structures import (
    BUFTAG_ALLOCATED,
    BUFTAG_FREE,
    KMF_DEADBEEF,
    KMF_LITE,
    KMF_REDZONE,
    Cache,
    Warn,
)
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

REDZONE = 0xFEEDFACEFEEDFACE
REDZONE_BYTE = 0xBB
FREE_PATTERN = (0xDEADBEEFDEADBEEF).to_bytes(8, "little")
SIZE_FACTOR = 251
"""Of KMEM_SIZE_ENCODE: a size is written as 251 times itself and one."""
MOST_BUFFER = 1 << 20

REDZONE_SIZE, REDZONE_SIGNATURE, TAG, CONTENT = "redzone size encoding", "redzone signature", "buftag", "content"


@dataclass(frozen=True, slots=True)
class CorruptBuffer:
    """A buffer that was written to by somebody who did not own it."""

    address: int
    cache: int
    cache_name: str
    allocated: bool
    what: str
    """What is wrong: its redzone's size encoding or signature, its buftag, or its content."""
    at: int
    """Address of the first byte that is not as it should be."""


class Integrity:
    """Checks buffers of one kernel's allocator."""

    def __init__(self, kernel: Solaris) -> None:
        self.kmem = kmem(kernel)
        self._tag = Layout(
            kernel.type("kmem_buftag_t"), {"redzone": "bt_redzone", "bufctl": "bt_bufctl", "state": "bt_bxstat"}
        )

    def checked(self, cache: Cache) -> bool:
        """Whether the cache has redzones."""
        return bool(cache.flags & KMF_REDZONE) and not cache.flags & KMF_LITE

    def caches(self) -> Iterator[Cache]:
        """The caches with redzones, in the order of the kernel's list. Raises `StoppedError`, `SymbolNotFound`."""
        return (cache for cache in self.kmem.caches() if self.checked(cache))

    def corrupt(self, cache: Cache, warn: Warn) -> Iterator[CorruptBuffer]:
        """The buffers of a cache that are not as they should be, the allocated ones first. Raises `StoppedError`."""
        for allocated, buffers in ((True, self.kmem.allocated), (False, self.kmem.free)):
            for buffer in buffers(cache.address, warn):
                found = self._wrong(cache, buffer.address, allocated)
                if found is not None:
                    yield CorruptBuffer(buffer.address, cache.address, cache.name, allocated, *found)

    def _wrong(self, cache: Cache, buffer: int, allocated: bool) -> tuple[str, int] | None:
        """What is wrong with a buffer, and where; None for a good one, and for one that cannot be read."""
        try:
            data = self.kmem.read(buffer, min(cache.buftag_at, MOST_BUFFER) + self._tag.size)
        except ReadError:
            return None
        tag = self._tag.unpack(data[cache.buftag_at :])
        found = (
            self._wrong_allocated(cache, data, tag) if allocated else self._wrong_free(cache, data, tag)
        ) or self._wrong_state(cache, tag, BUFTAG_ALLOCATED if allocated else BUFTAG_FREE)
        return (found[0], buffer + found[1]) if found is not None else None

    def _wrong_allocated(self, cache: Cache, data: bytes, tag: dict[str, Any]) -> tuple[str, int] | None:
        """A whole redzone, or one that tells how much was asked for, with the byte behind that in its place."""
        if tag["redzone"] == REDZONE:
            return None
        size, rest = divmod(tag["redzone"] >> 32, SIZE_FACTOR)
        if rest != 1 or size >= len(data):
            return REDZONE_SIZE, cache.buftag_at
        if data[size] != REDZONE_BYTE:
            return REDZONE_SIZE, size
        return None

    def _wrong_free(self, cache: Cache, data: bytes, tag: dict[str, Any]) -> tuple[str, int] | None:
        """The pattern, then the redzone."""
        if cache.flags & KMF_DEADBEEF:
            size = min(cache.verify, cache.buftag_at) & ~7
            whole = FREE_PATTERN * (size // 8)
            if data[:size] != whole:
                return CONTENT, next(at for at in range(size) if data[at] != whole[at])
        if cache.hashed and tag["redzone"] != REDZONE:
            return REDZONE_SIGNATURE, cache.buftag_at
        return None

    def _wrong_state(self, cache: Cache, tag: dict[str, Any], wanted: int) -> tuple[str, int] | None:
        mixed = (tag["bufctl"] ^ tag["state"]) & 0xFFFFFFFF
        return None if mixed == wanted else (TAG, cache.buftag_at + 8)


def corrupt_buffers(kernel: Solaris, warn: Warn) -> Iterator[CorruptBuffer]:
    """All buffers that are not as they should be; a cache that cannot be walked to its end is told of by ``warn``.

    Raises `StoppedError`, `SymbolNotFound` where the caches cannot be walked.
    """
    part = kernel.part(Integrity)
    for cache in part.caches():
        try:
            yield from part.corrupt(cache, warn)
        except Error as error:
            warn(f"cache {cache.name}: {error}")

"""Buffers of a kmem cache by address: without a walk over all others, in the order in which one would meet them."""

from __future__ import annotations

from kdbg.errors import Error
from kdbg.kernels.solaris.kmem import Kmem
from kdbg.kernels.solaris.kmem_structures import Buffer, Cache, Slab, Warn
from kdbg.kernels.solaris.lists import StoppedError


class Buffers:
    """The buffers of one cache that hold given addresses: found by their slabs, without a walk over all others."""

    def __init__(self, allocator: Kmem, cache: Cache, slabs: list[Slab], warn: Warn) -> None:
        self._allocator = allocator
        self._cache = cache
        self._slabs = slabs
        self._warn = warn
        self._magazines: dict[int, int] = {}
        self._freelists: dict[int, dict[int, tuple[int, int]]] = {}

    def open(self) -> None:
        """Check the cache and read its magazines. Raises `StoppedError`."""
        cache = self._allocator.opened(self._cache.address)
        if cache.buftotal:
            for position, buffer in enumerate(self._allocator.magazines(cache, self._warn)):
                self._magazines.setdefault(buffer, position)

    def _buffer(self, number: int, address: int) -> int | None:
        """The buffer of a slab that holds an address, or None where it lies between two."""
        slab, cache = self._slabs[number], self._cache
        if not cache.chunksize:
            return None
        index, offset = divmod(address - slab.base, cache.chunksize)
        return slab.base + index * cache.chunksize if index < slab.chunks and offset < cache.bufsize else None

    def _freelist(self, number: int) -> dict[int, tuple[int, int]]:
        """A slab's freelist: buffer -> (position, bufctl)."""
        if number not in self._freelists:
            found: dict[int, tuple[int, int]] = {}
            try:
                for position, (buffer, bufctl) in enumerate(
                    self._allocator.freelist(self._cache, self._slabs[number], self._warn)
                ):
                    found.setdefault(buffer, (position, bufctl))
            except StoppedError as stop:
                self._warn(str(stop))
            self._freelists[number] = found
        return self._freelists[number]

    def allocated(self, hits: list[tuple[int, int]]) -> list[tuple[int, Buffer]]:
        """(address, buffer) for the addresses in allocated buffers, in the order of a walk over all of them."""
        found: list[tuple[tuple[int, int], int, Buffer]] = []
        for number, address in hits:
            buffer = self._buffer(number, address)
            if buffer is None or buffer in self._magazines:
                continue
            if not self._cache.hashed:
                if buffer not in self._freelist(number):
                    found.append(((number, buffer), address, Buffer(buffer)))
                continue
            place = self._hashed(buffer)
            if place is not None:
                bucket, position, bufctl = place
                found.append(((bucket, position), address, Buffer(buffer, bufctl)))
        return [(address, buffer) for _, address, buffer in sorted(found, key=lambda row: (row[0], row[1]))]

    def _hashed(self, buffer: int) -> tuple[int, int, int] | None:
        """(bucket, position in its chain, bufctl) of a buffer, or None where the hash table has none."""
        try:
            for position, (bufctl, found) in enumerate(self._allocator.chain(self._cache, buffer)):
                if found == buffer:
                    return self._allocator.bucket(self._cache, buffer), position, bufctl
        except Error as error:
            self._warn(str(error))
        return None

    def free(self, hits: list[tuple[int, int]]) -> list[tuple[int, Buffer]]:
        """(address, buffer) for the addresses in free buffers, those in magazines first."""
        found: list[tuple[tuple[int, int], int, Buffer]] = []
        for number, address in hits:
            buffer = self._buffer(number, address)
            if buffer is None:
                continue
            slab = self._slabs[number]
            if buffer in self._magazines:
                bufctl = 0
                if self._cache.hashed:
                    told = self._allocator.bufctl_of_free(self._cache, buffer, self._warn)
                    if told is None:
                        continue
                    bufctl = told
                found.append(((-1, self._magazines[buffer]), address, Buffer(buffer, bufctl)))
            elif slab.refcnt < slab.chunks and buffer in self._freelist(number):
                position, bufctl = self._freelist(number)[buffer]
                found.append(((number, position), address, Buffer(buffer, bufctl)))
        return [(address, buffer) for _, address, buffer in sorted(found, key=lambda row: (row[0], row[1]))]

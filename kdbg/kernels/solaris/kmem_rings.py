"""Caches and slabs of kernels before 2009: rings in place of lists and trees.

All caches hang on ``kmem_null_cache`` by cache_next. A cache's slabs form a ring that begins and ends at its own
cache_nullslab: the complete ones, then, from cache_freelist on, those with free buffers. Source: <sys/kmem_impl.h> of
that time; libumem's twin of it (umem_impl.h) keeps this form to this day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.kernels.solaris.lists import Guard, StoppedError
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris
    from kdbg.symbols.model import Type


def has_rings(cache: Type) -> bool:
    """Whether a kernel's kmem_cache_t is of that form."""
    return cache.has("cache_nullslab")


class Rings:
    """The rings of one kernel."""

    def __init__(self, kernel: Solaris) -> None:
        self._kernel = kernel
        self._read = kernel.memory.read
        cache, slab = kernel.type("kmem_cache_t"), kernel.type("kmem_slab_t")
        self._cache = Layout(
            cache,
            {
                "next": "cache_next",
                "partial": "cache_freelist",
                "first": "cache_nullslab.slab_next",
                "last": "cache_nullslab.slab_prev",
            },
        )
        self._null_at = cache.member("cache_nullslab").offset
        self._slab = Layout(slab, {"next": "slab_next", "cache": "slab_cache"})
        self._mask = (1 << kernel.bits) - 1

    def caches(self) -> Iterator[int]:
        """Addresses of all caches. Raises `StoppedError`, `SymbolNotFound`."""
        end = self._kernel.symbol("kmem_null_cache").address
        at, guard = self._link(end, "next", False), Guard("cache")
        while at != end:
            following = self._link(at, "next", True)
            yield guard(at)
            at = following

    def _link(self, cache: int, name: str, started: bool) -> int:
        try:
            found: int = self._cache.read(self._read, cache)[name]
        except ReadError as error:
            raise StoppedError(f"couldn't read kmem_cache at {cache:x}", started, cache, error.reason) from None
        return found

    def slabs(self, cache: int, partial: bool = False) -> Iterator[int]:
        """Addresses of a cache's slabs; ``partial``: of those with free buffers, or where there are none the last.

        Raises `StoppedError`.
        """
        end = cache + self._null_at & self._mask
        at = self._link(cache, "partial" if partial else "first", False)
        if partial and at == end:
            at = self._link(cache, "last", False)
        guard: Callable[[int], int] = Guard("slab")
        while at != end:
            try:
                slab = self._slab.read(self._read, at)
            except ReadError as error:
                raise StoppedError(f"failed to read slab at {at:x}", True, at, error.reason) from None
            if slab["cache"] != cache:
                text = f"slab {at:x} isn't in cache {cache:x} (in cache {slab['cache']:x})"
                raise StoppedError(text, True, at)
            yield guard(at)
            at = slab["next"]

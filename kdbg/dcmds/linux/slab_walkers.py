"""Walkers over slab caches, their slabs and their objects; each cache's name is a walker of its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import Walk, Walker, WalkError
from kdbg.errors import Error
from kdbg.kernels.linux.slab_forms import Slab
from kdbg.kernels.linux.slabs import SlabCaches
from kdbg.kernels.linux.slub import SlabPages

if TYPE_CHECKING:
    from kdbg.target import Target

MODULE = "linux"
Steps = Callable[[Walk], Iterator[int]]


def run(walk: Walk) -> Iterator[int]:
    """Do a walk: what stops it at its start makes it fail, what stops it later is told."""
    steps: Steps = walk.argument
    begun = False
    try:
        for address in steps(walk):
            begun = True
            yield address
    except Error as error:
        if not begun:
            raise WalkError(str(error)) from None
        walk.warn(str(error))


def _slabs(walk: Walk, start: int | None = None) -> Iterator[Slab]:
    """The slabs of the cache at the walk's address, or of all."""
    swept: SlabPages = walk.kernel.part(SlabPages)
    start = walk.start if start is None else start
    if start is not None:
        swept.slubs.cache(start)  # whether it is one
    for cache in walk.kernel.part(SlabCaches).walk() if start is None else (start,):
        yield from swept.of(cache)
    if swept.unread:
        walk.warn(f"{swept.unread} page structures cannot be read: slabs that they describe are left out")


def _allocated(walk: Walk, start: int | None = None) -> Iterator[int]:
    swept: SlabPages = walk.kernel.part(SlabPages)
    for slab in _slabs(walk, start):
        yield from swept.slubs.allocated(slab)


def _free(walk: Walk) -> Iterator[int]:
    swept: SlabPages = walk.kernel.part(SlabPages)
    for slab in _slabs(walk):
        yield from sorted(swept.slubs.free(slab))


def _caches(walk: Walk) -> Iterator[int]:
    part: SlabCaches = walk.kernel.part(SlabCaches)
    yield from part.walk()


def _partial(walk: Walk) -> Iterator[int]:
    return (slab.address for slab in _slabs(walk) if slab.in_use < slab.objects)


_ROWS: tuple[tuple[str, str, Steps], ...] = (
    ("kmem_cache", "all slab caches", _caches),
    ("kmem", "objects handed out by a cache, or by all caches", _allocated),
    ("freemem", "free objects of a cache, or of all caches", _free),
    ("kmem_slab", "slabs of a cache, or of all caches", lambda walk: (slab.address for slab in _slabs(walk))),
    ("slab", "the same", lambda walk: (slab.address for slab in _slabs(walk))),
    ("kmem_slab_partial", "slabs with free objects on their own lists", _partial),
)
WALKERS = tuple(Walker(name, summary, run, steps, MODULE) for name, summary, steps in _ROWS)


def cache_walker(name: str, target: Target) -> Walker | None:
    """The walker of the objects of the cache with that name, or None; it begins nowhere else."""
    for address, found in _names(target):
        if found == name:
            return _of_cache(name, address)
    return None


def cache_walkers(target: Target) -> list[Walker]:
    """The walkers of all caches by name."""
    return [_of_cache(name, address) for address, name in _names(target) if name]


def _of_cache(name: str, address: int) -> Walker:
    return Walker(name, f"objects handed out by the {name} cache", run, lambda walk: _allocated(walk, address), MODULE)


def _names(target: Target) -> list[tuple[int, str]]:
    kernel: Any = target.kernel
    try:
        part: SlabCaches = kernel.part(SlabCaches)
        return [(address, part.record(address).name) for address in part.walk()]
    except Error:
        return []

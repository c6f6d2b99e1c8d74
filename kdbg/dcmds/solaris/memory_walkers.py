"""Walkers of the allocators, pages, address spaces, files and containers: a row each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import Walk, Walker, WalkError
from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.containers import open_files, projects, task_processes, zones
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.kmemlog import allocated_by, freed_by, history, log_entries
from kdbg.kernels.solaris.lists import StoppedError, avl_elements, list_elements
from kdbg.kernels.solaris.memory import all_pages, memsegs, pages, segments, vnode_pages
from kdbg.kernels.solaris.vmem import ALLOCATED, FREE, SPAN, vmem

if TYPE_CHECKING:
    from kdbg.target import Target

Steps = Callable[[Walk], Iterable[int]]


def run(walk: Walk) -> Iterator[int]:
    """Do a walk: what stops it at its start makes it fail, what stops it later is told."""
    steps: Steps = walk.argument
    begun = False
    try:
        for address in steps(walk):
            begun = True
            yield address
    except StoppedError as stop:
        if not stop.started:
            raise WalkError(str(stop)) from None
        walk.warn(str(stop))
    except Error as error:
        if not begun:
            raise WalkError(str(error)) from None
        walk.warn(str(error))


def _addresses(found: Iterable[object]) -> Iterator[int]:
    return (one.address for one in found)  # type: ignore[attr-defined]


def _local(name: str, steps: Steps, text: str = "{} doesn't support global walks") -> Steps:
    """A walk that must begin somewhere."""

    def checked(walk: Walk) -> Iterable[int]:
        if not walk.start:
            raise StoppedError(text.format(name), False, 0)
        return steps(walk)

    return checked


def _global(text: str, steps: Steps) -> Steps:
    """A walk that must not begin anywhere."""

    def checked(walk: Walk) -> Iterable[int]:
        if walk.start:
            raise StoppedError(text, False, walk.start)
        return steps(walk)

    return checked


# kmem


def _buffers(walk: Walk, cache: int, kind: str) -> Iterator[int]:
    """Buffers, or bufctls, of one cache; ``kind``: the walker's name."""
    allocator = kmem(walk.kernel)
    bufctls = kind in ("bufctl", "freectl", "freectl_constructed")
    if kind in ("kmem", "bufctl"):
        found = allocator.allocated(cache, walk.warn, bufctls)
    else:
        found = allocator.free(cache, walk.warn, bufctls, kind.endswith("_constructed"))
    return (buffer.bufctl if bufctls else buffer.address for buffer in found)


def _cache_or_all(kind: str) -> Steps:
    """Of a cache, or of all whose buffers are not those of other caches too."""

    def steps(walk: Walk) -> Iterator[int]:
        if walk.start:
            yield from _buffers(walk, walk.start, kind)
            return
        allocator = kmem(walk.kernel)
        for address in allocator.cache_addresses():
            if allocator.cache(address).touched:
                try:
                    yield from _buffers(walk, address, kind)
                except StoppedError as stop:
                    walk.warn(str(stop))
                    if not stop.started:
                        return

    return steps


def _cpu_caches(walk: Walk) -> Iterator[int]:
    from kdbg.kernels.solaris.cpus import Cpus

    kernel, allocator = walk.kernel, kmem(walk.kernel)
    if not walk.start:
        raise StoppedError("kmem_cpu_cache doesn't support global walks", False, 0, "unknown symbol name")
    for cpu, _ in kernel.part(Cpus).walk():
        address = allocator.cpu_cache_at(walk.start, kernel.at("cpu_t", cpu).cpu_seqid)
        try:
            allocator.check_cpu_cache(address)
        except ReadError as error:
            raise StoppedError(f"couldn't read kmem_cpu_cache at {address:x}", True, address, error.reason) from None
        yield address


def _hash(walk: Walk) -> Iterator[int]:
    return (bufctl for bufctl, _ in kmem(walk.kernel).hashed(walk.start or 0, walk.warn))


def _segments(kind: int) -> Steps:
    def steps(walk: Walk) -> Iterator[int]:
        found = vmem(walk.kernel).segments(walk.start or 0)
        return (one.address for one in found if not kind or one.type == kind)

    return steps


def _pages(walk: Walk) -> Iterator[int]:
    return vnode_pages(walk.kernel, walk.start) if walk.start else pages(walk.kernel)


def _zones(walk: Walk) -> Iterator[int]:
    found = zones(walk.kernel, walk.start or 0)
    try:
        yield from found
    except StoppedError as stop:
        if not stop.started and "list_t" in str(stop):
            walk.warn(str(stop))
            raise StoppedError("couldn't walk 'list'", False, stop.address, "failed to initialize walk") from None
        raise


_NO_GLOBAL = "{} does not support global walks"

_ROWS: tuple[tuple[str, str, Steps], ...] = (
    ("kmem_cache", "all kernel memory caches", lambda walk: kmem(walk.kernel).cache_addresses()),
    ("kmem", "allocated buffers of a cache, or of all caches", _cache_or_all("kmem")),
    ("freemem", "free buffers of a cache, or of all caches", _cache_or_all("freemem")),
    ("freemem_constructed", "free buffers that are still constructed", _cache_or_all("freemem_constructed")),
    ("bufctl", "bufctls of allocated buffers", _cache_or_all("bufctl")),
    ("freectl", "bufctls of free buffers", _cache_or_all("freectl")),
    ("freectl_constructed", "bufctls of free buffers that are still constructed", _cache_or_all("freectl_constructed")),
    ("kmem_slab", "slabs of a cache",
     _local("kmem_slab", lambda walk: _addresses(kmem(walk.kernel).slabs(walk.start or 0)))),
    ("kmem_slab_partial", "slabs of a cache with free buffers; where there are none, one slab",
     _local("kmem_slab_partial", lambda walk: _addresses(kmem(walk.kernel).first_partial_slabs(walk.start or 0)))),
    ("kmem_hash", "bufctls in the hash table of a cache", _local("kmem_hash", _hash)),
    ("kmem_cpu_cache", "per-CPU caches of a cache", _cpu_caches),
    ("kmem_log", "entries of the transaction log, newest first",
     lambda walk: _addresses(log_entries(walk.kernel, walk.start or 0))),
    ("bufctl_history", "transactions of a buffer from its bufctl back",
     _local("bufctl_history", lambda walk: _addresses(history(walk.kernel, walk.start or 0)),
            "{} walk doesn't support global walks")),
    ("allocdby", "bufctls of what a thread allocated, newest first",
     _local("allocdby", lambda walk: _addresses(allocated_by(walk.kernel, walk.start or 0, walk.warn)),
            "{} walk doesn't support global walks")),
    ("freedby", "bufctls of what a thread freed, newest first",
     _local("allocdby", lambda walk: _addresses(freed_by(walk.kernel, walk.start or 0, walk.warn)),
            "{} walk doesn't support global walks")),
    ("vmem", "arenas, sources before what imports from them",
     lambda walk: _addresses(vmem(walk.kernel).arenas(walk.start or 0))),
    ("vmem_postfix", "arenas, sources after what imports from them",
     lambda walk: _addresses(vmem(walk.kernel).arenas(walk.start or 0, postfix=True))),
    ("vmem_seg", "segments of an arena", _local("vmem_seg", _segments(0), _NO_GLOBAL)),
    ("vmem_alloc", "allocated segments of an arena", _local("vmem_alloc", _segments(ALLOCATED), _NO_GLOBAL)),
    ("vmem_free", "free segments of an arena", _local("vmem_free", _segments(FREE), _NO_GLOBAL)),
    ("vmem_span", "spans of an arena", _local("vmem_span", _segments(SPAN), _NO_GLOBAL)),
    ("memseg", "segments of physical memory",
     _global("memseg only supports global walks", lambda walk: _addresses(memsegs(walk.kernel)))),
    ("allpages", "page structures of all memory",
     _global("allpages only supports global walks.", lambda walk: all_pages(walk.kernel))),
    ("page", "page structures in the hash table, or of a vnode", _pages),
    ("seg", "segments of an address space (struct as)",
     _local("seg", lambda walk: segments(walk.kernel, walk.start or 0), "seg walk must begin at struct as *")),
    ("list", "elements of a list_t", lambda walk: list_elements(walk.kernel, walk.start or 0)),
    ("avl", "elements of an avl_tree_t", lambda walk: avl_elements(walk.kernel, walk.start or 0)),
    ("file", "open files of a process",
     _local("file", lambda walk: open_files(walk.kernel, walk.start or 0), "file walk doesn't support global walks")),
    ("allfile", "files of a process by descriptor, 0 where none is open",
     _local("file", lambda walk: open_files(walk.kernel, walk.start or 0, all_slots=True),
            "file walk doesn't support global walks")),
    ("zone", "active zones", _zones),
    ("task", "processes of a task", lambda walk: task_processes(walk.kernel, walk.start or 0)),
    ("projects", "projects", lambda walk: projects(walk.kernel, walk.start or 0)),
)  # fmt: skip

WALKERS = tuple(Walker(name, summary, run, steps, "genunix") for name, summary, steps in _ROWS)
NAMES = tuple(walker.name for walker in WALKERS)


def cache_walker(name: str, target: Target) -> Walker | None:
    """The walker of the buffers of the cache with that name, or None; it begins nowhere else."""
    kernel = target.kernel
    try:
        address = kmem(kernel).named(name)
    except Error:
        address = None
    if address is None:
        return None
    found = address
    return Walker(name, f"buffers of the {name} cache", run, lambda walk: _buffers(walk, found, "kmem"), "genunix")


def cache_walkers(target: Target) -> list[Walker]:
    """The walkers of all caches by name."""
    names: dict[str, None] = {}
    try:
        for cache in kmem(target.kernel).caches():
            names.setdefault(cache.name)
    except Error:
        pass
    return [found for name in names if (found := cache_walker(name, target)) is not None]

"""Whether slabs are whole: their lists of free objects, their counts, their sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, TypeNotFound
from kdbg.kernels.linux.lists import nodes
from kdbg.kernels.linux.slub import SlabPages
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_NODES = 1 << 10
COUNTS = {"slabs": "nr_slabs?", "objects": "total_objects?", "partial": "nr_partial?"}
"""Our word -> member of struct kmem_cache_node; the first two are there with CONFIG_SLUB_DEBUG."""


def verify(swept: SlabPages, cache: int) -> Iterator[str]:
    """What is wrong with the slabs of a cache, a sentence each. Raises `ReadError` where it is no cache."""
    books = swept.slubs
    of, listed = books.cache(cache), books.cpu_lists(books.cache(cache))
    for slab in swept.of(cache):
        before = len(books.problems)
        own = books.own_free(slab)
        books.free(slab)
        told = [problem.text for problem in books.problems if problem.slab == slab.address]
        yield from (f"slab {slab.address:x}: {text}" for text in told)
        if len(books.problems) == before and not told and slab.in_use + len(own) != slab.objects:
            yield (f"slab {slab.address:x}: {slab.in_use} of {slab.objects} objects are in use by its count, "
                   f"and its list has {len(own)} free ones")  # fmt: skip
        if slab.objects * of.size + of.pad > slab.pages << 12:
            yield f"slab {slab.address:x}: {slab.objects} objects of {of.size} bytes do not fit into {slab.pages} pages"
        if slab.address in listed and not slab.frozen:
            yield f"slab {slab.address:x}: a CPU allocates from it, and it is not marked as a CPU's"
    if books.counts and not swept.unread:
        yield from _wrong_counts(swept, cache)


def _wrong_counts(swept: SlabPages, cache: int) -> Iterator[str]:
    """Where what the cache's nodes count is not what is found."""
    kernel, slabs, objects = swept.kernel, 0, 0
    counted = False
    for node in _nodes(kernel, cache):
        try:
            told = Layout(kernel.type("struct kmem_cache_node"), COUNTS).read(kernel.memory.read, node)
        except ReadError as error:
            yield f"node {node:x}: {error}"
            continue
        if told["slabs"] is None or told["objects"] is None:
            return
        counted, slabs, objects = True, slabs + told["slabs"], objects + told["objects"]
        head = node + kernel.type("struct kmem_cache_node").member("partial").offset
        found = sum(1 for _ in nodes(kernel, head, f"partial slabs of node {node:x}"))
        if found != told["partial"]:
            yield f"node {node:x}: {told['partial']} partial slabs by its count, and its list has {found}"
    totals = swept.totals(cache)
    if counted and (slabs, objects) != (totals.slabs, totals.objects):
        yield (f"its nodes count {slabs} slabs with {objects} objects, and {totals.slabs} with {totals.objects} "
               "are found")  # fmt: skip


def _nodes(kernel: Linux, cache: int) -> list[int]:
    """Addresses of a cache's kmem_cache_nodes: as many as the machine has nodes."""
    of, word = kernel.type("struct kmem_cache"), kernel.bits // 8
    try:
        count = int.from_bytes(kernel.memory.read(kernel.place("nr_node_ids"), 4), "little")
    except Error:
        count = 1  # the variable has a name only where the machine may have several
    try:
        place, step = cache + of.member("per_node" if of.has("per_node") else "node").offset, word
        if of.has("per_node"):  # 7.0 on: pairs of pointers
            pair = kernel.type("struct kmem_cache_per_node_ptrs")
            place, step = place + pair.member("node").offset, pair.size
        found = [kernel.word(place + number * step) for number in range(min(max(count, 1), MOST_NODES))]
    except (ReadError, TypeNotFound):
        return []
    return [node for node in found if kernel.in_kernel(node)]

"""Whether slabs are whole: their lists of free objects, their counts, their sizes."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.kernels.linux.slub import SlabPages


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

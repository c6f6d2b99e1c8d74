"""The slab allocator of a Linux kernel: its caches, what they hold, whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import (
    OPTIONAL,
    Call,
    Table,
    View,
    dcmd,
    decimal,
    flag,
    padded_pointer,
    text,
    word,
)
from kdbg.kernels.linux.slab_forms import Slab
from kdbg.kernels.linux.slabs import CacheUse, SlabCache, SlabCaches, cache_use, use_of_caches
from kdbg.kernels.linux.slub import SlabPages

MODULE = "linux"
UNITS = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))

CACHES = Table((padded_pointer("ADDR", "address"), text("NAME", "name", 25), decimal("OBJSIZE", "object_size", 8),
                decimal("SIZE", "size", 8), decimal("OBJS", "objects", 5), decimal("ORDER", "order", 5)))  # fmt: skip


def size_text(size: int) -> str:
    """A number of bytes as mdb's tables have it: at most two places behind the point."""
    for unit, letter in UNITS:
        if size >= unit:
            return f"{size / unit:.2f}".rstrip("0").rstrip(".") + letter
    return str(size)


@dcmd(
    "kmem_cache",
    "list the slab caches",
    address=OPTIONAL,
    synopsis="[-n name]",
    needs=("kernel",),
    options=[word("n", "name", "only those with that in their names")],
    module=MODULE,
    table=CACHES,
    help="Caches of objects of one size: bytes of an object and from one to the next, objects in a slab, and the "
    "binary logarithm of the pages of a slab. ::kmastat tells what they hold; the walkers kmem and freemem lead from "
    "a cache to its objects.",
    example="::kmem_cache -n dentry",
)
def kmem_cache(call: Call) -> Iterator[SlabCache]:
    """All caches, or the one at the address."""
    part: SlabCaches = call.kernel.part(SlabCaches)
    with about("slab caches", call.kernel):
        for address in (call.address,) if call.explicit else part.walk():
            found = part.record(address)
            if call.options.n is None or call.options.n in found.name:
                yield found


# what they hold


@dataclass(frozen=True, slots=True)
class UseTotal:
    """What all caches hold together."""

    memory: int
    slabs: int


class UseTable(Table):
    """Caches, a line each, and the sum of them."""

    __slots__ = ()
    WIDTHS = (30, 6, 9, 9, 8, 8, 8)

    def _line(self, cells: list[str], view: View) -> str:
        first, *others = zip(cells, self.WIDTHS, strict=True)
        return " ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])

    def heading(self, view: View) -> str:
        """Two lines and a ruler."""
        words = ("cache name", "buf size", "buf in use", "buf total", "memory in use", "slabs total", "slabs partial")
        lines = [self._line([one.rpartition(" ")[at] for one in words], view) for at in (0, 2)]
        return "\n".join([*lines, self._line(["-" * width for width in self.WIDTHS], view)])

    def row(self, record: CacheUse | UseTotal, view: View) -> str:
        """A cache, or the sum."""
        if isinstance(record, UseTotal):
            cells = ["Total", "", "", "", size_text(record.memory), str(record.slabs), ""]
            return "\n".join([self._line(["-" * width for width in self.WIDTHS], view), self._line(cells, view)])
        numbers = (record.size, record.in_use, record.total)
        cells = [record.name, *map(str, numbers), size_text(record.memory), str(record.slabs), str(record.partial)]
        return self._line(cells, view)


@dcmd(
    "kmastat",
    "show what the slab caches hold",
    address=OPTIONAL,
    synopsis="[-z]",
    options=[flag("z", "without caches that have no slabs")],
    needs=("kernel",),
    module=MODULE,
    table=UseTable(),
    help="Of each cache, or of the one at the address: bytes from one object to the next, objects handed out and in "
    "all, bytes of its slabs, how many these are and how many have free objects on their own lists. Free objects on "
    "the lists of CPUs do not count as handed out, unlike in /proc/slabinfo.",
    example="::kmastat -z",
)
def kmastat(call: Call) -> Iterator[CacheUse | UseTotal]:
    """All caches, then their sum; or the cache at the address."""
    with about("slab caches", call.kernel):
        if call.explicit:
            yield cache_use(call.kernel, call.address)
            return
        memory = slabs = 0
        for found in use_of_caches(call.kernel):
            memory, slabs = memory + found.memory, slabs + found.slabs
            if found.slabs or not call.options.z:
                yield found
        yield UseTotal(memory, slabs)
        _say_unread(call, call.kernel.part(SlabPages))


def _say_unread(call: Call, swept: SlabPages) -> None:
    """Warn of slabs that are missing because what describes their pages is."""
    if swept.unread:
        call.fail(f"{swept.unread} page structures cannot be read: slabs that they describe are left out")


# slabs

SLABS = Table((padded_pointer("ADDR", "address"), padded_pointer("FIRST", "first"), decimal("OBJS", "objects", 5),
               decimal("INUSE", "in_use", 5), decimal("PAGES", "pages", 5), text("CPU", "cpu", 4),
               text("CACHE", "cache_name", 0)))  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownSlab(Slab):
    """A slab with the name of its cache."""

    cache_name: str = ""
    cpu: int | None = None
    """The CPU that allocates from it at present."""


_MEMBERS = ("address", "cache", "pfn", "pages", "first", "objects", "in_use", "frozen", "freelist")


@dcmd(
    "kmem_slabs",
    "list the slabs of a cache",
    address=OPTIONAL,
    synopsis="[-p] [-n name]",
    options=[flag("p", "only those with free objects"), word("n", "name", "of caches with that in their names")],
    needs=("kernel",),
    module=MODULE,
    table=SLABS,
    help="The slabs of the cache at the address, or of all: struct slab (before 5.17: struct page), first object, "
    "objects and those handed out, pages, and the CPU that allocates from it at present. Full slabs are on no list of "
    "the kernel's: they are found by their page structures.",
    example="::kmem_slabs -n task_struct",
)
def kmem_slabs(call: Call) -> Iterator[ShownSlab]:
    """Slabs of one cache or all."""
    kernel = call.kernel
    with about("slabs", call.kernel):
        swept: SlabPages = kernel.part(SlabPages)
        for address in (call.address,) if call.explicit else kernel.part(SlabCaches).walk():
            cache = swept.slubs.cache(address)
            if call.options.n is not None and call.options.n not in cache.name:
                continue
            cpus = swept.slubs.cpu_lists(cache)
            for slab in swept.of(address):
                on_cpu = cpus.get(slab.address, ())
                in_use = slab.objects - len(swept.slubs.free(slab)) if on_cpu else slab.in_use
                if call.options.p and in_use >= slab.objects:
                    continue
                told = {name: getattr(slab, name) for name in _MEMBERS} | {"in_use": in_use}
                yield ShownSlab(**told, cache_name=cache.name, cpu=next((cpu for cpu, _ in on_cpu), None))
        _say_unread(call, swept)


# whether they are whole


@dataclass(frozen=True, slots=True)
class Integrity:
    """Whether a cache's slabs are whole."""

    address: int
    name: str
    problems: tuple[str, ...]


def _integrity_text(record: Integrity, view: View) -> str:
    count = len(record.problems)
    state = "clean" if not count else f"{count} problem{'' if count == 1 else 's'}"
    line = f"{record.name:<25} {record.address:0{view.pointer_width}x} {state}"
    return "\n".join([line, *(f"    {one}" for one in record.problems)])


@dcmd(
    "kmem_verify",
    "check the slabs and their lists of free objects",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    heading=lambda call, view: f"{'Cache Name':<25} {'Addr':<{view.pointer_width}} Cache Integrity",
    text=_integrity_text,
    help="Follows every list of free objects of the cache at the address, or of all: it has to stay in its slab, at "
    "the beginnings of objects, go in no circle, and be as long as the slab counts.",
    example="::kmem_verify",
)
def kmem_verify(call: Call) -> Iterator[Integrity]:
    """Check one cache or all."""
    from kdbg.kernels.linux.slab_check import verify

    kernel = call.kernel
    with about("slabs", call.kernel):
        swept: SlabPages = kernel.part(SlabPages)
        for address in (call.address,) if call.explicit else kernel.part(SlabCaches).walk():
            yield Integrity(address, swept.slubs.cache(address).name, tuple(verify(swept, address)))
        known = set() if call.explicit else set(kernel.part(SlabCaches).walk())
        for address in () if call.explicit else swept.caches():
            if address not in known:
                count = swept.totals(address).slabs
                yield Integrity(address, "?", (f"{count} slabs name it as their cache, and it is no cache",))
        _say_unread(call, swept)

"""Memory of a Linux kernel: the areas of processes, the slab caches."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.linux.threads import read_thread
from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, Table, View, dcmd, decimal, padded_pointer, text
from kdbg.errors import CommandError, Error
from kdbg.kernels.linux.areas import Area, Areas
from kdbg.kernels.linux.slabs import SlabCache, SlabCaches

MODULE = "linux"


class AreaTable(Table):
    """Areas, a line each, as /proc/PID/maps has them."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        width = view.pointer_width
        return f"{'START':>{width}} {'END':>{width}} {'SIZE':>9} MODE {'OFFSET':>9} NAME"

    def row(self, record: Area, view: View) -> str:
        """An area."""
        width = view.pointer_width
        size = f"{(record.end - record.start) >> 10}K"
        line = f"{record.start:0{width}x} {record.end:0{width}x} {size:>9} {record.flags} {record.offset:>9x}"
        return f"{line} {record.path}" if record.path else line


@dcmd(
    "pmap",
    "show the areas of a process",
    address=REQUIRED,
    needs=("kernel",),
    module=MODULE,
    table=AreaTable(),
    pipe=lambda record: record.address,
    help="The ranges of addresses that the process at the address has: sizes, rights (s: shared, p: private), and the "
    "files that they show, with the place in the file where each begins.",
    example="0t1::pid2proc | ::pmap",
)
def pmap(call: Call) -> Iterator[Area]:
    """The areas of the process that the task at the address belongs to."""
    thread = read_thread(call, call.address, living=True)
    if not thread.mm:
        raise CommandError(f"{call.address:x} ({thread.name}): it has no address space of its own")
    try:
        part: Areas = call.kernel.part(Areas)
        yield from part.of(thread.mm)
    except Error as error:
        raise CommandError(f"{call.address:x} ({thread.name}): {error}") from None


CACHES = Table((padded_pointer("ADDR", "address"), text("NAME", "name", 25), decimal("OBJSIZE", "object_size", 8),
                decimal("SIZE", "size", 8), decimal("OBJS", "objects", 5), decimal("ORDER", "order", 5)))  # fmt: skip


@dcmd(
    "kmem_cache",
    "list the slab caches",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    table=CACHES,
    help="Caches of objects of one size: bytes of an object and from one to the next, objects in a slab, and the "
    "binary logarithm of the pages of a slab.",
    example="::kmem_cache",
)
def kmem_cache(call: Call) -> Iterator[SlabCache]:
    """All caches, or the one at the address."""
    part: SlabCaches = call.kernel.part(SlabCaches)
    try:
        for address in (call.address,) if call.explicit else part.walk():
            yield part.record(address)
    except Error as error:
        raise CommandError(f"slab caches: {error}") from None

"""Memory of processes: their areas."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.linux.threads import read_thread
from kdbg.dcmds.registry import REQUIRED, Call, Table, View, dcmd
from kdbg.errors import CommandError
from kdbg.kernels.linux.areas import Area, Areas

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
    with about(f"{call.address:x} ({thread.name})", call.kernel):
        part: Areas = call.kernel.part(Areas)
        yield from part.of(thread.mm)

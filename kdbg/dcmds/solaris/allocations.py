"""::bufctl and ::vmem_seg, and their blocks of lines that ::whatis shows too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.registry import NONE, REQUIRED, REQUIRED_AFTER_OPTIONS, Call, Table, View, dcmd, flag, number, word
from kdbg.errors import CommandError, ReadError, SymbolNotFound, UsageError
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.kmem_structures import Bufctl
from kdbg.kernels.solaris.kmemlog import history
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.vmem import ALLOCATED, FREE, ROTOR, SPAN, WALKER, Segment, vmem
from kdbg.records import Text

INDENT = 17 * " "

TRANSACTION_HEADINGS = (
    f"{'ADDR':>16} {'BUFADDR':>16} {'TIMESTAMP':>16} {'THREAD':>16}",
    f"{'':16} {'CACHE':>16} {'LASTLOG':>16} {'CONTENTS':>16}",
)
SEGMENT_HEADINGS = (
    f"{'ADDR':>16} {'TYPE':>4} {'START':>16} {'END':>16} {'SIZE':>16}",
    f"{'':16} {'':4} {'THREAD':>16} {'TIMESTAMP':>16} {'':16}",
)


def transaction_lines(entry: Bufctl, view: View) -> Iterator[str]:
    """A bufctl: two lines, its stack, an empty line."""
    yield f"{entry.address:16x} {entry.buffer:16x} {entry.timestamp:16x} {entry.thread:16x}"
    yield f"{'':16} {entry.cache:16x} {entry.lastlog:16x} {entry.contents:16x}"
    yield from (INDENT + view.label(pc) for pc in entry.stack)
    yield ""


def segment_lines(segment: Segment, view: View) -> Iterator[str]:
    """A segment: a line; where it was recorded who took it, another, the stack, and an empty line."""
    yield f"{segment.address:16x} {segment.type_name:>4} {segment.start:16x} {segment.end:16x} {segment.size:16d}"
    if segment.audited:
        yield f"{'':16} {'':4} {segment.thread:16x} {segment.timestamp:16x}"
        yield from (INDENT + view.label(pc) for pc in segment.stack)
        yield ""


def _caller(stack: Sequence[int], prefix: str, view: View) -> str | None:
    """The first of a stack's functions whose name does not begin so, as a label."""
    for pc in stack:
        try:
            symbol, _ = view.target.nearest(pc)
        except SymbolNotFound:
            continue
        if not symbol.name.startswith(prefix):
            return view.label(pc)
    return None


def _passes(call: Call, stack: Sequence[int], thread: int, timestamp: int) -> bool:
    """Whether what is told of a transaction is what -c, -t, -e and -l ask for."""
    options = call.options
    if options.c and not any(_within(call, options.c, pc) for pc in stack):
        return False
    return not (
        (options.t and thread != options.t)
        or (options.e and timestamp < options.e)
        or (options.l and timestamp > options.l)
    )


def _within(call: Call, caller: int, pc: int) -> bool:
    """Whether a pc is that of the caller: in the function that begins there, else within a pointer's size."""
    start, end = caller, caller + call.target.bits // 8
    try:
        symbol, offset = call.target.nearest(caller)
    except SymbolNotFound:
        offset = -1
    if offset == 0:
        start, end = symbol.address, symbol.address + symbol.size
    return start <= pc < end


# bufctl


@dataclass(frozen=True, slots=True)
class Transactions(Table):
    """The text of bufctls: a line each, or all of it."""

    verbose: bool = False

    def heading(self, view: View) -> str:
        """One line or two."""
        if self.verbose:
            return "\n".join(TRANSACTION_HEADINGS)
        width = view.pointer_width
        return f"{'ADDR':<{width}} {'BUFADDR':<{width}} {'TIMESTAMP':<12} {'THREAD':<{width}} CALLER"

    def row(self, record: Any, view: View) -> str:
        """One transaction."""
        if isinstance(record, Text):
            return record.text
        if self.verbose:
            return "\n".join(transaction_lines(record, view))
        width = view.pointer_width
        caller = _caller(record.stack, "kmem_", view)
        line = f"{record.address:0{width}x} {record.buffer:0{width}x} {record.timestamp:12x} {record.thread:0{width}x}"
        return line if caller is None else f"{line} {caller}"


@dcmd(
    "bufctl",
    "show a buffer's last transaction",
    address=REQUIRED_AFTER_OPTIONS,
    synopsis="[-vh] [-a addr] [-c caller] [-e earliest] [-l latest] [-t thd]",
    options=[
        flag("v", "all of it, with the stack"),
        flag("h", "its history"),
        flag("H", "of no use"),
        number("a", "addr", "only those of the buffer at this address"),
        number("c", "caller", "only those with this function in their stack"),
        number("e", "earliest", "only those from this time on"),
        number("l", "latest", "only those up to this time"),
        number("t", "thd", "only those of this thread"),
    ],
    table=lambda call: Transactions(verbose=call.options.v),
    needs=("kernel",),
    help="The address is that of a kmem_bufctl_audit_t: audited caches keep one for each buffer.",
    example="ffffff01d1002c00::bufctl -v",
    module="genunix",
)
def bufctl(call: Call) -> Iterator[Bufctl | Text | None]:
    """The transaction at the address, or all that is known of its buffer."""
    options = call.options
    if options.H:
        raise UsageError("")
    if not options.h:
        yield None
        entry = _transaction(call)
        if _passes(call, entry.stack, entry.thread, entry.timestamp) and options.a in (None, 0, entry.buffer):
            yield entry
        return
    try:
        entries = list(history(call.kernel, call.address))
    except StoppedError as stop:
        if stop.started:
            raise CommandError(str(stop)) from None
        call.warn(str(stop))
        raise CommandError("unable to walk bufctl_history: failed to initialize walk") from None
    for entry in entries:
        if _passes(call, entry.stack, entry.thread, entry.timestamp) and options.a in (None, 0, entry.buffer):
            yield entry
    if not call.piped_out:
        yield Text("")


def _transaction(call: Call) -> Bufctl:
    try:
        return kmem(call.kernel).audit(call.address)
    except ReadError as error:
        raise CommandError(f"couldn't read bufctl at {call.address:x}: {error.reason}") from None


# vmem_seg

_TYPES = {"ALLC": ALLOCATED, "ALLOC": ALLOCATED, "FREE": FREE, "SPAN": SPAN, "ROTR": ROTOR, "ROTOR": ROTOR,
          "WLKR": WALKER, "WALKER": WALKER}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Segments(Table):
    """The text of segments: a line each, or all of it."""

    verbose: bool = False
    sizes: bool = False
    """Show the size instead of the end."""

    def heading(self, view: View) -> str:
        """One line or two."""
        if self.verbose:
            return "\n".join(SEGMENT_HEADINGS)
        width = view.pointer_width
        return f"{'ADDR':>{width}} {'TYPE':>4} {'START':>{width}} {'SIZE' if self.sizes else 'END':>{width}} WHO"

    def row(self, record: Any, view: View) -> str:
        """One segment."""
        if self.verbose:
            return "\n".join(segment_lines(record, view))
        width = view.pointer_width
        end = record.size if self.sizes else record.end
        line = f"{record.address:0{width}x} {record.type_name:>4} {record.start:0{width}x} {end:0{width}x}"
        if not record.audited:
            return line
        return f"{line} {_caller(record.stack, 'vmem_', view) or view.label(record.stack[-1])}"


@dcmd(
    "vmem_seg",
    "show a segment of an arena",
    address=REQUIRED,
    synopsis="[-sv] [-c caller] [-e earliest] [-l latest] [-m minsize] [-M maxsize] [-t thread] [-T type]",
    options=[
        flag("s", "the size instead of the end"),
        flag("v", "all of it, with the stack"),
        number("c", "caller", "only those with this function in their stack"),
        number("e", "earliest", "only those from this time on"),
        number("l", "latest", "only those up to this time"),
        number("m", "minsize", "only those of at least this size"),
        number("M", "maxsize", "only those of at most this size"),
        number("t", "thread", "only those of this thread"),
        word("T", "type", "only those of this type: ALLOC, FREE, SPAN, ROTOR or WALKER"),
    ],
    table=lambda call: Segments(verbose=call.options.v, sizes=call.options.s),
    needs=("kernel",),
    help="A segment is a range of addresses (or numbers) of a vmem arena. Only allocated ones tell who took them.",
    example="ffffff01d002a610::vmem_seg -v",
    module="genunix",
)
def vmem_seg(call: Call) -> Iterator[Segment | None]:
    """The segment at the address."""
    options = call.options
    yield None
    try:
        segment = vmem(call.kernel).segment(call.address)
    except ReadError as error:
        raise CommandError(f"couldn't read vmem_seg at {call.address:x}: {error.reason}") from None
    if options.T is not None:
        if options.T not in _TYPES:
            raise CommandError(f'"{options.T}" is not a recognized vmem_seg type')
        if segment.type != _TYPES[options.T]:
            return
    size = segment.size & (1 << call.target.bits) - 1
    chosen = not ((options.m and size < options.m) or (options.M and size > options.M))
    if chosen and segment.audited:
        chosen = _passes(call, segment.stack, segment.thread, segment.timestamp)
    elif chosen:
        chosen = not options.any("ctel")
    if chosen:
        yield segment


@dcmd(
    "kmem_debug",
    "have the walks of kmem caches tell each step, or not",
    address=NONE,
    words=None,
    needs=("kernel",),
    example="::kmem_debug",
    module="genunix",
)
def kmem_debug(call: Call) -> Iterator[Text]:
    """Turn it on, or off again."""
    allocator, out = kmem(call.kernel), call.session.out
    if allocator.trace is None:
        allocator.trace = lambda text: out.write(f"kmem debug: {text}\n")
    else:
        allocator.trace = None
    yield Text(f"kmem: debugging is now {'off' if allocator.trace is None else 'on'}")

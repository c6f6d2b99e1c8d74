"""::bufctl and ::vmem_seg, and their blocks of lines that ::whatis shows too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kdbg.dcmds.registry import REQUIRED, REQUIRED_AFTER_OPTIONS, Call, View, dcmd, flag, number, word
from kdbg.errors import CommandError, ReadError, SymbolNotFound, UsageError
from kdbg.kernels.solaris.kmem import Bufctl, kmem
from kdbg.kernels.solaris.kmemlog import history
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.vmem import ALLOCATED, FREE, ROTOR, SPAN, WALKER, Segment, vmem

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


def _bufctl_heading(call: Call, view: View) -> str:
    if call.options.v:
        return "\n".join(TRANSACTION_HEADINGS)
    width = view.pointer_width
    return f"{'ADDR':<{width}} {'BUFADDR':<{width}} {'TIMESTAMP':<12} {'THREAD':<{width}} CALLER"


class Shown:
    """A record with how much of it is to be shown; it has the record's fields."""

    __slots__ = ("last", "record", "sizes", "verbose")

    def __init__(self, record: Any, verbose: bool = False, sizes: bool = False, last: bool = False) -> None:
        self.record = record
        self.verbose = verbose
        self.sizes = sizes
        self.last = last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.record, name)

    def __repr__(self) -> str:
        return repr(self.record)


def _bufctl_text(shown: Shown, view: View) -> str:
    entry: Bufctl = shown.record
    end = "\n" if shown.last else ""
    if shown.verbose:
        return "\n".join(transaction_lines(entry, view)) + end
    width = view.pointer_width
    caller = _caller(entry.stack, "kmem_", view)
    line = f"{entry.address:0{width}x} {entry.buffer:0{width}x} {entry.timestamp:12x} {entry.thread:0{width}x}"
    return line + (f" {caller}" if caller is not None else "") + end


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
    heading=_bufctl_heading,
    text=_bufctl_text,
    needs=("kernel",),
    help="The address is that of a kmem_bufctl_audit_t: audited caches keep one for each buffer.",
    example="ffffff01d1002c00::bufctl -v",
    module="genunix",
)
def bufctl(call: Call) -> Iterator[Shown | None]:
    """The transaction at the address, or all that is known of its buffer."""
    options = call.options
    if options.H:
        raise UsageError("")
    if not options.h:
        yield None
        entry = _transaction(call)
        if _passes(call, entry.stack, entry.thread, entry.timestamp) and options.a in (None, 0, entry.buffer):
            yield Shown(entry, options.v)
        return
    try:
        entries = list(history(call.kernel, call.address))
    except StoppedError as stop:
        if stop.started:
            raise CommandError(str(stop)) from None
        call.warn(str(stop))
        raise CommandError("unable to walk bufctl_history: failed to initialize walk") from None
    chosen = [
        entry
        for entry in entries
        if _passes(call, entry.stack, entry.thread, entry.timestamp) and options.a in (None, 0, entry.buffer)
    ]
    for entry in chosen:
        yield Shown(entry, options.v, last=entry is chosen[-1])


def _transaction(call: Call) -> Bufctl:
    try:
        return kmem(call.kernel).audit(call.address)
    except ReadError as error:
        raise CommandError(f"couldn't read bufctl at {call.address:x}: {error.reason}") from None


# vmem_seg

_TYPES = {"ALLC": ALLOCATED, "ALLOC": ALLOCATED, "FREE": FREE, "SPAN": SPAN, "ROTR": ROTOR, "ROTOR": ROTOR,
          "WLKR": WALKER, "WALKER": WALKER}  # fmt: skip


def _segment_heading(call: Call, view: View) -> str:
    if call.options.v:
        return "\n".join(SEGMENT_HEADINGS)
    width = view.pointer_width
    end = "SIZE" if call.options.s else "END"
    return f"{'ADDR':>{width}} {'TYPE':>4} {'START':>{width}} {end:>{width}} WHO"


def _segment_text(shown: Shown, view: View) -> str:
    segment: Segment = shown.record
    if shown.verbose:
        return "\n".join(segment_lines(segment, view))
    width = view.pointer_width
    end = segment.size if shown.sizes else segment.end
    line = f"{segment.address:0{width}x} {segment.type_name:>4} {segment.start:0{width}x} {end:0{width}x}"
    if not segment.audited:
        return line
    return f"{line} {_caller(segment.stack, 'vmem_', view) or view.label(segment.stack[-1])}"


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
    heading=_segment_heading,
    text=_segment_text,
    needs=("kernel",),
    help="A segment is a range of addresses (or numbers) of a vmem arena. Only allocated ones tell who took them.",
    example="ffffff01d002a610::vmem_seg -v",
    module="genunix",
)
def vmem_seg(call: Call) -> Iterator[Shown | None]:
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
        yield Shown(segment, options.v, options.s)

"""::whatis: what an address is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdbg.dcmds.registry import REQUIRED_AFTER_OPTIONS, Call, View, dcmd, flag
from kdbg.dcmds.solaris.allocations import SEGMENT_HEADINGS, TRANSACTION_HEADINGS, segment_lines, transaction_lines
from kdbg.errors import CommandError
from kdbg.kernels.solaris.whatis import Answer, Progress, Whatis, Whereabouts, Wishes

_STATES = {"allocated": "allocated", "free": "freed"}


def _text(record: Any, view: View) -> str:
    """One answer: a line, and what is known of the allocation below it."""
    if isinstance(record, Told):
        return _report(record.found, view, record.quiet, record.named)
    return str(record.text)


class Told:
    """An answer with how it is to be told; it has the answer's fields."""

    __slots__ = ("found", "named", "quiet")

    def __init__(self, found: Whatis, quiet: bool, named: bool) -> None:
        self.found = found
        self.quiet = quiet
        """Without the lines below the first one."""
        self.named = named
        """With the bufctl's address (-b)."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.found, name)

    def __repr__(self) -> str:
        return repr(self.found)


def _place(found: Whatis) -> str:
    """``A is ``, ``A is BASE+OFFSET, ``."""
    if found.offset:
        return f"{found.address:x} is {found.base:x}+{found.offset:x}, "
    return f"{found.address:x} is "


def _report(found: Whatis, view: View, quiet: bool, named: bool) -> str:
    address = f"{found.address:x} is "
    if found.kind in ("symbol", "module"):
        symbol = f"{view.label(found.address)}, " if found.kind == "symbol" else ""
        return f"{address}{symbol}in {found.module}'s {found.part}"
    if found.kind == "thread":
        return f"{_place(found)}allocated as a thread structure"
    if found.kind == "stack":
        return f"{address}in thread {found.thread:x}'s stack{found.part}"
    if found.kind == "page":
        return f"{_place(found)}allocated as a page structure"
    if found.kind == "kmem":
        return _buffer(found, view, quiet)
    if found.kind == "vmem":
        return _segment(found, view, quiet, named)
    if found.kind == "mapping":
        symbol = f"{view.label(found.address)}, " if found.symbolic else ""
        return f"{address}{symbol}in {found.name} [{found.base:x},{found.end:x})"
    if found.kind == "page table" and found.htable is not None:
        table = found.htable
        where = f"in the level {table.level} page table of hat {table.hat:x}"
        return f"{_place(found)}{where} (htable {table.address:x}, from {table.vaddr:x})"
    return f"{address}unknown"


def _buffer(found: Whatis, view: View, quiet: bool) -> str:
    audited = found.transaction is not None and not quiet
    bufctl = f"bufctl {found.bufctl:x} " if found.tells_bufctl and not audited else ""
    line = f"{_place(found)}{bufctl}{_STATES[found.state or 'free']} from {found.cache}"
    if audited and found.transaction is not None:
        return "\n".join([f"{line}:", *TRANSACTION_HEADINGS, *transaction_lines(found.transaction, view)])
    if found.callers and not quiet:
        callers = ", ".join(view.label(caller) for caller in found.callers)
        return f"{line}:\n        recent caller{'s' if len(found.callers) > 1 else ''}: {callers}"
    return line


def _segment(found: Whatis, view: View, quiet: bool, named: bool) -> str:
    segment = found.segment
    assert segment is not None
    told = quiet and (not named or segment.audited)
    line = f"vmem_seg {segment.address:x} " if told else ""
    line = f"{_place(found)}{line}{_STATES[found.state or 'free']} from the {found.name} vmem arena"
    return line if quiet else "\n".join([f"{line}:", *SEGMENT_HEADINGS, *segment_lines(segment, view)])


@dcmd(
    "whatis",
    "say what an address is",
    address=REQUIRED_AFTER_OPTIONS,
    synopsis="[-aikqv]",
    options=[
        flag("a", "all that it is, not only the first"),
        flag("b", "the bufctl too, where the cache keeps no history"),
        flag("i", "it is an identifier, not an address"),
        flag("k", "keep the order of what a pipe brings"),
        flag("q", "one line each"),
        flag("v", "say what is searched"),
    ],
    text=_text,
    needs=("kernel",),
    help="Modules, threads and their stacks, page structures, buffers of kmem caches, segments of vmem arenas and the\n"
    "kernel's mappings are searched in this order; what is none of these may be a page table.\n"
    "What a pipe brings is sorted and looked for together.",
    example="fffffffffbc4b7f0::whatis",
    module="genunix",
)
def whatis(call: Call) -> Iterator[Told | Progress]:
    """What the address is, or all that a pipe has brought."""
    options = call.options
    if call.piped_out:
        raise CommandError("whatis: cannot be output into a pipe")
    together = call.piped_in and not options.k
    if together and not call.first:
        return
    wishes = Wishes(options.a, options.i, options.b)
    addresses = list(call.batch) if together else [call.address]
    for answer in Whereabouts(call.kernel, addresses, wishes, call.warn).answers():
        shown = _shown(answer, options.q, options.b, options.v)
        if shown is not None:
            yield shown


def _shown(answer: Answer, quiet: bool, named: bool, verbose: bool) -> Told | Progress | None:
    if isinstance(answer, Progress):
        return answer if verbose else None
    return Told(answer, quiet, named)

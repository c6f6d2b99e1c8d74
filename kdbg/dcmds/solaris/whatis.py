"""::whatis: what an address is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.registry import REQUIRED_AFTER_OPTIONS, Call, Table, View, dcmd, flag
from kdbg.dcmds.solaris.allocations import SEGMENT_HEADINGS, TRANSACTION_HEADINGS, segment_lines, transaction_lines
from kdbg.errors import CommandError, SymbolNotFound
from kdbg.kernels.solaris.whatis import Answer, Progress, Whatis, Whereabouts, Wishes

_STATES = {"allocated": "allocated", "free": "freed"}


@dataclass(frozen=True, slots=True)
class Report(Table):
    """The text of an answer: a line, and what is known of the allocation below it."""

    quiet: bool = False
    """Without the lines below."""
    bufctls: bool = False
    """With the bufctl's address where the cache keeps no history."""

    def heading(self, view: View) -> None:
        """There is none."""

    def row(self, record: Any, view: View) -> str:
        """One answer."""
        if isinstance(record, Progress):
            return record.text
        report = _REPORTS.get(record.kind)
        if report is not None:
            return report(record, view)
        if record.kind == "kmem":
            return self._buffer(record, view)
        return self._segment(record, view) if record.kind == "vmem" else f"{record.address:x} is unknown"

    def _buffer(self, found: Whatis, view: View) -> str:
        transaction = found.transaction
        named = found.bufctl is not None and (self.quiet if transaction is not None else self.bufctls)
        bufctl = f"bufctl {found.bufctl:x} " if named else ""
        line = f"{_place(found)}{bufctl}{_STATES[found.state or 'free']} from {found.cache}"
        if self.quiet:
            return line
        if transaction is not None:
            return "\n".join([f"{line}:", *TRANSACTION_HEADINGS, *transaction_lines(transaction, view)])
        if found.callers:
            callers = ", ".join(view.label(caller) for caller in found.callers)
            return f"{line}:\n        recent caller{'s' if len(found.callers) > 1 else ''}: {callers}"
        return line

    def _segment(self, found: Whatis, view: View) -> str:
        segment = found.segment
        assert segment is not None
        named = self.quiet and (not self.bufctls or segment.audited)
        name = f"vmem_seg {segment.address:x} " if named else ""
        line = f"{_place(found)}{name}{_STATES[found.state or 'free']} from the {found.name} vmem arena"
        return line if self.quiet else "\n".join([f"{line}:", *SEGMENT_HEADINGS, *segment_lines(segment, view)])


def _place(found: Whatis) -> str:
    """``A is ``, or ``A is BASE+OFFSET, ``."""
    if found.offset:
        return f"{found.address:x} is {found.base:x}+{found.offset:x}, "
    return f"{found.address:x} is "


def _symbol(address: int, view: View) -> str:
    """``SYMBOL+OFFSET, `` if a symbol covers the address."""
    try:
        symbol, offset = view.target.nearest(address)
    except SymbolNotFound:
        return ""
    return f"{view.label(address)}, " if offset < symbol.size else ""


def _in_module(found: Whatis, view: View) -> str:
    return f"{found.address:x} is {_symbol(found.address, view)}in {found.module}'s {found.part}"


def _mapping(found: Whatis, view: View) -> str:
    where = f"in {found.name} [{found.start:x},{found.end:x})"
    return f"{found.address:x} is {_symbol(found.address, view)}{where}"


def _page_table(found: Whatis, view: View) -> str:
    if found.start is not None:  # the records know more than mdb says
        return _mapping(found, view)
    table = found.htable
    assert table is not None
    where = f"in the level {table.level} page table of hat {table.hat:x}"
    return f"{_place(found)}{where} (htable {table.address:x}, from {table.vaddr:x})"


_REPORTS = {
    "symbol": _in_module,
    "module": _in_module,
    "thread": lambda found, _: f"{_place(found)}allocated as a thread structure",
    "stack": lambda found, _: f"{found.address:x} is in thread {found.thread:x}'s stack{found.part}",
    "page": lambda found, _: f"{_place(found)}allocated as a page structure",
    "mapping": _mapping,
    "page table": _page_table,
}


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
    table=lambda call: Report(quiet=call.options.q, bufctls=call.options.b),
    needs=("kernel",),
    help="Modules, threads and their stacks, page structures, buffers of kmem caches, segments of vmem arenas and the\n"
    "kernel's mappings are searched in this order; what is none of these may be a page table.\n"
    "What a pipe brings is sorted and looked for together.",
    example="fffffffffbc4b7f0::whatis",
    module="genunix",
)
def whatis(call: Call) -> Iterator[Answer]:
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
        if options.v or not isinstance(answer, Progress):
            yield answer

"""The sources of a Linux kernel's code: the line of an address, by debug files (--symbols, --debuginfod)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.frames import place_text
from kdbg.dcmds.registry import REQUIRED, Call, View, dcmd, flag
from kdbg.errors import CommandError, Error
from kdbg.kernels.linux.debuginfo import DebugInfo
from kdbg.kernels.linux.unwind import INTERRUPTED
from kdbg.records import Frame

MODULE = "linux"


@dataclass(frozen=True, slots=True)
class SourceLine:
    """Where an instruction comes from."""

    address: int
    function: str | None
    file: str | None
    """Below the folder of the sources."""
    line: int | None
    column: int | None
    inlined: bool = False
    """Whether the function was inlined there; the record that follows is of the function that it was inlined into."""


def source_lines(info: DebugInfo, address: int, inlined: bool, returns: bool = False) -> list[SourceLine]:
    """The places of an instruction, innermost first; one only unless ``inlined``. Raises `Error`.

    ``returns``: whether a call returns to the address: then the place is the call's.
    """
    found = []
    for frame in info.frames(address - returns):
        place = frame.place
        file, line, column = (place.file, place.line, place.column) if place is not None else (None, None, None)
        found.append(SourceLine(address, frame.function, file, line, column, frame.inlined))
    if not found:
        place = info.place(address - returns)
        if place is not None:
            nearest = info.kernel.symbols.nearest(address - returns)  # assembly has lines, and rarely functions
            name = nearest[0].name if nearest is not None else None
            found.append(SourceLine(address, name, place.file, place.line, place.column))
    return found if inlined else found[:1]


def frame_lines(info: DebugInfo, frames: tuple[Frame, ...], at: int, first: bool) -> list[SourceLine]:
    """The places of a frame with what was inlined there; none where no debug file tells.

    ``first``: whether the innermost frame's instruction is one that runs next, not one that a call returns to.
    """
    frame = frames[at]
    exact = (first and not at) or frame.note == INTERRUPTED
    try:
        return source_lines(info, frame.pc, True, not exact)
    except Error:
        return []


def _text(record: SourceLine, view: View) -> str:
    mark = " (inlined)" if record.inlined else ""
    return f"{record.address:0{view.pointer_width}x} {record.function or '?'}{mark} {place_text(record)}"


@dcmd("line", "show the source line of an address", address=REQUIRED, synopsis="[-ir]", needs=("kernel",),
      module=MODULE, text=_text,
      options=[flag("i", "with the functions that are inlined there, a line each"),
               flag("r", "the address is one that a call returns to: show the call's line")],
      help="Wants the kernel's debug file: kdbg --symbols PATH, or --debuginfod. Paths are below the folder of the "
      "sources.",
      example="do_exit::line -i")  # fmt: skip
def line(call: Call) -> Iterator[SourceLine]:
    """Where the instruction at the address comes from, the innermost function first."""
    try:
        found = source_lines(call.kernel.debug_info, call.address, bool(call.options.i), bool(call.options.r))
    except Error as error:
        raise CommandError(str(error)) from None
    if not found:
        raise CommandError(f"no debug information tells of {call.address:x}")
    yield from found

"""How frames of a Linux kernel's stacks are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.dcmds.registry import View
from kdbg.records import Frame

if TYPE_CHECKING:
    from kdbg.dcmds.linux.source import SourceLine


def function_text(frame: Frame) -> str:
    """Function and offset, as labels show them: the call's, where the return address is the next function's."""
    if not frame.symbol:
        return f"{frame.pc:#x}"
    if not frame.offset:
        return frame.symbol
    return f"{frame.symbol}+{frame.offset:#x}" if frame.offset > 9 else f"{frame.symbol}+{frame.offset}"


def frame_text(frame: Frame, view: View, verbose: bool = True) -> str:
    """A frame's line: where it lies, the function, and what is to be said of it."""
    pointer = f"{frame.sp:0{view.pointer_width}x} " if verbose else ""
    return f"{pointer}{function_text(frame)}()" + (f"  [{frame.note}]" if frame.note else "")


def place_text(place: SourceLine) -> str:
    """``kernel/fork.c:2580``; ``?`` where it is not known."""
    if place.file is None:
        return "?"
    return f"{place.file}:{place.line}" if place.line else place.file

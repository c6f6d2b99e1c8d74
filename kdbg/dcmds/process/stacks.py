"""Stacks of a process's threads, as mdb shows them; guesses say that they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.machine import SHORT_NOTES
from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, View, dcmd, flag
from kdbg.errors import CommandError, Error, UsageError
from kdbg.kernels.process.stacks import UNCHECKED
from kdbg.lang.formats_numbers import offset
from kdbg.records import Frame

MODULE = "process"
MOST_ARGUMENTS = 6
"""How many arguments of a frame are shown where no number is given (mdb's ``-o nargs``)."""
NOTES = {**SHORT_NOTES, UNCHECKED: "scan???"}
HELP = (
    "Callers come by call frame information (.eh_frame), else by frame pointers; where both end and the stack does "
    "not, by a scan for words that lie behind call instructions. [scan]: that call leads to the function above; "
    "[scan?]: it is an indirect call, or nothing is known of the function above; [scan??]: it leads elsewhere; "
    "[scan???]: the core does not hold the code. An address that is a thread's id means that thread; any other is "
    "taken for a frame pointer."
)


@dataclass(frozen=True, slots=True)
class ShownFrame(Frame):
    """A frame with how it is to be shown."""

    with_pointer: bool = False
    most: int = MOST_ARGUMENTS


def frame_label(record: Frame, view: View) -> str:
    """Symbol and offset, of the function that called: one whose last call never returns is not the next one."""
    if not record.symbol or not view.session.symbolic:
        return f"0x{record.pc:x}"
    target: Any = view.target
    main = target.loaded.main
    own = main is not None and record.module == main.label
    name = record.symbol if own or not record.module else f"{record.module}`{record.symbol}"
    return name + (offset(record.offset, view.session.radix) if record.offset else "")


def frame_text(record: ShownFrame, view: View) -> str:
    """A frame's line."""
    pointer = f"{record.sp:0{view.pointer_width}x} " if record.with_pointer else ""
    arguments = ", ".join(f"{value:x}" for value in record.arguments[: record.most])
    label = frame_label(record, view)
    note = record.note if record.with_pointer else NOTES.get(record.note or "", record.note)
    return f"{pointer}{label}({arguments})" + (f"  [{note}]" if note else "")


def _count(call: Call) -> int:
    """How many arguments of each frame a word asks for."""
    if not call.words:
        return MOST_ARGUMENTS
    if len(call.words) > 1:
        raise UsageError("")
    word = call.words[0]
    return call.session.number(word) if isinstance(word, str) else word


def _frames(call: Call) -> list[Frame]:
    target: Any = call.target
    if not call.explicit:
        if not target.core.notes.threads:
            raise CommandError("failed to get current register set: the core tells of no thread")
        return target.stack()  # type: ignore[no-any-return]
    if target.has_thread(call.address):
        return target.stack(call.address)  # type: ignore[no-any-return]
    return target.stack_above(call.address)  # type: ignore[no-any-return]


def _shown(call: Call, with_pointer: bool) -> Iterator[ShownFrame]:
    most = _count(call)
    for one in _frames(call):
        yield ShownFrame(
            one.pc, one.sp, one.symbol, one.offset, one.module, one.arguments, one.note, with_pointer, most
        )


@dcmd("stack,$c", "show the stack of a thread", address=OPTIONAL, synopsis="[cnt]", words=None, needs=("process",),
      module=MODULE, text=frame_text, pipe=lambda record: record.pc, help=HELP, example="$c")  # fmt: skip
def stack(call: Call) -> Iterator[ShownFrame]:
    """The frames: of the thread that the core is about, of one by its id, or from a frame pointer on."""
    yield from _shown(call, False)


@dcmd("$C", "show the stack of a thread, with frame pointers", address=OPTIONAL, synopsis="[cnt]", words=None,
      needs=("process",), module=MODULE, text=frame_text, pipe=lambda record: record.pc, help=HELP,
      example="$C")  # fmt: skip
def stack_with_pointers(call: Call) -> Iterator[ShownFrame]:
    """As ``$c``, with frame pointers and all that is known of a frame."""
    yield from _shown(call, True)


@dcmd("stackregs", "show the stack of a thread, with frame pointers", address=OPTIONAL, synopsis="", words=None,
      needs=("process",), module=MODULE, text=frame_text, pipe=lambda record: record.pc,
      help="No registers of frames are kept on x86 and arm64: it is $C.", example="::stackregs")  # fmt: skip
def stackregs(call: Call) -> Iterator[ShownFrame]:
    """As ``$C``: mdb does the same where no registers of frames are kept."""
    yield from _shown(call, True)


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread and its stack."""

    address: int
    """The thread's id."""
    sp: int
    frames: tuple[ShownFrame, ...]
    name: str | None = None


def _thread_stack(record: ThreadStack, view: View) -> str:
    named = f"{record.address} [{record.name}]" if record.name else str(record.address)
    lines = [f"stack pointer for thread {named}: {record.sp:x}"]
    first, *others = record.frames or (None,)
    if first is not None and first.pc:
        label = frame_label(first, view)
        lines.append(f"[ {record.sp:0{view.pointer_width}x} {label}() ]")
    lines += [f"  {frame_text(one, view)}" for one in others]
    return "\n".join(lines)


@dcmd("findstack", "show the stack of a thread", address=REQUIRED, synopsis="[-v]", module=MODULE, text=_thread_stack,
      options=[flag("v", "with arguments, where frames hold them")], needs=("process",),
      example="::threads | ::findstack")  # fmt: skip
def findstack(call: Call) -> Iterator[ThreadStack]:
    """The stack of the thread with that id."""
    target: Any = call.target
    try:
        lwp = target.lwp(call.address)
    except Error as error:
        raise CommandError(f"failed to get register set for thread {call.address:x}: {error}") from None
    most = MOST_ARGUMENTS if call.options.v else 0
    frames = tuple(
        ShownFrame(one.pc, one.sp, one.symbol, one.offset, one.module, one.arguments, one.note, True, most)
        for one in target.stack(call.address)
    )
    yield ThreadStack(call.address, frames[0].sp if frames else 0, frames, lwp.name)

"""``$c`` and ``$C`` of Linux dumps: the stack of the CPU that the dump is about, or of a task."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds import machine
from kdbg.dcmds.linux.threads import find_thread_stack, read_thread
from kdbg.dcmds.machine import ShownFrame, frame_text
from kdbg.dcmds.registry import OPTIONAL, Call, dcmd, number
from kdbg.errors import CommandError, UsageError

_HELP = ("The place where the CPU was comes first: the one that panicked where one did, else the first. An address: "
         "the stack of the task that lies there.")  # fmt: skip
_OPTIONS = (number("c", "cpuid", "of that CPU"),)


@dcmd("stack,$c", "show the stack of the CPU that the dump is about, or of a task", address=OPTIONAL,
      synopsis="[-c cpuid] [n]", words=None, options=_OPTIONS, needs=("kernel",), module="linux", text=frame_text,
      pipe=lambda record: record.pc, help=_HELP, example="0t1::pid2proc | $c")  # fmt: skip
def stack(call: Call) -> Iterator[ShownFrame]:
    """The frames, n at most."""
    return _of_task(call, False) if call.explicit else machine.stack(call)


@dcmd("stackregs,$C", "show the stack of the CPU that the dump is about, or of a task, with places", address=OPTIONAL,
      synopsis="[-c cpuid] [n]", words=None, options=_OPTIONS, needs=("kernel",), module="linux", text=frame_text,
      pipe=lambda record: record.pc, help=_HELP, example="$C")  # fmt: skip
def stackregs(call: Call) -> Iterator[ShownFrame]:
    """As ``$c``, with the place of each frame on the stack."""
    return _of_task(call, True) if call.explicit else machine.stackregs(call)


def _of_task(call: Call, with_pointer: bool) -> Iterator[ShownFrame]:
    if call.options.c is not None or len(call.words) > 1:
        raise UsageError("")
    word = call.words[0] if call.words else None
    most = call.session.number(word) if isinstance(word, str) else word
    found = find_thread_stack(call, read_thread(call, call.address))
    if found.problem:
        raise CommandError(f"task {call.address:x} ({found.name}): {found.problem}")
    for one in found.frames[:most]:
        yield ShownFrame(one.pc, one.sp, one.symbol, one.offset, one.module, one.arguments, one.note, with_pointer)

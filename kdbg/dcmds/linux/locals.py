"""Variables on the stack of a task or of a CPU, by debug files (--symbols, --debuginfod)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kdbg.dcmds.linux.frames import function_text
from kdbg.dcmds.linux.threads import read_thread
from kdbg.dcmds.registry import OPTIONAL, Call, View, dcmd, number
from kdbg.errors import CommandError, Error, ReadError
from kdbg.kernels.linux.locals import Local, Variables, saved_registers
from kdbg.kernels.linux.unwind import running, thread_stack, why_none
from kdbg.records import Frame
from kdbg.symbols.model import Kind, Type


@dataclass(frozen=True, slots=True)
class LocalVariable:
    """A variable or parameter of a frame."""

    frame: int
    """Number of the frame, the innermost is 0."""
    pc: int
    function: str
    """Whose it is: the frame's function, or one that is inlined there."""
    name: str
    type: str
    parameter: bool
    address: int | None
    """Where it lies; None for one in a register."""
    value: int | None
    """Of a number or pointer; None for structures, and where it is not known."""
    enumerator: str | None
    absent: str | None
    """Why neither place nor value is known."""
    head: str | None = None
    """The frame as it is shown before its first variable."""
    inlined: bool = False
    """Whether the function is inlined there."""


def _number(data: bytes, of: Type) -> int | None:
    """The number that bytes hold; None where the type is none of numbers."""
    resolved = of.resolved
    if resolved.kind not in (Kind.INTEGER, Kind.POINTER, Kind.ENUM) or not 0 < resolved.size <= 8:
        return None
    signed = resolved.kind is Kind.ENUM or (resolved.encoding is not None and resolved.encoding.signed)
    return int.from_bytes(data[: resolved.size], "little", signed=signed)


def _value(call: Call, local: Local) -> tuple[int | None, str | None]:
    """(value, why it is not known). A register holds the value in its lowest bytes."""
    located, size = local.located, local.type.size
    if located.why:
        return None, located.why
    if located.address is not None:
        if local.type.resolved.kind not in (Kind.INTEGER, Kind.POINTER, Kind.ENUM):
            return None, None
        try:
            return _number(call.kernel.memory.read(located.address, size), local.type), None
        except ReadError as error:
            return None, str(error)
    data = located.data if located.data is not None else (located.value or 0).to_bytes(16, "little", signed=False)
    return _number(data, local.type), None


def _text(record: LocalVariable, view: View) -> str:
    lines = [record.head] if record.head is not None else []
    if record.name:
        place = f" at {record.address:x}" if record.address is not None else ""
        if record.absent is not None:
            told = f"<{record.absent}>"
        elif record.enumerator is not None:
            told = record.enumerator
        elif record.value is not None:
            told = f"{record.value:#x}" if record.value > 9 else str(record.value)
        else:
            told = "..." if record.address is not None else "<not a number>"
        whose = f"{record.function}: " if record.inlined else ""
        lines.append(f"    {whose}{record.type} {record.name} = {told}{place}")
    return "\n".join(lines)


@dcmd("locals", "show the variables of the functions on a stack", address=OPTIONAL, synopsis="[-f frame]",
      options=[number("f", "frame", "of that frame only; the innermost is 0")], needs=("kernel",), module="linux",
      text=_text, pipe=lambda record: record.address,
      help="Of the task at the address, or of the CPU that the dump is about. Wants the kernel's debug file: kdbg "
      "--symbols PATH, or --debuginfod. Structures are shown by their address, for ::print; what the compiler did not "
      "keep says so.",
      example="0t1::pid2proc | ::locals -f 1")  # fmt: skip
def locals_(call: Call) -> Iterator[LocalVariable]:
    """The variables and parameters in scope in each frame, innermost first."""
    try:
        frames, registers, at_once = _stack(call)
        part: Variables = call.kernel.part(Variables)
        for at, (frame, found) in enumerate(part.of_stack(frames, registers, at_once)):
            if call.options.f is None or call.options.f == at:
                yield from _of_frame(call, at, frame, found)
    except Error as error:
        raise CommandError(str(error)) from None
    if call.options.f is not None and call.options.f >= len(frames):
        raise CommandError(f"there is no frame {call.options.f}: the stack has {len(frames)}")


def _stack(call: Call) -> tuple[list[Frame], Mapping[str, int], bool]:
    """(frames, registers of the innermost, whether its instruction runs next)."""
    kernel = call.kernel
    if not kernel.debug_info:
        from kdbg.kernels.linux.debuginfo import NOT_ASKED

        raise CommandError(NOT_ASKED)
    if not call.explicit:
        registers = kernel.registers()
        return kernel.cpu_stack(registers), registers, True
    thread = read_thread(call, call.address)
    if why_none(thread):
        raise CommandError(f"task {thread.address:x} ({thread.name}): {why_none(thread)}")
    on_cpu = running(kernel).get(thread.address)
    saved = on_cpu if on_cpu is not None else saved_registers(kernel, thread)
    return thread_stack(kernel, thread.address), saved, on_cpu is not None


def _of_frame(call: Call, at: int, frame: Frame, found: list[Local]) -> Iterator[LocalVariable]:
    head: str | None = f"#{at} {frame.sp:x} {function_text(frame)}()"
    if not found:
        yield LocalVariable(at, frame.pc, frame.symbol or "", "", "", False, None, None, None, None, head)
    for local in found:
        value, absent = _value(call, local)
        names = {number: name for name, number in local.type.resolved.enumerators} if value is not None else {}
        yield LocalVariable(at, frame.pc, local.function, local.name, local.type.spelling, local.parameter,
                            local.located.address, value, names.get(value or 0), absent, head,
                            local.function != frame.symbol)  # fmt: skip
        head = None

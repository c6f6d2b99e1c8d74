"""Stacks: of the thread that the dump is about, from a frame pointer, and of a thread wherever its frames are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError, Error, ReadError, UsageError
from kdbg.kernels.solaris.findstack import MOST_BYTES, StackFinder
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.stacks import Unwinder
from kdbg.kernels.solaris.threads import FREE, SolarisThread, Threads
from kdbg.records import Frame

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

DEFAULT_ARGUMENTS = 6
"""How many arguments of a frame are shown where no number is given (mdb's ``-o nargs``)."""


@dataclass(frozen=True, slots=True)
class FrameTable(Table):
    """Frames, a line each."""

    with_pointer: bool = False
    """Whether the frame pointer stands before each, as ``$C`` shows it."""
    limit: int = DEFAULT_ARGUMENTS
    """Arguments of a frame that are shown at most; with pointers a 64-bit kernel's are shown all or not at all."""
    indent: str = ""

    def heading(self, view: View) -> None:
        """None."""

    def row(self, record: Frame, view: View) -> str | None:
        """A frame's line; where the chain ends badly the reason is written without a newline behind it, as mdb does."""
        if not record.pc:
            view.session.out.write(f"{self.indent}{record.sp:x} [{record.note}]")
            return None
        pointer = f"{record.sp:0{view.pointer_width}x} " if self.with_pointer else ""
        shown = None if self.with_pointer and self.limit and view.target.bits == 64 else self.limit
        arguments = ", ".join(f"{argument:x}" for argument in record.arguments[:shown])
        return f"{self.indent}{pointer}{view.label(record.pc)}({arguments})"


def argument_limit(call: Call, default: int) -> int:
    """The number behind a command that limits arguments. Raises `UsageError`."""
    if len(call.words) > 1:
        raise UsageError("")
    if not call.words:
        return default
    word = call.words[0]
    if not isinstance(word, str):
        return word
    from kdbg.lang.numbers import to_number

    return to_number(word, call.session.radix)


def _frames(call: Call) -> Iterator[Frame]:
    argument_limit(call, DEFAULT_ARGUMENTS)
    fp, pc = call.address, 0
    if not call.explicit:
        registers = call.target.registers()
        fp = registers.get("rbp", registers.get("ebp", 0))
        pc = registers.get("rip", registers.get("eip", 0))
    unwinder: Unwinder = call.kernel.part(Unwinder)
    return unwinder.frames(fp, pc)


@dcmd(
    "stack,$c",
    "show the stack",
    address=OPTIONAL,
    synopsis="[cnt]",
    words=None,
    needs=("kernel",),
    module="kernel",
    table=lambda call: FrameTable(limit=argument_limit(call, DEFAULT_ARGUMENTS)),
    example="$c",
    help=(
        "Shows the functions that called each other, the innermost first, with their arguments where the "
        "compiler kept them: of the thread that the dump is about, or from the frame pointer given as "
        "address. A number behind it limits the arguments shown."
    ),
    hint=False,
)
def stack(call: Call) -> Iterator[Frame]:
    """Of the thread that the dump is about, or from a frame pointer on."""
    return _frames(call)


@dcmd(
    "stackregs,$C",
    "show the stack with frame pointers",
    address=OPTIONAL,
    synopsis="[cnt]",
    words=None,
    needs=("kernel",),
    module="kernel",
    example="$C",
    table=lambda call: FrameTable(with_pointer=True, limit=argument_limit(call, DEFAULT_ARGUMENTS)),
    help="Shows what $c shows, with the frame pointer before each frame.",
    hint=False,
)
def stackregs(call: Call) -> Iterator[Frame]:
    """As ``$c``, with the frame pointer before each frame."""
    return _frames(call)


# the stack of a thread


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A thread's stack, as far as one was found."""

    address: int
    """Of the thread."""
    name: str
    free: bool
    sp: int
    """Where the frames begin; 0 where none were found."""
    pc: int
    """The saved pc, where the saved stack pointer led to the frames; else 0."""
    frames: tuple[Frame, ...]
    problem: str = ""
    """Why there are no frames."""
    candidates: tuple[tuple[int, int], ...] | None = None
    """Where no chain reached the bottom: (frame pointer, frames) of those that looked like stacks."""


def find_thread_stack(kernel: Solaris, address: int) -> ThreadStack:
    """Find a thread's stack. Raises `CommandError` where there is no thread."""
    try:
        found = kernel.part(StackFinder).find(address)
    except ReadError:
        raise CommandError(f"couldn't read kthread_t from {address:x}") from None
    free = found.state == FREE
    if found.failure:
        candidates = None if found.problem else found.candidates
        return ThreadStack(address, "", free, 0, 0, (), found.problem, candidates)
    name = kernel.part(Threads).record(address).name
    frames = tuple(kernel.part(Unwinder).frames(found.sp))
    return ThreadStack(address, name, free, found.sp, found.pc, frames)


@dataclass(frozen=True, slots=True)
class ThreadStackTable(Table):
    """The lines of ``::findstack``."""

    frames: FrameTable = field(default_factory=lambda: FrameTable())
    """How frames are shown."""
    margin: str = ""

    def heading(self, view: View) -> None:
        """None."""

    def row(self, record: ThreadStack, view: View) -> str | None:
        """Where the stack begins, and its frames; a chain that ends badly leaves its last line unfinished."""
        if record.problem:
            view.session.warn(record.problem)
            return None
        margin = self.margin
        if record.candidates is not None:
            lines = [f"{margin}Possible stack pointers for thread {record.address:x}:"]
            return "\n".join(lines + [f"{margin}  {fp:x} ({levels})" for fp, levels in record.candidates])
        state = " (TS_FREE)" if record.free else ""
        lines = [f"{margin}stack pointer for thread {record.address:x}{state} ({record.name}): {record.sp:x}"]
        if record.pc and view.target.bits == 64:
            lines.append(f"{margin}[ {record.sp:0{view.pointer_width}x} {view.label(record.pc)}() ]")
        for frame in record.frames:
            if not frame.pc:
                view.session.out.write("\n".join([*lines, ""]))
                return self.frames.row(frame, view)
            lines.append(str(self.frames.row(frame, view)))
        return "\n".join(lines)


def _findstack_table(call: Call) -> Table:
    limit = DEFAULT_ARGUMENTS if call.options.v else 0
    return ThreadStackTable(frames=FrameTable(with_pointer=True, limit=limit, indent="  "))


@dcmd(
    "findstack",
    "find the stack of a thread",
    address=REQUIRED,
    synopsis="[-v]",
    words=None,
    needs=("kernel",),
    options=[flag("v", "with arguments")],
    module="genunix",
    table=_findstack_table,
    pipe=lambda record: None,
    example="::walk thread | ::findstack -v",
    help=(
        "Looks for the stack of the thread whose structure lies at the address: from its saved registers, and "
        "if these lead nowhere, by trying what lies on its stack. -v shows arguments."
    ),
    hint=False,
)
def findstack(call: Call) -> Iterator[ThreadStack]:
    """The frames that are found; a further word is run as a command with the stack pointer as dot instead."""
    found = find_thread_stack(call.kernel, call.address)
    if found.problem or found.candidates is not None:
        call.fail()
        yield found
        return
    if len(call.words) > 1 or not all(isinstance(word, str) for word in call.words):
        raise UsageError("")
    call.session.dot = found.sp
    if not call.words:
        yield found
        return
    yield replace(found, frames=())
    _run_indented(call, str(call.words[0]))


def _run_indented(call: Call, command: str) -> None:
    session = call.session
    with session.captured() as sink:
        session.execute(command)
    for line in sink.text().splitlines():
        session.out.write(f"  {line}\n")


# threads that know an address


@dataclass(frozen=True, slots=True)
class StackSlot:
    """A word on a thread's stack."""

    address: int
    """Of the thread."""
    slot: int
    text: str


def stack_state(thread: SolarisThread, slot: int, panic_stack: tuple[int, int] | None = None) -> str:
    """Where a slot lies as to the thread's stack pointer, in mdb's words."""
    if thread.state == "free":
        return " (inactive interrupt thread)"
    if panic_stack is not None and panic_stack[0] <= thread.sp < panic_stack[1]:
        return ""
    if slot >= thread.sp:
        return ""
    return " (possibly below sp)" if thread.state == "onproc" else " (below sp)"


def panic_stack_of(kernel: Solaris) -> tuple[int, int] | None:
    """(start, end) of the stack on which the kernel panics, where it has one of its own."""
    try:
        symbol = kernel.symbol("panic_stack")
    except Error:
        return None
    return symbol.address, symbol.address + symbol.size


@dcmd(
    "whatthread",
    "find the threads whose stacks hold an address",
    address=REQUIRED,
    synopsis="[-v]",
    options=[flag("v", "each place, and where it lies as to the stack pointer")],
    needs=("kernel",),
    module="genunix",
    example="ffffff01d6f09c00::whatthread -v",
    help=(
        "Looks through the stacks of all threads for the value, as one looks for the owner of a buffer. -v "
        "tells where on the stack it lies."
    ),
    hint=False,
)
def whatthread(call: Call) -> Iterator[StackSlot]:
    """Threads that have the address anywhere on their stacks."""
    part: Threads = call.kernel.part(Threads)
    word = call.kernel.bits // 8
    pattern = (call.address & (1 << 8 * word) - 1).to_bytes(word, "little")
    panic_stack = panic_stack_of(call.kernel)
    try:
        for address, thread in part.walk():
            yield from _slots(call, part, address, thread, pattern, panic_stack)
    except StoppedError as broken:
        call.warn(f"failed to read thread at {broken.address:x}: {broken.reason}")


def _slots(
    call: Call,
    part: Threads,
    address: int,
    thread: dict[str, Any],
    pattern: bytes,
    panic_stack: tuple[int, int] | None,
) -> Iterator[StackSlot]:
    base, top = thread["stack_base"], thread["stack_top"]
    if not base:
        return
    record = part.record(address, thread)
    if not record.in_memory:
        call.warn(f"thread {address:x}'s stack swapped out")
        return
    try:
        memory = call.target.read(base, min(max(top - base, 0), MOST_BYTES))
    except ReadError as error:
        raise CommandError(f"couldn't read thread {address:x}'s stack at {base:x}: {error.reason}") from None
    at = memory.find(pattern)
    while at >= 0:
        if at % len(pattern) == 0:
            slot = base + at
            if not call.options.v:
                yield StackSlot(address, slot, f"{address:#x}")
                return
            yield StackSlot(
                address, slot, f"{slot:x} in thread {address:x}'s stack{stack_state(record, slot, panic_stack)}"
            )
        at = memory.find(pattern, at + 1)

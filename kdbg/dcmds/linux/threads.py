"""The tasks of a Linux kernel: their list, and the stack of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from kdbg.dcmds.linux.frames import frame_text, place_text
from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError, Error, ReadError
from kdbg.kernels.linux.tasks import LinuxThread, Tasks
from kdbg.kernels.linux.unwind import running, thread_stack, why_none
from kdbg.kernels.linux.unwind_many import task_stacks
from kdbg.records import Frame

if TYPE_CHECKING:
    from kdbg.dcmds.linux.source import SourceLine

MODULE = "linux"


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """A task's stack."""

    address: int
    """Of the task."""
    name: str
    state: str
    sp: int
    """Where the frames begin; 0 where there are none."""
    frames: tuple[Frame, ...]
    problem: str = ""
    """Why there are none."""
    lines: tuple[tuple[SourceLine, ...], ...] = ()
    """Of each frame, where that was asked for: its place in the sources, behind those of what is inlined there."""


def find_thread_stack(call: Call, thread: LinuxThread) -> ThreadStack:
    """The stack of a task, or why there is none."""
    name, problem, frames = f"{thread.name}/{thread.tid}", why_none(thread), ()
    if not problem:
        try:
            frames = tuple(thread_stack(call.kernel, thread.address))  # type: ignore[assignment]
        except Error as error:
            problem = f"its stack cannot be followed: {error}"
    return ThreadStack(thread.address, name, thread.state, frames[0].sp if frames else 0, frames, problem)


def read_thread(call: Call, address: int, living: bool = False) -> LinuxThread:
    """The task at an address; ``living``: or a thread that has outlived it. Raises `CommandError`."""
    try:
        part: Tasks = call.kernel.part(Tasks)
        return part.living(address) if living else part.record(address)
    except ReadError as error:
        raise CommandError(f"failed to read task_struct at {address:x}: {error.reason}") from None


# the list


@dataclass(frozen=True, slots=True)
class ListedThread(LinuxThread):
    """A task of the list, with its stack where that was asked for."""

    found: ThreadStack | None = None


_MEMBERS = [field.name for field in fields(LinuxThread)]


class ThreadListTable(Table):
    """A row for each task; with ``-v`` its stack below."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        width = view.pointer_width
        return f"{'ADDR':>{width}} {'PROC':>{width}} {'PID':>7} {'TID':>7} S CPU PRI NAME"

    def row(self, record: ListedThread, view: View) -> str:
        """A task."""
        width = view.pointer_width
        cpu = "-" if record.cpu is None else str(record.cpu)
        lines = [
            f"{record.address:0{width}x} {record.process:>{width}x} {record.pid:>7} {record.tid:>7} {record.letter} "
            f"{cpu:>3} {record.priority:>3} {record.whole_name}"
        ]
        if record.found is not None:
            lines += stack_lines(record.found, view, "    ")
            lines.append("")
        return "\n".join(lines)


def stack_lines(found: ThreadStack, view: View, margin: str) -> list[str]:
    """The lines of a stack, or the word why there is none."""
    if found.problem:
        return [f"{margin}<{found.problem}>"]
    lines = []
    for at, frame in enumerate(found.frames):
        lines.append(f"{margin}{frame_text(frame, view)}")
        for place in found.lines[at] if at < len(found.lines) else ():
            function = f"{place.function} " if place.inlined else ""
            mark = " (inlined)" if place.inlined else ""
            lines.append(f"{margin}    at {function}{place_text(place)}{mark}")
    return lines


@dcmd(
    "threadlist",
    "list tasks",
    address=OPTIONAL,
    synopsis="[-tv]",
    needs=("kernel",),
    options=[flag("t", "without the workers of the kernel's work queues"), flag("v", "with their stacks")],
    table=ThreadListTable(),
    module=MODULE,
    help="All tasks with their process, ids, state (as ps shows it), CPU and priority; those of the idle CPUs first.",
    example="::threadlist -t",
)
def threadlist(call: Call) -> Iterator[LinuxThread | None]:
    """One task or all."""
    yield None  # the headings stand also where no task can be read
    wanted = (record for record in _readable(call) if not (call.options.t and record.worker))
    if not call.options.v:
        for record in wanted:
            yield ListedThread(**{name: getattr(record, name) for name in _MEMBERS})
        return
    for stack in task_stacks(call.kernel, wanted):
        record, frames = stack.thread, stack.frames
        found = ThreadStack(record.address, f"{record.name}/{record.tid}", record.state,
                            frames[0].sp if frames else 0, frames, stack.problem)  # fmt: skip
        yield ListedThread(**{name: getattr(record, name) for name in _MEMBERS}, found=found)


def _readable(call: Call) -> Iterator[LinuxThread]:
    """The task at the address, or all; those that cannot be read are said."""
    part: Tasks = call.kernel.part(Tasks)
    for address in (call.address,) if call.explicit else part.walk():
        try:
            yield part.record(address)
        except ReadError as error:
            call.fail(f"failed to read task_struct at {address:x}: {error.reason}")


# one stack


def _findstack_text(record: ThreadStack, view: View) -> str | None:
    if record.problem:
        view.session.warn(f"task {record.address:x} ({record.name}): {record.problem}")
        return None
    head = f"stack pointer for thread {record.address:x} ({record.name}): {record.sp:x}"
    return "\n".join([head, *stack_lines(record, view, "  ")])


@dcmd(
    "findstack",
    "show the stack of a task",
    address=REQUIRED,
    synopsis="[-lv]",
    needs=("kernel",),
    options=[
        flag("l", "with source lines, and the functions that are inlined (wants debug files: --symbols)"),
        flag("v", "taken for mdb's sake: everything is shown anyway"),
    ],
    module=MODULE,
    text=_findstack_text,
    pipe=lambda record: None,
    help="The frames of the task at the address, the innermost first: by the kernel's own unwind tables (ORC) on "
    "x86-64, by frame pointers on arm64; of a task on a CPU from the CPU's registers. What is odd stands in brackets.",
    example="0t1::pid2proc | ::findstack -v",
)
def findstack(call: Call) -> Iterator[ThreadStack]:
    """The stack of the task at the address."""
    found = find_thread_stack(call, read_thread(call, call.address))
    if found.problem:
        call.fail()
    yield _with_lines(call, found) if call.options.l else found


def _with_lines(call: Call, found: ThreadStack) -> ThreadStack:
    """The stack with source lines. Raises `CommandError` where there are no debug files."""
    from kdbg.dcmds.linux.source import frame_lines
    from kdbg.kernels.linux.debuginfo import NOT_ASKED

    info = call.kernel.debug_info
    if not info:
        raise CommandError(NOT_ASKED)
    on_cpu = found.address in running(call.kernel)
    lines = tuple(tuple(frame_lines(info, found.frames, at, on_cpu)) for at in range(len(found.frames)))
    return replace(found, lines=lines)

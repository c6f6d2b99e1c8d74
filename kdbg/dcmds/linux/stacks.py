"""Tasks grouped by their stacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.frames import function_text
from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag, word
from kdbg.errors import ReadError, SymbolNotFound, UsageError
from kdbg.kernels.linux.panic import panic
from kdbg.kernels.linux.symbols import MAIN
from kdbg.kernels.linux.tasks import LETTERS, STATES, LinuxThread, Tasks
from kdbg.kernels.linux.unwind_many import TaskStack, task_stacks
from kdbg.kernels.linux.waits import KINDS, Waits
from kdbg.lang.errors import Abort
from kdbg.records import Address, Frame

EVERY, IN_PANIC = "ALL", "panic"
"""Words of -s for whatever is waited for, of -t for the task that panicked."""
Test = Callable[["StackGroup"], bool]


@dataclass(frozen=True, slots=True)
class StackGroup:
    """Tasks in the same state with the same stack."""

    address: int
    """Of the first of them."""
    threads: tuple[int, ...]
    state: str
    count: int
    failure: str | None
    """Why there is no stack."""
    frames: tuple[Frame, ...]
    """Of the first of them, those in the kernel; innermost first."""
    idle: bool = False
    """Whether it is of little interest: workers of work queues, zombies."""
    sync_object: str = ""
    """What they wait for, as far as the functions on the stack tell: mutex, rwsem, completion ... (``::blocked``)."""

    @property
    def pcs(self) -> tuple[int, ...]:
        """Return addresses, innermost first."""
        return tuple(frame.pc for frame in self.frames)


@dataclass(frozen=True, slots=True)
class GroupTable(Table):
    """A group: its tasks, and below them the stack."""

    everything: bool = False
    """All tasks of each group."""

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'THREAD':<{view.pointer_width}} STATE           COUNT"

    def row(self, record: StackGroup, view: View) -> str:
        """The group."""
        width = view.pointer_width
        lines = []
        for at, thread in enumerate(record.threads if self.everything else record.threads[:1]):
            count = str(record.count) if at == 0 else "-"
            lines.append(f"{thread:<{width}x} {record.state:<12} {count:>8}")
        blanks = " " * (width + 1)
        if record.failure is not None:
            lines.append(f"{blanks}<{record.failure}>")
        notes = (f"  [{frame.note}]" if frame.note else "" for frame in record.frames)
        lines += [f"{blanks}{function_text(one)}{note}" for one, note in zip(record.frames, notes, strict=True)]
        return "\n".join([*lines, ""])


class Gathered:
    """The groups of all tasks, kept for the next time."""

    def __init__(self, _: object) -> None:
        self.groups: list[StackGroup] | None = None


@dcmd(
    "stacks",
    "group tasks by their stacks",
    address=OPTIONAL,
    synopsis="[-afiv] [-c func] [-C func] [-m module] [-M module] [-s sobj | -S sobj] [-t tstate | -T tstate]",
    needs=("kernel",),
    options=[
        flag("a", "all tasks of each group"),
        flag("f", "look at all stacks afresh"),
        flag("i", "leave out what is rarely of interest: workers of work queues, zombies"),
        word("c", "func", "stacks in that function"),
        word("C", "func", "stacks that are not in it"),
        word("m", "module", "stacks in that module"),
        word("M", "module", "stacks that are not in it"),
        flag("v", "tell what is being done"),
        word("s", "sobj", "tasks that wait for that: mutex, rwsem, completion, futex ... (ALL: for any of these)"),
        word("S", "sobj", "tasks that do not"),
        word("t", "tstate", "tasks in that state: a word of ::stacks, or ps's letter (panic: that panicked)"),
        word("T", "tstate", "tasks that are not"),
    ],
    table=lambda call: GroupTable(everything=bool(call.options.a)),
    module="linux",
    help="The stacks of all tasks, or of the one at the address, or of those that a pipe brings; large groups first. "
    "The functions of -c and -C are expressions.",
    example="::stacks -t D",
)
def stacks(call: Call) -> Iterator[StackGroup | Address]:
    """Groups of tasks, large ones first."""
    if call.piped_in and not call.first:
        return
    tests = list(_tests(call))
    if call.explicit:
        groups = _group(call, sorted(set(call.batch)) if call.piped_in else [call.address])
    else:
        kept: Gathered = call.kernel.part(Gathered)
        if kept.groups is None or call.options.f:
            kept.groups = _group(call, call.kernel.part(Tasks).walk())
        groups = kept.groups
    if call.options.v:
        call.warn(f"stacks: {sum(group.count for group in groups)} tasks with {len(groups)} stacks")
    for group in groups:
        if all(test(group) for test in tests):
            if call.piped_out:
                yield from (Address(thread) for thread in group.threads)
            else:
                yield group


def _group(call: Call, threads: Iterable[int]) -> list[StackGroup]:
    members: dict[tuple[str, str | None, tuple[int, ...]], list[int]] = {}
    examples: dict[tuple[str, str | None, tuple[int, ...]], TaskStack] = {}
    in_kernel = call.kernel.in_kernel
    for found in task_stacks(call.kernel, _records(call, threads)):
        pcs = tuple(pc for pc in found.pcs if in_kernel(pc))
        problem = found.problem or (None if pcs else "in user mode")
        key = (found.thread.state, problem, pcs)
        members.setdefault(key, []).append(found.thread.address)
        examples.setdefault(key, found)
    groups = [_grouped(call, key[1], one, tuple(members[key])) for key, one in examples.items()]
    return sorted(groups, key=lambda group: (-group.count, group.state, [frame.symbol or "" for frame in group.frames]))


def _records(call: Call, threads: Iterable[int]) -> Iterator[LinuxThread]:
    """The tasks at addresses; those that cannot be read are said."""
    part: Tasks = call.kernel.part(Tasks)
    for address in threads:
        try:
            yield part.record(address)
        except ReadError:
            call.warn(f"couldn't read task at {address:x}")


def _grouped(call: Call, failure: str | None, first: TaskStack, threads: tuple[int, ...]) -> StackGroup:
    frames = tuple(frame for frame in first.frames if call.kernel.in_kernel(frame.pc))
    task = first.thread
    waits: Waits = call.kernel.part(Waits)
    kind = waits.functions(frames)[2] if task.state != "running" else ""
    return StackGroup(task.address, threads, task.state, len(threads), failure, frames, _dull(task), kind)


def _dull(thread: LinuxThread) -> bool:
    return thread.worker or thread.state == "zombie"


def _tests(call: Call) -> Iterator[Test]:
    """What a group has to be, by the options. Raises `UsageError`, `Abort`."""
    options = call.options
    if options.t is not None and options.T is not None:
        raise UsageError("stacks: only one of -t and -T can be specified")
    if options.s is not None and options.S is not None:
        raise UsageError("stacks: only one of -s and -S can be specified")
    if options.i:
        yield lambda group: not group.idle
    for expression, wanted in ((options.c, True), (options.C, False)):
        if expression is not None:
            yield _passes(*_function(call, expression), wanted)
    call.session.dot = call.address
    for name, wanted in ((options.m, True), (options.M, False)):
        if name is not None:
            yield _in_module(call, name, wanted)
    for state, wanted in ((options.t, True), (options.T, False)):
        if state is not None:
            yield _in_state(call, state, wanted)
    for kind, wanted in ((options.s, True), (options.S, False)):
        if kind is not None:
            yield _waits_for(kind, wanted)


def _passes(start: int, end: int, wanted: bool) -> Test:
    return lambda group: any(start <= pc < end for pc in group.pcs) is wanted


def _function(call: Call, expression: str) -> tuple[int, int]:
    """(start, end) of the function, or of the one address, that an expression gives."""
    session = call.session
    session.dot = 0
    if not session.execute(expression):
        raise Abort(f'stacks: evaluation of "{expression}" failed: failed to parse command')
    start = session.dot
    try:
        symbol, offset = call.target.nearest(start)
    except SymbolNotFound:
        return start, start + 1
    return start, start + (1 if offset else symbol.size)


def _in_module(call: Call, name: str, wanted: bool) -> Test:
    if name != MAIN and all(module.name != name for module in call.kernel.modules()):
        raise Abort(f'stacks: module "{name}" is unknown')
    return lambda group: any(frame.module == name for frame in group.frames) is wanted


def _waits_for(kind: str, wanted: bool) -> Test:
    if kind.upper() == EVERY:
        return lambda group: bool(group.sync_object) is wanted
    known = {one.replace(" ", ""): one for one, _ in KINDS}
    if kind.lower().replace(" ", "") not in {one.lower() for one in known}:
        raise UsageError(f'sobj "{kind}" not recognized; known: {", ".join(known)}, {EVERY}')
    told = kind.lower().replace(" ", "")
    return lambda group: (group.sync_object.lower().replace(" ", "") == told) is wanted


def _in_state(call: Call, state: str, wanted: bool) -> Test:
    if state.lower() == IN_PANIC:
        ended = panic(call.kernel)
        thread = ended.thread if ended is not None else None
        return lambda group: (thread in group.threads) is wanted
    word_of = STATES[LETTERS.index(state)] if len(state) == 1 and state in LETTERS else state.lower()
    if word_of not in STATES:
        raise UsageError(f'tstate "{state}" not recognized')
    return lambda group: (group.state == word_of) is wanted

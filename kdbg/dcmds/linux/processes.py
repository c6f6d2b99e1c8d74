"""Processes of a Linux kernel: the list, the tree, and finding one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kdbg.dcmds.linux.walkers import processes as walk_processes
from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Table, View, Walk, dcmd, flag
from kdbg.errors import CommandError, Error, ReadError, UsageError
from kdbg.kernels.linux.tasks import LinuxProcess, LinuxThread, Tasks
from kdbg.records import Address

MODULE = "linux"


@dataclass(frozen=True, slots=True)
class ListedProcess(LinuxProcess):
    """A process of the list, with its threads where they were asked for."""

    threads: tuple[LinuxThread, ...] = ()


_MEMBERS = list(LinuxProcess.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class ProcessTable(Table):
    """The columns of ``::ps``, as of a Solaris kernel; ``arguments``: the command line instead of the name."""

    arguments: bool = False

    def heading(self, view: View) -> str:
        """The headings."""
        return f"S PID    PPID   PGID   SID    UID    FLAGS      {'ADDR':<{view.pointer_width}} NAME"

    def row(self, record: LinuxProcess, view: View) -> str:
        """A process, and a line for each thread where they were asked for."""
        ids = (record.pid, record.parent_pid, record.group, record.session, record.uid)
        numbers = "".join(f"{'-' if one is None else one:<6} " for one in ids)
        name = record.arguments if self.arguments else record.name
        lines = [f"{record.state} {numbers}0x{record.flags:08x} {record.address:0{view.pointer_width}x} {name}"]
        threads: tuple[LinuxThread, ...] = getattr(record, "threads", ())
        width = view.pointer_width
        lines += [f"\tT  {one.address:>{width}x} <{one.state}> {one.tid} {one.name}" for one in threads]
        return "\n".join(lines)


@dcmd(
    "ps",
    "list processes",
    address=OPTIONAL,
    plain_usage=True,
    synopsis="[-ft]",
    needs=("kernel",),
    module=MODULE,
    options=[flag("f", "with their command lines"), flag("t", "with their threads")],
    table=lambda call: ProcessTable(arguments=bool(call.options.f)),
    help="Processes with their ids, owner, flags and address (of the task that leads each).",
    example="::ps -f",
)
def ps(call: Call) -> Iterator[LinuxProcess | None]:
    """One process or all, parents first."""
    for address in (call.address,) if call.explicit else walk_processes(Walk(call.session, "proc", None)):
        yield None
        record = _record(call, address)
        if record is not None:
            yield _with_threads(call, record) if call.options.t else record


def _record(call: Call, address: int) -> LinuxProcess | None:
    part: Tasks = call.kernel.part(Tasks)
    try:
        record = part.process(address)
    except ReadError:
        call.fail(f"couldn't read task_struct from {address:x}")
        return None
    if call.name == "ps" and call.options.f:
        return replace(record, arguments=call.kernel.command_line(record.mm) or f"[{record.arguments}]")
    return record


def _with_threads(call: Call, record: LinuxProcess) -> ListedProcess:
    part: Tasks = call.kernel.part(Tasks)
    threads = tuple(part.record(one) for one in part.threads_of(record.address))
    return ListedProcess(**{name: getattr(record, name) for name in _MEMBERS}, threads=threads)


@dcmd(
    "ptree",
    "show processes as a tree",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, view: f"{'     ' * record.depth}{record.address:0{view.pointer_width}x}  {record.name}",
    example="0t1::pid2proc | ::ptree",
    help="Shows all processes, children indented below their parents; with the address of a process its "
    "ancestors, itself and its descendants.",
    hint=False,
)
def ptree(call: Call) -> Iterator[LinuxProcess]:
    """All processes, or the ancestors of one, itself and those below it."""
    depths: dict[int, int] = {}
    for address in _ancestors(call) if call.explicit else []:
        record = _record(call, address)
        if record is not None:
            depths[address] = len(depths)
            yield replace(record, depth=depths[address])
    for address in walk_processes(Walk(call.session, "proc", call.address if call.explicit else None)):
        record = _record(call, address)
        if record is not None:
            above = depths.get(_leader(call, record.parent))
            depths[address] = 0 if above is None else above + 1
            yield replace(record, depth=depths[address])


def _leader(call: Call, task: int) -> int:
    """The leader of a parent's process: any of its threads may be the parent."""
    part: Tasks = call.kernel.part(Tasks)
    try:
        return part.record(task).process
    except Error:
        return task


def _ancestors(call: Call) -> list[int]:
    part: Tasks = call.kernel.part(Tasks)
    found: list[int] = []
    address = call.address
    while True:
        try:
            parent = _leader(call, part.record(address).parent)
        except ReadError as error:
            call.warn(f"couldn't read task_struct from {address:x}: {error.reason}")
            break
        if not parent or parent == address or parent in found:
            break
        found.append(parent)
        address = parent
    return found[::-1]


@dcmd(
    "pgrep",
    "find processes by name",
    address=NONE,
    synopsis="[-x] [-n | -o] pattern",
    words=None,
    needs=("kernel",),
    options=[flag("x", "the whole name matches"), flag("n", "only the newest"), flag("o", "only the oldest")],
    lenient=True,
    table=ProcessTable(),
    module=MODULE,
    example="::pgrep -x sshd",
    help="Shows the processes whose names match an extended regular expression. -x: the whole name must match; "
    "-n, -o: the newest or oldest alone.",
    hint=False,
)
def pgrep(call: Call) -> Iterator[LinuxProcess]:
    """The processes whose names match an extended regular expression, in the order of the tree."""
    from kdbg.dcmds.ere import PatternError, compile_ere

    if len(call.words) != 1 or not isinstance(call.words[0], str) or (call.options.n and call.options.o):
        raise UsageError("")
    try:
        pattern = compile_ere(call.words[0])
    except PatternError as error:
        raise CommandError(str(error)) from None
    matches = pattern.fullmatch if call.options.x else pattern.search
    records = (_record(call, address) for address in walk_processes(Walk(call.session, "proc", None)))
    found = [record for record in records if record is not None and matches(record.name)]
    if found and (call.options.n or call.options.o):
        choose = max if call.options.n else min
        found = [choose(found, key=lambda record: record.started)]
    yield from found


@dcmd(
    "pid2proc",
    "find a process by its id",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, _: f"{record.address:x}",
    example="0t1::pid2proc",
    help="Gives the address of the task that leads the process with an id, for a pipe. Ids are numbers in the "
    "default radix: write 0t for decimal ones.",
    hint=False,
)
def pid2proc(call: Call) -> Iterator[Address]:
    """The address of the process whose id is the address (dot, where none is given)."""
    part: Tasks = call.kernel.part(Tasks)
    pid = call.address & 0xFFFFFFFF
    address = part.by_pid(pid)
    if address is None:
        raise CommandError(f"PID 0t{pid} not found")
    yield Address(address)

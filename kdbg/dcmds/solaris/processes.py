"""Processes: the list, the tree, and finding one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Table, View, Walk, dcmd, flag
from kdbg.dcmds.solaris.walkers import each_thread
from kdbg.dcmds.solaris.walkers import processes as walk_processes
from kdbg.errors import CommandError, ReadError, UsageError
from kdbg.kernels.solaris.processes import Processes, SolarisProcess
from kdbg.kernels.solaris.threads import STATES, SolarisThread, Threads
from kdbg.records import Address

MODULE = "genunix"

_STATE_NAMES = {name: f"TS_{name.upper()}" for name in STATES.values()} | {"zomb": "TS_ZOMB"}


@dataclass(frozen=True, slots=True)
class ListedProcess(SolarisProcess):
    """A process of the list, with its threads where they were asked for."""

    threads: tuple[SolarisThread, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessTable(Table):
    """The columns of ``::ps``; ``shown``: letters of the options given."""

    shown: str = ""

    def heading(self, view: View) -> str:
        """The headings."""
        more = "".join(f"{title:<{width}} " for letter, (title, width) in _EXTRA.items() if letter in self.shown)
        return f"S PID    PPID   PGID   SID    {more}UID    FLAGS      {'ADDR':<{view.pointer_width}} NAME"

    def row(self, record: SolarisProcess, view: View) -> str:
        """A process, and a line for each thread where they were asked for."""
        numbers = "".join(
            f"{_number(one):<6} " for one in (record.pid, record.parent_pid, record.group, record.session)
        )
        values = {"T": record.task, "P": record.project, "z": record.zone}
        more = "".join(f"{_number(value):<5} " for letter, value in values.items() if letter in self.shown)
        if "s" in self.shown:
            more += f"{record.service:<40} "
        name = record.arguments if "f" in self.shown else record.name
        lines = [
            f"{record.state} {numbers}{more}{_number(record.uid):<6} 0x{record.flags:08x} "
            f"{record.address:0{view.pointer_width}x} {name}"
        ]
        for thread in getattr(record, "threads", ()):
            lines += self._thread(thread, view)
        return "\n".join(lines)

    def _thread(self, thread: SolarisThread, view: View) -> Iterator[str]:
        width = view.pointer_width
        if "t" in self.shown:
            yield f"\tT  {view.label(thread.address):>{width}} <{_STATE_NAMES.get(thread.state, '')}>"
        if "l" in self.shown:
            description = view.session.target.kernel.part(Threads).describe(thread, with_command=False)
            yield f"\tL  {view.label(thread.lwp):>{width}} ID: {description}"


_EXTRA = {"T": ("TASK", 5), "P": ("PROJ", 5), "z": ("ZONE", 5), "s": ("SERVICE", 40)}


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _process_table(call: Call) -> Table:
    return ProcessTable(shown="".join(letter for letter in "flstzTP" if call.options[letter]))


@dcmd(
    "ps",
    "list processes",
    address=OPTIONAL,
    plain_usage=True,
    synopsis="[-fltzTP]",
    needs=("kernel",),
    module=MODULE,
    options=[
        flag("f", "with arguments"),
        flag("l", "with their lwps"),
        flag("s", "with the service"),
        flag("t", "with their threads"),
        flag("z", "with the zone"),
        flag("T", "with the task"),
        flag("P", "with the project"),
    ],
    table=_process_table,
    help="Processes with their ids, owner, flags and address.",
    example="::ps -f",
)
def ps(call: Call) -> Iterator[SolarisProcess | None]:
    """One process or all, parents first."""
    for address in _addresses(call):
        yield None
        yield from _listed(call, address)


def _listed(call: Call, address: int) -> Iterator[SolarisProcess]:
    try:
        record = call.kernel.part(Processes).record(address)
    except ReadError:
        call.fail(f"couldn't read proc_t from {address:x}")
        return
    if not (call.options.t or call.options.l):
        yield record
        return
    part: Threads = call.kernel.part(Threads)
    threads = tuple(part.record(one) for one in each_thread(Walk(call.session, "thread", address), address))
    yield _with_threads(record, threads)


def _with_threads(record: SolarisProcess, threads: tuple[SolarisThread, ...]) -> ListedProcess:
    return ListedProcess(**{name: getattr(record, name) for name in _MEMBERS}, threads=threads)


_MEMBERS = list(SolarisProcess.__dataclass_fields__)


def _addresses(call: Call) -> Iterator[int]:
    if call.explicit:
        return iter((call.address,))
    return walk_processes(Walk(call.session, "proc", None))


@dcmd(
    "ptree",
    "show processes as a tree",
    address=OPTIONAL,
    words=None,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, view: f"{'     ' * record.depth}{record.address:0{view.pointer_width}x}  {record.name}",
    example="0t1::pid2proc | ::ptree",
    help=(
        "Shows all processes, children indented below their parents; with the address of a process its "
        "ancestors, itself and its descendants."
    ),
    hint=False,
)
def ptree(call: Call) -> Iterator[SolarisProcess]:
    """All processes, or the ancestors of one, itself and those below it."""
    part: Processes = call.kernel.part(Processes)
    if call.explicit:
        above, broken = part.ancestors(call.address)
        if broken is not None:
            call.warn(f"couldn't read proc_t from {broken.address:x}")
            call.warn(f"couldn't read ancestor at {broken.address:x}: {broken.reason}")
            above = [address for address in above if address != broken.address]
        for depth, address in enumerate(above):
            yield replace(part.record(address), depth=depth)
    for address in walk_processes(Walk(call.session, "proc", call.address if call.explicit else None)):
        yield replace(part.record(address), depth=part.depth(address))


@dcmd(
    "pgrep",
    "find processes by name",
    address=NONE,
    synopsis="[-x] [-n | -o] pattern",
    words=None,
    needs=("kernel",),
    options=[flag("x", "the whole name matches"), flag("n", "only the newest"), flag("o", "only the oldest")],
    lenient=True,
    table=lambda call: ProcessTable(),
    module=MODULE,
    example="::pgrep -x sshd",
    help=(
        "Shows the processes whose names match an extended regular expression. -x: the whole name must match; "
        "-n, -o: the newest or oldest alone."
    ),
    hint=False,
)
def pgrep(call: Call) -> Iterator[SolarisProcess]:
    """The processes whose names match an extended regular expression, in the order of the tree."""
    from kdbg.dcmds.ere import PatternError, compile_ere

    if len(call.words) != 1 or not isinstance(call.words[0], str) or (call.options.n and call.options.o):
        raise UsageError("")
    try:
        pattern = compile_ere(call.words[0])
    except PatternError as error:
        raise CommandError(str(error)) from None
    part: Processes = call.kernel.part(Processes)
    found: SolarisProcess | None = None
    for address in walk_processes(Walk(call.session, "proc", None)):
        record = part.record(address)
        if not (pattern.fullmatch if call.options.x else pattern.search)(record.name):
            continue
        if not (call.options.n or call.options.o):
            yield record
        elif found is None or (record.started > found.started if call.options.n else record.started < found.started):
            found = record
    if found is not None:
        yield found


@dcmd(
    "pid2proc",
    "find a process by its id",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, _: f"{record.address:x}",
    example="0t1::pid2proc",
    help=(
        "Gives the address of the process with an id, for a pipe. Ids are numbers in the default radix: write "
        "0t for decimal ones."
    ),
    hint=False,
)
def pid2proc(call: Call) -> Iterator[Address]:
    """The address of the process whose id is the address (dot, where none is given)."""
    pid = call.address & 0xFFFFFFFF
    pid -= (pid & 0x80000000) << 1
    address = call.kernel.part(Processes).by_pid(pid)
    if not address:
        raise CommandError(f"PID 0t{pid} not found")
    yield Address(address)

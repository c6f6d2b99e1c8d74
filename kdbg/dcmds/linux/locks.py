"""Locks of a Linux kernel, and the tasks that wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kdbg.dcmds.linux.threads import find_thread_stack
from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError, Error, ReadError
from kdbg.kernels.linux.locks import LOCKS, Lock
from kdbg.kernels.linux.tasks import LinuxThread, Tasks
from kdbg.kernels.linux.waits import CONTENDED, Blocked, Waits, deadlocked

MODULE = "linux"


class LockTable(Table):
    """A lock: its holder, and below it those that wait for it."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'ADDR':>{view.pointer_width}} TYPE      {'HELD':>{view.pointer_width}} FLAGS            WAITERS"

    def row(self, record: Lock, view: View) -> str:
        """The lock; a line for each task that waits."""
        width = view.pointer_width
        if record.owner is not None:
            held = f"{record.owner:0{width}x}"
        elif record.kind == "semaphore":
            held = f"{record.readers} left"
        else:
            held = f"{record.readers} readers" if record.readers else "yes" if record.held else "no"
        flags, waiters = ",".join(record.flags) or "-", str(len(record.waiters) or "no")
        lines = [f"{record.address:0{width}x} {record.kind:<9} {held:>{width}} {flags:<16} {waiters}"]
        if record.owner is not None:
            lines.append(f"{' ' * width} held by   {record.owner:0{width}x} {record.owner_name}/{record.owner_pid}")
        modes = ((one.mode or "waiting", one) for one in record.waiters)
        lines += [f"{' ' * width} {mode:<9} {one.task:0{width}x} {one.name}/{one.pid}" for mode, one in modes]
        return "\n".join(lines)


def _lock(call: Call, kind: str) -> Iterator[Lock]:
    try:
        yield LOCKS[kind](call.kernel, call.address)
    except Error as error:
        raise CommandError(f"{kind} at {call.address:x}: {error}") from None


_HELP = "Whether it is held and by which task, and the tasks that wait for it, the next one first."


@dcmd("mutex", "show a mutex", address=REQUIRED, needs=("kernel",), module=MODULE, table=LockTable(), help=_HELP,
      pipe=lambda record: record.owner, example="slab_mutex::mutex")  # fmt: skip
def mutex(call: Call) -> Iterator[Lock]:
    """The struct mutex at the address."""
    return _lock(call, "mutex")


@dcmd("rwsem,rwlock", "show an rw_semaphore", address=REQUIRED, needs=("kernel",), module=MODULE, table=LockTable(),
      help=f"{_HELP} Readers are counted: which tasks they are a lock of this kind does not know.",
      pipe=lambda record: record.owner, example="namespace_sem::rwsem")  # fmt: skip
def rwsem(call: Call) -> Iterator[Lock]:
    """The struct rw_semaphore at the address."""
    return _lock(call, "rwsem")


@dcmd("semaphore", "show a semaphore", address=REQUIRED, needs=("kernel",), module=MODULE, table=LockTable(),
      help="How many more may have it, and the tasks that wait for it.", pipe=lambda record: record.owner,
      example="console_sem::semaphore")  # fmt: skip
def semaphore(call: Call) -> Iterator[Lock]:
    """The struct semaphore at the address."""
    return _lock(call, "semaphore")


# tasks that wait


def _waiting(call: Call, addresses: Iterator[int] | tuple[int, ...]) -> Iterator[tuple[LinuxThread, Blocked]]:
    """Tasks that are off their CPUs, and what they wait for."""
    part, waits = call.kernel.part(Tasks), call.kernel.part(Waits)
    for address in addresses:
        try:
            thread = part.record(address)
        except ReadError as error:
            call.fail(f"failed to read task_struct at {address:x}: {error.reason}")
            continue
        if thread.on_cpu or thread.state in ("running", "zombie", "dead"):
            continue
        found = find_thread_stack(call, thread)
        if found.problem:
            call.warn(f"task {address:x} ({found.name}): {found.problem}")
        yield thread, waits.blocked(thread, found.frames)


class BlockedTable(Table):
    """Tasks that wait, a line each."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        width = view.pointer_width
        return f"{'ADDR':<{width}} {'TID':>7} S {'WAITED':>9} {'TYPE':<12} {'OBJECT':<{width}} WHAT"

    def row(self, record: Blocked, view: View) -> str:
        """A task: how long it has waited, for what, in which function, and who has it."""
        width = view.pointer_width
        waited = "-" if record.waited is None else f"{record.waited:.2f}s"
        kind = f"{record.kind} {record.mode}" if record.mode else record.kind or "-"
        place = "-" if record.object is None else f"{record.object:x}"
        where = " < ".join(dict.fromkeys(one for one in (record.function, record.caller) if one)) or "-"
        line = f"{record.address:0{width}x} {record.tid:>7} {_letter(record)} {waited:>9} {kind:<12} {place:<{width}} "
        line += f"{record.name}: {where}"
        if record.label:
            line += f", {record.label}"
        if record.owner is not None:
            line += f", held by {record.owner_name}/{record.owner_pid} {record.owner:x}"
        elif record.readers:
            line += f", held by {record.readers} readers"
        return line + (", a deadlock" if record.deadlock else "")


def _letter(record: Blocked) -> str:
    from kdbg.kernels.linux.tasks import LETTERS, STATES

    return LETTERS[STATES.index(record.state)] if record.state in STATES else "?"


@dcmd(
    "blocked",
    "list the tasks that are blocked, and what each waits for",
    address=OPTIONAL,
    synopsis="[-a]",
    needs=("kernel",),
    module=MODULE,
    options=[flag("a", "all tasks that sleep, whatever for")],
    table=BlockedTable(),
    help="Tasks in uninterruptible sleep, and those that wait for a lock that another one holds, the longest first: "
    "how long they have waited, for what (a mutex, an rwsem, a completion, a queue, a futex of a process ...), in "
    "which function, and who holds it; tasks that wait for each other in a circle are marked. An address: the task "
    "that lies there. The time is that since the task last got a CPU.",
    example="::blocked",
)
def blocked(call: Call) -> Iterator[Blocked]:
    """Blocked tasks, or one."""
    part: Tasks = call.kernel.part(Tasks)
    found = []
    for thread, record in _waiting(call, (call.address,) if call.explicit else part.walk()):
        if call.explicit or call.options.a or thread.state == "disk sleep" or record.kind in CONTENDED:
            found.append(record)
    circle = deadlocked(found)
    for record in sorted(found, key=lambda record: -(record.waited or 0)):
        yield replace(record, deadlock=True) if record.address in circle else record


@dataclass(frozen=True, slots=True)
class WaitChannel:
    """What tasks wait for."""

    address: int
    kind: str
    label: str | None
    """Its symbol, where it is a variable."""
    owner: int | None
    owner_pid: int | None
    owner_name: str | None
    count: int
    """How many wait."""
    waiters: tuple[tuple[int, int, str], ...]
    """(task, tid, name) of each."""


class ChannelTable(Table):
    """What is waited for, and below it the tasks."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'WCHAN':<{view.pointer_width}} {'TYPE':<10} NWAITERS WHAT"

    def row(self, record: WaitChannel, view: View) -> str:
        """A line for the object, one for each task."""
        width = view.pointer_width
        what = [record.label] if record.label else []
        what += [f"held by {record.owner_name}/{record.owner_pid} {record.owner:x}"] if record.owner is not None else []
        lines = [f"{record.address:0{width}x} {record.kind:<10} {record.count:>8} {', '.join(what)}".rstrip()]
        lines += [f"{' ' * width} {task:0{width}x} {name}/{tid}" for task, tid, name in record.waiters]
        return "\n".join(lines)


@dcmd(
    "wchan,wchaninfo",
    "list what tasks wait for, and who waits",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    table=ChannelTable(),
    help="Locks, completions and queues that tasks wait for, those with the most tasks first; or the one at the "
    "address. Futexes are shown by the addresses that processes know them by.",
    example="::wchan",
)
def wchan(call: Call) -> Iterator[WaitChannel]:
    """Each object with the tasks that wait for it."""
    groups: dict[tuple[int, str, int], list[Blocked]] = {}
    for thread, record in _waiting(call, call.kernel.part(Tasks).walk()):
        if record.object is not None and (not call.explicit or record.object == call.address):
            space = 0 if call.kernel.in_kernel(record.object) else thread.mm
            groups.setdefault((record.object, record.kind, space), []).append(record)
    if call.explicit and not groups:
        raise CommandError(f"{call.address:x}: no task is known to wait for it")
    for (address, kind, _), members in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        one = members[0]
        waiters = tuple((each.address, each.tid, each.name) for each in members)
        yield WaitChannel(address, kind, one.label, one.owner, one.owner_pid, one.owner_name, len(members), waiters)

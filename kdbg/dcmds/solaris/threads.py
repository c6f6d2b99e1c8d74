"""Threads: one in detail, and the list of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, Walk, dcmd, flag
from kdbg.dcmds.solaris.stack import FrameTable, ThreadStack, ThreadStackTable, argument_limit, find_thread_stack
from kdbg.dcmds.solaris.walkers import each_thread
from kdbg.errors import CommandError, ReadError, UsageError
from kdbg.kernels.solaris.clock import lbolt
from kdbg.kernels.solaris.threads import SolarisThread, Threads

MODULE = "genunix"
OPS_WIDTH = 11
"""Characters of the name of a synchronisation object's operations."""


@dataclass(frozen=True, slots=True)
class ThreadTable(Table):
    """The sets of columns of ``::thread``, one below the other, or joined (``-m``)."""

    sets: str = "i"
    """Letters of the sets, in the order in which they are shown."""
    merged: bool = False
    ticks: int = 0
    """The clock as the dump was taken."""

    def heading(self, view: View) -> str:
        """The headings of all sets."""
        width = view.pointer_width
        parts = {
            "p": f" {'PROC':>{width}} {'LWP':>{width}} {'CRED':>{width}}",
            "i": f"    STATE  FLG PFLG SFLG   PRI  EPRI PIL {'INTR':>{width}}",
            "b": f" {'WCHAN':>{width}} {'TS':>{width}} {'PITS':>{width}}    SOBJ OPS",
            "s": f" {'SIGQUEUE':>{width}}         SIG PEND         SIG HELD",
            "d": f" {'DISPTIME':>{width}} BOUND PR SWITCH",
        }
        return self._joined(f"{'ADDR':>{width}}", [parts[one] for one in self.sets], view)

    def row(self, record: SolarisThread, view: View) -> str:
        """The lines of one thread."""
        rows = {"p": _process, "i": _state, "b": _blocked, "s": _signals, "d": self._dispatch}
        return self._joined(
            f"{record.address:0{view.pointer_width}x}", [rows[one](record, view) for one in self.sets], view
        )

    def _joined(self, first: str, parts: list[str], view: View) -> str:
        between = "" if self.merged else "\n" + " " * view.pointer_width
        return first + between.join(parts)

    def _dispatch(self, record: SolarisThread, view: View) -> str:
        width = view.pointer_width
        since = f"t-{self.ticks - record.dispatch_time:<4}" if record.dispatch_time else f"{'-':<6}"
        when = record.dispatch_time & (1 << 4 * width) - 1
        return f" {when:>{width}x} {record.bound_id:>5} {record.preempt:>2} {since}"


def _process(record: SolarisThread, view: View) -> str:
    width = view.pointer_width
    return f" {record.process:>{width}x} {record.lwp:>{width}x} {record.credentials:>{width}x}"


def _state(record: SolarisThread, view: View) -> str:
    interrupted = f"{record.interrupted:x}" if record.interrupted else "n/a"
    return (
        f" {record.state:<8} {record.flag:>4x} {record.process_flag:>4x} {record.scheduler_flag:>4x} "
        f"{record.priority:>5} {record.effective_priority:>5} {record.pil:>3} {interrupted:>{view.pointer_width}}"
    )


def _blocked(record: SolarisThread, view: View) -> str:
    width = view.pointer_width
    operations = view.label(record.sync_ops)[:OPS_WIDTH]
    return (
        f" {record.wait_channel:>{width}x} {record.turnstile:>{width}x} {record.inherited:>{width}x} "
        f"{operations:>{OPS_WIDTH}}"
    )


def _signals(record: SolarisThread, view: View) -> str:
    return f" {record.signal_queue:>{view.pointer_width}x} {record.signals_pending:016x} {record.signals_held:016x}"


def _thread_table(call: Call) -> Table:
    sets = "".join(one for one in "pibsd" if call.options[one])
    merged = bool(call.options.m)
    if not sets:
        narrow = call.target.bits == 32
        sets, merged = ("id", True) if narrow else ("i", merged)
    return ThreadTable(sets=sets, merged=merged, ticks=lbolt(call.kernel) if "d" in sets else 0)


def _addresses(call: Call) -> Iterator[int]:
    """The thread that a call is for, or all."""
    if call.explicit:
        return iter((call.address,))
    return each_thread(Walk(call.session, "thread", None))


@dcmd(
    "thread",
    "show threads",
    address=OPTIONAL,
    synopsis="[-bdfimps]",
    needs=("kernel",),
    module=MODULE,
    options=[
        flag("b", "what it is blocked on"),
        flag("d", "the dispatcher's view"),
        flag("f", "not those that are free"),
        flag("i", "state, flags and priority (if nothing else is asked for)"),
        flag("m", "all on one line"),
        flag("p", "process, lwp and credentials"),
        flag("s", "signals"),
    ],
    table=_thread_table,
    help="Several sets of columns stand below one another, or on one line with -m.",
    example="::walk thread | ::thread -ip",
)
def thread(call: Call) -> Iterator[SolarisThread | None]:
    """One thread or all."""
    part: Threads = call.kernel.part(Threads)
    for address in _addresses(call):
        yield None
        try:
            record = part.record(address)
        except ReadError as error:
            place = f"{address:#x}" if address else "0"
            call.fail(f"can't read kthread_t at {place}: {error.reason}")
            continue
        if not (call.options.f and record.state == "free"):
            yield record


# the list


@dataclass(frozen=True, slots=True)
class ListedThread(SolarisThread):
    """A thread of the list, with its stack where that was asked for."""

    stack: ThreadStack | None = None


_MEMBERS = [field.name for field in fields(SolarisThread)]


def _listed(record: SolarisThread, stack: ThreadStack | None = None) -> ListedThread:
    return ListedThread(**{name: getattr(record, name) for name in _MEMBERS}, stack=stack)


@dataclass(frozen=True, slots=True)
class ThreadListTable(Table):
    """A row for each thread; with ``-v`` its pc and its stack below."""

    verbose: bool = False
    limit: int = 0
    """Arguments shown of each frame."""

    def heading(self, view: View) -> str:
        """The headings."""
        width = view.pointer_width
        start = f"{'ADDR':>{width}} {'PROC':>{width}} {'LWP':>{width}}"
        return f"{start} CLS PRI {'WCHAN':>{width}}" if self.verbose else f"{start} CMD/LWPID"

    def row(self, record: ListedThread, view: View) -> str:
        """A thread."""
        width, stack = view.pointer_width, record.stack
        start = f"{record.address:0{width}x} {record.process:>{width}x} {record.lwp:>{width}x}"
        if stack is None:
            return f"{start} {record.name}"
        head = f"{start} {record.class_id:>3} {record.priority:>3} {record.wait_channel:>{width}x}"
        view.session.out.write(f"{head}\n  PC: {view.label(record.pc)}\n")
        table = ThreadStackTable(frames=FrameTable(limit=self.limit, indent="    "), margin="  ")
        lines = table.row(stack, view)
        return "" if lines is None else f"{lines}\n"


def _list_table(call: Call) -> Table:
    return ThreadListTable(verbose=bool(call.options.v), limit=argument_limit(call, 0))


@dcmd(
    "threadlist",
    "list threads",
    address=OPTIONAL,
    synopsis="[-t] [-v [count]]",
    words=None,
    needs=("kernel",),
    options=[flag("t", "without those of task queues"), flag("v", "with class, priority, channel and stack")],
    table=_list_table,
    module=MODULE,
    help="With -v a number may follow: how many arguments of each frame are shown (none if it is left out).",
    example="::threadlist -v",
)
def threadlist(call: Call) -> Iterator[SolarisThread | None]:
    """One thread or all; those that are free are left out."""
    if call.words and not (call.options.v and len(call.words) == 1):
        raise UsageError("")
    part: Threads = call.kernel.part(Threads)
    for address in _addresses(call):
        yield None
        try:
            record = part.record(address)
        except ReadError as error:
            call.fail(f"failed to read kthread_t at {address:x}: {error.reason}")
            continue
        if record.state == "free" or (call.options.t and record.taskq):
            continue
        if not call.options.v:
            yield _listed(record)
            continue
        try:
            yield _listed(record, find_thread_stack(call.kernel, address))
        except CommandError as error:
            call.fail(str(error))

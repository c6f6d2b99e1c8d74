"""Threads grouped by their stacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, Walk, dcmd, flag, word
from kdbg.dcmds.solaris.walkers import each_thread
from kdbg.errors import SymbolNotFound, UsageError
from kdbg.kernels.solaris.findstack import REASONS
from kdbg.kernels.solaris.stackgroups import Group, group_threads
from kdbg.kernels.solaris.threads import STATES, SYNC_OPS, state_name, sync_name
from kdbg.lang.errors import Abort
from kdbg.records import Address

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

Test = Callable[[Group], bool]

EVERY = -1
"""``ALL``: any synchronisation object."""
IN_PANIC = -2
"""``panic``: the thread that panicked, whatever its state."""


@dataclass(frozen=True, slots=True)
class StackGroup:
    """Threads with one stack."""

    address: int
    """Of the thread that leads the group."""
    threads: tuple[int, ...]
    state: str
    sync_object: str
    count: int
    failure: str | None
    """Why there is no stack."""
    pcs: tuple[int, ...]
    """Return addresses, innermost first."""
    truncated: bool


class Gathered:
    """The groups of all threads, kept for the next time."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.groups: list[Group] | None = None


@dataclass(frozen=True, slots=True)
class GroupTable(Table):
    """A group: its threads, and below them the stack."""

    everything: bool = False
    """All threads of each group, under a heading of its own."""

    def heading(self, view: View) -> str:
        """The headings."""
        width = view.pointer_width
        return f"{'THREAD':<{width}} STATE    {'SOBJ':<{width}}    COUNT"

    def row(self, record: StackGroup, view: View) -> str:
        """The group."""
        width = view.pointer_width
        lines = []
        for at, thread in enumerate(record.threads if self.everything else record.threads[:1]):
            count = str(record.count) if at == 0 else "-"
            lines.append(f"{thread:<{width}x} {record.state:<8} {record.sync_object:<{width}} {count:>8}")
        blanks = " " * (width + 1)
        if record.failure is not None:
            lines.append(f"{blanks}<{record.failure}>")
        lines += [f"{blanks}{view.label(pc)}" for pc in record.pcs]
        if record.truncated:
            lines.append(f"{blanks}... truncated ...")
        return "\n".join([*lines, ""])


def _table(call: Call) -> Table:
    return GroupTable(everything=bool(call.options.a))


SYNOPSIS = "[-afiv] [-c func] [-C func] [-m module] [-M module] [-s sobj | -S sobj] [-t tstate | -T tstate]"


@dcmd(
    "stacks",
    "group threads by their stacks",
    address=OPTIONAL,
    synopsis=SYNOPSIS,
    needs=("kernel",),
    options=[
        flag("a", "all threads of each group"),
        flag("f", "look at all stacks afresh"),
        flag("i", "leave out what is rarely of interest: free threads, threads that sleep on a condition"),
        flag("v", "tell what is being done"),
        word("c", "func", "stacks in that function"),
        word("C", "func", "stacks that are not in it"),
        word("m", "module", "stacks in that module"),
        word("M", "module", "stacks that are not in it"),
        word("s", "sobj", "threads on that type of synchronisation object (ALL: on any)"),
        word("S", "sobj", "threads that are not"),
        word("t", "tstate", "threads in that state (panic: that panicked)"),
        word("T", "tstate", "threads that are not"),
    ],
    table=_table,
    module="genunix",
    help="The stacks of all threads, or of the groups in which the thread at the address is, or of the threads that "
    "a pipe brings. The functions of -c and -C are expressions.",
    example="::stacks -m nfs",
)
def stacks(call: Call) -> Iterator[StackGroup | Address]:
    """Groups of threads: panics last, large groups first."""
    if call.piped_in and not call.first:
        return
    tests = list(_tests(call))
    wanted = sorted(set(call.batch)) if call.piped_in else [call.address]
    groups = _gather(call, wanted if call.explicit else None)
    seen = set[int]()
    headed = False
    for group in groups:
        chosen = group
        if call.explicit:
            matching = tuple(thread for thread in group.threads if thread in wanted)
            if not matching:
                continue
            seen.update(matching)
            chosen = replace(group, threads=matching) if call.piped_in else group
        if not all(test(group) for test in tests):
            continue
        if call.piped_out:
            yield from (Address(thread) for thread in chosen.threads)
            continue
        if headed and call.options.a:
            call.session.out.write(GroupTable().heading(call.session.view) + "\n")
        headed = True
        yield _record(call.kernel, chosen)
    if call.explicit:
        for thread in wanted:
            if thread not in seen:
                call.warn(f"stacks: {thread:x} not in thread list")


def _record(kernel: Solaris, group: Group) -> StackGroup:
    return StackGroup(
        address=group.threads[0],
        threads=group.threads,
        state=("panic" if group.panicked else state_name(group.state)).upper(),
        sync_object=sync_name(kernel, group.sync_ops).upper(),
        count=len(group.threads),
        failure=REASONS.get(group.failure, "unknown failure") if group.failure else None,
        pcs=group.pcs,
        truncated=group.truncated,
    )


def _gather(call: Call, wanted: list[int] | None) -> list[Group]:
    """The groups of all threads, those of an earlier call if there was one; else of the threads that are wanted."""
    kept: Gathered = call.kernel.part(Gathered)
    if call.options.f:
        kept.groups = None
    if kept.groups is not None:
        return kept.groups
    if call.options.v:
        call.warn("stacks: processing kernel threads")
    threads: Iterable[int] = each_thread(Walk(call.session, "thread", None)) if wanted is None else wanted
    groups = group_threads(call.kernel, threads, lambda thread: call.warn(f"couldn't read thread at {thread:x}"))
    if call.options.v:
        call.warn(f"stacks: {len(groups)} unique stacks / {sum(len(one.threads) for one in groups)} threads")
    if wanted is None:
        kept.groups = groups
    if call.options.v:
        call.warn("stacks: done")
    return groups


# what groups are chosen by


def _tests(call: Call) -> Iterator[Test]:
    """What a group has to be, by the options. Raises `UsageError`, `Abort`."""
    options = call.options
    without_sync, without_state = options.S, options.T
    if options.i:
        if options.any("sStT"):
            raise UsageError("stacks: -i is incompatible with -[sStT]")
        without_sync, without_state = "CV", "FREE"
    with_caller, without_caller = _caller(call, options.c), _caller(call, options.C)
    call.session.dot = call.address
    if with_caller:
        yield with_caller
    if without_caller:
        yield _not(without_caller)
    for name, wanted in ((options.m, True), (options.M, False)):
        if name is not None:
            yield _passes(*_module(call, name), wanted)
    with_ops, without_ops = _sync(call, options.s), _sync(call, without_sync)
    if with_ops and without_ops:
        raise UsageError("stacks: only one of -s and -S can be specified")
    with_state, excluded = _state(options.t), _state(without_state)
    if with_state is not None and excluded is not None:
        raise UsageError("stacks: only one of -t and -T can be specified")
    if with_state is not None:
        yield lambda group: _in_state(group, with_state)
    if excluded is not None:
        yield lambda group: not _in_state(group, excluded)
    if with_ops:
        yield lambda group: _on(group, with_ops)
    if without_ops:
        spared = bool(options.i)
        yield lambda group: (spared and group.panicked) or not _on(group, without_ops)


def _passes(start: int, size: int, wanted: bool) -> Test:
    return lambda group: group.passes(start, start + size) is wanted


def _not(test: Test) -> Test:
    return lambda group: not test(group)


def _caller(call: Call, expression: str | None) -> Test | None:
    """Whether a stack passes through a function (a symbol's own address), or through one address."""
    if expression is None:
        return None
    session = call.session
    session.dot = 0
    if not session.execute(expression):
        raise Abort(f'stacks: evaluation of "{expression}" failed: failed to parse command')
    start = session.dot
    end = start + 1
    try:
        symbol, offset = call.target.nearest(start)
        if offset == 0:
            end = start + symbol.size
    except SymbolNotFound:
        pass
    return (lambda group: group.passes(start, end)) if start else None


def _module(call: Call, name: str) -> tuple[int, int]:
    for module in call.kernel.modules():
        if module.name == name and module.size:
            return module.base, module.size
    raise Abort(f'stacks: module "{name}" is unknown')


def _sync(call: Call, name: str | None) -> int:
    """Address of the operations of a type of synchronisation object; 0 where none is named."""
    if name is None:
        return 0
    if name.upper() == "ALL":
        return EVERY
    symbol = SYNC_OPS.get(name.lower())
    if symbol is None:
        raise UsageError(f'sobj type "{name}" unknown')
    try:
        return int(call.kernel.symbol(symbol).address)
    except SymbolNotFound as error:
        raise UsageError(f'unable to find symbol "{symbol}": {error.reason}') from None


def _on(group: Group, ops: int) -> bool:
    return group.sync_ops != 0 if ops == EVERY else group.sync_ops == ops


def _state(name: str | None) -> int | None:
    if name is None:
        return None
    if name.lower() == "panic":
        return IN_PANIC
    for number, known in STATES.items():
        if known == name.lower():
            return number
    raise UsageError(f'tstate "{name}" not recognized')


def _in_state(group: Group, state: int) -> bool:
    return group.panicked if state == IN_PANIC else not group.panicked and group.state == state

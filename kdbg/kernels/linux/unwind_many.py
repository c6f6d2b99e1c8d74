"""Stacks of many tasks: all of them a frame further at a time.

The rules are those of `kdbg.kernels.linux.unwind`, which walks one stack; here they are applied to arrays, a round for
each frame. What is out of the ordinary (no rule, a place that cannot be read, an interrupt on the way) is left to the
walk of the one stack, so that both say the same of every task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error
from kdbg.kernels.linux import orc
from kdbg.kernels.linux.orc import Orc
from kdbg.kernels.linux.unwind import INACTIVE, PT_REGS, USER, Unwinder, running, why_none
from kdbg.records import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.tasks import LinuxThread
    from kdbg.vm.space import AddressSpace

    Words = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

AT_ONCE = 2048
"""Tasks whose stacks are walked together: their pages are held meanwhile, 8 MB where each has one."""
FEW = 512
"""Tasks that are not worth loading numpy."""
MOST_ROUNDS = 128
MOST_PAGES = 8 * AT_ONCE


@dataclass(frozen=True, slots=True)
class TaskStack:
    """The stack of a task; its frames are named when they are asked for."""

    thread: LinuxThread
    pcs: tuple[int, ...]
    """Innermost first."""
    problem: str
    """Why there are none."""
    make: Callable[[], list[Frame]]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Innermost first."""
        return tuple(self.make())


def task_stacks(kernel: Linux, threads: Iterable[LinuxThread]) -> Iterator[TaskStack]:
    """The stacks of tasks, in their order; of those that cannot be read, why."""
    unwinder, waiting = kernel.part(Unwinder), iter(threads)
    while some := list(islice(waiting, AT_ONCE)):
        on_cpus = running(kernel)
        quiet = [one for one in some if one.address not in on_cpus and not why_none(one)]
        walked: dict[int, _Walked] = {}
        if len(quiet) >= FEW and not unwinder.by_frame_pointers and kernel.part(Orc):
            walked = _Walk(kernel, quiet).run()
        for thread in some:
            found = walked.get(thread.address)
            if found is not None:
                yield TaskStack(thread, found.pcs, "", partial(found.frames, unwinder))
            else:
                yield _single(kernel, unwinder, thread, on_cpus.get(thread.address))


def _single(kernel: Linux, unwinder: Unwinder, thread: LinuxThread, registers: Any) -> TaskStack:
    problem, frames = why_none(thread), list[Frame]()
    if not problem:
        try:
            frames = kernel.cpu_stack(registers) if registers is not None else unwinder.task(thread)
        except Error as error:
            problem = f"its stack cannot be followed: {error}"
    return TaskStack(thread, tuple(frame.pc for frame in frames), problem, lambda: frames)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The frames of all stacks that were followed to their ends, one stack behind the other."""

    pcs: list[int]
    sps: list[int]
    exact: list[bool]
    """Whether a frame's instruction is the one that would run next, not the one behind a call."""


@dataclass(frozen=True, slots=True)
class _Walked:
    """One of those stacks."""

    columns: _Columns
    start: int
    end: int
    user: bool
    """Whether the last frame is the program's."""

    @property
    def pcs(self) -> tuple[int, ...]:
        return tuple(self.columns.pcs[self.start : self.end])

    def frames(self, unwinder: Unwinder) -> list[Frame]:
        """All of it, with names."""
        columns, last = self.columns, self.end - self.user
        rows = (column[self.start : last] for column in (columns.pcs, columns.sps, columns.exact))
        found = [unwinder.frame(pc, sp, exact, None) for pc, sp, exact in zip(*rows, strict=True)]
        if self.user:
            found.append(Frame(columns.pcs[last], columns.sps[last], None, 0, note=USER))
        return found


class _Words:
    """Words of memory by arrays of addresses; pages that were read once are held."""

    def __init__(self, space: AddressSpace) -> None:
        import numpy as np

        self.space = space
        self._numbers = np.zeros(1, np.uint64)
        """Numbers of the pages looked at, ascending."""
        self._rows = np.full(1, -1)
        """Their places in ``_pages``; -1 for those that cannot be read."""
        self._pages = np.zeros((0, 512), np.uint64)

    def read(self, addresses: Words) -> tuple[Words, Flags]:
        """The words at addresses (uint64[n]), and which of them are there and aligned."""
        import numpy as np

        numbers = addresses >> np.uint64(12)
        unknown = self._numbers[self._places(numbers)] != numbers
        if unknown.any():
            self._load(np.unique(numbers[unknown]))
        rows = self._rows[self._places(numbers)]
        good = (rows >= 0) & (addresses & np.uint64(7) == 0)
        found = np.zeros(len(addresses), np.uint64)
        places = (addresses[good] >> np.uint64(3) & np.uint64(511)).astype(np.int64)
        found[good] = self._pages[rows[good], places]
        return found, good

    def _places(self, numbers: Words) -> NDArray[np.int64]:
        """Where page numbers stand, or would stand, among those looked at."""
        return self._numbers.searchsorted(numbers).clip(max=len(self._numbers) - 1)

    def _load(self, numbers: Words) -> None:
        import numpy as np

        rows, image = np.full(len(numbers), -1), self.space.image
        pages: list[Words] = []
        if len(self._pages) + len(numbers) <= MOST_PAGES:
            told = self.space.translate_array(numbers << np.uint64(12))
            for at in np.flatnonzero(told.mapped).tolist():
                page = image.page(int(told.frames[at]))
                if page is not None:
                    rows[at] = len(self._pages) + len(pages)
                    pages.append(np.frombuffer(page, np.uint64))
        if pages:
            self._pages = np.concatenate((self._pages, np.array(pages)))
        together = np.concatenate((self._numbers, numbers))
        order = np.argsort(together, kind="stable")
        self._numbers, self._rows = together[order], np.concatenate((self._rows, rows))[order]


@dataclass(frozen=True, slots=True)
class _Front:
    """A frame of each of some tasks."""

    at: NDArray[np.int64]
    """Positions of the tasks."""
    ip: Words
    sp: Words
    bp: Words
    exact: Flags

    def some(self, which: Flags) -> _Front:
        """Those of some of them."""
        return _Front(self.at[which], self.ip[which], self.sp[which], self.bp[which], self.exact[which])


class _Walk:
    """The walk over the stacks of tasks that are off their CPUs."""

    def __init__(self, kernel: Linux, threads: list[LinuxThread]) -> None:
        self.orc: Orc = kernel.part(Orc)
        self.threads = threads
        self.words = _Words(kernel.space)
        self._rounds: list[_Front] = []
        self._ended: dict[int, bool] = {}
        """Position of a task whose stack was followed to its end -> whether that is the program's."""

    def run(self) -> dict[int, _Walked]:
        """Address of the task -> its stack, for those that hold nothing out of the ordinary."""
        import numpy as np

        sp = np.array([thread.sp for thread in self.threads], np.uint64)
        (bp, good), (ip, there) = (self.words.read(sp + np.uint64(8 * INACTIVE.index(n))) for n in ("rbp", "rip"))
        good &= there
        at = np.flatnonzero(good)
        front = _Front(at, ip[at], sp[at] + np.uint64(8 * len(INACTIVE)), bp[at], np.zeros(len(at), bool))
        for _ in range(MOST_ROUNDS):
            if not len(front.at):
                break
            front = self._further(front)
        return self._gathered()

    def _further(self, front: _Front) -> _Front:
        """Keep a frame of each task; those whose stacks go on, with their callers' registers."""
        import numpy as np

        rules = self._rules(front.ip, front.exact)
        usual = (front.ip >> np.uint64(63) != 0) & rules.usual
        ended = usual & (rules.type == orc.END)
        self._end(front.some(ended), False)
        front, rules = front.some(usual & ~ended), rules.some(usual & ~ended)
        cfa = np.where(rules.by_bp, front.bp, front.sp) + rules.sp_offset
        pushed = rules.type == orc.REGISTERS
        self._enter_user(front.some(pushed), cfa[pushed])
        front, rules, cfa = front.some(~pushed), rules.some(~pushed), cfa[~pushed]
        ip, good = self.words.read(cfa - np.uint64(8))
        saved = rules.bp_register != orc.UNDEFINED
        where = np.where(rules.bp_register == orc.PREV_SP, cfa, front.bp) + rules.bp_offset
        kept, there = self.words.read(np.where(saved, where, cfa - np.uint64(8)))
        good &= there & (rules.by_bp | (cfa > front.sp))
        self._rounds.append(front.some(good))
        return _Front(front.at, ip, cfa, np.where(saved, kept, front.bp), rules.interrupted).some(good)

    def _enter_user(self, front: _Front, cfa: Words) -> None:
        """Where programs entered the kernel: struct pt_regs lies behind those frames, and tells where from."""
        import numpy as np

        names = ("r15", "rip", "cs", "rsp", "ss")
        words = [self.words.read(cfa + np.uint64(8 * PT_REGS.index(name))) for name in names]
        (_, first), (rip, good), (cs, _), (rsp, _), (_, last) = words
        good = good & first & last & (cs & np.uint64(3) != 0)
        self._rounds.append(front.some(good))
        self._end(_Front(front.at, rip, rsp, front.bp, front.exact).some(good), True)

    def _end(self, front: _Front, user: bool) -> None:
        self._rounds.append(front)
        self._ended.update(dict.fromkeys(front.at.tolist(), user))

    def _rules(self, ip: Words, exact: Flags) -> _Rules:
        import numpy as np

        keys, which = np.unique(np.where(exact | (ip == 0), ip, ip - np.uint64(1)), return_inverse=True)
        return _Rules(np.array([self._row(key) for key in keys.tolist()], np.int64).reshape(-1, 7)[which])

    def _row(self, key: int) -> tuple[int, ...]:
        rule = self.orc.rule(key)
        if rule is None:
            return (0,) * 7
        usual = rule.type == orc.END or (
            rule.type in (orc.CALL, orc.REGISTERS)
            and rule.sp_register in (orc.SP, orc.BP)
            and rule.bp_register in (orc.UNDEFINED, orc.PREV_SP, orc.BP)
        )
        by_bp = rule.sp_register == orc.BP
        return usual, rule.type, by_bp, rule.sp_offset, rule.bp_register, rule.bp_offset, rule.interrupted

    def _gathered(self) -> dict[int, _Walked]:
        import numpy as np

        if not self._ended:
            return {}
        rounds = ((front.at, front.ip, front.sp, front.exact) for front in self._rounds)
        of, *columns = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
        keep = np.isin(of, np.fromiter(self._ended, np.int64))
        order = np.argsort(of[keep], kind="stable")
        tasks, counts = np.unique(of[keep], return_counts=True)
        ends = np.cumsum(counts)
        pcs, sps, exact = (column[keep][order].tolist() for column in columns)
        together = _Columns(pcs, sps, exact)
        rows = zip(tasks.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
        return {self.threads[at].address: _Walked(together, start, end, self._ended[at]) for at, start, end in rows}


class _Rules:
    """Columns of rules, one row a frame."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        import numpy as np

        self._rows = rows
        self.usual = rows[:, 0] != 0
        """Whether the arrays' walk knows how to go on."""
        self.type = rows[:, 1]
        self.by_bp = rows[:, 2] != 0
        self.sp_offset = rows[:, 3].astype(np.uint64)
        self.bp_register = rows[:, 4]
        self.bp_offset = rows[:, 5].astype(np.uint64)
        self.interrupted = rows[:, 6] != 0

    def some(self, which: Flags) -> _Rules:
        """Those of some frames."""
        return _Rules(self._rows[which])

"""A dump under examination: what analysers share, each part made when it is first asked for and kept."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kdbg.errors import Error, ReadError
from kdbg.triage.catalogue import CATALOGUE
from kdbg.triage.report import Evidence, Finding, Severity, StackFrame, StackGroup

if TYPE_CHECKING:
    from kdbg.records import Frame, LogEntry, Thread
    from kdbg.triage.account import Account, Failure
    from kdbg.triage.report import CpuState, Lock

T = TypeVar("T")

MOST_THREADS = 200_000
MOST_FRAMES = 256
MOST_LOG = 200_000


class OutOfTime(BaseException):
    """The budget of an analyser is used up. No `Exception`: what catches those is not to swallow it."""


class Unsuited(Error):
    """What an analyser looks for cannot be in a dump like this one: it is skipped, with the reason."""


class Case:
    """What is known of one dump so far."""

    def __init__(self, target: Any, account: Account) -> None:
        self.target = target
        self.account = account
        self.locks: list[Lock] = []
        """The locks that analysers came across, for the report."""
        self.truncated = False
        """Whether the list of threads breaks off: what is not in it may exist all the same."""
        self._deadline: float | None = None
        self._made: dict[str, Any] = {}
        self._stacks: dict[int, tuple[StackFrame, ...]] = {}

    @property
    def kernel(self) -> Any:
        """The kernel in the dump, or None."""
        return self.target.kernel

    # time

    def allow(self, seconds: float | None) -> None:
        """Let what follows take so long; None: as long as it likes."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise `OutOfTime` if the analyser has used up its budget: every long loop of one asks."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise OutOfTime

    def timed(self, what: Iterator[Any], most: int) -> Iterator[Any]:
        """At most so many, under the clock."""
        for number, one in enumerate(what):
            self.check()
            if number >= most:
                self.target.note(f"only the first {most} are looked at")
                return
            yield one

    # what is shared

    @functools.cached_property
    def failure(self) -> Failure | None:
        """What the system wrote down about its end."""
        return self.account.failure()

    @functools.cached_property
    def threads(self) -> list[Thread]:
        """All threads that can be read."""
        before = len(self.target.notes)
        found = self._all(self.account.threads(), MOST_THREADS)
        self.truncated = len(self.target.notes) > before
        return found

    @functools.cached_property
    def by_address(self) -> dict[int, Thread]:
        """The threads by the address of their structure."""
        return {thread.address: thread for thread in self.threads}

    @functools.cached_property
    def log(self) -> list[LogEntry]:
        """The messages of the log, the oldest first."""
        return self._all(self.account.log(), MOST_LOG)

    @functools.cached_property
    def cpus(self) -> list[CpuState]:
        """The CPUs."""
        return self._all(self.account.cpus(), 8192)

    def _all(self, what: Iterator[Any], most: int) -> list[Any]:
        """All that can be had: an error ends it with a note."""
        found: list[Any] = []
        try:
            found.extend(self.timed(what, most))
        except Error as error:
            self.target.note(str(error))
        return found

    def lacks(self, address: int) -> bool:
        """Whether the dump lacks what lies at an address of the kernel: excluded, cut off, or never written."""
        try:
            self.kernel.memory.read(address, 1)
        except ReadError as error:
            return error.absent
        return False

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` gives, made once for all analysers that ask for it by that name."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]  # type: ignore[no-any-return]

    # stacks

    def stack(self, thread: int) -> tuple[StackFrame, ...]:
        """The frames of a thread, by names; where it cannot be read, none, with a note."""
        if thread not in self._stacks:
            try:
                frames = self.account.frames(thread)
            except Error as error:
                self.target.note(f"stack of {thread:x}: {error}")
                frames = ()
            self._stacks[thread] = self.named(frames)
        return self._stacks[thread]

    def stacks(self) -> Iterator[tuple[Thread, tuple[StackFrame, ...]]]:
        """All threads with their stacks, which are followed together where that is faster."""
        missing = [thread for thread in self.threads if thread.address not in self._stacks]
        for address, frames in self.account.stacks(missing):
            self.check()
            self._stacks[address] = self.named(frames)
        for thread in self.threads:
            self.check()
            yield thread, self._stacks.get(thread.address, ())

    def named(self, frames: Sequence[Frame]) -> tuple[StackFrame, ...]:
        """Frames by names."""
        return tuple(
            StackFrame(frame.pc, frame.symbol, frame.offset, frame.module, frame.note) for frame in frames[:MOST_FRAMES]
        )

    @functools.cached_property
    def groups(self) -> list[StackGroup]:
        """The threads by equal stacks, the largest group first."""
        found: dict[tuple[str, tuple[str, ...]], list[Thread]] = {}
        for thread, frames in self.stacks():
            functions = tuple(frame.function or f"0x{frame.pc:x}" for frame in frames)
            found.setdefault((thread.state, functions), []).append(thread)
        groups = [
            StackGroup(len(members), members[0].address, _names(members), state, functions)
            for (state, functions), members in found.items()
        ]
        return sorted(groups, key=lambda group: (-group.count, group.stack))

    # words

    def finding(
        self,
        name: str,
        summary: str,
        command: str | None = None,
        evidence: Sequence[Evidence | str] = (),
        severity: Severity | None = None,
        **concerned: Sequence[int],
    ) -> Finding:
        """A finding. ``concerned``: threads, locks, addresses, cpus. Its severity is the catalogue's if not given."""
        told = tuple(Evidence(one) if isinstance(one, str) else one for one in evidence)
        if severity is None:
            severity = CATALOGUE[name].severity if name in CATALOGUE else Severity.WARNING
        places: dict[str, Any] = {key: tuple(value) for key, value in concerned.items()}
        return Finding(name, severity, summary, command, told, **places)

    def who(self, thread: int) -> str:
        """A thread for a sentence: ``bash (thread ffffff01d6f09c00)``."""
        found = self.by_address.get(thread)
        return f"{found.name} (thread {thread:x})" if found and found.name else f"thread {thread:x}"

    def symbol_name(self, address: int) -> str:
        """The symbol that an address is, else ""."""
        try:
            symbol, offset = self.target.nearest(address)
        except Error:
            return ""
        return "" if offset else str(self.target.qualified(symbol))

    def where(self, address: int) -> str:
        """An address for a sentence: ``name+0x10`` or the number."""
        try:
            symbol, offset = self.target.nearest(address)
        except Error:
            return f"{address:x}"
        name = self.target.qualified(symbol)
        return f"{name}+0x{offset:x}" if offset else str(name)


def _names(threads: Sequence[Thread]) -> tuple[str, ...]:
    return tuple(name for name, _ in Counter(thread.name for thread in threads).most_common(8))

"""What a triage asks of whatever is in a dump, and the answers where nothing is known of it.

Each family (Solaris, Linux, a process) has an `Account` of its own; analysers that know the family may go further and
ask its kernel themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error
from kdbg.triage.report import CpuState, Kind

if TYPE_CHECKING:
    from kdbg.records import Frame, LogEntry, Thread


@dataclass(frozen=True, slots=True)
class Failure:
    """What the system itself wrote down about its end."""

    kind: Kind
    message: str
    thread: int | None = None
    """Address of the thread that failed."""
    cpu: int | None = None
    registers: Mapping[str, int] = field(default_factory=dict)
    """At the place of the fault, where they are known, else where the thread stood."""
    frames: tuple[Frame, ...] = ()
    """Its stack from there on; empty: that of the thread."""
    command: str = "::status"
    """What shows it at the prompt."""
    cause: str | None = None
    """What the failure is for its signature, where frames alone do not tell: a word such as "sysrq"."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the system tells of itself besides what the dump's file says."""

    kernel: str | None = None
    release: str | None = None
    build: str | None = None
    host: str | None = None
    uptime: float | None = None
    time: float | None = None


class Account:
    """A dump without a kernel that is known: its vCPUs' registers, and no more."""

    family: str | None = None
    crash_path: frozenset[str] = frozenset()
    """Functions that every failure goes through on its way to the dump: no signature has them."""
    waiting: frozenset[str] = frozenset()
    """Functions in which a thread waits for another: those behind them tell for what."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def machine(self) -> Machine:
        """What the system tells of itself."""
        return Machine()

    def failure(self) -> Failure | None:
        """What it wrote down about its end; None where it did not fail."""
        return None

    def threads(self) -> Iterator[Thread]:
        """All threads."""
        return iter(())

    def frames(self, thread: int) -> Sequence[Frame]:
        """The stack of a thread. Raises `kdbg.errors.Error`."""
        return ()

    def stacks(self, threads: Sequence[Thread]) -> Iterator[tuple[int, Sequence[Frame]]]:
        """(address, frames) of many threads; those whose stack cannot be read are left out, with a note."""
        for thread in threads:
            try:
                yield thread.address, self.frames(thread.address)
            except Error as error:
                self.target.note(f"stack of {thread.address:x}: {error}")

    def cpu_frames(self, cpu: int) -> Sequence[Frame]:
        """The stack of a CPU from its registers."""
        contexts = self.target.image.contexts
        return self.target.cpu_stack(contexts[cpu]) if cpu < len(contexts) else ()

    def cpus(self) -> Iterator[CpuState]:
        """What each CPU was doing, without its stack (`cpu_frames` has it)."""
        for cpu in self.target.cpus():
            yield CpuState(cpu.id, cpu.thread, "", "")

    def log(self) -> Iterator[LogEntry]:
        """The messages of the log, the oldest first. Raises `kdbg.errors.Error`."""
        return iter(())

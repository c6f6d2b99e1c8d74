"""What a Linux kernel tells of its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdbg.records import Frame, LogEntry, Thread
from kdbg.triage.account import Account, Machine
from kdbg.triage.report import CpuState


class LinuxAccount(Account):
    """Of a Linux kernel."""

    family = "linux"

    def machine(self) -> Machine:
        """The system's names."""
        uname = self.target.kernel.uname
        return Machine(self.target.kernel.describe(), uname.get("release"), uname.get("version"), uname.get("nodename"))

    def threads(self) -> Iterator[Thread]:
        """All tasks."""
        return self.target.threads()  # type: ignore[no-any-return]

    def frames(self, thread: int) -> Sequence[Frame]:
        """The stack of a task. Raises `Error`."""
        return self.target.stack(thread)  # type: ignore[no-any-return]

    def cpu_frames(self, cpu: int) -> Sequence[Frame]:
        """The stack of a CPU from its registers."""
        found = list(self.target.cpus())
        return self.target.cpu_stack(found[cpu].registers) if cpu < len(found) else ()

    def cpus(self) -> Iterator[CpuState]:
        """What each CPU was doing."""
        for cpu in self.target.cpus():
            yield CpuState(cpu.id, cpu.thread, "", "")

    def log(self) -> Iterator[LogEntry]:
        """The kernel's ring buffer."""
        return self.target.log()  # type: ignore[no-any-return]


account = LinuxAccount
"""What `kdbg.triage.account_of` makes."""

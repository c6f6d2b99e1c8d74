"""What the core of a process tells of its end: the signal, its address, the thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kdbg.errors import Error
from kdbg.records import Frame, Thread
from kdbg.triage.account import Account, Failure, Machine
from kdbg.triage.report import Kind


class ProcessAccount(Account):
    """Of a process."""

    family = "process"
    crash_path = frozenset({
        "raise", "gsignal", "abort", "__pthread_kill_implementation", "__pthread_kill_internal", "pthread_kill",
        "__pthread_kill", "__libc_message", "__fortify_fail", "__stack_chk_fail", "__chk_fail", "__assert_fail",
        "__assert_fail_base", "__assert", "_assert", "malloc_printerr", "_lwp_kill", "__lwp_kill", "thr_kill", "_raise",
        "upanic", "__libc_fatal", "std::terminate", "__kernel_vsyscall", "kill", "_kill", "__cxa_throw",
    })  # fmt: skip

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self._status = target.run("::status")[0]

    def machine(self) -> Machine:
        """The program with its arguments, and the host where the core tells it."""
        told, notes = self._status, self.target.core.notes
        program = told.arguments or told.path or told.program
        return Machine(program, notes.uname.get("release"), notes.uname.get("version"), told.host)

    def failure(self) -> Failure | None:
        """The signal that ended it, or why else it gave up; None for a core of a process that went on."""
        told = self._status
        if told.ended not in ("signal", "upanic"):
            return None
        thread = self.target.core.notes.representative
        where = f", address {told.address:x}" if told.address is not None else ""
        sent = f", sent by process {told.sender}" if told.sender else ""
        how = f"ended by {told.signal}{where}{sent}" if told.signal else "ended by itself (upanic)"
        said = f": {told.message.strip()}" if told.message else ""
        who = told.program or "the process"
        return Failure(
            Kind.CRASH,
            f"{who} was {how}{said}",
            thread.tid if thread is not None else None,
            registers=dict(thread.registers) if thread is not None else {},
            frames=tuple(self._frames()),
            cause=f"{told.signal or told.ended} in {who}",
        )

    def _frames(self) -> Sequence[Frame]:
        try:
            return self.target.stack()  # type: ignore[no-any-return]
        except Error:
            return ()

    def threads(self) -> Iterator[Thread]:
        """Its threads."""
        return self.target.threads()  # type: ignore[no-any-return]

    def frames(self, thread: int) -> Sequence[Frame]:
        """The stack of a thread, by its id. Raises `Error`."""
        return self.target.stack(thread)  # type: ignore[no-any-return]


account = ProcessAccount
"""What `kdbg.triage.account_of` makes."""

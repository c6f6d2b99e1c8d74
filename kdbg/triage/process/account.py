"""What the core of a process tells of its end: the signal, its address, the thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdbg.records import Frame, Thread
from kdbg.triage.account import Account


class ProcessAccount(Account):
    """Of a process."""

    family = "process"

    def threads(self) -> Iterator[Thread]:
        """Its threads."""
        return self.target.threads()  # type: ignore[no-any-return]

    def frames(self, thread: int) -> Sequence[Frame]:
        """The stack of a thread, by its id. Raises `Error`."""
        return self.target.stack(thread)  # type: ignore[no-any-return]


account = ProcessAccount
"""What `kdbg.triage.account_of` makes."""

"""The kernel's messages: the queue of recent log messages.

Facts: log_recentq (queue_t), its messages by b_next, each a control block (log_ctl_t of <sys/strlog.h>) and the text
in the block behind it (b_cont).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import ReadError
from kdbg.kernels.solaris.lists import StoppedError, follow
from kdbg.records import LogEntry
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_TEXT = 1024


@dataclass(frozen=True, slots=True)
class SolarisMessage(LogEntry):
    """A message in the log, with where it lies."""

    address: int = 0
    """Of its message block (msgb)."""
    control: int = 0
    """Of its log_ctl_t."""
    ended: bool = True
    """Whether it has a newline at its end, which the text leaves out."""


class MessageError(ReadError):
    """A message that cannot be read; its text says which part of it."""

    def __init__(self, text: str, address: int, cause: ReadError) -> None:
        super().__init__(address, text, cause.reason)
        self.text = f"{text}: {cause.reason}"


class Messages:
    """The messages of one kernel."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        members = {"next": "b_next", "continued": "b_cont", "start": "b_rptr"}
        self._block = Layout(kernel.type("struct msgb"), members)
        self._control = Layout(kernel.type("log_ctl_t"), {"time": "ttime", "level": "level"})

    def first(self) -> int:
        """Address of the oldest message. Raises `MessageError`; `SymbolNotFound` where there is no queue."""
        kernel = self.kernel
        queue = kernel.word_at("log_recentq")
        try:
            return int(kernel.load("queue_t", queue).q_first)
        except ReadError as error:
            raise MessageError(f"failed to read queue_t at {queue:x}", queue, error) from error

    def walk(self, first: int) -> Iterator[int]:
        """Messages from one on, by b_next. Raises `StoppedError`."""
        return (address for address, _ in follow(first, self._load, "next"))

    def _load(self, address: int) -> dict[str, Any]:
        return self._block.read(self.kernel.memory.read, address)

    def record(self, address: int) -> SolarisMessage:
        """The message whose block lies at an address. Raises `MessageError`."""
        read, at = self.kernel.memory.read, address
        what = "msgb structure"
        try:
            block = self._load(address)
            what, at = "log_ctl_t", block["start"]
            control = self._control.read(read, block["start"])
            what, at = "msgb structure", block["continued"]
            text = self._load(block["continued"])
            what, at = "string", text["start"]
            line = self.kernel.string(text["start"], MOST_TEXT - 1)
        except ReadError as error:
            raise MessageError(f"failed to read {what} at {at:x}", at, error) from error
        return SolarisMessage(
            time=float(control["time"]),
            text=line.removeprefix("\r").removesuffix("\n"),
            level=control["level"],
            address=address,
            control=block["start"],
            ended=line.endswith("\n"),
        )


def log(kernel: Solaris) -> Iterator[SolarisMessage]:
    """All messages, oldest first; one that cannot be read is left out with a note."""
    part = kernel.part(Messages)
    try:
        for address in part.walk(part.first()):
            try:
                yield part.record(address)
            except MessageError as error:
                kernel.target.note(f"message {address:x}: {error}")
    except StoppedError as broken:
        kernel.target.note(f"list of messages: it ends at {broken}")

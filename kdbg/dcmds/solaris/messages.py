"""The kernel's messages."""

from __future__ import annotations

import time
from collections.abc import Iterator

from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError, Error
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.messages import MessageError, Messages, SolarisMessage


class MessageTable(Table):
    """Messages as they are; with ``-v`` after their time and the address of their control block."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The heading, filled up to the width of a message."""
        return f"{'MESSAGE':<70}"

    def row(self, record: SolarisMessage, view: View) -> str | None:
        """The text."""
        return _written(record.text, record, view)


class TimedTable(MessageTable):
    """Messages with their times."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'TIMESTAMP':>20} {'LOGCTL':>{view.pointer_width}} {'MESSAGE':<40}"

    def row(self, record: SolarisMessage, view: View) -> str | None:
        """Time, address and text."""
        stamp = time.strftime("%Y %b %e %H:%M:%S", time.gmtime(record.time or 0))
        return _written(f"{stamp} {record.control:>{view.pointer_width}x} {record.text}", record, view)


def _written(text: str, record: SolarisMessage, view: View) -> str | None:
    """A line; a message that does not end its line is written as it is, and the next goes on behind it."""
    if record.ended:
        return text
    view.session.out.write(text)
    return None


@dcmd(
    "msgbuf",
    "show the kernel's recent messages",
    address=OPTIONAL,
    synopsis="[-v]",
    needs=("kernel",),
    options=[flag("v", "with the time of each")],
    module="genunix",
    table=lambda call: TimedTable() if call.options.v else MessageTable(),
    example="::msgbuf",
    help=(
        "Shows what the kernel said on its console and to its log, the oldest first. -v puts the time and the "
        "address of each message before it."
    ),
    hint=False,
)
def msgbuf(call: Call) -> Iterator[SolarisMessage | None]:
    """All messages, or the one whose block lies at the address."""
    part: Messages = call.kernel.part(Messages)
    for address in _addresses(call, part):
        yield None
        try:
            yield part.record(address)
        except MessageError as error:
            call.fail(error.text)


def _addresses(call: Call, part: Messages) -> Iterator[int]:
    if call.explicit:
        yield call.address
        return
    try:
        first = part.first()
    except MessageError as error:
        raise CommandError(error.text) from None
    except Error as error:
        raise CommandError(f"failed to read log_recent: {error.reason}") from None
    try:
        yield from part.walk(first)
    except StoppedError as broken:
        call.warn(f"failed to read msgb structure at {broken.address:x}: {broken.reason}")

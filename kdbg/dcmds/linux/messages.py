"""The kernel's messages."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.registry import NONE, Call, Table, View, dcmd, flag, word
from kdbg.errors import CommandError, Error
from kdbg.kernels.linux.messages import LinuxMessage

LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")


class MessageTable(Table):
    """Messages after their times, as dmesg shows them."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The heading."""
        return "MESSAGE"

    def row(self, record: LinuxMessage, view: View) -> str:
        """A line for each line of the text."""
        stamp = f"[{record.time or 0:12.6f}] "
        return "\n".join(stamp + line for line in record.text.split("\n"))


class LevelTable(MessageTable):
    """Messages after their numbers, levels and times."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'SEQ':>6} {'LEVEL':<6} MESSAGE"

    def row(self, record: LinuxMessage, view: View) -> str:
        """A line for each line of the text."""
        level = LEVELS[record.level] if record.level is not None else "-"
        lines = MessageTable.row(self, record, view).split("\n")
        return "\n".join(f"{record.sequence:>6} {level:<6} {line}" for line in lines)


@dcmd(
    "msgbuf",
    "show the kernel's recent messages",
    address=NONE,
    synopsis="[-v] [-l level]",
    needs=("kernel",),
    options=[
        flag("v", "with number and level of each"),
        word("l", "level", "only up to that level, by number or name"),
    ],
    module="linux",
    table=lambda call: LevelTable() if call.options.v else MessageTable(),
    pipe=lambda record: None,
    example="::msgbuf -v",
    help="Shows the log that dmesg shows, the oldest message first, with seconds since the machine came up. Levels: "
    + ", ".join(f"{at} {name}" for at, name in enumerate(LEVELS))
    + ".",
    hint=False,
)
def msgbuf(call: Call) -> Iterator[LinuxMessage]:
    """All messages."""
    most = None if call.options.l is None else _level(call, call.options.l)
    try:
        for record in call.kernel.log():
            if most is None or (record.level is not None and record.level <= most):
                yield record
    except Error as error:
        raise CommandError(f"the log cannot be read: {error}") from None


def _level(call: Call, told: str) -> int:
    """A level by its name or number."""
    if told in LEVELS:
        return LEVELS.index(told)
    try:
        return call.session.number(told)
    except Error:
        raise CommandError(
            f"no level is called {told}: there are {', '.join(LEVELS)}, or 0 to {len(LEVELS) - 1}"
        ) from None

"""The timers of a Linux kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag, number
from kdbg.errors import CommandError
from kdbg.kernels.linux.timers import Timer, Timers


class TimerTable(Table):
    """Timers, a line each."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'ADDR':<{view.pointer_width}} CPU {'BASE':<14} {'EXPIRES':>20} {'IN':>14} FUNCTION"

    def row(self, record: Timer, view: View) -> str:
        """A timer, and what it is about."""
        left = "-" if record.remaining is None else f"{record.remaining:.3f}s"
        about = f" ({record.target})" if record.target else ""
        marks = " [deferrable]" if record.deferrable else ""
        line = f"{record.address:0{view.pointer_width}x} {record.cpu:>3} {record.base:<14} {record.expires:>20}"
        return f"{line} {left:>14} {record.function}{about}{marks}"


@dcmd(
    "timers,timer",
    "list the timers that are set",
    address=OPTIONAL,
    synopsis="[-hw] [-c cpuid]",
    needs=("kernel",),
    module="linux",
    options=[
        flag("h", "those of high resolution"),
        flag("w", "those of the wheel; neither of both: all"),
        number("c", "cpuid", "only those of that CPU"),
    ],
    table=TimerTable(),
    help="The timers of each CPU: when they are due (ticks of the wheel, nanoseconds of a clock), in how many seconds, "
    "and the function that is called then; of delayed works the work, of sleepers the task. An address: the timer that "
    "lies there.",
    example="::timers -h",
)
def timers(call: Call) -> Iterator[Timer]:
    """All timers, or one."""
    options, found = call.options, False
    with about("timers", call.kernel):
        part: Timers = call.kernel.part(Timers)
        for record in part.walk():
            of_wheel = record.base == "wheel"
            wanted = options.h == options.w or bool(options.w) == of_wheel
            if wanted and options.c in (None, record.cpu) and (not call.explicit or record.address == call.address):
                found = True
                yield record
    if call.explicit and not found:
        raise CommandError(f"{call.address:x} is the address of no timer that is set")

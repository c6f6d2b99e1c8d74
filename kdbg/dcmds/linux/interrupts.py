"""Interrupts of a Linux kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError
from kdbg.kernels.linux.event_channels import EventChannel, event_channels
from kdbg.kernels.linux.interrupts import Interrupt, interrupts

WORDS = {True: "yes", False: "no", None: "-"}


class ChannelTable(Table):
    """Event channels, a line each."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        return "Type          Evtchn IRQ  CPU Mask Pend Name             ISR(s)"

    def row(self, record: EventChannel, view: View) -> str:
        """A channel."""
        kind = record.type if record.number is None else f"{record.type}:{record.number}"
        cpu = "-" if record.cpu is None else str(record.cpu)
        masked, pending = (WORDS[one] for one in (record.masked, record.pending))
        return (
            f"{kind:<13} {record.evtchn:<6} {record.irq:<4} {cpu:<3} {masked:<4} {pending:<4} {record.name:<16} "
            f"{', '.join(record.handlers)}"
        ).rstrip()


@dcmd(
    "evtchns",
    "list the event channels of a Xen guest",
    address=NONE,
    needs=("kernel",),
    module="linux",
    table=ChannelTable(),
    help="The channels that the guest has bound: what for (a virtual interrupt, one between CPUs, a physical one, "
    "another domain), its interrupt, the CPU that takes it, whether it is masked or pending, and who handles it.",
    example="::evtchns",
)
def evtchns(call: Call) -> Iterator[EventChannel]:
    """All channels by port."""
    found = False
    with about("event channels", call.kernel):
        for channel in event_channels(call.kernel):
            found = True
            yield channel
    if not found:
        raise CommandError("no event channels: not a Xen guest, or none is bound")


class InterruptTable(Table):
    """Interrupts, a line each, as /proc/interrupts has them."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        address = f"{'ADDR':<{view.pointer_width}}"
        return f"{'IRQ':>4} {address} {'COUNT':>10} CPUS     CHIP         HWIRQ  TYPE     NAME / ISR(s)"

    def row(self, record: Interrupt, view: View) -> str:
        """An interrupt; what is wrong with it stands behind."""
        total, number = ("-" if one is None else str(one) for one in (record.total, record.hardware_irq))
        cpus = ranges(record.effective_cpus or record.cpus)
        odd = [word for word, is_so in (("disabled", record.disabled), ("in progress", record.in_progress)) if is_so]
        odd += [f"{record.unhandled} unhandled"] if record.unhandled else []
        place = f"{record.irq:>4} {record.address:0{view.pointer_width}x}"
        line = f"{place} {total:>10} {cpus:<8} {record.chip:<12} {number:<6} {record.flow:<8} {record.name or '-'}"
        return f"{line} {', '.join(record.handlers)}".rstrip() + (f"  [{', '.join(odd)}]" if odd else "")


def ranges(numbers: tuple[int, ...]) -> str:
    """Ascending numbers as 0-3,7; "-" for none."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found) or "-"


@dcmd(
    "interrupts",
    "list the interrupts",
    address=OPTIONAL,
    synopsis="[-a]",
    needs=("kernel",),
    module="linux",
    options=[flag("a", "also those that nobody asked for and that never came")],
    table=InterruptTable(),
    help="Interrupts with how often they came, the CPUs that take them, chip, number at the chip, kind of signal, and "
    "devices and functions that handle them. An address: the interrupt of that number, or whose irq_desc lies there.",
    example="::interrupts",
)
def show_interrupts(call: Call) -> Iterator[Interrupt]:
    """All interrupts, or one."""
    found = False
    with about("interrupts", call.kernel):
        for record in interrupts(call.kernel):
            wanted = call.address in (record.irq, record.address) if call.explicit else call.options.a or record.shown
            if wanted:
                found = True
                yield record
    if call.explicit and not found:
        raise CommandError(f"{call.address:x} is neither an interrupt's number nor the address of an irq_desc")

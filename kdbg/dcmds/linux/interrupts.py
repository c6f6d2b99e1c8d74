"""Interrupts of a Linux kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.registry import NONE, Call, Table, View, dcmd
from kdbg.kernels.linux.interrupts import EventChannel, event_channels


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
        masked, pending = ("yes" if one else "no" for one in (record.masked, record.pending))
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
    yield from event_channels(call.kernel)

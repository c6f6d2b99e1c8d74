"""Interrupts: event channels, the table of interrupts, software interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError
from kdbg.kernels.solaris.eventchannels import EventChannel, EventChannels
from kdbg.kernels.solaris.interrupts import Interrupt, InterruptError, SoftInterrupt, apic_interrupts, soft_interrupts
from kdbg.kernels.solaris.psm import apix_interrupts, uppc_interrupts, uses_apix, uses_uppc

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

DRIVER = flag("d", "drivers instead of functions")


def _handler_title(drivers: bool) -> str:
    return "Driver Name(s) " if drivers else "ISR(s) "


def _channels(kernel: Solaris) -> EventChannels:
    try:
        return kernel.part(EventChannels)
    except InterruptError as error:
        raise CommandError(str(error)) from None


@dataclass(frozen=True, slots=True)
class ChannelTable(Table):
    """The columns of ``::evtchns``."""

    drivers: bool = False
    shared: bool = False
    """Whether the page shared with the hypervisor can be read: it tells what is masked and pending."""

    def heading(self, view: View) -> str:
        """The headings."""
        state = "Masked Pending " if self.shared else ""
        return f"Type          Evtchn IRQ IPL CPU {state}{_handler_title(self.drivers)}"

    def row(self, record: EventChannel, view: View) -> str:
        """A channel."""
        irq, ipl, cpu = ("-" if one is None else str(one) for one in (record.irq, record.ipl, record.cpu))
        state = f"{int(bool(record.masked)):<7}{int(bool(record.pending)):<8}" if self.shared else ""
        handlers = record.drivers if self.drivers else record.handlers
        handler = handlers[0] if handlers else ""
        return f"{record.type:<14}{record.evtchn:<7}{irq:<4}{ipl:<4}{cpu:<4}{state}{handler}"


def _channel_table(call: Call) -> Table:
    return ChannelTable(drivers=bool(call.options.d), shared=_channels(call.kernel).shared is not None)


@dcmd(
    "evtchns",
    "show the event channels of a Xen domain",
    address=OPTIONAL,
    synopsis="[-d]",
    options=[DRIVER],
    needs=("kernel",),
    table=_channel_table,
    module="xpv_psm",
    help="All channels that have an interrupt, or the one whose number is the address.",
    example="::evtchns",
)
def evtchns(call: Call) -> Iterator[EventChannel | None]:
    """Channels with type, interrupt, priority, CPU and handlers."""
    channels = _channels(call.kernel)
    if not call.explicit:
        yield None
        yield from channels.assigned()
        return
    number = call.address & 0xFFFFFFFF
    number -= (number & 0x80000000) << 1
    if not 0 <= number < channels.count:
        raise CommandError(f"Invalid event channel {number}.")
    yield channels.channel(number)


@dataclass(frozen=True, slots=True)
class InterruptTable(Table):
    """The columns of ``::interrupts``."""

    drivers: bool = False
    short: bool = False
    """CPU and handlers alone."""
    channels: bool = False
    """Whether interrupts come by event channels."""

    def heading(self, view: View) -> str:
        """The headings."""
        if self.short:
            return "CPU " + _handler_title(self.drivers)
        evtchn = "Evtchn " if self.channels else ""
        return f"IRQ  Vect {evtchn}IPL Bus    Trg Type   CPU Share APIC/INT# {_handler_title(self.drivers)}"

    def row(self, record: Interrupt, view: View) -> str:
        """An interrupt."""
        handlers = record.drivers if self.drivers else record.handlers
        if record.vector is None:
            handlers = handlers[:1]
        names = ", ".join(handlers)
        if self.short:
            return f"{record.cpu:<4}{names}"
        if record.vector is None:
            return (
                f"{record.irq:>3}  -    {record.evtchn or '':<7}{record.ipl:<4}{record.bus:<6} Edg {record.type:<7}"
                f"{record.cpu:<4}-     -         {names}"
            )
        evtchn = f"{record.evtchn:<7}" if record.evtchn is not None else ""
        trigger = "Lvl" if record.level_triggered else "Edg"
        line = record.line if record.line != "-" else "-    "
        return (
            f"{record.irq:<3}  0x{record.vector:x} {evtchn}{record.ipl:<3} {record.bus or ' ':<6} {trigger:<3} "
            f"{record.type:<6} {record.cpu:<4}{record.share:<3}   {line:<9} {names}"
        )


@dataclass(frozen=True, slots=True)
class ApixTable(InterruptTable):
    """The columns where each CPU has vectors of its own."""

    def heading(self, view: View) -> str:
        """The headings."""
        if self.short:
            return InterruptTable.heading(self, view)
        title = "Driver Name(s) " if self.drivers else "ISR "
        return f"CPU/Vect  IRQ IPL Bus    Trg Type   Share APIC/INT# {title}"

    def row(self, record: Interrupt, view: View) -> str:
        """A handler."""
        names = ", ".join(record.drivers if self.drivers else record.handlers)
        if self.short:
            return f"{record.cpu:<4}{names}"
        irq = "-" if record.irq is None else str(record.irq)
        trigger = "Lvl" if record.level_triggered else "Edg"
        line = record.line if record.line != "-" else "-    "
        return (
            f"{f'{record.cpu}/0x{record.vector:x}':<9} {irq:<3} {record.ipl:<3} {record.bus:<6} {trigger:<3} "
            f"{record.type:<6} {record.share:<3}   {line:<9} {names}"
        )


@dataclass(frozen=True, slots=True)
class UppcTable(InterruptTable):
    """The columns for the old controllers."""

    def heading(self, view: View) -> str:
        """The headings."""
        start = "CPU " if self.short else "IRQ  Vector IPL(lo/hi) Bus Share "
        return start + _handler_title(self.drivers)

    def row(self, record: Interrupt, view: View) -> str:
        """A line of the controllers."""
        names = ", ".join(record.drivers if self.drivers else record.handlers)
        if self.short:
            return f"cpu0\t{names}"
        return (
            f"{record.irq:<3}   0x{record.vector:2x}   {record.low_ipl:>4}/{record.ipl:<2}   {record.bus:<4} "
            f"{record.share:<3}  {names}"
        )


def _has_channels(call: Call) -> bool:
    return bool(call.kernel.has_symbol("evtchn_to_irq"))


def _interrupt_table(call: Call) -> Table:
    drivers, short = bool(call.options.d), bool(call.options.i)
    if _has_channels(call):
        return InterruptTable(drivers=drivers, short=short, channels=True)
    if uses_uppc(call.kernel):
        return UppcTable(drivers=drivers, short=short)
    return (ApixTable if uses_apix(call.kernel) else InterruptTable)(drivers=drivers, short=short)


@dcmd(
    "interrupts",
    "show the table of interrupts",
    address=OPTIONAL,
    synopsis="[-di]",
    options=[DRIVER, flag("i", "CPU and handlers alone")],
    needs=("kernel",),
    table=_interrupt_table,
    module="xpv_psm",
    help="Interrupts with their priority, CPU and handlers.",
    example="::interrupts -d",
)
def interrupts(call: Call) -> Iterator[Interrupt | None]:
    """The interrupts of event channels in a Xen domain, else those of the APIC."""
    try:
        if _has_channels(call):
            channels = _channels(call.kernel)
            yield None
            yield from channels.interrupts()
        else:
            found = _platform_interrupts(call.kernel)
            yield None
            yield from found
    except InterruptError as error:
        raise CommandError(str(error)) from None


def _platform_interrupts(kernel: Solaris) -> Iterator[Interrupt]:
    """The interrupts of the platform module that is at work."""
    if uses_uppc(kernel):
        return uppc_interrupts(kernel)
    return apix_interrupts(kernel) if uses_apix(kernel) else apic_interrupts(kernel)


@dataclass(frozen=True, slots=True)
class SoftTable(Table):
    """The columns of ``::softint``."""

    drivers: bool = False

    def heading(self, view: View) -> str:
        """The headings, the same whatever is asked for."""
        return "ADDR             PEND PIL ARG1             ARG2            ISR(s)"

    def row(self, record: SoftInterrupt, view: View) -> str:
        """A software interrupt."""
        handlers = record.drivers if self.drivers else record.handlers
        return (
            f"{record.address:<16x} {int(record.pending):<2}   {record.level:<2}  {record.argument1:<16x} "
            f"{record.argument2:<16x}{handlers[0]}"
        )


@dcmd(
    "softint",
    "show the software interrupts",
    address=OPTIONAL,
    synopsis="[-d]",
    options=[DRIVER],
    needs=("kernel",),
    table=lambda call: SoftTable(drivers=bool(call.options.d)),
    module="xpv_psm",
    help="Software interrupts with their level, arguments and handler.",
    example="::softint",
)
def softint(call: Call) -> Iterator[SoftInterrupt | None]:
    """All software interrupts by level."""
    found = soft_interrupts(call.kernel)
    yield None
    try:
        yield from found
    except InterruptError as error:
        raise CommandError(str(error)) from None

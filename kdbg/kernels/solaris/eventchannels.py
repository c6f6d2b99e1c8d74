"""The event channels of a Xen domain, and the interrupts that come through them (xpv_psm).

Facts: <sys/evtchn_impl.h> (irq_info_t, mec_info_t), Xen's public headers (shared_info_t, VIRQ_*), and which of the
tables' entries mdb shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, TypeNotFound
from kdbg.kernels.solaris.interrupts import Interrupt, InterruptError, Names, Vectors, apic_interrupt, names

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris
    from kdbg.symbols.value import Value

UNBOUND, PIRQ, VIRQ, IPI, EVTCHN, DEVICE = range(6)
"""IRQT_* of <sys/evtchn_impl.h>."""
TYPES = {UNBOUND: "unset", PIRQ: "pirq", VIRQ: "virq", IPI: "ipi", EVTCHN: "evtchn", DEVICE: "device"}
VIRQS = {0: "timer", 1: "debug", 2: "console", 3: "dom exc", 6: "debugger", 16: "mca"}
"""VIRQ_* of Xen's xen.h."""
TIMER = 0
POKE_LEVEL = 11
"""XC_CPUPOKE_PIL of <sys/xc_levels.h>: the level of the interrupt that has a CPU look up; it has no handler."""
NO_IRQ = -1


@dataclass(frozen=True, slots=True)
class EventChannel:
    """An event channel of a Xen domain."""

    evtchn: int
    type: str
    """"virq:timer", "ipi", "evtchn" ...; "unassigned" where no interrupt belongs to it."""
    irq: int | None
    ipl: int | None
    cpu: int | None
    """The CPU to which it is bound; None for channel 0."""
    handlers: tuple[str, ...]
    """Names of the functions that are called."""
    drivers: tuple[str, ...] = ()
    """For each of them ``name#instance``, or the function's name where it serves no device."""
    masked: bool | None = None
    """None where the page shared with the hypervisor cannot be read."""
    pending: bool | None = None


class EventChannels:
    """The event channels of a paravirtual domain, as the xpv_psm module keeps them."""

    def __init__(self, kernel: Solaris) -> None:
        """Read its tables. Raises `InterruptError` with the name of the first one that cannot be read."""
        self.kernel = kernel
        self.vectors = kernel.part(Vectors)
        self._irqs = self._table("irq_info")
        self._ipis = [int(one.mi_irq) for one in self._table("ipi_info")]
        self._heads = self._table("autovect")
        self._virqs = [int(one.mi_irq) for one in self._table("virq_info")]
        self._channels: list[int] = list(self._table("evtchn_to_irq"))
        self._apic = self._table("apic_irq_table")
        self._level = self._table("apic_level_intr")
        try:
            self._cpus = kernel.variable_value("evtchn_cpus")
        except Error as error:
            raise InterruptError("evtchn_cpus", error, "lookup") from error
        try:
            shared = kernel.word_at("HYPERVISOR_shared_info")
        except Error as error:
            raise InterruptError("HYPERVISOR_shared_info", error) from error
        self.shared = self._mapped(shared)
        """The page shared with the hypervisor, as the kernel maps it; None where it cannot be read."""
        self._told = self.shared or self._beside()

    def _table(self, name: str) -> Value:
        try:
            return self.kernel.variable_value(name).load()
        except Error as error:
            raise InterruptError(name, error) from error

    def _mapped(self, address: int) -> Value | None:
        try:
            return self.kernel.load("shared_info_t", address)
        except (ReadError, TypeNotFound):
            return None

    def _beside(self) -> Value | None:
        """The shared page where the dump has it in a section of its own: in real domains it is a frame of Xen's."""
        from kdbg.symbols.value import Value

        page = getattr(self.kernel.target.image, "shared_info", None)
        if page is None:
            return None
        try:
            of = self.kernel.type("shared_info_t")
        except TypeNotFound:
            return None
        return Value(self.kernel.memory, of, 0, bytes(page)) if len(page) >= of.size else None

    @property
    def count(self) -> int:
        """How many channels there can be."""
        return len(self._channels)

    def assigned(self) -> Iterator[EventChannel]:
        """All channels to which an interrupt belongs."""
        return (self.channel(number) for number, irq in enumerate(self._channels) if irq != NO_IRQ)

    def channel(self, number: int) -> EventChannel:
        """One channel."""
        irq = self._channels[number]
        masked, pending = self._bit("evtchn_mask", number), self._bit("evtchn_pending", number)
        if not 0 <= irq < len(self._irqs):
            return EventChannel(number, "unassigned", None, None, self._cpu(number), (), (), masked, pending)
        told = self._irqs[irq].ii_type
        kind = self._virq(irq) if told == VIRQ else TYPES.get(told, "?")
        handlers, drivers = self._handlers(irq)
        return EventChannel(number, kind, irq, self._ipl(irq), self._cpu(number), handlers, drivers, masked, pending)

    def _bit(self, member: str, number: int) -> bool | None:
        if self._told is None:
            return None
        words = self._told[member]
        bits = words.type.resolved.reference.size * 8
        return bool(words[number // bits] >> number % bits & 1) if number // bits < len(words) else False

    def _virq(self, irq: int) -> str:
        number = self._virqs.index(irq) if irq in self._virqs else None
        return f"virq:{VIRQS.get(-1 if number is None else number, '?')}"

    def _ipl(self, irq: int) -> int:
        """Its priority; that of an interrupt between CPUs stands in another table."""
        return int(self._irqs[irq].ii_u2.ipl) or (self._ipis.index(irq) if irq in self._ipis else 0)

    def _cpu(self, number: int) -> int | None:
        """The lowest CPU in a channel's set: -1 where it is empty."""
        if number == 0:
            return None
        try:
            cpus = self._cpus[number]
            found = cpus if isinstance(cpus, int) else int.from_bytes(cpus.bytes(), "little")
        except ReadError:
            return -1
        return (found & -found).bit_length() - 1

    def _handlers(self, irq: int) -> Names:
        first = int(self._heads[irq].avh_link) if irq < len(self._heads) else 0
        if first:
            return names([self.vectors.handler(one) for one in self.vectors.chain(first)])
        poke = ("poke_cpu",) if self._ipl(irq) == POKE_LEVEL else ()
        return poke, poke

    def interrupts(self) -> Iterator[Interrupt]:
        """The table of interrupts: those of event channels, and physical ones through the APIC."""
        for irq, told in enumerate(self._irqs):
            if told.ii_type == PIRQ:
                if told.ii_u.evtchn and irq < len(self._apic):
                    entry, level = int(self._apic[irq]), irq < len(self._level) and bool(self._level[irq])
                    yield from apic_interrupt(self.kernel, irq, entry, self._heads[irq], level, told.ii_u.evtchn)
            elif told.ii_type != UNBOUND:
                yield self._interrupt(irq, told)

    def _interrupt(self, irq: int, told: Value) -> Interrupt:
        kind, index = told.ii_type, told.ii_u.evtchn
        if kind in (EVTCHN, VIRQ):
            channel = "T" if told.ii_u.index == TIMER else str(index)
        else:
            channel = {IPI: "I", DEVICE: "D"}.get(kind, "")
        if kind in (VIRQ, IPI):
            cpu = "all"
        elif kind == DEVICE:
            cpu = "0"
        else:
            bound = self._cpu(index) if index < self.count else None
            cpu = "-" if bound is None else str(bound)
        first = int(self._heads[irq].avh_link) if irq < len(self._heads) else 0
        chain = self.vectors.chain(first)
        handlers, drivers = self._handlers(irq)
        return Interrupt(
            irq=irq,
            type=TYPES.get(kind, "?"),
            ipl=self._ipl(irq),
            cpu=cpu,
            bus=self.vectors.bus(chain[0]["device"]) if chain else "-",
            evtchn=channel,
            handlers=handlers,
            drivers=drivers,
        )

"""The event channels of a Linux guest of Xen: what stands behind its interrupts.

Sources: drivers/xen/events/events_internal.h, events_base.c (irq_info, xen_irq_list_head), events_fifo.c (event_array:
32-bit words, pending in bit 31, masked in bit 30), events_2l.c (bits in struct shared_info);
include/xen/interface/event_channel.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.formats.image import PAGE
from kdbg.kernels.linux.interrupts import handlers
from kdbg.kernels.linux.irq_tree import descriptors
from kdbg.kernels.linux.lists import nodes, offset_of
from kdbg.symbols.value import Value

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.model import Type

PENDING, MASKED = 1 << 31, 1 << 30


@dataclass(frozen=True, slots=True)
class EventChannel:
    """An event channel of a Xen guest, as the guest has it."""

    evtchn: int
    type: str
    """virq, ipi, pirq or evtchn."""
    irq: int
    cpu: int | None
    """The CPU that takes its events."""
    masked: bool | None
    """None where the page that tells is not in the dump."""
    pending: bool | None
    number: int | None
    """Of the virq, ipi or pirq."""
    handlers: tuple[str, ...]
    """Names of the functions that take the interrupt."""
    name: str
    """What /proc/interrupts calls it."""
    address: int
    """Of its irq_info."""


class EventChannels:
    """The event channels of one kernel. Raises `TypeNotFound` where it is no Xen guest."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._info = self._type_of_info()
        self._kinds = {number: name.removeprefix("IRQT_").lower() for name, number in self._enumerators()}
        self.word = self._fifo() or self._two_level()

    def _enumerators(self) -> tuple[tuple[str, int], ...]:
        return self.kernel.type("enum xen_irq_type").enumerators

    def _type_of_info(self) -> Type:
        """Struct irq_info: serial ports have one of that name, too."""
        for _, container in self.kernel.types.containers():
            for found in container.all_named("struct irq_info"):
                if found.has("evtchn"):
                    return found
        raise TypeNotFound(
            "struct irq_info", "not among the kernel's types: it is built without Xen, or carries no types"
        )

    def _fifo(self) -> Callable[[int], tuple[bool, bool]] | None:
        """Reads (pending, masked) of a port where channels are queues; None where they are not."""
        kernel = self.kernel
        try:
            pages, ops = kernel.place("event_array"), kernel.word(kernel.place("evtchn_ops"))
            if ops != kernel.place("evtchn_ops_fifo"):
                return None
        except SymbolNotFound:
            return None
        size, per_page = kernel.bits // 8, PAGE // 4

        def look(port: int) -> tuple[bool, bool]:
            page = kernel.word(pages + port // per_page * size)
            word = int.from_bytes(kernel.memory.read(page + port % per_page * 4, 4), "little")
            return bool(word & PENDING), bool(word & MASKED)

        return look

    def _two_level(self) -> Callable[[int], tuple[bool, bool]]:
        """Reads (pending, masked) of a port where they are bits of the page that guest and hypervisor share.

        In a paravirtual domain that page is one of Xen's: it is not among the domain's, but cores have it by itself.
        """
        kernel, of = self.kernel, self.kernel.type("struct shared_info")
        pending, mask = of.member("evtchn_pending").offset, of.member("evtchn_mask").offset
        beside = getattr(kernel.target.image, "shared_info", None)
        pointer = kernel.place("HYPERVISOR_shared_info")

        def bit(array: int, port: int) -> bool:
            at = array + port // 8
            byte = beside[at] if beside is not None else kernel.memory.read(kernel.word(pointer) + at, 1)[0]
            return bool(byte >> port % 8 & 1)

        return lambda port: (bit(pending, port), bit(mask, port))

    def _state(self, port: int) -> tuple[bool | None, bool | None]:
        """(pending, masked) of a port; None where the page that tells is not in the dump."""
        try:
            return self.word(port)
        except (ReadError, IndexError) as error:
            self.kernel.target.note(f"event channel {port}: whether it is pending or masked is not known: {error}")
            return None, None

    def walk(self) -> Iterator[EventChannel]:
        """The channels that the guest has bound, by port. Raises `Error`."""
        kernel = self.kernel
        offset = offset_of(self._info, "list")
        found = []
        for node in nodes(kernel, kernel.place("xen_irq_list_head"), "xen_irq_list_head"):
            try:
                record = self._record(node - offset)
            except Error as error:
                kernel.target.note(f"irq_info {node - offset:x}: {error}")
                continue
            if record is not None:
                found.append(record)
        yield from sorted(found, key=lambda record: record.evtchn)

    def _record(self, address: int) -> EventChannel | None:
        info = Value(self.kernel.memory, self._info, address).load()
        port = int(info.evtchn)
        if not port:
            return None
        kind = self._kinds.get(int(info["type"]), "?")
        pending, masked = self._state(port)
        descriptor = descriptors(self.kernel).get(int(info.irq))
        name, functions = handlers(self.kernel, descriptor) if descriptor else ("", ())
        number = {"virq": "virq", "ipi": "ipi"}.get(kind)
        return EventChannel(
            evtchn=port,
            type=kind,
            irq=int(info.irq),
            cpu=int(info.cpu),
            masked=masked,
            pending=pending,
            number=int(info.u[number]) if number else int(info.u.pirq.pirq) if kind == "pirq" else None,
            handlers=functions,
            name=name,
            address=address,
        )


def event_channels(kernel: Linux) -> Iterator[EventChannel]:
    """The event channels of a Xen guest. Raises `TypeNotFound`, `SymbolNotFound`, `ReadError` where there are none."""
    yield from kernel.part(EventChannels).walk()

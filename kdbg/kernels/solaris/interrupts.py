"""Interrupts: who handles them, those that the APIC delivers (pcplusmp), and software interrupts.

Facts: <sys/avintr.h> (autovec, av_head), <sys/apic.h> (apic_irq_t), and which of a table's entries mdb shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.threads import Threads
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris
    from kdbg.symbols.value import Value

MOST_HANDLERS = 256

Names = tuple[tuple[str, ...], tuple[str, ...]]
"""Handlers by function, and by driver."""


class InterruptError(Error):
    """A table that cannot be read; its text is mdb's."""

    def __init__(self, name: str, cause: Error, verb: str = "read") -> None:
        super().__init__(f"failed to {verb} {name}: {cause.reason}")
        self.reason = cause.reason


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that is called for an interrupt."""

    address: int
    symbol: str
    driver: str | None
    """``name#instance`` of the driver whose device it serves, where it serves one."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A line of an interrupt table."""

    irq: int | None
    """None for messages, and for interrupts between CPUs where each CPU has vectors of its own."""
    type: str
    ipl: int
    cpu: str
    """A number, "all", or "-"."""
    bus: str
    level_triggered: bool = False
    handlers: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    vector: int | None = None
    evtchn: str | None = None
    """Number of the event channel, "T" for the timer, "I" for interrupts between CPUs, "D" for a device."""
    share: int | None = None
    line: str = ""
    """``0xIOAPIC/0xLINE``; "-" where there is none."""
    low_ipl: int | None = None
    """The lowest priority among its handlers, where that is told."""


@dataclass(frozen=True, slots=True)
class SoftInterrupt:
    """A software interrupt."""

    address: int
    """Of its handle."""
    pending: bool
    level: int
    argument1: int
    argument2: int
    handlers: tuple[str, ...]
    drivers: tuple[str, ...]


class Vectors:
    """The chains of handlers that hang on vectors, and whom they serve."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        members = {
            "next": "av_link",
            "function": "av_vector",
            "argument1": "av_intarg1",
            "argument2": "av_intarg2",
            "level": "av_prilevel",
            "id": "av_intr_id?",
            "device": "av_dip?",
        }
        self.layout = Layout(kernel.type("struct autovec"), members)

    def load(self, address: int) -> dict[str, Any]:
        """Members of a struct autovec. Raises `ReadError`."""
        return self.layout.read(self.kernel.memory.read, address)

    def chain(self, first: int) -> list[dict[str, Any]]:
        """The handlers from one on; where one cannot be read the chain ends."""
        found: list[dict[str, Any]] = []
        seen = set[int]()
        while first and first not in seen and len(found) < MOST_HANDLERS:
            seen.add(first)
            try:
                found.append(self.load(first))
            except ReadError:
                break
            first = found[-1]["next"]
        return found

    def handler(self, vector: dict[str, Any], device: int | None = None) -> Handler:
        """A handler by name, and the driver that it serves."""
        function = self._real(vector["function"], vector["argument1"])
        driver = self.driver(vector["device"] if device is None else device)
        return Handler(function, self.kernel.part(Threads).label(function), driver)

    def _real(self, function: int, argument: int) -> int:
        """The function behind gld_intr, which network drivers of old have called in their place."""
        try:
            if function != self.kernel.symbol("gld_intr").address:
                return function
            mac = self.kernel.load("gld_mac_info_t", argument)
            return int(mac.gldm_intr) if mac.gldm_GLD_version == GLD_VERSION else function
        except Error:
            return function

    def driver(self, device: int | None) -> str | None:
        """``name#instance`` of the driver of a device (struct dev_info); None where it has none."""
        if not device:
            return None
        try:
            info = self.kernel.load("struct dev_info", device)
            major = self._major(info.devi_binding_name.string())
            if major is None or not 0 <= major < int(self.kernel.variable("devcnt")):
                return None
            names = self.kernel.type("struct devnames")
            entry = self.kernel.word_at("devnamesp") + major * names.size
            return f"{self.kernel.load('struct devnames', entry).dn_name.string()}#{info.devi_instance}"
        except Error:
            return None

    def _major(self, name: str) -> int | None:
        """The major number of a driver or alias: mb_hashtab, by b_next."""
        for first in self.kernel.variable_value("mb_hashtab").load():
            entry, seen = int(first), set[int]()
            while entry and entry not in seen:
                seen.add(entry)
                bind = self.kernel.load("struct bind", entry)
                if bind.b_name.string() == name:
                    return int(bind.b_num)
                entry = int(bind.b_next)
        return None

    def bus(self, device: int | None) -> str:
        """Name of the node above a device, at most six characters of it; "-" where there is none."""
        try:
            if not device:
                return "-"
            parent = self.kernel.load("struct dev_info", int(self.kernel.load("struct dev_info", device).devi_parent))
            return str(parent.devi_node_name.string(6)) or "-"
        except Error:
            return "-"


GLD_VERSION = 0x200
"""Of <sys/gld.h>."""


def names(handlers: Sequence[Handler]) -> Names:
    """The two ways to call handlers: by function, and by driver where they have one."""
    return tuple(one.symbol for one in handlers), tuple(one.driver or one.symbol for one in handlers)


# the APIC (pcplusmp, and physical interrupts of a domain)

FREE_INDEX, RESERVE_INDEX, ACPI_INDEX, MSI_INDEX, MSIX_INDEX = -1, -2, -3, -4, -5
"""Of airq_mps_intr_index (<sys/apic.h>)."""
APIC_TYPES = {RESERVE_INDEX: "IPI", MSI_INDEX: "MSI", MSIX_INDEX: "MSI-X"}
BUSES = (
    "", "CBUS", "CBUSII", "EISA", "FUTURE", "INTERN", "ISA", "MBI", "MBII", "PCIe", "MPI", "MPSA", "NUBUS", "PCI",
    "PCMCIA", "TC", "VL", "VME", "XPRESS", "",
)  # fmt: skip
"""BUS_* of <sys/apic.h>."""
UNINIT_CPU, UNBOUND_CPU = 0xFFFFFFFE, 0xFFFFFFFF
"""IRQ_UNINIT, IRQ_UNBOUND: no CPU."""


def apic_interrupts(kernel: Solaris) -> Iterator[Interrupt]:
    """The table of interrupts that the APIC delivers. Raises `InterruptError` where it cannot be read."""
    tables = []
    for name in ("apic_irq_table", "apic_level_intr", "autovect"):
        try:
            tables.append(kernel.variable_value(name).load())
        except Error as error:
            raise InterruptError(name, error) from error
    entries, level, heads = tables
    for irq, entry in enumerate(entries):
        if int(entry) and irq < len(heads):
            yield from apic_interrupt(kernel, irq, int(entry), heads[irq], irq < len(level) and bool(level[irq]))


def apic_interrupt(
    kernel: Solaris, irq: int, address: int, head: Value, level: bool, evtchn: int | None = None
) -> Iterator[Interrupt]:
    """The interrupt that an apic_irq_t describes; nothing where it is free or cannot be read."""
    try:
        found = kernel.load("apic_irq_t", address)
    except ReadError:
        return
    index = found.airq_mps_intr_index
    if index in (0, FREE_INDEX):
        return
    between = index == RESERVE_INDEX
    cpu = found.airq_cpu if found.airq_temp_cpu in (UNINIT_CPU, UNBOUND_CPU) else found.airq_temp_cpu
    bus = found.airq_iflag.bustype
    handlers, drivers = _apic_handlers(kernel, found, int(head.avh_link))
    yield Interrupt(
        irq=irq,
        type=APIC_TYPES.get(index, "Fixed"),
        ipl=head.avh_hi_pri if between else found.airq_ipl,
        cpu="all" if between else str(cpu),
        bus=BUSES[bus] if bus < len(BUSES) else "",
        level_triggered=level,
        vector=found.airq_vector,
        evtchn=None if evtchn is None else str(evtchn),
        share=found.airq_share,
        line=_line(found),
        handlers=handlers,
        drivers=drivers,
    )


def _line(found: Value) -> str:
    """Number of the I/O APIC and of its line; "-" for messages."""
    index, apic, line = found.airq_mps_intr_index, found.airq_ioapicindex, found.airq_intin_no
    if index in (MSI_INDEX, MSIX_INDEX) or (index == RESERVE_INDEX and not apic and not line):
        return "-"
    return f"0x{apic:x}/0x{line:x}"


def _apic_handlers(kernel: Solaris, found: Value, first: int) -> Names:
    vectors, share = kernel.part(Vectors), found.airq_share
    if int(found.airq_dip):
        return names([vectors.handler(one) for one in vectors.chain(first)[:share]])
    if found.airq_mps_intr_index == RESERVE_INDEX and not share:
        name = "pir_ipi" if found.airq_vector == pir_vector(kernel) else "poke_cpu"
        return (name,), (name,)
    functions = tuple(kernel.part(Threads).label(one["function"]) for one in vectors.chain(first)[:1])
    return functions, functions


def pir_vector(kernel: Solaris) -> int:
    """The vector by which posted interrupts are notified; -1 where the kernel has none."""
    try:
        return int(kernel.variable("apic_pir_vect"))
    except (Error, TypeError):
        return -1


# software interrupts


def soft_interrupts(kernel: Solaris) -> Iterator[SoftInterrupt]:
    """The software interrupts, by level. Raises `InterruptError` where the table cannot be read."""
    vectors = kernel.part(Vectors)
    try:
        heads = kernel.variable_value("softvect").load()
    except Error as error:
        # the name that mdb shows is that of another table
        raise InterruptError("autovect", error) from error
    for head in heads:
        for vector in vectors.chain(int(head.avh_link)):
            try:
                handle = kernel.load("ddi_softint_hdl_impl_t", vector["id"] or 0)
                pending = kernel.memory.read(int(handle.ih_pending), kernel.type("cpuset_t").size)
            except Error:
                continue
            if vector["function"]:
                handlers, drivers = names([vectors.handler(vector, int(handle.ih_dip))])
                yield SoftInterrupt(
                    address=vector["id"],
                    pending=any(pending),
                    level=vector["level"],
                    argument1=vector["argument1"],
                    argument2=vector["argument2"],
                    handlers=handlers,
                    drivers=drivers,
                )

"""Interrupts of the other platform modules: apix (the APIC with vectors for each CPU) and uppc (the old controllers).

Facts: <sys/apix.h> (apix_impl_t, apix_vector_t), <sys/psm_common.h>, and which entries mdb shows. No recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.interrupts import BUSES, Interrupt, InterruptError, Vectors, names, pir_vector
from kdbg.kernels.solaris.threads import Threads

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

FREED, OBSOLETED = 0, 1
"""APIX_STATE_*: of v_state."""
FIXED, MSI, MSIX, IPI = 1, 2, 4, 8
"""APIX_TYPE_*: of v_type."""
TYPES = {FIXED: "Fixed", MSI: "MSI", MSIX: "MSI-X", IPI: "IPI"}
PIC_VECTORS = 0x20
"""PIC_VECTBASE: the vector of interrupt line 0."""
MOST_CPUS = 1024


def uses_apix(kernel: Solaris) -> bool:
    """Whether apix is at work: its table of CPUs is filled."""
    try:
        return kernel.has_symbol("apixs") and kernel.word_at("apixs") != 0
    except Error:
        return False


def uses_uppc(kernel: Solaris) -> bool:
    """Whether uppc is at work: one of its lines has a handler."""
    try:
        return kernel.has_symbol("uppc_irq_shared_table") and any(kernel.variable_value("uppc_irq_shared_table").load())
    except Error:
        return False


def _table(kernel: Solaris, name: str) -> Any:
    try:
        return kernel.variable_value(name).load()
    except Error as error:
        raise InterruptError(name, error) from error


def apix_interrupts(kernel: Solaris) -> Iterator[Interrupt]:
    """The vectors of all CPUs, a record for each handler, and those for interrupts between CPUs last.

    Raises `InterruptError` where a table cannot be read.
    """
    cpus, irqs = _table(kernel, "apixs"), _table(kernel, "apic_irq_table")
    levels = _table(kernel, "apic_level_intr")
    try:
        count = int(kernel.variable("apic_nproc"))
    except (Error, TypeError):
        count = MOST_CPUS
    for cpu in list(cpus)[: count if 0 < count <= len(cpus) else len(cpus)]:
        for vector in _vectors(kernel, int(cpu)):
            if vector.v_type != IPI:
                yield from _device_vector(kernel, vector, irqs, levels)
    for vector in _vectors(kernel, int(cpus[0])):
        if vector.v_type == IPI:
            yield from _cpu_vector(kernel, vector)


def _vectors(kernel: Solaris, cpu: int) -> Iterator[Any]:
    """The vectors of one CPU that are in use."""
    try:
        pointers = kernel.load("apix_impl_t", cpu).x_vectbl
    except ReadError:
        return
    for pointer in pointers:
        try:
            vector = kernel.load("apix_vector_t", int(pointer))
        except ReadError:
            continue
        if vector.v_state not in (FREED, OBSOLETED):
            yield vector


def _device_vector(kernel: Solaris, vector: Any, irqs: Any, levels: Any) -> Iterator[Interrupt]:
    irq, bus, line, level = None, "PCI", "-", False
    if vector.v_type == FIXED:
        irq = vector.v_inum
        try:
            entry = kernel.load("apic_irq_t", int(irqs[irq]) if 0 <= irq < len(irqs) else 0)
        except ReadError:
            return
        bus = BUSES[entry.airq_iflag.bustype] if entry.airq_iflag.bustype < len(BUSES) else ""
        line = f"0x{entry.airq_ioapicindex:x}/0x{entry.airq_intin_no:x}"
        level = irq < len(levels) and bool(levels[irq])
    vectors = kernel.part(Vectors)
    chain = [one for one in vectors.chain(int(vector.v_autovect)) if one["function"]]
    for one in chain[: vector.v_share]:
        handlers, drivers = names([vectors.handler(one)])
        yield Interrupt(
            irq=irq,
            type=TYPES.get(vector.v_type, "Fixed"),
            ipl=one["level"],
            cpu=str(vector.v_cpuid),
            bus=bus or "-",
            level_triggered=level,
            handlers=handlers,
            drivers=drivers,
            vector=vector.v_vector,
            share=vector.v_share,
            line=line,
        )


def _cpu_vector(kernel: Solaris, vector: Any) -> Iterator[Interrupt]:
    chain = kernel.part(Vectors).chain(int(vector.v_autovect))
    if not vector.v_share:
        name = "pir_ipi" if vector.v_vector == pir_vector(kernel) else "poke_cpu"
    elif chain:
        name = kernel.part(Threads).label(chain[0]["function"])
    else:
        return
    yield Interrupt(
        irq=None,
        type="IPI",
        ipl=vector.v_pri,
        cpu="all",
        bus="-",
        handlers=(name,),
        drivers=(name,),
        vector=vector.v_vector,
        share=vector.v_share,
        line="-",
    )


def uppc_interrupts(kernel: Solaris) -> Iterator[Interrupt]:
    """The lines of the old controllers that have handlers. Raises `InterruptError` where a table cannot be read."""
    heads, shared = _table(kernel, "autovect"), _table(kernel, "uppc_irq_shared_table")
    vectors = kernel.part(Vectors)
    for irq, share in enumerate(shared):
        chain = vectors.chain(int(heads[irq].avh_link)) if irq < len(heads) else []
        if not chain:
            continue
        handlers, drivers = names([vectors.handler(one) for one in chain[:share]])
        yield Interrupt(
            irq=irq,
            type="Fixed",
            ipl=heads[irq].avh_hi_pri,
            cpu="0",
            bus=_bus_above(kernel, chain[0]["device"]) if chain[0]["device"] else " - ",
            handlers=handlers,
            drivers=drivers,
            vector=irq + PIC_VECTORS,
            share=share,
            low_ipl=heads[irq].avh_lo_pri,
        )


def _bus_above(kernel: Solaris, device: int) -> str:
    """ISA or PCI, by the nodes above a device; "-" where neither is."""
    seen = set[int]()
    while device and device not in seen:
        seen.add(device)
        try:
            device = int(kernel.load("struct dev_info", device).devi_parent)
            name = kernel.load("struct dev_info", device).devi_binding_name.string() if device else ""
        except Error:
            break
        if name in ("isa", "pci", "npe"):
            return "ISA" if name == "isa" else "PCI"
    return "-"

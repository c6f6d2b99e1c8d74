"""The interrupts that a Linux kernel has set up: counts, CPUs, chips and handlers, as /proc/interrupts shows them.

Sources: include/linux/irqdesc.h (struct irq_desc), include/linux/irq.h (irq_data, irq_common_data, irq_chip),
include/linux/interrupt.h (irqaction); kernel/irq/proc.c (show_interrupts: what is shown); kernel/irq/irqdesc.c (how
descriptors hang together: a radix tree, since 6.5 a maple tree, an array without CONFIG_SPARSE_IRQ).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error
from kdbg.kernels.linux.cpus import cpumask
from kdbg.kernels.linux.irq_tree import descriptors
from kdbg.kernels.linux.places import per_cpu_offsets

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.value import Value

DISABLED, MASKED, IN_PROGRESS = 1 << 16, 1 << 17, 1 << 18
"""IRQD_IRQ_DISABLED, IRQD_IRQ_MASKED, IRQD_IRQ_INPROGRESS of irq_common_data.state_use_accessors."""
PER_CPU, LEVEL = 1 << 11, 1 << 13
"""IRQD_PER_CPU, IRQD_LEVEL of the same."""
HIDDEN = 1 << 20
"""IRQ_HIDDEN of irq_desc.status_use_accessors: not for /proc/interrupts."""
CHAINED = "bad_chained_irq"
"""The handler of an interrupt that only leads to others'."""
MOST_ACTIONS = 64
_MASK = {64: (1 << 64) - 1, 32: (1 << 32) - 1}


@dataclass(frozen=True, slots=True)
class Interrupt:
    """An interrupt."""

    irq: int
    address: int
    """Of its irq_desc."""
    counts: tuple[int, ...] | None
    """How often it came, by CPU; None where the CPUs' areas are not known."""
    total: int | None
    """How often it came on all of them."""
    cpus: tuple[int, ...]
    """The CPUs that may take it."""
    effective_cpus: tuple[int, ...]
    """Those that do, where the kernel keeps this."""
    chip: str
    hardware_irq: int | None
    """The number at the chip, where there is a domain of such numbers."""
    flow: str
    """How it is signalled: edge, level, fasteoi ..."""
    name: str
    """The devices that asked for it."""
    handlers: tuple[str, ...]
    """Names of their functions."""
    disabled: bool
    masked: bool
    in_progress: bool
    depth: int
    """How many have disabled it."""
    unhandled: int
    """How often no handler felt responsible, since that was last looked at."""
    per_cpu: bool
    """Whether each CPU has its own: these are not disabled as a whole."""
    hidden: bool
    """Whether the kernel keeps it out of /proc/interrupts."""

    @property
    def shown(self) -> bool:
        """Whether /proc/interrupts has it: somebody asked for it, or it came."""
        asked = any(handler != CHAINED for handler in self.handlers)
        return not self.hidden and (asked or (bool(self.total) and not self.handlers))


def interrupts(kernel: Linux) -> Iterator[Interrupt]:
    """All interrupts with a descriptor, ascending; one that cannot be read is left out with a note. Raises `Error`."""
    for irq, address in sorted(descriptors(kernel).items()):
        try:
            yield interrupt(kernel, address)
        except Error as error:
            kernel.target.note(f"interrupt {irq}: its irq_desc {address:x}: {error}")


def interrupt(kernel: Linux, address: int) -> Interrupt:
    """The interrupt whose irq_desc lies at an address. Raises `Error`."""
    desc = kernel.load("struct irq_desc", address)
    data, common = desc.irq_data, desc.irq_common_data
    name, functions = handlers(kernel, address)
    counts = _counts(kernel, desc)
    state = int(common.state_use_accessors)
    effective = common.effective_affinity if common.has("effective_affinity") else None
    return Interrupt(
        irq=int(data.irq),
        address=address,
        counts=counts,
        total=sum(counts) if counts is not None else int(desc.tot_count) if desc.has("tot_count") else None,
        cpus=cpumask(kernel, common.affinity) if common.has("affinity") else (),
        effective_cpus=cpumask(kernel, effective) if effective is not None else (),
        chip=_text(data.chip, "name"),
        hardware_irq=int(data.hwirq) if data.domain else None,
        flow=desc.name.string(64) if desc.name else "level" if state & LEVEL else "edge",
        name=name,
        handlers=functions,
        disabled=bool(state & DISABLED) and not state & PER_CPU,
        masked=bool(state & MASKED),
        in_progress=bool(state & IN_PROGRESS),
        depth=int(desc.depth),
        unhandled=int(desc.irqs_unhandled),
        per_cpu=bool(state & PER_CPU),
        hidden=bool(int(desc.status_use_accessors) & HIDDEN),
    )


def handlers(kernel: Linux, descriptor: int) -> tuple[str, tuple[str, ...]]:
    """(name, functions) of the actions of an irq_desc. Raises `Error`."""
    action = kernel.at("struct irq_desc", descriptor).action
    names, functions = [], []
    for _ in range(MOST_ACTIONS):
        if not action:
            break
        if int(action.name):
            names.append(action.name.string())
        pointer = int(action.handler)
        nearest = kernel.symbols.nearest(pointer)
        functions.append(nearest[0].name if nearest is not None else f"{pointer:#x}")
        action = action.next
    return ",".join(names), tuple(functions)


def _counts(kernel: Linux, desc: Value) -> tuple[int, ...] | None:
    """The per-CPU counters: numbers, since 6.11 the first member of struct irqstat."""
    pointer, bits = int(desc.kstat_irqs), kernel.bits
    if not pointer:
        return None
    try:
        places = [pointer + offset & _MASK[bits] for offset in kernel.part(per_cpu_offsets)]
        return tuple(int.from_bytes(kernel.memory.read(place, 4), "little") for place in places)
    except Error:
        return None


def _text(value: Any, member: str) -> str:
    """The string that a structure's member points to; "" where there is no structure, or no string."""
    try:
        return str(value[member].string(64)) if value and int(value[member]) else ""
    except Error:
        return "?"

"""The CPUs of a Linux kernel: which vCPU is which, and what runs on it.

Sources: arch/x86/include/asm/percpu.h (on x86-64 gs points to the CPU's area while in the kernel; __per_cpu_offset);
arch/x86/include/asm/current.h (current_task; pcpu_hot of 6.2 to 6.14, whose first member it is); kernel/panic.c
(panic_cpu).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.records import Cpu

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.value import Value

CURRENT = ("current_task", "pcpu_hot", "const_pcpu_hot")
MOST_CPUS = 8192
"""CONFIG_NR_CPUS at its greatest."""


def cpus(kernel: Linux) -> Iterator[Cpu]:
    """The CPUs in order of their ids. A vCPU whose id is not found has its place among the contexts."""
    contexts = kernel.target.image.contexts
    ids = cpu_ids(kernel)
    areas = _areas(kernel) if len(ids) < len(contexts) else []
    for ident, position in sorted((ids.get(at, at), at) for at in range(len(contexts))):
        registers = contexts[position]
        area = _area(registers, kernel) if position in ids else 0
        if not ids and ident < len(areas):  # a kernel's own dump has not got gs: its CPUs come in their order
            area = areas[ident]
        thread = _current(kernel, area) if area else None
        if thread is None and not ids:
            thread = _by_run_queue(kernel, ident)
        yield Cpu(ident, registers, thread, area or None)


def _areas(kernel: Linux) -> list[int]:
    """The CPUs' areas by the kernel's table of them; none where it is not found."""
    from kdbg.kernels.linux.places import per_cpu_offsets

    try:
        start, mask = per_cpu_start(kernel), (1 << kernel.bits) - 1
        return [offset + start & mask for offset in kernel.part(per_cpu_offsets)]
    except Error:
        return []


def _by_run_queue(kernel: Linux, ident: int) -> int | None:
    """The task on a CPU, as its run queue has it: where no register and no variable tells (arm64)."""
    from kdbg.kernels.linux.runqueues import run_queues

    try:
        place = run_queues(kernel).get(ident)
        return int(kernel.at("struct rq", place).curr) or None if place else None
    except Error:
        return None


def _area(registers: Mapping[str, int], kernel: Linux) -> int:
    """The per-cpu area of a vCPU: gs as the kernel has it, which swapgs puts aside in user mode."""
    values = (registers.get(name, 0) for name in ("gs_base", "kernel_gs_base", "gs_base_user"))
    return next((value for value in values if kernel.in_kernel(value)), 0)


def cpu_ids(kernel: Linux) -> dict[int, int]:
    """Position among the contexts -> CPU id, by the kernel's table of per-cpu areas; those found there alone."""
    areas = {_area(registers, kernel): at for at, registers in enumerate(kernel.target.image.contexts)}
    areas.pop(0, None)
    found: dict[int, int] = {}
    try:
        table = kernel.image_symbol("__per_cpu_offset")
        count = min(table.size // 8 or MOST_CPUS, MOST_CPUS)
        start = per_cpu_start(kernel)
        data = memoryview(kernel.memory.read(table.address, 8 * count)).cast("Q")
    except Error:
        return found
    for ident, offset in enumerate(data):
        position = areas.pop(offset + start & (1 << 64) - 1, None)
        if position is not None:
            found[position] = ident
        if not areas:
            break
    return found


def per_cpu_start(kernel: Linux) -> int:
    """Where the image has the area that is copied for each CPU: 0 up to 6.14, from then on an address."""
    try:
        return kernel.image_symbol("_per_cpu_start").address
    except SymbolNotFound:
        return 0


def _current(kernel: Linux, area: int) -> int | None:
    """Address of the task on the CPU with that area."""
    for name in CURRENT:
        try:
            found = kernel.image_symbol(name)
            return kernel.word(area + found.address - per_cpu_start(kernel) & (1 << 64) - 1)
        except SymbolNotFound:
            continue
        except ReadError:
            return None
    return None


def cpu_count(kernel: Linux) -> int:
    """How many CPUs there may be: nr_cpu_ids, else the contexts in the dump."""
    try:
        found = int.from_bytes(kernel.memory.read(kernel.place("nr_cpu_ids"), 4), "little")
    except Error:
        found = len(kernel.target.image.contexts)
    return min(max(found, 1), MOST_CPUS)


def online(kernel: Linux) -> int | None:
    """How many CPUs are online; None where that is not found."""
    try:
        return int.from_bytes(kernel.memory.read(kernel.place("__num_online_cpus"), 4), "little")
    except Error:
        pass
    for name in ("__cpu_online_mask", "cpu_online_bits"):
        try:
            data = kernel.memory.read(kernel.place(name), (cpu_count(kernel) + 7) // 8)
        except Error:
            continue
        return int.from_bytes(data, "little").bit_count()
    return None


def cpumask(kernel: Linux, mask: Value) -> tuple[int, ...]:
    """The numbers of the CPUs in a cpumask_var_t: a pointer to words, or an array of them; () for NULL.

    What is allocated has bits for the CPUs that there may be, and nothing behind them. Raises `ReadError`.
    """
    count = cpu_count(kernel)
    if mask.is_pointer and not mask:
        return ()
    number = int.from_bytes(kernel.memory.read(mask.address, (count + 7) // 8), "little")
    return tuple(bit for bit in range(count) if number >> bit & 1)


def representative(kernel: Linux) -> Mapping[str, int]:
    """The registers of the CPU that panicked, else of the first one."""
    from kdbg.kernels.linux.panic import panic, panic_cpu

    found = list(cpus(kernel))
    if not found:
        return {}
    panicked = panic_cpu(kernel)
    if panicked is None:
        ended = panic(kernel)
        panicked = ended.cpu if ended is not None else None
    return next((cpu.registers for cpu in found if cpu.id == panicked), found[0].registers)

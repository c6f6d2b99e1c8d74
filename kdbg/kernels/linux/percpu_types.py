"""Where per-CPU variables lie in kernels whose data has no names: BTF tells their places among the per-CPU data.

BTF's section ``.data..percpu`` has the offset of each variable in it (Documentation/bpf/btf.rst, BTF_KIND_DATASEC). How
far that section is from what __per_cpu_offset counts from is told by one variable that is found without a name: the run
queue of a CPU, which the tasks' scheduling entities lead to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.errors import SymbolNotFound
from kdbg.kernels.linux.places import per_cpu_offsets

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux


def per_cpu_places(kernel: Linux, name: str) -> list[int]:
    """Addresses of a per-CPU variable, by CPU. Raises `SymbolNotFound`, `TypeNotFound`, `ReadError`."""
    part = kernel.part(_PerCpu)
    if name not in part.offsets:
        raise SymbolNotFound(name)
    mask = (1 << kernel.bits) - 1
    return [base + part.offsets[name] & mask for base in part.bases]


class _PerCpu:
    """The CPUs' copies of the section, and the variables' offsets in it."""

    def __init__(self, kernel: Linux) -> None:
        from kdbg.kernels.linux.runqueues import by_tasks
        from kdbg.kernels.linux.types import MAIN

        self.offsets = dict(kernel.types.container(MAIN).section_offsets())
        queues = by_tasks(kernel)
        if "runqueues" not in self.offsets or not queues:
            raise SymbolNotFound("runqueues", "no run queue is found")
        steps = kernel.part(per_cpu_offsets)
        cpu, place = next(iter(queues.items()))
        if cpu >= len(steps):
            raise SymbolNotFound("runqueues", f"CPU {cpu} has no per-CPU area")
        first = place - self.offsets["runqueues"] - steps[cpu]
        self.bases = [first + step for step in steps]

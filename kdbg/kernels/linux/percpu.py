"""Per-CPU variables of a Linux kernel: their names, whose copy an address lies in, and the areas' places by their form.

The image's part (``.data..percpu``) is copied for each CPU; a variable's address plus ``__per_cpu_offset[cpu]`` is that
CPU's copy. What is allocated later (alloc_percpu) is reached the same way from an address behind the image's part.

Sources: include/asm-generic/percpu.h, include/linux/percpu-defs.h, mm/percpu.c (pcpu_setup_first_chunk).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from kdbg.errors import Error, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.places import per_cpu_offsets
from kdbg.symbols.table import Symbol

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.model import Type

MOST_VARIABLES = 1 << 16
MOST_BYTES = 1 << 26
"""Of the image's part."""
_BOUNDS = ("__per_cpu_", "_per_cpu_", "init_per_cpu")
"""Beginnings of names that are no variables."""
TRIED = 12
"""Caches whose CPU structures a place has to fit."""


@dataclass(frozen=True, slots=True)
class PerCpuVariable:
    """A variable of which every CPU has one."""

    address: int
    """As the image has it: not of any CPU's copy."""
    name: str
    size: int
    module: str
    type: str | None
    """None where BTF does not tell."""


@dataclass(frozen=True, slots=True)
class PerCpuCopy:
    """Where an address lies in the CPUs' areas."""

    cpu: int
    variable: str | None
    """None for what is allocated at run time."""
    offset: int
    """Into the variable; without one, into the area."""


class PerCpu:
    """The per-CPU variables of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        from kdbg.kernels.linux.cpus import per_cpu_start

        self.kernel = kernel
        self.start = per_cpu_start(kernel)
        self.end: int | None = None
        try:
            self.start = kernel.image_symbol("__per_cpu_start").address
            end = kernel.image_symbol("__per_cpu_end").address
            self.end = end if 0 < end - self.start < MOST_BYTES else None
        except SymbolNotFound:
            pass
        self._symbols = sorted(self._static(), key=lambda one: (one.address, -one.size))
        self._addresses = [one.address for one in self._symbols]

    def _static(self) -> Iterator[Symbol]:
        table = self.kernel.symbols.image
        if table is None or self.end is None:
            return
        seen = set[str]()
        for symbol in islice(table, 1 << 22):
            inside = self.start <= symbol.address < self.end and symbol.name not in seen
            if inside and not symbol.name.startswith(_BOUNDS):
                seen.add(symbol.name)
                yield symbol

    def variables(self) -> Iterator[PerCpuVariable]:
        """All variables of the image, by their addresses."""
        for symbol in self._symbols[:MOST_VARIABLES]:
            yield self.record(symbol)

    def record(self, symbol: Symbol) -> PerCpuVariable:
        """The variable of a symbol."""
        of = self.type_of(symbol)
        size = self._size(symbol, of)
        return PerCpuVariable(symbol.address, symbol.name, size, symbol.module, of.spelling if of is not None else None)

    def type_of(self, symbol: Symbol) -> Type | None:
        """Its type, if BTF tells."""
        try:
            return self.kernel.type_of(symbol)
        except Error:
            return None

    def _size(self, symbol: Symbol, of: Type | None) -> int:
        try:
            return of.size if of is not None else symbol.size
        except TypeNotFound:
            return symbol.size

    def find(self, name: str) -> Symbol:
        """The symbol of a variable. Raises `SymbolNotFound`."""
        symbol = self.kernel.image_symbol(name)
        if self.end is not None and not self.start <= symbol.address < self.end:
            raise SymbolNotFound(name, "no per-CPU variable")
        return symbol

    def offsets(self) -> list[int]:
        """What is to be added to a variable's address, by CPU. Raises `Error`."""
        return self.kernel.part(per_cpu_offsets)

    def place(self, address: int, cpu: int) -> int:
        """Address of a CPU's copy. Raises `Error`."""
        return address + self.offsets()[cpu] & (1 << self.kernel.bits) - 1

    def copy_at(self, address: int) -> PerCpuCopy | None:
        """Which CPU's copy of which variable an address lies in; None where in none of the image's."""
        if self.end is None:
            return None
        mask = (1 << self.kernel.bits) - 1
        try:
            offsets = self.offsets()
        except Error:
            return None
        for cpu, offset in enumerate(offsets):
            inside = address - offset & mask
            if self.start <= inside < self.end:
                at = bisect_right(self._addresses, inside) - 1
                if at >= 0:
                    symbol = self._symbols[at]
                    if inside < symbol.address + max(self._size(symbol, self.type_of(symbol)), 1):
                        return PerCpuCopy(cpu, symbol.name, inside - symbol.address)
                return PerCpuCopy(cpu, None, inside - self.start)
        return None


def find_offsets(kernel: Linux) -> int:
    """Where ``__per_cpu_offset`` lies in kernels whose data has no names.

    A word of the image's data is an element of it if, added to a cache's ``cpu_slab``, it leads to a structure whose
    slab is one of that cache. Raises `SymbolNotFound`, and other `Error`s.
    """
    import numpy as np

    from kdbg.kernels.linux.slub import cpu_structures, slubs

    books = kernel.part(slubs)
    caches = cpu_structures(kernel)[-TRIED:]  # the oldest: their structures lie in the CPUs' first areas
    direct, spans = books.direct, books.pages.spans
    lowest, highest = direct.address_of(spans[0].first), direct.address_of(spans[-1].end - 1)
    word, mask = kernel.bits // 8, (1 << kernel.bits) - 1

    def fits(offset: int) -> bool:
        good = 0
        for cache, cpu_slab in caches:
            try:
                slab = books.cpu_structure(cpu_slab + offset & mask)["slab"]
                if slab and books.pages.pfn_of(slab) is not None:
                    if books.slab(slab).cache != cache:
                        return False
                    good += 1
            except Error:
                return False
        return good >= 2

    for segment in kernel.mapping.data():
        try:
            words = np.frombuffer(kernel.mapping.read(segment.address, segment.size & -word), f"<u{word}")
        except Error:
            continue
        moved = words + words.dtype.type(caches[-1][1])
        likely = (moved >= lowest) & (moved <= highest) & (moved % word == 0) & (words != 0)
        for at in np.flatnonzero(likely).tolist():
            if fits(int(words[at])):
                return segment.address + at * word
    raise SymbolNotFound("__per_cpu_offset")

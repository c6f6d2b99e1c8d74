"""The kernel's address space as a native illumos dump's own map of translations gives it.

The kernel wrote down which frame each of its addresses maps when it dumped itself; that map comes first. The page
tables are in the dump too: for what the map leaves out (segkpm) and for scans (`AddressSpace.leaves`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kdbg.vm.modes import PAE, X86_64, PagingMode
from kdbg.vm.space import AddressSpace, Walk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.formats.illumos import IllumosDump
    from kdbg.formats.illumos_xpv import ByMachineFrame
    from kdbg.vm.arrays import ArrayTranslation


class MachineTables(AddressSpace):
    """Page tables that hold machine frames, of a dump that numbers its pages by pfn: those of a domain 0 (i86xpv).

    ``by_machine`` None: tables hold pfns, as everywhere else.
    """

    by_machine: ByMachineFrame | None = None

    def __init__(self, image: IllumosDump, by_machine: ByMachineFrame | None, mode: PagingMode, root: int) -> None:
        super().__init__(image, mode, root)
        self.by_machine = by_machine

    def _tables(self) -> AddressSpace | None:
        return AddressSpace(self.by_machine, self.mode, self.root) if self.by_machine is not None else None

    def walk(self, address: int) -> Walk:
        """Follow an address through the tables; the page at the end is told by its pfn."""
        tables = self._tables()
        if tables is None:
            return super().walk(address)
        found = tables.walk(address)
        if found.page_address is None:
            return found
        pfn = tables.image.mfn_to_pfn(found.page_address >> 12)
        if pfn is None:
            return replace(found, page_address=None, ended=tables.image.why_missing(found.page_address >> 12))
        return replace(found, page_address=pfn << 12)

    _leaf = AddressSpace._leaf_by_walk

    def translate_array(self, addresses: NDArray[np.uint64]) -> ArrayTranslation:
        """As `AddressSpace.translate_array`; frames are those that the tables hold."""
        tables = self._tables()
        return super().translate_array(addresses) if tables is None else tables.translate_array(addresses)

    def leaves(self, start: int = 0, end: int = 1 << 64) -> Iterator[ArrayTranslation]:
        """As `AddressSpace.leaves`; frames are those that the tables hold."""
        tables = self._tables()
        return super().leaves(start, end) if tables is None else tables.leaves(start, end)


class MappedSpace(MachineTables):
    """Translations of one ``struct as`` by the dump's map. ``find_root`` gives the address of its top page table."""

    def __init__(self, image: IllumosDump, owner: int, find_root: Callable[[], int]) -> None:
        super().__init__(image, None, X86_64 if image.bits == 64 else PAE, 0)
        self._map = image
        self._owner = owner
        self._find_root = find_root
        self._root: int | None = None

    @property
    def root(self) -> int:
        """Address of the top page table."""
        if self._root is None:
            self._root = 0  # what is read meanwhile must be in the map
            self._root = self._find_root()
        return self._root

    @root.setter
    def root(self, value: int) -> None:
        pass  # known only when the kernel's types are

    def walk(self, address: int) -> Walk:
        """Look the address up in the map, where there are no steps to show, then in the page tables."""
        frame = self._map.frame_of(self._owner, address)
        if frame is not None:
            return Walk(address, (), frame << 12, 0, None)
        if not self.root:
            return Walk(address, (), None, 0, "the dump's map of kernel addresses does not have it")
        return super().walk(address)

    _leaf = AddressSpace._leaf_by_walk  # the map goes before any table

"""The kernel's address space as a native illumos dump's own map of translations gives it.

The kernel wrote down which frame each of its addresses maps when it dumped itself; that map comes first. The page
tables are in the dump too: for what the map leaves out (segkpm) and for scans (`AddressSpace.leaves`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kdbg.vm.modes import PAE, X86_64
from kdbg.vm.space import AddressSpace, Walk

if TYPE_CHECKING:
    from kdbg.formats.illumos import IllumosDump


class MappedSpace(AddressSpace):
    """Translations of one ``struct as`` by the dump's map. ``find_root`` gives the address of its top page table."""

    def __init__(self, image: IllumosDump, owner: int, find_root: Callable[[], int]) -> None:
        super().__init__(image, X86_64 if image.bits == 64 else PAE, 0)
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

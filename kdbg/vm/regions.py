"""What page tables say of the regions that one lowest table covers (2M on x86-64), remembered for array walks.

Everything above the lowest level depends on an address' upper bits alone. A direct-mapped table of regions turns the
walk of an array into three look-ups an address; only regions that are new are walked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kdbg.vm.modes import PRESENT

if TYPE_CHECKING:
    from kdbg.vm.arrays import ArrayTranslation
    from kdbg.vm.space import AddressSpace

Words = NDArray[np.uint64]

SLOTS = 1 << 14
"""Regions that may be remembered; one with the same lower bits takes the place of an older one."""
TABLES = 8192
"""Lowest tables that are kept at most: 32M of memory, for 16G of addresses."""
NEW = 2048
"""New regions in a batch beyond which it is walked level by level instead."""


class Regions:
    """The regions of one address space, whose lowest tables must fit into pages (`AddressSpace.regions`)."""

    def __init__(self, space: AddressSpace) -> None:
        mode = space.mode
        self._space = space
        level = mode.levels[0]
        self._page_shift, self._index_mask = np.uint64(level.shift), np.uint64((1 << level.bits) - 1)
        self._shift = np.uint64(level.shift + level.bits)
        self._entries = 1 << level.bits
        self._needed = np.uint64(PRESENT | level.table)
        self._tested = np.uint64(PRESENT | level.table | level.reserved)
        self._frame_mask = np.uint64(mode.frame_mask)
        self._form = f"<u{mode.entry_size}"
        self._forget()

    def _forget(self) -> None:
        self._keys = np.full(SLOTS, ~np.uint64(0), np.uint64)  # no region has that number
        self._rows = np.zeros(SLOTS, np.int64)  # where the region's table begins in `_tables`; -1: it has none
        self._leaf_entries = np.zeros(SLOTS, np.uint64)
        self._leaf_frames = np.zeros(SLOTS, np.uint64)
        self._leaf_levels = np.zeros(SLOTS, np.int8)
        self._leaf_mapped = np.zeros(SLOTS, bool)
        self._tables = np.zeros((64, self._entries), np.uint64)
        self._used = 0

    def translate(self, addresses: Words, result: ArrayTranslation, part: slice) -> NDArray[np.bool_] | None:
        """Fill in a part of the result. What is left to be walked: None for nothing, else bool[n]."""
        keys = addresses >> self._shift
        slots = (keys & np.uint64(SLOTS - 1)).astype(np.intp)
        hit = self._keys[slots] == keys
        if not hit.all():
            new = np.unique(keys[~hit])
            if len(new) > NEW:
                return np.ones(len(addresses), bool)
            self._add(new)
            hit = self._keys[slots] == keys  # of two new ones with one slot, one has it
        rows = self._rows[slots]
        places = rows + (addresses >> self._page_shift & self._index_mask).view(np.int64)
        tabled = rows >= 0
        whole = bool(tabled.all())
        entries = self._tables.reshape(-1).take(places if whole else np.where(tabled, places, 0))
        mapped = (entries & self._tested) == self._needed
        frames = (entries & self._frame_mask) >> np.uint64(12)
        if not mapped.all():
            frames *= mapped
        result.levels[part] = 0
        if not whole:
            large = ~tabled
            at = slots[large]
            within = addresses[large] - (keys[large] << self._shift) >> np.uint64(12)
            entries[large], mapped[large] = self._leaf_entries[at], self._leaf_mapped[at]
            frames[large] = np.where(self._leaf_mapped[at], self._leaf_frames[at] + within, 0)
            result.levels[part][large] = self._leaf_levels[at]
        result.entries[part], result.frames[part], result.mapped[part] = entries, frames, mapped
        return None if hit.all() else ~hit

    def _add(self, keys: Words) -> None:
        """Walk new regions (uint64[n]) and remember them."""
        from kdbg.vm.arrays import empty, walk_batch

        if self._used + len(keys) > TABLES:
            self._forget()
        slots, first = np.unique((keys & np.uint64(SLOTS - 1)).astype(np.intp), return_index=True)
        keys = keys[first]
        found = empty(keys << self._shift)
        onward, tables = walk_batch(self._space, found, slice(0, len(keys)), lowest=1)
        self._rows[slots] = -self._entries  # with any index it stays below 0
        self._leaf_entries[slots], self._leaf_frames[slots] = found.entries, found.frames
        self._leaf_levels[slots], self._leaf_mapped[slots] = found.levels, found.mapped
        for slot, table in zip(slots[onward].tolist(), tables.tolist(), strict=True):
            page = self._space.image.page(table >> 12)
            if page is not None:
                self._rows[slot] = self._row(page)
            else:
                self._leaf_entries[slot] = self._leaf_levels[slot] = 0
        self._keys[slots] = keys

    def _row(self, page: memoryview) -> int:
        """Keep a table; where it begins among those kept."""
        if self._used == len(self._tables):
            self._tables = np.concatenate([self._tables, np.zeros_like(self._tables)])
        self._tables[self._used] = np.frombuffer(page, self._form)
        self._used += 1
        return (self._used - 1) * self._entries

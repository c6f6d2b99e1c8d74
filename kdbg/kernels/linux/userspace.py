"""Address spaces of processes, with the pages that a process has and the CPU may not use.

mprotect(PROT_NONE) and NUMA balancing leave a page where it is and take its entry's presence away: for the CPU nothing
is mapped, for the kernel (pte_present) and /proc/PID/pagemap it is. Here it counts as mapped, too; what the entry's
flags are, a translation tells.

Sources: arch/x86/include/asm/pgtable_types.h (_PAGE_PROTNONE is the bit of _PAGE_GLOBAL, which swap entries leave
clear), pgtable-invert.h (frames of such entries are inverted since 4.19, against L1TF); arch/arm64/include/asm/
pgtable-prot.h (_PAGE_NONE: a page's type without PTE_VALID, which no swap entry has).
"""

from __future__ import annotations

from dataclasses import replace

from kdbg.vm.modes import GLOBAL, LARGE, PRESENT
from kdbg.vm.space import AddressSpace, Walk

ARM_TYPE, ARM_PAGE_INVALID = 3, 2


class UserSpace(AddressSpace):
    """The address space of a process of a Linux kernel."""

    def walk(self, address: int) -> Walk:
        """As the CPU walks; an entry without presence that holds a page of the process's all the same is one, too."""
        walk = super().walk(address)
        if walk.page_address is None and walk.steps and not walk.entry & PRESENT and walk.entry:
            page = self._kept(walk.entry, walk.level)
            if page is not None:
                offset = address & (1 << self.mode.levels[walk.level].shift) - 1 & -4096
                return replace(walk, page_address=page + offset, ended=None)
        return walk

    def _kept(self, entry: int, level: int) -> int | None:
        """Address of the page that an entry keeps; None for any other (a swapped page's)."""
        mode = self.mode
        if mode.levels[0].table:  # arm64
            return mode.leaf_frame_address(entry, 0) if not level and entry & ARM_TYPE == ARM_PAGE_INVALID else None
        if not entry & GLOBAL or level > 1 or (level and not entry & LARGE):
            return None
        plain = mode.leaf_frame_address(entry, level)
        if mode.entry_size == 4:
            return plain
        return min(plain, mode.leaf_frame_address(entry ^ mode.frame_mask, level))  # the other has its highest bits set

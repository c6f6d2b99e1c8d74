"""Native dumps of a kernel that ran as domain 0 of Solaris xVM (platform i86xpv).

The dump numbers pages by pfn; the kernel's page tables hold machine frames, and only its own list (``mfn_list``) leads
from one to the other. Pages that have no pfn get a made-up one with the highest bit set: the page that Xen shares with
the domain, and, where it was the hypervisor that panicked, all pages that the hypervisor had mapped, in order of their
addresses.

Source: uts/i86xpv/os/xpv_panic.c (dump_xpv_addr, dump_xpv_pfn), uts/i86pc/os/machdep.c (dump_plat_pfn),
<vm/hat_pte.h> (PFN_IS_FOREIGN_MFN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kdbg.formats.image import Image, PageMap
from kdbg.formats.xen import FOREIGN

if TYPE_CHECKING:
    from kdbg.formats.illumos import IllumosDump
    from kdbg.records import Info

PLATFORM = "i86xpv"
FOREIGN_PFN = {64: 1 << 51, 32: 1 << 31}
"""Width -> the bit that marks a made-up pfn (PFN_IS_FOREIGN_MFN)."""

Numbering = Callable[[int], int | None]


class ByMachineFrame(Image):
    """The pages of such a dump as its page tables name them."""

    def __init__(self, dump: IllumosDump, to_pfn: Numbering, to_mfn: Numbering) -> None:
        super().__init__(dump.source)
        self.dump = dump
        self.bits = dump.bits
        self.paravirtual = True
        self._to_pfn, self._to_mfn = to_pfn, to_mfn

    def mfn_to_pfn(self, mfn: int) -> int | None:
        """The pfn that has a machine frame, or None."""
        return self._to_pfn(mfn)

    def pfn_to_mfn(self, pfn: int) -> int | None:
        """The machine frame of a pfn, or None."""
        return self._to_mfn(pfn)

    def page(self, frame: int) -> memoryview | None:
        """The page with that machine frame, or None."""
        pfn = self.mfn_to_pfn(frame)
        return None if pfn is None else self.dump.page(pfn)

    def page_of_pfn(self, pfn: int) -> memoryview | None:
        """The page with that pfn, or None."""
        return self.dump.page(pfn)

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        pfn = self.mfn_to_pfn(frame)
        return FOREIGN.format(frame) if pfn is None else self.dump.why_missing(pfn)

    @property
    def pages(self) -> PageMap:
        """The pfns whose bytes lie in the file."""
        return self.dump.pages

    def describe(self) -> Info:
        """What the dump is."""
        return self.dump.describe()

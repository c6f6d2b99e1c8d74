"""What the dump of a whole Xen host tells of its hypervisor, and the memory of domain 0 in it.

Such a dump is of the machine: its pages are machine frames. The hypervisor leaves notes for the crash kernel: control
registers behind each CPU's registers, one note with its version, where it was loaded and where domain 0's list of
machine frames begins, and a VMCOREINFO of its own. QEMU's dump of a machine under Xen has none of that; there the
CPUs' registers show who was running.

Source: Xen's xen/include/xen/elfcore.h (crash_xen_info_t), xen/include/asm-x86/elf.h (crash_xen_core_t),
xen/common/kexec.c; the list of lists: public/arch-x86/xen.h (pfn_to_mfn_frame_list_list); asm-x86/config.h (layout).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Missing
from kdbg.formats.image import PAGE, Image, PageMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.formats.linux_notes import XenNotes
    from kdbg.records import Info

SLOT = (0xFFFF_8280_0000_0000, 0xFFFF_8300_0000_0000)
"""Slot 261 of every top table: the image of a 64-bit Xen, what it maps, its table of frames."""
HYPERVISOR_CS = 0xE008
"""Selector of its code (__HYPERVISOR_CS64)."""
NO_FRAME = 3 << 62
"""Bits of an entry of domain 0's list that is no frame of its own: INVALID_P2M_ENTRY, FOREIGN_FRAME, IDENTITY_FRAME."""
FANOUT = PAGE // 8
"""Entries of a page of the list."""
MOST_PFNS = 1 << 28
"""Of a domain 0 of 1 TB: more are not listed at once."""
TEXTS = ("extra_version", "changeset", "compiler", "compile_date", "compile_time")


@dataclass(frozen=True, slots=True)
class CrashInfo:
    """The note XEN_ELFNOTE_CRASH_INFO."""

    major: int
    minor: int
    texts: tuple[int, ...]
    """Machine addresses of the texts that `TEXTS` names."""
    tainted: int
    phys_start: int | None
    """Machine address where the hypervisor was loaded; None where the note has no such word."""
    frame_list_list: int | None
    """Machine frame of the page that domain 0's list of frames begins with."""


def crash_info(data: bytes, width: int) -> CrashInfo | None:
    """The note of a Xen with words of ``width`` bytes: 8 words, and in front of the last of 9 or 10 what x86 adds."""
    words = tuple(memoryview(data[: len(data) // width * width]).cast("Q" if width == 8 else "I"))
    if len(words) < 8:
        return None
    start = words[8] if len(words) > 9 else None
    return CrashInfo(words[0], words[1], words[2:7], words[7], start, words[-1] if len(words) > 8 else None)


class XenHost:
    """The hypervisor's own word, as far as the dump has it."""

    def __init__(self, image: Image, notes: XenNotes) -> None:
        self.image = image
        self.info = crash_info(notes.info, image.bits // 8)
        self.vmcoreinfo: Mapping[str, str] = notes.vmcoreinfo

    @functools.cached_property
    def details(self) -> Mapping[str, object]:
        """Version and build by name; empty where no note tells."""
        if self.info is None:
            return {}
        found = {name: self._text(at) for name, at in zip(TEXTS, self.info.texts, strict=True)}
        version = f"{self.info.major}.{self.info.minor}{found.pop('extra_version')}"
        return {"xen_version": version, **{name: text for name, text in found.items() if text}}

    def _text(self, address: int) -> str:
        try:
            data = self.image.read_physical(address, min(256, PAGE - address % PAGE))
        except Missing:
            return ""
        return data.partition(b"\0")[0].decode("latin-1")

    def addresses(self) -> list[int]:
        """Addresses in the hypervisor's image that the notes or the CPUs' registers tell."""
        told = [self.vmcoreinfo[key] for key in self.vmcoreinfo if key.startswith("SYMBOL(")]
        found = [int(value, 16) for value in told if all(digit in "0123456789abcdef" for digit in value) and value]
        for registers in self.image.contexts:
            if registers.get("cs", 0) & 0xFFFF == HYPERVISOR_CS:
                found.append(registers.get("rip", 0))
            found.append(registers.get("idt_base", 0))
        return [address for address in found if SLOT[0] <= address < SLOT[1]]

    @functools.cached_property
    def dom0(self) -> Dom0:
        """The memory of domain 0."""
        return Dom0(self.image, self.info.frame_list_list if self.info is not None else None)


def host_of(image: Image, notes: XenNotes) -> XenHost | None:
    """What an image tells of a hypervisor, if it is one of a Xen host."""
    host = XenHost(image, notes)
    return host if notes.info or notes.vmcoreinfo or (image.bits == 64 and host.addresses()) else None


class Dom0(Image):
    """The memory of domain 0 as its kernel sees it: its page tables hold machine frames, its pages have pfns.

    A paravirtual domain 0 of 64 bits; from pfn to frame leads the list that its kernel keeps for the tools.
    """

    format = "domain 0 of a Xen host"
    machine_addresses = True

    def __init__(self, machine: Image, frame_list_list: int | None) -> None:
        super().__init__(machine.source)
        self.paravirtual = True
        self.machine = machine
        self.vmcoreinfo = machine.vmcoreinfo
        self.list_frame: Callable[[int], int | None] = self._listed_frame
        """Machine frame of page *i* of the list: entries of pfns from 512 *i* on. A kernel may know it."""
        self._top = frame_list_list

    @property
    def listed(self) -> bool:
        """Whether the notes tell where the list of its frames is."""
        return self._top is not None

    @property
    def contexts(self) -> Sequence[Mapping[str, int]]:
        """Registers of the machine's CPUs."""
        return self.machine.contexts

    def page(self, frame: int) -> memoryview | None:
        """The page with that machine frame, or None."""
        return self.machine.page(frame)

    def peek(self, frame: int) -> memoryview | None:
        """As `page`, for searches."""
        return self.machine.peek(frame)

    def words(
        self, frames: NDArray[np.uint64], indexes: NDArray[np.uint64], width: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """As `Image.words`."""
        return self.machine.words(frames, indexes, width)

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        return self.machine.why_missing(frame)

    def page_of_pfn(self, pfn: int) -> memoryview | None:
        """The page with that pfn of domain 0, or None."""
        mfn = self.pfn_to_mfn(pfn)
        return None if mfn is None else self.machine.page(mfn)

    def why_pfn_missing(self, pfn: int) -> str:
        """Why `page_of_pfn` has nothing for ``pfn``."""
        mfn = self.pfn_to_mfn(pfn)
        return f"domain 0 has no page {pfn:x}" if mfn is None else self.machine.why_missing(mfn)

    def forget(self) -> None:
        """Forget the pages that are listed: another list has become known."""
        for name in ("pages", "_pairs", "_by_frame"):
            self.__dict__.pop(name, None)

    # from pfn to frame

    def _entry(self, frame: int, index: int) -> int | None:
        """Entry of a page of the list's upper levels, which hold machine frames."""
        page = self.machine.page(frame)
        return None if page is None else page.cast("Q")[index]

    def _listed_frame(self, number: int) -> int | None:
        if self._top is None or number >= FANOUT * FANOUT:
            return None
        middle = self._entry(self._top, number // FANOUT)
        return self._entry(middle, number % FANOUT) if middle is not None else None

    def pfn_to_mfn(self, pfn: int) -> int | None:
        """The machine frame of a pfn of domain 0, or None."""
        frame = self.list_frame(pfn // FANOUT) if pfn >= 0 else None
        page = self.machine.page(frame) if frame is not None else None
        entry = None if page is None else page.cast("Q")[pfn % FANOUT]
        return None if entry is None or entry & NO_FRAME else entry

    @functools.cached_property
    def _pairs(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Pfns, and their machine frames, ascending by pfn."""
        import numpy as np

        none = np.zeros(0, np.uint64)
        pfns, mfns, empty, absent = [none], [none], set[int](), 0
        for number in range(MOST_PFNS // FANOUT):
            frame = self.list_frame(number)
            absent = absent + 1 if frame is None else 0
            if absent > FANOUT:  # a whole page of the level above: the list ends
                break
            if frame is None or frame in empty:  # one page stands for all stretches without a frame
                continue
            page = self.machine.page(frame)
            entries = np.frombuffer(page, "<u8") if page is not None else none
            found = np.flatnonzero(entries & np.uint64(NO_FRAME) == 0)
            if not len(found):
                empty.add(frame)
                continue
            pfns.append(found.astype(np.uint64) + np.uint64(number * FANOUT))
            mfns.append(entries[found].astype(np.uint64))
        return np.concatenate(pfns), np.concatenate(mfns)

    @functools.cached_property
    def _by_frame(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        import numpy as np

        pfns, mfns = self._pairs
        order = np.argsort(mfns, kind="stable")
        return mfns[order], pfns[order]

    def mfn_to_pfn(self, mfn: int) -> int | None:
        """The pfn of domain 0 that has a machine frame, or None."""
        import numpy as np

        mfns, pfns = self._by_frame
        at = int(np.searchsorted(mfns, np.uint64(mfn))) if 0 <= mfn < 1 << 64 else len(mfns)
        return int(pfns[at]) if at < len(mfns) and int(mfns[at]) == mfn else None

    @functools.cached_property
    def pages(self) -> PageMap:
        """The pfns whose bytes lie in the file."""
        import numpy as np

        pfns, mfns = self._pairs
        return PageMap(pfns[np.isin(mfns, self.machine.pages.array)])

    def describe(self) -> Info:
        """What it is a part of."""
        return self.machine.describe()

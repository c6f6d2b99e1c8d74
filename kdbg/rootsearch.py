"""Where a kernel's page tables are in memory that tells nothing: no control registers, no notes.

The memory is looked through for what may be a top table, and for the text that a Linux kernel writes down of itself
(VMCOREINFO). Nothing is believed before a kernel is seen through it: Solaris' debug_info at its address, Linux' banner
in the mapping of its image. So no address has to be known beforehand, wherever the kernel was put (KASLR). In order:

1. the root that a person gives;
2. the first megabyte of a PC: processors are started by code in it, through a top table of its own that has the
   kernel's entries (Linux: trampoline_pgd; others keep such a stub too);
3. all of memory: VMCOREINFO, and top tables of x86-64 (4 and 5 levels) and of 2 levels by what their entries must be;
4. once more for the tables of PAE, which are of four entries and may lie anywhere.

Sources: Intel SDM volume 3, 4.3 to 4.5 (entries, reserved bits); arch/x86/realmode/init.c (trampoline_pgd);
Documentation/arch/x86/x86_64/mm.rst, arch/arm64/include/asm/image.h (the magic number of an image).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, FormatError
from kdbg.formats.bare import RawMemory
from kdbg.formats.image import PAGE, Image
from kdbg.kernels.linux.mapping import ImageMapping, region
from kdbg.kernels.linux.paging import told_space
from kdbg.kernels.linux.vmcoreinfo import BEGIN, VmCoreInfo, of_page
from kdbg.kernels.solaris.bootstrap import debug_info
from kdbg.kernels.solaris.early import DEBUG_INFO_AT
from kdbg.vm.modes import LARGE, PAE, PRESENT, X86_32_PSE, X86_64, X86_64_LA57
from kdbg.vm.space import AddressSpace
from kdbg.vm.vcpu import PDPTE_RESERVED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.formats.bare import BareMemory

Tell = Callable[[str], None]
"""Takes a line on how far a work is that may take long."""

FRAME = 0x000FFFFFFFFFF000
TOP = 511
"""The entry of a top table, and of that below it, through which the kernel's image is mapped: -2 GB, and Solaris'."""
ENOUGH = 3
"""Entries of the upper half besides the last with which a table of Linux has more than the image (direct map ...)."""
LOW = 1 << 20
BY_ENTRIES = "found by its entries"
MOST_CANDIDATES, MOST_SECONDS = 256, 1.5
"""Different tables that are tried for a kernel, and for how long all in all: real memory has a handful."""
LARGEST_IMAGE = 1 << 28
"""Bytes that the image of a kernel of 64 bits takes at most, modules not counted."""
BELOW = (0xC0000000, 0x80000000)
"""How much memory machines have below 4 GB that have more than fits there: VMware and QEMU's pc; QEMU's q35."""
MOST_TABLES, WRONG, FARTHEST = 2048, 4, 1 << 46
"""Tables of a level that are looked at to choose; what one that is none weighs; where no memory lies."""
BASES = (0, 0x40000000, 0x80000000)
"""Where memory of arm64 machines begins, mostly: QEMU's virt has it at 1 GB."""
IMAGE_MAGIC, IMAGE_MAGIC_AT = b"ARMd", 0x38
TEXT_OFFSETS = (0x10000, 0x1000, 0x40, 0)
"""What lies between an arm64 image's beginning and _stext, mostly."""


@dataclass(frozen=True, slots=True)
class Root:
    """Page tables that were found or given."""

    space: AddressSpace
    bits: int
    architecture: str
    how: str
    """How they were found, for a person."""
    kernel: str = ""
    """Which kernel is seen through them: "Solaris", "Linux"; "" where none is."""
    vmcoreinfo: VmCoreInfo | None = None


class _Memory:
    """A space with a width: what `debug_info` reads from."""

    def __init__(self, space: AddressSpace, bits: int) -> None:
        self.bits = bits
        self.read = space.read


def find_root(image: Image, given: int | None = None, tell: Tell = lambda _: None) -> Root | None:
    """The page tables of the kernel in an image, or None. ``given``: address of the top table.

    Raises `FormatError` where nothing is at the given address.
    """
    if given is not None:
        return _given(image, given)
    if not image.bare:
        return None
    if isinstance(image, RawMemory) and not image.base and image.source.size > min(BELOW):
        return _with_the_best_layout(image, tell)
    return _Search(image, tell).run()  # type: ignore[arg-type]


def _with_the_best_layout(image: RawMemory, tell: Tell) -> Root | None:
    """The root in a large flat file, which may lack the hole below 4 GB: as most tables of the kernel are tables."""
    best: tuple[int, int, Root] | None = None
    for below in (0, *(size for size in BELOW if size < image.source.size)):
        image.lay_out(0, below)
        found = _Search(image, tell).run()
        if found is not None and found.architecture == "arm64":
            return found
        score = tables_that_fit(found.space) if found is not None else 0
        if found is not None and (best is None or score > best[0]):
            best = score, below, found
    image.lay_out(0, best[1] if best is not None else 0)
    return best[2] if best is not None else None


def tables_that_fit(space: AddressSpace) -> int:
    """How many tables of the kernel's half look like tables, less those that do not, which weigh more."""
    import numpy as np

    image, mode = space.image, space.mode
    if mode.entry_size != 8 or len(mode.levels) < 4:
        return 0
    score, tables = 0, [space.root]
    for number in range(len(mode.levels) - 1, -1, -1):
        following: list[int] = []
        for address in tables[:MOST_TABLES]:
            page = image.page(address >> 12)
            words = np.frombuffer(page, "<u8") if page is not None else np.ones(1, np.uint64) << np.uint64(50)
            words = words[256:] if number == len(mode.levels) - 1 else words
            words = words[words != 0]
            present = words & PRESENT != 0
            fits = bool(present.all()) and bool((words & FRAME < FARTHEST).all())
            score += (1 if fits else -WRONG) if len(words) else 0
            if fits and number:
                following += [int(w) & FRAME for w in words[words & LARGE == 0]]
        tables = following
    return score


def kernel_seen(space: AddressSpace, bits: int, text: int | None = None) -> str:
    """Which kernel is mapped by a space: "Solaris", "Linux", or "". ``text``: where an image's text begins, if told."""
    from kdbg.kernels.linux.kernel import find_banner

    try:
        if space.image.architecture != "arm64" and debug_info(_Memory(space, bits), DEBUG_INFO_AT[bits, False]):
            return "Solaris"
        mapping = ImageMapping(space, *region(space, bits, text))
        if bits == 64 and sum(segment.size for segment in mapping.segments) > LARGEST_IMAGE:
            return ""
        return "Linux" if find_banner(mapping) is not None else ""
    except Error:
        return ""


def _given(image: Image, address: int) -> Root:
    """The space of a root that a person gives: in the mode in which a kernel is seen, else the likeliest."""
    if image.page(address >> 12) is None:
        raise FormatError(image.source.name, f"no page table at {address:x}: {image.why_missing(address >> 12)}")
    modes = [(X86_64, 64), (X86_64_LA57, 64), (PAE, 32), (X86_32_PSE, 32)]
    if address % PAGE:
        modes = [(PAE, 32)]
    for mode, bits in modes:
        space = AddressSpace(image, mode, address & mode.root_mask)
        kernel = kernel_seen(space, bits)
        if kernel:
            return Root(space, bits, _architecture(bits), "given", kernel)
    mode, bits = modes[0]
    return Root(AddressSpace(image, mode, address & mode.root_mask), bits, _architecture(bits), "given")


def _architecture(bits: int) -> str:
    return "x86-64" if bits == 64 else "x86"


class _Search:
    """One search: what was tried, and what is kept for the case that nothing better comes."""

    def __init__(self, image: BareMemory, tell: Tell) -> None:
        self.image = image
        self.tell = tell
        self.tried: set[tuple[str, int]] = set()
        self.spent = 0.0
        """Seconds for which tables were tried."""
        self.poor: Root | None = None
        """One through which a kernel is seen, and not much besides its image."""

    def run(self) -> Root | None:
        import numpy as np

        for passed, (start, end, seekers) in enumerate(
            (
                (0, LOW, (self._long,)),
                (0, 1 << 64, (self._vmcoreinfo, self._long, self._two_levels)),
                (0, 1 << 64, (self._pae,)),
            )
        ):
            for at, data in self._told(self.image.stretches(start, end), passed):
                words = np.frombuffer(data, "<u8").reshape(-1, PAGE // 8)
                for seek in seekers:
                    try:
                        found = seek(at, words)
                    except FormatError:  # what cannot be read holds nothing that is found
                        continue
                    if found is not None:
                        return found
            if passed and self.poor is not None:
                return self.poor
        return None

    def _told(self, stretches: Iterator[tuple[int, memoryview]], passed: int) -> Iterator[tuple[int, memoryview]]:
        for at, data in stretches:
            if not at & (1 << 28) - 1:
                what = "page tables" if passed < 2 else "page tables of 32 bits"
                self.tell(f"looking for {what} in memory: {at >> 20} MB")
            yield at, data

    # what may be a table

    def _long(self, at: int, words: NDArray[np.uint64]) -> Root | None:
        """Tables of x86-64 by their last entry, which leads to the kernel's image."""
        last = words[:, TOP]
        for row in _rows((last & 0x81 == PRESENT) & (last & FRAME != 0)):
            found = self._try_long(at + row * PAGE, words[row])
            if found is not None:
                return found
        return None

    def _try_long(self, address: int, table: NDArray[np.uint64]) -> Root | None:
        below = self.image.page((int(table[TOP]) & FRAME) >> 12)
        if below is None or not _is_table(table) or not _leads_on(self.image, below):
            return None
        rich = int((table[256:TOP] & PRESENT != 0).sum()) >= ENOUGH
        if not self._new("long", int(table[TOP]) & FRAME | rich):
            return None
        for mode in (X86_64, X86_64_LA57):
            space = AddressSpace(self.image, mode, address)
            kernel = self._seen(space, 64)
            if kernel:
                how = "found in the first megabyte, where processors are started" if address < LOW else BY_ENTRIES
                found = Root(space, 64, "x86-64", how, kernel)
                if kernel == "Solaris" or rich:
                    return found
                self.poor = found  # the user's half of page table isolation, or one level of five
        return None

    def _two_levels(self, at: int, words: NDArray[np.uint64]) -> Root | None:
        """Tables of two levels: from c0000000 on they map memory from 0 on, 4 MB each but where rights change."""
        one, other = words[:, 769 // 2] >> 32, words[:, 770 // 2]
        for row in _rows((one & 0xFFC00081 == 0x400081) & (other & 0xFFC00081 == 0x800081)):
            space = AddressSpace(self.image, X86_32_PSE, at + row * PAGE)
            kernel = self._seen(space, 32) if self._new("two", int(words[row, 768 // 2])) else ""
            if kernel:
                return Root(space, 32, "x86", BY_ENTRIES, kernel)
        return None

    def _pae(self, at: int, words: NDArray[np.uint64]) -> Root | None:
        """Tables of PAE: four entries, the last of which leads to the kernel's."""
        quads = words.reshape(-1, 4)
        reserved = PDPTE_RESERVED | 0x1E0 & ~(1 << 5) | ~FRAME & ~0xFFF & (1 << 64) - 1
        last, limit = quads[:, 3], 1 << 36
        wanted = (last & (reserved | PRESENT) == PRESENT) & (last < limit) & (last & FRAME != 0)
        for column in range(3):
            entry = quads[:, column]
            wanted &= (entry == 0) | (entry & (reserved | PRESENT) == PRESENT) & (entry < limit)
        for row in _rows(wanted):
            leads_to = int(last[row]) & FRAME
            below = self.image.page(leads_to >> 12)
            if below is None or not self._new("pae", leads_to):
                continue
            space = AddressSpace(self.image, PAE, at + row * 32)
            kernel = self._seen(space, 32)
            if kernel:
                return Root(space, 32, "x86", BY_ENTRIES, kernel)
        return None

    def _seen(self, space: AddressSpace, bits: int) -> str:
        """As `kernel_seen`, as long as there is time for it."""
        began = time.monotonic()
        try:
            return kernel_seen(space, bits) if self.spent < MOST_SECONDS else ""
        finally:
            self.spent += time.monotonic() - began

    def _new(self, kind: str, key: int) -> bool:
        """Whether that was not tried yet; never where too much was."""
        if (kind, key) in self.tried or len(self.tried) >= MOST_CANDIDATES:
            return False
        self.tried.add((kind, key))
        return True

    # what a kernel wrote down

    def _vmcoreinfo(self, at: int, words: NDArray[np.uint64]) -> Root | None:
        for row in _rows(words[:, 0] == int.from_bytes(BEGIN[:8], "little")):
            page = words[row].tobytes()
            if page[PAGE - 1]:
                following = self.image.page((at >> 12) + row + 1)
                page += bytes(following) if following is not None else b""
            told = of_page(page)
            if told is not None:
                found = self._by_vmcoreinfo(told)
                if found is not None:
                    return found
        return None

    def _by_vmcoreinfo(self, told: VmCoreInfo) -> Root | None:
        image, text = self.image, told.symbols.get("_stext")
        architecture, bits = _machine(told)
        before = image.architecture, image.bits
        layout = (image.base, image.below) if isinstance(image, RawMemory) else (0, 0)
        image.architecture, image.bits = architecture, bits
        for base in self._bases(told) if architecture == "arm64" else [None]:
            if base is not None and isinstance(image, RawMemory):
                image.lay_out(base)
            space = told_space(image, told)
            if space is not None and image.page(space.root >> 12) is not None:
                kernel = kernel_seen(space, bits, text)
                if kernel:
                    return Root(space, bits, architecture, "found by VMCOREINFO in memory", kernel, told)
        image.architecture, image.bits = before
        if isinstance(image, RawMemory) and image.base != layout[0]:
            image.lay_out(*layout)
        return None

    def _bases(self, told: VmCoreInfo) -> Iterator[int | None]:
        """Where a flat file of an arm64 machine may begin: where it is said to, mostly, or by the kernel's image."""
        image = self.image
        if not isinstance(image, RawMemory) or image.base:
            yield None
            return
        yield from BASES
        image.lay_out(0)
        try:
            text = told.symbols["_stext"] - int(told["NUMBER(kimage_voffset)"], 0)
        except (KeyError, ValueError):
            return
        magic = int.from_bytes(IMAGE_MAGIC, "little")
        import numpy as np

        hits = []
        for at, data in image.stretches():
            halves = np.frombuffer(data, "<u4").reshape(-1, PAGE // 4)
            hits += [at + row * PAGE for row in _rows(halves[:, IMAGE_MAGIC_AT // 4] == magic)]
        for hit in hits[:64]:
            for offset in TEXT_OFFSETS:
                base = text - offset - hit
                if base >= 0 and not base % PAGE:
                    yield base


def _machine(told: VmCoreInfo) -> tuple[str, int]:
    """(architecture, bits) of the kernel that wrote a VMCOREINFO."""
    if "NUMBER(kimage_voffset)" in told or "NUMBER(VA_BITS)" in told:
        return "arm64", 64
    top = max(told.symbols.values(), default=0)
    return ("x86-64", 64) if top >> 32 else ("x86", 32)


def _rows(wanted: NDArray[np.bool_]) -> list[int]:
    import numpy as np

    return [int(row) for row in np.flatnonzero(wanted)]


def _is_table(table: NDArray[np.uint64]) -> bool:
    """Whether no present entry has a bit that must be 0 in a top table."""
    return not bool((table & (PRESENT | LARGE) == PRESENT | LARGE).any())


def _leads_on(image: Image, below: memoryview) -> bool:
    """Whether one of the last two entries of the table below a top table leads to memory that is there."""
    entries = below[PAGE - 16 :].cast("Q").tolist()
    return any(entry & PRESENT and image.page((entry & FRAME) >> 12) is not None for entry in entries)

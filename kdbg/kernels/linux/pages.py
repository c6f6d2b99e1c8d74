"""The books that a Linux kernel keeps of physical memory: which struct page is of which frame, and the direct map.

Frames are kept by sections (SPARSEMEM): ``mem_section[root][number].section_mem_map`` has flags in its low bits, the
rest plus pfn * sizeof(struct page) is the address of a frame's struct page. With a virtual memory map that is the same
for all sections; kernels with one array for all memory (FLATMEM) have ``mem_map``.

Sources: include/linux/mmzone.h (struct mem_section, SECTION_MAP_MASK), include/linux/mm_types.h (struct page);
kernel/vmcore_info.c; arch/x86/include/asm/page_64.h (page_offset_base), arch/arm64/include/asm/memory.h.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound, Unmapped
from kdbg.formats.image import PAGE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.kernels.linux.kernel import Linux

    Words = NDArray[np.uint64]

PRESENT_SECTION, FLAGS_IN_MAP = 1, 0xFFF
"""SECTION_MARKED_PRESENT; the bits of section_mem_map that may hold flags: maps begin at whole pages."""
MOST_ROOTS, MOST_SECTIONS = 1 << 20, 1 << 20
MOST_FRAMES = 1 << 36
MOST_PROBLEMS = 100
CHUNK = 1 << 15
"""Pages whose structures are looked at together."""
PAGE_OFFSET_32 = 0xC0000000


@dataclass(frozen=True, slots=True)
class Span:
    """A range of frames whose structures lie one behind the other."""

    first: int
    end: int
    address: int
    """Of the struct page of the first frame."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The structures of some frames that follow one another."""

    first: int
    """The first frame."""
    address: int
    """Of its struct page."""
    words: Words
    """uint64[frames, words of a struct page]; (32 bits: uint32)."""
    there: NDArray[np.bool_]
    """bool[frames]: whether the structure could be read; it is 0 where not."""


class PageMap:
    """Frames and their structures of one kernel. Raises `Error` where neither sections nor an array are found."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        told = kernel.vmcoreinfo
        if told is not None and told.get("PAGESIZE", "4096") != "4096":
            raise SymbolNotFound("struct page", f"pages of {told['PAGESIZE']} bytes are not followed yet")
        self.size = _told_size(kernel, "page")
        if not 16 <= self.size <= 256 or self.size % (kernel.bits // 8):
            raise SymbolNotFound("struct page", f"a structure of {self.size} bytes")
        problems: list[str] = []
        found = _sections(kernel, self.size, problems) or _virtual_map(kernel) or _flat(kernel)
        self.spans = _joined(found, self.size)
        if not self.spans:
            raise SymbolNotFound("mem_section", next(iter(problems), "the kernel's sections of memory are not found"))
        self._firsts = [span.first for span in self.spans]
        self._by_address = sorted(self.spans, key=lambda span: span.address)
        self._addresses = [span.address for span in self._by_address]

    def page_of(self, pfn: int) -> int | None:
        """Address of the struct page of a frame; None where the kernel has none."""
        at = bisect_right(self._firsts, pfn) - 1
        if at < 0 or pfn >= self.spans[at].end:
            return None
        return self.spans[at].address + (pfn - self.spans[at].first) * self.size

    def pfn_of(self, address: int) -> int | None:
        """The frame whose struct page holds an address; None where none does."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0:
            return None
        span = self._by_address[at]
        pfn = span.first + (address - span.address) // self.size
        return pfn if pfn < span.end else None

    def offset(self, member: str) -> int:
        """Offset in bytes of a member of struct page. Raises `TypeNotFound`."""
        return told_offset(self.kernel, "page", member)

    @property
    def head_offset(self) -> int:
        """Offset of the word that tells a tail page its head, by bit 0: compound_head, from 7.0 on compound_info."""
        try:
            return self.offset("compound_head")
        except TypeNotFound:
            return self.offset("compound_info")

    def heads(self, addresses: Any, words: Any) -> Any:
        """The first struct pages of the compound pages that tail pages belong to: uint64[n] each, ``words`` as there.

        A word is the head's address, or (7.0 on, where struct page has a power of two bytes) a mask for the page's own.
        """
        import numpy as np

        plain = words & ~np.uint64(1)
        lowest, last = self._addresses[0], self._by_address[-1]
        highest = last.address + (last.end - last.first) * self.size
        direct = (plain >= np.uint64(lowest)) & (plain < np.uint64(min(highest, (1 << 64) - 1)))
        return np.where(direct, plain, addresses & plain)

    def chunks(self) -> Iterator[Chunk]:
        """All structures, a chunk at a time, frames ascending."""
        for span in self.spans:
            for first in range(span.first, span.end, CHUNK):
                count = min(CHUNK, span.end - first)
                yield self._chunk(first, span.address + (first - span.first) * self.size, count)

    def _chunk(self, first: int, address: int, count: int) -> Chunk:
        import numpy as np

        data, absent = read_pages(self.kernel, address, count * self.size)
        word = self.kernel.bits // 8
        words = np.frombuffer(data, f"<u{word}").reshape(count, self.size // word)
        there = np.ones(count, bool)
        for start, end in absent:
            there[start // self.size : -(-end // self.size)] = False
        return Chunk(first, address, words, there)


def told_offset(kernel: Linux, structure: str, member: str) -> int:
    """Offset in bytes of a member: by VMCOREINFO, or by the kernel's types. Raises `TypeNotFound`."""
    told = kernel.vmcoreinfo
    found = told.of_kind("OFFSET", 10).get(f"{structure}.{member}") if told is not None else None
    return kernel.type(f"struct {structure}").member(member).offset if found is None else found


def _told_size(kernel: Linux, structure: str) -> int:
    """Bytes of a structure, likewise."""
    told = kernel.vmcoreinfo
    found = told.of_kind("SIZE", 10).get(structure) if told is not None else None
    return found or kernel.type(f"struct {structure}").size


def read_pages(kernel: Linux, address: int, size: int) -> tuple[bytes, list[tuple[int, int]]]:
    """``size`` bytes at an address, zeros where pages cannot be read; and (start, end) of these, address as 0."""
    parts: list[bytes | memoryview] = []
    absent: list[tuple[int, int]] = []
    page_at, image, at = kernel.space.page, kernel.target.image, 0
    if not image.paravirtual:  # what is mapped in one piece is read in one
        for run in kernel.space.runs(address, address + size):
            length = min(run.size, size - at)
            if run.address != address + at:
                break
            try:
                parts.append(image.read_physical(run.frame << 12, length))
            except ReadError:
                break
            at += length
    while at < size:
        start = address + at & PAGE - 1
        length = min(PAGE - start, size - at)
        try:
            parts.append(page_at(address + at)[start : start + length])
        except ReadError:
            parts.append(bytes(length))
            absent.append((at, at + length))
        at += length
    return b"".join(parts), absent


def _sections(kernel: Linux, size: int, problems: list[str]) -> list[Span]:
    """The spans by mem_section; [] where the kernel has none. ``problems``: gets what could not be read."""
    told = kernel.vmcoreinfo
    if told is not None and "SIZE(mem_section)" not in told:  # it is there wherever there are sections
        return []
    numbers = told.of_kind("NUMBER", 10) if told is not None else {}
    bits = numbers.get("SECTION_SIZE_BITS", 27)  # x86-64, and arm64 with pages of 4K from 5.12 on
    if not 20 <= bits <= 34:
        kernel.target.note(f"mem_section: sections of 2**{bits} bytes are not believed")
        return []
    try:
        size_of, offset = _told_size(kernel, "mem_section"), told_offset(kernel, "mem_section", "section_mem_map")
        if not 8 <= size_of <= PAGE or not 0 <= offset < size_of:
            return []
        roots, extreme = _roots(kernel, told.symbols.get("mem_section", 0) if told is not None else 0)
    except Error:
        return []
    count = told.of_kind("LENGTH", 10).get("mem_section", 0) if told is not None else 0
    count = min(count or 1 << max(46 - bits - 8, 0), MOST_ROOTS)
    in_root, word = PAGE // size_of if extreme else 1, kernel.bits // 8
    frames = 1 << bits - 12
    found: list[Span] = []
    for root in range(count):
        try:
            begin = kernel.word(roots + root * word) if extreme else roots + root * size_of
            data = kernel.memory.read(begin, in_root * size_of) if begin else b""
        except ReadError as error:
            problems.append(f"root {root}: {error}")
            kernel.target.note(f"mem_section: {problems[-1]}")
            if not found or len(problems) > MOST_PROBLEMS:
                break
            continue
        for at in range(0, len(data), size_of):
            encoded = int.from_bytes(data[at + offset : at + offset + word], "little")
            if encoded & PRESENT_SECTION and len(found) < MOST_SECTIONS:
                first = (root * in_root + at // size_of) * frames
                start = (encoded & ~FLAGS_IN_MAP) + first * size & (1 << kernel.bits) - 1
                if kernel.in_kernel(start):
                    found.append(Span(first, first + frames, start))
    return found


def _roots(kernel: Linux, told: int) -> tuple[int, bool]:
    """(address of the array of roots, whether these are pointers). Raises `SymbolNotFound`, `ReadError`.

    VMCOREINFO has the value of the variable where it is a pointer, its address where it is an array.
    """
    try:
        variable = kernel.image_symbol("mem_section").address
    except SymbolNotFound:
        if not told:
            raise
        return told, not kernel.mapping.holds(told)
    if told == variable:
        return variable, False
    return told or kernel.word(variable), True


def _virtual_map(kernel: Linux) -> list[Span]:
    """One span by the base of the virtual memory map (x86-64), where sections cannot be read."""
    told = kernel.vmcoreinfo
    try:
        base = told.symbols.get("vmemmap", 0) if told is not None else 0
        base, end = base or kernel.word(kernel.place("vmemmap_base")), _last_frame(kernel)
    except Error:
        return []
    return [Span(0, end, base)] if 0 < end < MOST_FRAMES and kernel.in_kernel(base) else []


def _flat(kernel: Linux) -> list[Span]:
    try:
        address, end = kernel.word(kernel.place("mem_map")), _last_frame(kernel)
    except Error:
        return []
    return [Span(0, end, address)] if 0 < end < MOST_FRAMES and kernel.in_kernel(address) else []


def _last_frame(kernel: Linux) -> int:
    """The frame behind the last: max_pfn, or by the one node that machines with such an array have. Raises `Error`."""
    try:
        return kernel.word(kernel.place("max_pfn"))
    except SymbolNotFound:
        node = kernel.place("contig_page_data")
        return sum(
            kernel.word(node + told_offset(kernel, "pglist_data", member))
            for member in ("node_start_pfn", "node_spanned_pages")
        )


def _joined(spans: list[Span], size: int) -> list[Span]:
    """Spans in order of their frames, neighbours made one where their structures follow one another."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: one.first):
        last = found[-1] if found else None
        if last and last.end == span.first and span.address == last.address + (span.first - last.first) * size:
            found[-1] = Span(last.first, span.end, last.address)
        elif last is None or last.end <= span.first:  # what overlaps is damaged, and left out
            found.append(span)
    return found


class DirectMap:
    """Where the kernel has all of physical memory mapped in one piece. Raises `Error` where that is not found."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.base = _direct_base(kernel)
        """Virtual address of frame 0, modulo the width of addresses: memory need not begin there."""
        self._mask = (1 << kernel.bits) - 1

    def address_of(self, pfn: int) -> int:
        """Virtual address of a frame."""
        return self.base + (pfn << 12) & self._mask

    def pfn_of(self, address: int) -> int | None:
        """The frame of a virtual address, if it lies in the direct map: checked by the page tables."""
        try:
            pfn = self.kernel.space.translate(address).pfn
        except ReadError:
            return None
        return pfn if pfn is not None and self.address_of(pfn) == address & -PAGE else None


def _direct_base(kernel: Linux) -> int:
    if kernel.bits == 32:
        return min((segment.address for segment in kernel.mapping.segments), default=PAGE_OFFSET_32) & -(1 << 28)
    try:
        return kernel.word(kernel.place("page_offset_base"))
    except Error:
        return _direct_base_by_task(kernel)


def _direct_base_by_task(kernel: Linux) -> int:
    """By the task of the first process, which comes from a slab: slabs lie in the direct map."""
    from kdbg.kernels.linux.tasks import Tasks

    part = kernel.part(Tasks)
    first = part.first()
    for task in part.leaders():
        if task != first:
            pfn = kernel.space.translate(task).pfn
            if pfn is None:
                raise Unmapped(task, "no frame")
            return (task & -PAGE) - (pfn << 12) & (1 << kernel.bits) - 1
    raise SymbolNotFound("page_offset_base", "no process tells where memory is mapped")


class Virtual:
    """The virtual addresses of frames: those of the image for its own, of the direct map for all others."""

    def __init__(self, kernel: Linux) -> None:
        self.direct = kernel.part(DirectMap)
        image, rows = kernel.target.image, list[tuple[int, int, int]]()
        for segment in kernel.mapping.segments:
            address = segment.address
            for frame, count in segment.frames:
                if image.paravirtual:  # machine frames that follow one another are pages in any order
                    pfns = (image.mfn_to_pfn(one) for one in range(frame, frame + min(count, 1 << 17)))
                    rows += [(p, p + 1, address + (at << 12)) for at, p in enumerate(pfns) if p is not None]
                else:
                    rows.append((frame, frame + count, address))
                address += count << 12
        self._rows = sorted(rows)

    def in_image(self, pfn: int) -> int | None:
        """The address of a frame in the image; None where it belongs to none of its pages."""
        at = bisect_right(self._rows, (pfn, 1 << 64)) - 1
        if at >= 0 and pfn < self._rows[at][1]:
            return self._rows[at][2] + (pfn - self._rows[at][0] << 12)
        return None

    def address_of(self, physical: int) -> int:
        """The address of a physical one."""
        pfn = physical >> 12
        image = self.in_image(pfn)
        return (self.direct.address_of(pfn) if image is None else image) + (physical & 0xFFF)

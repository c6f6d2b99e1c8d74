"""Where a Linux kernel's image is mapped, and what lies in it: found through page tables alone.

The image is mapped at a fixed region of the address space and, with KASLR, anywhere in it. Its tables are read in plain
Python: a first answer does not wait for numpy.

Sources: Documentation/arch/x86/x86_64/mm.rst (kernel text mapping); arch/x86/include/asm/page_64_types.h
(__START_KERNEL_map, KERNEL_IMAGE_SIZE), page_32_types.h (__PAGE_OFFSET).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.formats.image import PAGE
from kdbg.vm.modes import PRESENT
from kdbg.vm.space import AddressSpace

REGIONS = {64: (0xFFFFFFFF80000000, 0xFFFFFFFFC0000000), 32: (0xC0000000, 0xE0000000)}
"""Width -> where the image is mapped; of 32 bits: with CONFIG_VMSPLIT_3G, in the direct map, KASLR's 512M."""

IMAGE_BELOW, IMAGE_SIZE = 1 << 21, 1 << 28
"""Where VMCOREINFO tells of the image's text (arm64, other splits of 32 bits): bytes around it that are its region."""

MOST_LEAVES = 1 << 17
"""Present leaves that a scan of the region follows: 512M of 4K pages."""
WINDOW = 1 << 18
"""Bytes that are joined for a search at once."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of the image whose pages have the same rights."""

    address: int
    frames: tuple[tuple[int, int], ...]
    """(first frame as page tables hold it, pages) of each piece, in order of their addresses."""
    size: int
    writable: bool
    executable: bool


def leaves(space: AddressSpace, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(address, size, first frame, entry) of each present leaf in [start, end), ascending."""
    mode = space.mode
    if not mode.levels:
        return
    yield from _leaves(space, len(mode.levels) - 1, space.root, 0, start, end)


def _leaves(
    space: AddressSpace, number: int, table: int, base: int, start: int, end: int
) -> Iterator[tuple[int, int, int, int]]:
    mode = space.mode
    level = mode.levels[number]
    top = number == len(mode.levels) - 1
    if top:  # its addresses repeat their highest bit
        mask = (1 << level.shift + level.bits) - 1
        first, last = (start & mask) >> level.shift, (end - 1 & mask) >> level.shift
        base = start & ~mask
    else:
        first, last = max(0, start - base >> level.shift), end - 1 - base >> level.shift
    last = min(last, (1 << level.bits) - 1)
    needed = PRESENT | (level.table if number == 0 else 0)
    for index, entry in _entries(space, table, first, last):
        if entry & (needed | level.reserved) != needed:
            continue
        address = base + (index << level.shift)
        if number == 0 or level.is_leaf(entry):
            yield address, 1 << level.shift, mode.leaf_frame_address(entry, number) >> 12, entry
        else:
            yield from _leaves(space, number - 1, mode.table_address(entry), address, start, end)


def _entries(space: AddressSpace, table: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """(index, entry) of a table's entries first to last; pages of the table that the dump lacks are passed over."""
    width = space.mode.entry_size
    while first <= last:
        at = table + first * width
        count = min(last - first + 1, (PAGE - at % PAGE) // width)
        page = space.image.page(at >> 12)
        if page is not None:
            start = at % PAGE
            yield from enumerate(page[start : start + count * width].cast("Q" if width == 8 else "I"), first)
        first += count


def region(space: AddressSpace, bits: int, text: int | None) -> tuple[int, int]:
    """(start, end) of the addresses where the image may be mapped; ``text``: where its text begins, if that is told."""
    start, end = REGIONS[bits]
    if text is None or (start <= text < end and bits == 64):
        return start, end
    return (text & -IMAGE_BELOW) - IMAGE_BELOW, min((text & -IMAGE_BELOW) + IMAGE_SIZE, 1 << bits)


class ImageMapping:
    """The mapped part of the region of the kernel's image, in segments of equal rights."""

    def __init__(self, space: AddressSpace, start: int, end: int) -> None:
        self.space = space
        self.segments = list(_segments(space, start, end))

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        return self.space.read(address, size)

    def holds(self, address: int, size: int = 1) -> bool:
        """Whether a range lies in mapped segments."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size:
                inside = segment.address + segment.size - address
                return inside >= size or self.holds(address + inside, size - inside)
        return False

    def is_code(self, address: int) -> bool:
        """Whether an address lies in an executable segment."""
        return any(s.executable and s.address <= address < s.address + s.size for s in self.segments)

    def by_likelihood(self) -> list[list[Segment]]:
        """Segments in the order in which constant data is looked for: read-only data, other read-only parts, others."""
        read_only = [s for s in self.segments if not s.writable]
        return [
            [s for s in read_only if not s.executable],
            [s for s in read_only if s.executable],
            [s for s in self.segments if s.writable],
        ]

    def data(self) -> list[Segment]:
        """Segments that hold variables."""
        return [s for s in self.segments if s.writable and not s.executable] or [s for s in self.segments if s.writable]

    def search(self, segment: Segment, pattern: bytes) -> Iterator[int]:
        """Addresses of a pattern in a segment, ascending; pages that the dump lacks are passed over."""
        for address, window in self._windows(segment, len(pattern) - 1):
            at = window.find(pattern)
            while at >= 0:
                yield address + at
                at = window.find(pattern, at + 1)

    def _windows(self, segment: Segment, overlap: int) -> Iterator[tuple[int, bytes]]:
        """(address, bytes) of joined pages; each window begins with the last ``overlap`` bytes of the one before."""
        page_of, joined, length, begin, tail = self.space.image.peek, [], 0, segment.address, b""
        address = segment.address
        for frame, count in segment.frames:
            for number in range(frame, frame + count):
                page = page_of(number)
                if page is not None:
                    joined.append(page)
                    length += PAGE
                if length >= WINDOW or page is None:
                    if joined:
                        window = b"".join((tail, *joined))
                        yield begin - len(tail), window
                        tail = window[-overlap:] if page is not None and overlap else b""
                    else:
                        tail = b""
                    joined, length, begin = [], 0, address + PAGE
                address += PAGE
        if joined:
            yield begin - len(tail), b"".join((tail, *joined))


def _segments(space: AddressSpace, start: int, end: int) -> Iterator[Segment]:
    begin, size, rights = 0, 0, (False, False)
    frames: list[tuple[int, int]] = []
    bits = {name: bit for bit, name in space.mode.flags}
    write, readonly = bits.get("write", 0), bits.get("readonly", 0)
    no_execute = bits.get("noexec" if write else "pxn", 0) if space.mode.entry_size == 8 else 0
    for count, (address, length, frame, entry) in enumerate(leaves(space, start, end)):
        now = bool(entry & write) if write else not entry & readonly, not entry & no_execute
        if frames and (address != begin + size or now != rights):
            yield Segment(begin, tuple(frames), size, *rights)
            frames, size = [], 0
        if not frames:
            begin, rights = address, now
        if frames and frames[-1][0] + frames[-1][1] == frame:
            frames[-1] = frames[-1][0], frames[-1][1] + (length >> 12)
        else:
            frames.append((frame, length >> 12))
        size += length
        if count >= MOST_LEAVES:
            break
    if frames:
        yield Segment(begin, tuple(frames), size, *rights)

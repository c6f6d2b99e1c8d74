"""Address spaces: walk, translate and read virtual memory through the page tables in an image.

`AddressSpace.walk` reads one address's tables level by level; `kdbg.vm.arrays` does the same for arrays of addresses.
Both read the same table of levels (`kdbg.vm.modes`), and a test holds them against each other.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Missing, ReadError, Unmapped
from kdbg.formats.image import PAGE, Image
from kdbg.vm.modes import PRESENT, Level, PagingMode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.records import Translation
    from kdbg.vm.arrays import ArrayTranslation
    from kdbg.vm.regions import Regions

CACHE_BYTES = 16 << 20
"""What the translations that a space remembers may take, roughly, with the pages where these are made for it."""
BYTES_PER_TRANSLATION = 200
LOWEST_TABLES = 512
"""Tables of level 0 that a space remembers: views of pages, 2M where those are copies."""
LARGE_LEAVES = 1 << 16
"""Regions of the size of such a table that a space remembers to lie within one leaf of a level above."""


@dataclass(frozen=True, slots=True)
class Step:
    """One table on the way to a page."""

    level: int
    frame: int
    """Of the table, as page tables hold frames (machine frames in a paravirtual domain)."""
    index: int
    entry: int


@dataclass(frozen=True, slots=True)
class Walk:
    """The way that an address takes through the page tables. One that ends early is an answer too."""

    address: int
    steps: tuple[Step, ...]
    page_address: int | None
    """Address of the page (frame number x 4096) that the leaf maps; None where the walk ended before."""
    level: int
    """Of the leaf, or where the walk ended."""
    ended: str | None
    """Why there is no leaf, else None."""
    lacking: bool = False
    """Whether it ended at a table that the dump lacks."""

    @property
    def entry(self) -> int:
        """The last entry read; 0 where none was."""
        return self.steps[-1].entry if self.steps else 0


@dataclass(frozen=True, slots=True)
class Run:
    """A range of addresses that is mapped in one piece."""

    address: int
    size: int
    frame: int
    """Of the first page, as page tables hold frames."""
    level: int
    flags: int
    """The entry's bits outside the frame number."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What was read of a range, and what is missing of it."""

    data: bytes
    """Of the whole length; zeros where nothing could be read."""
    missing: tuple[tuple[int, int, str], ...]
    """(address, bytes, why) of what could not be read."""


class AddressSpace:
    """Virtual memory as one set of page tables maps it.

    ``root`` is the address of the top table, frame number x 4096 (PAE: at 32 bytes exactly), in the frames that page
    tables hold. Reads go through a bounded memory of translations; pages themselves are never copied.
    """

    def __init__(self, image: Image, mode: PagingMode, root: int) -> None:
        self.image = image
        self.mode = mode
        self.root = root
        self._known: OrderedDict[int, memoryview] = OrderedDict()
        self._regions: Regions | None = None
        self._lowest: dict[int, memoryview] = {}
        self._large: dict[int, tuple[int, int, int]] = {}
        """Region -> (address of the page at its start, leaf entry, level): those within a leaf above level 0."""
        level = mode.levels[0] if mode.levels else Level("", 12, 0)
        # Where walks may be cut short: the lowest table is one page of 4K leaves whose entries hold their frames whole.
        self._short = mode.entry_size << level.bits == PAGE and level.shift == 12 and not mode.extra_in_tables
        self._region_shift, self._index_mask = level.shift + level.bits, (1 << level.bits) - 1
        self._region_mask = (1 << self._region_shift) - 1
        self._needed, self._frame_mask = PRESENT | level.table, mode.frame_mask
        self._tested = self._needed | level.reserved
        self._sizes = tuple(1 << level.shift for level in mode.levels) or (PAGE,)
        self._most = CACHE_BYTES // (BYTES_PER_TRANSLATION + (PAGE if image.unpacks else 0))

    # one address

    def walk(self, address: int) -> Walk:
        """Follow an address through the tables, whatever they hold."""
        mode = self.mode
        if not mode.canonical(address):
            return Walk(address, (), None, len(mode.levels) - 1, "the address is not canonical")
        if not mode.levels:
            return Walk(address, (), address & -PAGE, 0, None)
        table, steps = self.root, list[Step]()
        for number in range(len(mode.levels) - 1, -1, -1):
            level = mode.levels[number]
            index = address >> level.shift & (1 << level.bits) - 1
            at = table + index * mode.entry_size
            frame = at >> 12
            page = self.image.page(frame)
            if page is None:
                why = self.image.why_missing(frame)
                ended = f"level {number} ({level.name}): its table: {why}"
                return Walk(address, tuple(steps), None, number, ended, lacking=True)
            start = at & 0xFFF
            entry = int.from_bytes(page[start : start + mode.entry_size], "little")
            steps.append(Step(number, frame, index, entry))
            if not entry & PRESENT:
                what = "0" if entry == 0 else f"{entry:x}: not present"
                place = f"level {number} ({level.name} frame {frame:x}, entry {index:#x}) is {what}"
                return Walk(address, tuple(steps), None, number, place)
            if entry & level.reserved:
                place = f"level {number} ({level.name} frame {frame:x}, entry {index:#x}) is {entry:x}"
                return Walk(address, tuple(steps), None, number, f"{place}: a reserved bit is set")
            if number == 0 and level.table and not entry & level.table:
                place = f"level 0 ({level.name} frame {frame:x}, entry {index:#x}) is {entry:x}"
                return Walk(address, tuple(steps), None, 0, f"{place}: a block where a page belongs")
            if number == 0 or level.is_leaf(entry):
                offset = address & (1 << level.shift) - 1 & -PAGE
                return Walk(address, tuple(steps), mode.leaf_frame_address(entry, number) + offset, number, None)
            table = mode.table_address(entry)
        raise AssertionError("a walk ends at level 0")

    def _leaf(self, address: int) -> tuple[int, int, int]:
        """(address of the page, leaf entry, level) by the table or leaf that is remembered. Raises `Unmapped`."""
        table = self._lowest.get(address >> self._region_shift)
        if table is not None:  # level 0 is the table of 4K pages, then
            entry = table[address >> 12 & self._index_mask]
            if entry & self._tested == self._needed:
                return entry & self._frame_mask, entry, 0
        elif (large := self._large.get(address >> self._region_shift)) is not None:
            return large[0] + (address & self._region_mask & -PAGE), large[1], large[2]
        return self._leaf_by_walk(address)

    def _leaf_by_walk(self, address: int) -> tuple[int, int, int]:
        walk = self.walk(address)
        if walk.page_address is None:
            raise Unmapped(address, walk.ended or "", walk.level, walk.entry, walk.lacking)
        if self._short and walk.steps:
            if walk.level == 0:
                self._remember(address, walk.steps[-1].frame)
            else:
                self._remember_large(address, walk.page_address, walk.entry, walk.level)
        return walk.page_address, walk.entry, walk.level

    def _remember(self, address: int, frame: int) -> None:
        """Keep the lowest table that an address goes through."""
        page = self.image.page(frame)
        if len(self._lowest) >= LOWEST_TABLES:
            self._lowest.clear()
        if page is not None:
            self._lowest[address >> self._region_shift] = page.cast("Q" if self.mode.entry_size == 8 else "I")

    def _remember_large(self, address: int, page_address: int, entry: int, level: int) -> None:
        """Keep that the region of an address lies within one leaf."""
        if len(self._large) >= LARGE_LEAVES:
            self._large.clear()
        start = page_address - (address & self._region_mask & -PAGE)
        self._large[address >> self._region_shift] = start, entry, level

    def page_address(self, address: int) -> int:
        """Frame number x 4096 of the page that holds the address. Raises `Unmapped`."""
        return self._leaf(address)[0]

    def translate(self, address: int) -> Translation:
        """Where the address leads. Raises `Unmapped`."""
        page_address, entry, level = self._leaf(address)
        frame, image = page_address >> 12, self.image
        pfn, missing = image.locate(frame)
        at = frame if image.machine_addresses else pfn
        return _translation()(
            address,
            None if at is None else at << 12 | address & 0xFFF,
            pfn,
            frame if image.paravirtual else None,
            self._sizes[level],
            entry,
            level,
            missing,
        )

    # memory

    def page(self, address: int) -> memoryview:
        """The page that holds the address. Raises `Unmapped` or `Missing`."""
        key = address >> 12
        found = self._known.get(key)
        if found is None:
            frame = self.page_address(address) >> 12
            found = self.image.page(frame)
            if found is None:
                raise Missing(address, f"mapped to frame {frame:x}: {self.image.why_missing(frame)}")
            self._known[key] = found
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        return found

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises `Unmapped` or `Missing` for the first page that cannot be read."""
        start = address & 0xFFF
        if start + size <= PAGE:
            return bytes(self.page(address)[start : start + size])
        return b"".join(self._parts(address, size))

    def _parts(self, address: int, size: int) -> Iterator[memoryview]:
        while size > 0:
            start = address & 0xFFF
            part = self.page(address)[start : start + size]
            yield part
            address += len(part)
            size -= len(part)

    def read_partial(self, address: int, size: int) -> Partial:
        """What can be read of ``size`` bytes, and what is missing and why."""
        data, missing, at = bytearray(size), list[tuple[int, int, str]](), 0
        while at < size:
            length = min(PAGE - (address + at & 0xFFF), size - at)
            try:
                data[at : at + length] = self.read(address + at, length)
            except ReadError as error:
                if missing and missing[-1][0] + missing[-1][1] == address + at and missing[-1][2] == error.reason:
                    missing[-1] = (missing[-1][0], missing[-1][1] + length, error.reason)
                else:
                    missing.append((address + at, length, error.reason))
            at += length
        return Partial(bytes(data), tuple(missing))

    # many addresses

    def regions(self) -> Regions | None:
        """What is remembered for array walks; None for modes whose tables it does not suit."""
        if self._regions is None and self._short:
            from kdbg.vm.regions import Regions

            self._regions = Regions(self)
        return self._regions

    def translate_array(self, addresses: NDArray[np.uint64]) -> ArrayTranslation:
        """Where each of many addresses leads: see `kdbg.vm.arrays.ArrayTranslation`."""
        from kdbg.vm.arrays import translate

        return translate(self, addresses)

    def leaves(self, start: int = 0, end: int = 1 << 64) -> Iterator[ArrayTranslation]:
        """All present leaves between two addresses, a batch at a time, addresses ascending within a batch."""
        from kdbg.vm.arrays import leaves

        return leaves(self, start, end)

    def runs(self, start: int, end: int) -> Iterator[Run]:
        """The mapped ranges between two addresses, neighbours with following frames and equal flags joined."""
        from kdbg.vm.arrays import runs

        return runs(self, start, end)


@functools.cache
def _translation() -> type[Translation]:
    """The record; declaring all records takes longer than opening a dump, and few commands translate."""
    from kdbg.records import Translation

    return Translation

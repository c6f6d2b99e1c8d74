"""Memory of a domain that is being built: page frames, machine frames, page tables, and kernel memory on top of them.

A `Frames` is the domain's guest-physical memory; each page that is taken gets the next pfn and, in a paravirtual
domain, a machine frame from a scrambled order. `PageTables` writes page tables into such pages. `Space` is what code
that builds structures uses: reading and writing by virtual address, pages appearing on first use.

Facts: Intel SDM volume 3 chapter 4 (paging, entry bits); entries of paravirtual guests hold machine frames
(xen/public/arch-x86/xen.h).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntFlag

PAGE = 4096
MASK64 = (1 << 64) - 1


class Bit(IntFlag):
    """Bits of a page table entry."""

    PRESENT = 0x1
    WRITE = 0x2
    USER = 0x4
    WRITE_THROUGH = 0x8
    NO_CACHE = 0x10
    ACCESSED = 0x20
    DIRTY = 0x40
    LARGE = 0x80
    GLOBAL = 0x100
    GUEST_KERNEL = 1 << 52
    """Xen's mark of a kernel page in a 64-bit paravirtual guest's leaf; the hardware user bit is set in all of them."""
    NO_EXECUTE = 1 << 63


@dataclass(frozen=True)
class Paging:
    """A paging mode as a table: per level, from the top, the lowest address bit and the number of index bits."""

    name: str
    shifts: tuple[int, ...]
    bits: tuple[int, ...]
    entry_size: int
    address_bits: int

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.shifts)

    def shift(self, level: int) -> int:
        """Lowest address bit of a level's index; level 0 holds the 4K leaves."""
        return self.shifts[self.levels - 1 - level]

    def index(self, va: int, level: int) -> int:
        """Which entry of its level's table an address selects."""
        return va >> self.shift(level) & (1 << self.bits[self.levels - 1 - level]) - 1

    def base(self, va: int, level: int) -> int:
        """First address that a level's table covers, given an address within."""
        if level == self.levels - 1:
            return 0
        return va & MASK64 & -(1 << self.shift(level + 1)) & (1 << (64 if self.address_bits == 48 else 32)) - 1


LONG = Paging("x86-64", (39, 30, 21, 12), (9, 9, 9, 9), 8, 48)
PAE = Paging("PAE", (30, 21, 12), (2, 9, 9), 8, 32)
LEGACY = Paging("32-bit", (22, 12), (10, 10), 4, 32)


@dataclass
class Frames:
    """Guest-physical pages of a domain: pfn -> bytes, and pfn -> mfn where the domain is paravirtual.

    Machine frames are handed out in a scrambled order (pfn times an odd number modulo a power of two), so that no
    run of pfns is a run of mfns. Page 0 is never present, on either side.
    """

    paravirtual: bool
    first_pfn: int = 0x80
    first_mfn: int = 0x10000
    span: int = 1 << 17
    """Number of machine frames to choose from; the domain must be smaller."""
    pages: dict[int, bytearray] = field(default_factory=dict)
    _next: int = 0

    def take(self) -> int:
        """A new page of zeros; returns its pfn."""
        pfn = max(self._next, self.first_pfn)
        while pfn in self.pages:
            pfn += 1
        self._next = pfn + 1
        self.pages[pfn] = bytearray(PAGE)
        return pfn

    def mfn(self, pfn: int) -> int:
        """Machine frame of a page of the domain."""
        if not self.paravirtual:
            raise ValueError("only paravirtual domains have machine frames of their own")
        return self.first_mfn + pfn * 0x9E3B % self.span

    def number(self, pfn: int) -> int:
        """What a page table entry holds for the page: its mfn in a paravirtual domain, else the pfn."""
        return self.mfn(pfn) if self.paravirtual else pfn

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.pages))


class PageTables:
    """One address space's page tables."""

    def __init__(self, frames: Frames, paging: Paging) -> None:
        self.frames = frames
        self.paging = paging
        self.tables: dict[tuple[int, int], int] = {}
        """(level, first address covered) -> pfn of the table."""
        self.root = self._table(paging.levels - 1, 0)

    def _table(self, level: int, base: int) -> int:
        pfn = self.tables.get((level, base))
        if pfn is None:
            pfn = self.tables[level, base] = self.frames.take()
        return pfn

    def slot(self, va: int, level: int) -> tuple[int, int]:
        """Where the entry for an address lies: (pfn of the table, byte offset). `KeyError` where there is no table."""
        pfn = self.tables[level, self.paging.base(va, level)]
        return pfn, self.paging.index(va, level) * self.paging.entry_size

    def entry(self, va: int, level: int = 0) -> int:
        """The entry for an address."""
        pfn, offset = self.slot(va, level)
        return int.from_bytes(self.frames.pages[pfn][offset : offset + self.paging.entry_size], "little")

    def set_entry(self, va: int, value: int, level: int = 0) -> None:
        """Overwrite the entry for an address with any bits."""
        pfn, offset = self.slot(va, level)
        size = self.paging.entry_size
        self.frames.pages[pfn][offset : offset + size] = value.to_bytes(size, "little")

    def reserve(self, va: int, size: int) -> None:
        """Have all tables for a range, so that mapping pages in it later needs no further ones."""
        step = 1 << self.paging.shift(1)
        for at in range(va & -step, va + size, step):
            self._tables_down_to(at, 0)

    def _tables_down_to(self, va: int, level: int) -> None:
        top = self.paging.levels - 1
        for upper in range(top, level, -1):
            below = self._table(upper - 1, self.paging.base(va, upper - 1))
            if not self.entry(va, upper):
                flags = Bit.PRESENT if self.paging is PAE and upper == top else 0x67
                self.set_entry(va, self.frames.number(below) << 12 | flags, upper)

    def map_number(self, va: int, number: int, flags: int, level: int = 0) -> None:
        """Map an address to a frame number as entries hold it (mfn or pfn); level 1 and 2 make large pages."""
        self._tables_down_to(va, level)
        self.set_entry(va, number << 12 | flags | (Bit.LARGE if level else 0), level)

    def map(self, va: int, pfn: int, flags: int, level: int = 0) -> None:
        """Map an address to a page of the domain."""
        self.map_number(va, self.frames.number(pfn), flags, level)

    def share(self, other: PageTables, first: int) -> None:
        """Take over the other space's top entries from address ``first`` on.

        With PAE the top entries are too few to share: the middle table is copied instead, as Solaris does.
        """
        level = self.paging.levels - 1
        pfn, size = other.root, self.paging.entry_size
        if self.paging is PAE:
            base = self.paging.base(first, 1)
            pfn, level = other.tables[1, base], 1
            mine = self._table(1, base)
            self.set_entry(first, self.frames.number(mine) << 12 | Bit.PRESENT, 2)
        else:
            mine = self.root
        start = self.paging.index(first, level) * size
        self.frames.pages[mine][start:] = self.frames.pages[pfn][start:]


class Space:
    """Virtual memory to write structures into; a page is taken and mapped when it is first asked for."""

    def __init__(self, tables: PageTables, flags: int) -> None:
        self.tables = tables
        self.frames = tables.frames
        self.flags = flags
        self.pages: dict[int, int] = {}
        """Virtual page number -> pfn."""

    def ensure(self, va: int, size: int, flags: int | None = None) -> None:
        """Have pages for a range."""
        for page in range(va // PAGE, (va + max(size, 1) - 1) // PAGE + 1):
            if page not in self.pages:
                pfn = self.pages[page] = self.frames.take()
                self.tables.map(page * PAGE, pfn, self.flags if flags is None else flags)

    def write(self, va: int, data: bytes) -> None:
        """Write bytes."""
        self.ensure(va, len(data))
        done = 0
        while done < len(data):
            page, offset = divmod(va + done, PAGE)
            part = data[done : done + PAGE - offset]
            self.frames.pages[self.pages[page]][offset : offset + len(part)] = part
            done += len(part)

    def read(self, va: int, size: int) -> bytes:
        """Read bytes; `KeyError` where no page is."""
        found = b""
        while len(found) < size:
            page, offset = divmod(va + len(found), PAGE)
            found += self.frames.pages[self.pages[page]][offset : offset + size - len(found)]
        return found


class Region:
    """A range of addresses from which structures are placed one after the other."""

    def __init__(self, space: Space, start: int, end: int, flags: int | None = None) -> None:
        self.space = space
        self.start = start
        self.end = end
        self.flags = flags
        self.next = start

    def take(self, size: int, align: int = 16) -> int:
        """Room of that size; returns its address. The pages are there, and zero."""
        address = -(-self.next // align) * align
        self.next = address + size
        if self.next > self.end:
            raise MemoryError(f"region {self.start:x}-{self.end:x} is full")
        self.space.ensure(address, size, self.flags)
        return address

    def put(self, data: bytes, align: int = 8) -> int:
        """Place bytes; returns their address."""
        address = self.take(max(len(data), 1), align)
        self.space.write(address, data)
        return address

"""Memory and nothing else: no registers, and no word of what runs in it. Where its page tables are has to be found.

`kdbg.rootsearch` looks for them in what `stretches` gives: the memory in order, in large pieces, holes left out.

A flat file is memory from some address on (``base``): ``dd`` of /dev/mem, QEMU's ``pmemsave``, VMware's .vmem. It has
no magic number; one that begins with the interrupt vectors of real mode and the BIOS data area behind them, which
firmware of PCs leaves and kernels keep, is known by them. Others are opened when they are said to be memory.

Sources: the BIOS data area (IBM PC: vectors of four bytes at 0, COM1's port at 0x400, kilobytes of memory at 0x413).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kdbg.formats.image import PAGE, Image, PageMap
from kdbg.formats.segments import Piece, SegmentMap
from kdbg.formats.source import Source

if TYPE_CHECKING:
    from kdbg.records import Info

VECTORS, VECTOR_SEGMENTS = 32, range(0xC000, 0x10000)
"""Vectors of real mode that are looked at, and where firmware's handlers lie."""
MOST_VECTORS_ELSEWHERE = 4
BIOS_MEMORY_AT, BIOS_MEMORY = 0x413, range(512, 641)
"""Kilobytes of conventional memory: where the BIOS data area has them, and what they may be."""
HEAD = 0x420
"""Bytes of a PC's memory by which it is known."""
SMALLEST, FOUR_GB = 1 << 20, 1 << 32


class BareMemory(Image):
    """Base of dumps that hold nothing but memory."""

    bare = True
    machine_known = False
    """Whether `architecture` and `bits` are more than a guess: once page tables are found."""

    def stretches(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, memoryview]]:
        """(physical address, bytes) of the memory between two addresses, whole pages, ascending, some MB at most each.

        What is known to be a hole of the file is left out.
        """
        raise NotImplementedError


class FlatMemory(BareMemory):
    """Memory that lies in the file as it is, in ranges."""

    def __init__(self, source: Source, pieces: Iterable[Piece]) -> None:
        super().__init__(source)
        self.architecture = "x86-64"
        self.segments = SegmentMap(pieces, source.size)
        self.damage += self.segments.damage()
        self._window = (0, 0, 0)

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number, or None."""
        return self.segments.page(self.source, frame)

    def read_physical(self, address: int, size: int) -> bytes:
        """``size`` bytes of physical memory. Raises `Missing` where a page is not in the dump."""
        first, end, shift = self._window  # what was read last lies mostly in the same range
        if not first <= address < end:
            first, end, shift = self._window = self.segments.window(address)
        if first <= address and 0 <= size <= end - address and self.source.map:
            place = address + shift
            return self.source.map[place : place + size]
        return super().read_physical(address, size)

    def stretches(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, memoryview]]:
        """As `BareMemory.stretches`."""
        return self.segments.stretches(self.source, start, end)

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        return self.segments.why_missing(frame)

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose bytes lie in the file."""
        return self.segments.pages()

    def describe(self) -> Info:
        """What the dump is."""
        from kdbg.records import Info

        pages = self.segments.count()
        missing = self.segments.missing(pages)
        return Info(
            file=self.source.name,
            format=self.format,
            architecture=self.architecture if self.machine_known else "unknown",
            bits=self.bits,
            memory_size=self.segments.told() * PAGE,
            pages=pages,
            missing=sum(missing.values()),
            missing_why=missing,
            complete=not self.damage,
            damage=tuple(self.damage),
            details={"compression": "none"},
        )


class RawMemory(FlatMemory):
    """A flat file of physical memory.

    ``base``: physical address of its first byte. ``below``: how much of it lies below 4 GB where the machine has a hole
    from there on, and the file has none (.vmem, QEMU's memory-backend-file); 0: the file has all that lies between.
    """

    format = "raw physical memory"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like a PC's memory, else what was expected."""
        if source.size < SMALLEST or source.size % PAGE:
            return "wants pages of memory, 1 MB at least"
        return None if begins_like_a_pc(bytes(source.read(0, HEAD))) else "wants the vectors of real mode at 0"

    def __init__(self, source: Source, base: int = 0) -> None:
        self.base, self.below = base, 0
        super().__init__(source, [Piece(base, source.size, 0, source.size)])
        if source.size % PAGE:
            self.damage.append(f"cut off: the file has {source.size} bytes, which are no whole pages")

    def lay_out(self, base: int, below: int = 0) -> None:
        """Take the file for memory from another address on, or with a hole below 4 GB."""
        self.base, self.below, size = base, below, self.source.size
        pieces = [Piece(base, size, 0, size)]
        if below:
            pieces = [Piece(0, below, 0, below), Piece(FOUR_GB, size - below, below, size - below)]
        self.segments = SegmentMap(pieces, size)
        self._window = (0, 0, 0)
        self.__dict__.pop("pages", None)

    def describe(self) -> Info:
        """What the dump is."""
        from dataclasses import replace

        told = super().describe()
        where: dict[str, object] = {"base": self.base} if self.base else {}
        if self.below:
            where["hole"] = f"from {self.below:x} to {FOUR_GB:x}"
        return replace(told, details={**told.details, **where})


def begins_like_a_pc(head: bytes) -> bool:
    """Whether bytes are what a PC's firmware leaves at address 0; ``head``: at least `HEAD` of them."""
    segments = [int.from_bytes(head[4 * at + 2 : 4 * at + 4], "little") for at in range(VECTORS)]
    elsewhere = sum(segment not in VECTOR_SEGMENTS for segment in segments)
    memory = int.from_bytes(head[BIOS_MEMORY_AT : BIOS_MEMORY_AT + 2], "little")
    return len(head) >= HEAD and elsewhere <= MOST_VECTORS_ELSEWHERE and memory in BIOS_MEMORY

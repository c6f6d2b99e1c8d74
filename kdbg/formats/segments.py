"""Physical memory in pieces: which range of it lies where in the file.

Pieces may overlap, be unaligned in the file, and stand for more than the file holds of them: what lies behind was
excluded on purpose.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from kdbg.formats.image import NOT_IN_DUMP, PAGE, PageMap

EXCLUDED = "excluded from the dump on purpose"
CUT_OFF = "cut off: the file ends before that page"


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of physical memory."""

    address: int
    size: int
    """Bytes of memory that it stands for."""
    offset: int
    """Of its first byte in the file."""
    held: int
    """Bytes of it that the file is to hold."""


class SegmentMap:
    """The pieces of a dump, found by physical address."""

    def __init__(self, pieces: Iterable[Piece], file_size: int) -> None:
        self.pieces = sorted((piece for piece in pieces if piece.size), key=lambda piece: piece.address)
        self._file_size = file_size
        self._starts = [piece.address for piece in self.pieces]
        self._longest = max((piece.size for piece in self.pieces), default=0)

    def _covering(self, address: int) -> list[Piece]:
        """Pieces that stand for a physical address, those that begin nearest before it first."""
        found = []
        at = bisect_right(self._starts, address)
        while at and self._starts[at - 1] + self._longest > address:
            at -= 1
            if address < self.pieces[at].address + self.pieces[at].size:
                found.append(self.pieces[at])
        return found

    def place(self, address: int) -> int | None:
        """Offset in the file of the whole page at a physical address, or None."""
        for piece in self._covering(address):
            offset = address - piece.address
            if offset + PAGE <= piece.held and piece.offset + offset + PAGE <= self._file_size:
                return piece.offset + offset
        return None

    def why_missing(self, address: int) -> str:
        """Why `place` has nothing."""
        covering = self._covering(address)
        if not covering:
            return NOT_IN_DUMP
        return CUT_OFF if any(address - piece.address + PAGE <= piece.held for piece in covering) else EXCLUDED

    def pages(self) -> PageMap:
        """The frames of which whole pages lie in the file."""
        import numpy as np

        parts = []
        for piece in self.pieces:
            held = min(piece.held, max(0, self._file_size - piece.offset))
            first, end = -(-piece.address // PAGE), (piece.address + held) // PAGE
            if end > first:
                parts.append(np.arange(first, end, dtype=np.uint64))
        return PageMap(np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64))

    def told(self) -> int:
        """Pages of memory that the pieces stand for, each counted once."""
        total = reached = 0
        for piece in self.pieces:
            end = piece.address + piece.size
            total += max(0, end - max(piece.address, reached))
            reached = max(reached, end)
        return total // PAGE

    def missing(self, pages: int) -> dict[str, int]:
        """Why -> how many pages, of those that the file does not hold."""
        count = self.told() - pages
        if count <= 0:
            return {}
        excluded = min(
            count, sum((piece.size - piece.held) // PAGE for piece in self.pieces if piece.size > piece.held)
        )
        return {why: number for why, number in (("excluded", excluded), ("cut off", count - excluded)) if number}

    def damage(self) -> list[str]:
        """A sentence for each piece that the file does not hold as it should."""
        return [
            f"cut off: memory from {piece.address:#x} of {piece.held} bytes at offset {piece.offset:#x},"
            f" the file has {self._file_size}"
            for piece in self.pieces
            if piece.offset + piece.held > self._file_size
        ]

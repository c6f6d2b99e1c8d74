"""Physical memory in pieces: which range of it lies where in the file.

Pieces may overlap, be unaligned in memory and in the file, and stand for more than the file holds of them: what lies
behind was excluded. Where memory begins or ends within a page, the rest of the page is 0.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kdbg.errors import FormatError
from kdbg.formats.image import NOT_IN_DUMP, PAGE, PageMap
from kdbg.formats.ranges import Ranges, minus, union
from kdbg.formats.source import Source

MOST_LEFT_OUT = 1 << 30
"""Frames (4 TiB) of one piece that may be left out; a size beyond is taken for damage."""
EXCLUDED = "excluded from the dump on purpose"
EXCLUDED_OR_LOST = "excluded from the dump on purpose, or lost: the dump is incomplete"
"""Of dumps whose writer did not get to the end: what it would have written cannot be told from what it left out."""
STRETCH = 1 << 22
"""Bytes of memory that are looked at at once."""
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
    """The pieces of a dump, found by page frame."""

    def __init__(self, pieces: Iterable[Piece], file_size: int) -> None:
        self.pieces = sorted((piece for piece in pieces if piece.size), key=lambda piece: piece.address)
        self._file_size = file_size
        self._firsts: list[int] = []
        self._runs: list[tuple[int, int]] = []
        """(end frame, what to add to an address for its place in the file) of runs of whole pages, by first frames."""
        edges: dict[int, list[Piece]] = {}
        reached = 0
        for piece in self.pieces:
            first, last = -(-piece.address // PAGE), (piece.address + self._held(piece)) // PAGE
            end = piece.address + min(piece.held, piece.size)
            for frame in {piece.address // PAGE, end // PAGE}:
                if (frame * PAGE < piece.address or frame * PAGE + PAGE > end) and frame * PAGE < end:
                    edges.setdefault(frame, []).append(piece)
            first = max(first, reached)
            if first < last:
                self._firsts.append(first)
                self._runs.append((last, piece.offset - piece.address))
                reached = last
        self._edges = {
            frame: found
            for frame, found in edges.items()
            if self._place(frame) is None and all(self._holds(piece, frame) for piece in found)
        }

    def _holds(self, piece: Piece, frame: int) -> bool:
        """Whether the file holds what the piece has of a page."""
        end = min(piece.address + min(piece.held, piece.size), frame * PAGE + PAGE)
        return piece.offset + end - piece.address <= self._file_size

    def _held(self, piece: Piece) -> int:
        return max(0, min(piece.held, piece.size, self._file_size - piece.offset))

    def _place(self, frame: int) -> int | None:
        """Offset in the file of a page that is whole in it, or None."""
        at = bisect_right(self._firsts, frame) - 1
        if at < 0 or frame >= self._runs[at][0]:
            return None
        return frame * PAGE + self._runs[at][1]

    def window(self, address: int) -> tuple[int, int, int]:
        """(first address, end, what to add for the place in the file) of the whole pages around an address; or 0s."""
        at = bisect_right(self._firsts, address // PAGE) - 1
        if at < 0 or address >= self._runs[at][0] * PAGE:
            return 0, 0, 0
        return self._firsts[at] * PAGE, self._runs[at][0] * PAGE, self._runs[at][1]

    def stretches(self, source: Source, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """(address, bytes) of whole pages between two addresses, ascending, up to `STRETCH` each; no holes of the file.

        Pages of which several pieces hold parts are left out.
        """
        for first, (last, shift) in zip(self._firsts, self._runs, strict=True):
            begin, stop = max(start & -PAGE, first * PAGE), min(end, last * PAGE)
            if begin >= stop:
                continue
            for filled, until in source.filled(begin + shift, stop + shift):
                at, until = filled - shift & -PAGE, min(stop, until - shift + PAGE - 1) & -PAGE
                while at < until:
                    size = min(STRETCH, until - at)
                    with contextlib.suppress(FormatError):  # a block that does not unpack, a line that breaks
                        yield at, source.read(at + shift, size, "memory")
                    at += size

    def page(self, source: Source, frame: int) -> memoryview | None:
        """The page with that frame number, or None."""
        place = self._place(frame)
        if place is not None:
            return source.read(place, PAGE, "page")
        return self._joined(source, frame) if frame in self._edges else None

    def _joined(self, source: Source, frame: int) -> memoryview:
        """A page of which pieces hold parts."""
        page, start = bytearray(PAGE), frame * PAGE
        for piece in self._edges[frame]:
            first = max(start, piece.address)
            end = min(start + PAGE, piece.address + self._held(piece))
            if first < end:
                page[first - start : end - start] = source.read(piece.offset + first - piece.address, end - first)
        return memoryview(bytes(page))

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing."""
        address = frame * PAGE
        covering = [piece for piece in self.pieces if piece.address <= address < piece.address + piece.size]
        if not covering:
            return NOT_IN_DUMP
        return CUT_OFF if any(address < piece.address + piece.held for piece in covering) else EXCLUDED

    def pages(self) -> PageMap:
        """The frames whose bytes lie in the file."""
        import numpy as np

        runs = zip(self._firsts, self._runs, strict=True)
        parts = [np.arange(first, run[0], dtype=np.uint64) for first, run in runs]
        frames = np.concatenate([*parts, np.array(sorted(self._edges), np.uint64)])
        return PageMap(np.sort(frames, kind="stable"))  # each stands once, and nearly all are in order

    def count(self) -> int:
        """How many frames `pages` has, without a look at each."""
        whole = ((first, end) for first, (end, _) in zip(self._firsts, self._runs, strict=True))
        return sum(end - first for first, end in union(whole, ((frame, frame + 1) for frame in self._edges)))

    def excluded(self) -> Ranges:
        """Frames that the pieces stand for and that the file is not to hold."""
        return self._beyond(lambda piece: (piece.held, piece.size))

    def lost(self) -> Ranges:
        """Frames that the file is to hold and ends before."""
        return self._beyond(lambda piece: (self._held(piece), min(piece.held, piece.size)))

    def _beyond(self, part: Callable[[Piece], tuple[int, int]]) -> Ranges:
        """Whole frames of a part of each piece, those left out that the file holds by another."""
        found: Ranges = []
        for piece in self.pieces:
            start, end = part(piece)
            first, last = -(-(piece.address + start) // PAGE), min(piece.address + end, 1 << 64) // PAGE
            if last - first <= MOST_LEFT_OUT:
                found.append((first, last))
        here = [(first, end) for first, (end, _) in zip(self._firsts, self._runs, strict=True)]
        return minus(union(found), union(here, ((frame, frame + 1) for frame in self._edges)))

    def told(self) -> int:
        """Pages of memory that the pieces stand for, each counted once."""
        total = reached = 0
        for piece in self.pieces:
            first, end = piece.address // PAGE, -(-(piece.address + piece.size) // PAGE)
            total += max(0, end - max(first, reached))
            reached = max(reached, end)
        return total

    def missing(self, pages: int) -> dict[str, int]:
        """Why -> how many pages, of those that the file does not hold."""
        count = self.told() - pages
        if count <= 0:
            return {}
        left_out = ((piece.address + piece.held, piece.address + piece.size) for piece in self.pieces)
        excluded = min(count, sum(max(0, -(-end // PAGE) - -(-start // PAGE)) for start, end in left_out))
        return {why: number for why, number in (("excluded", excluded), ("cut off", count - excluded)) if number}

    def damage(self) -> list[str]:
        """A sentence that tells which pieces the file does not hold as it should."""
        cut = [piece for piece in self.pieces if piece.offset + piece.held > self._file_size]
        if not cut:
            return []
        more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
        first = f"memory from {cut[0].address:#x}{more}, of {cut[0].held} bytes at offset {cut[0].offset:#x}"
        return [f"cut off: {first}; the file has {self._file_size}"]

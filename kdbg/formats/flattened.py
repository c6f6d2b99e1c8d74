"""Flattened dumps (makedumpfile -F, QEMU's kdump formats): a file's pieces in the order in which they were written.

A header of 4096 bytes, then pieces: offset and size as big-endian 64-bit words, and the bytes; both words -1 end it.
The pieces are put into order by an index of their places, made once; nothing is copied to disk.

Source: makedumpfile.h (makedumpfile_header, makedumpfile_data_header), IMPLEMENTATION.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from heapq import heappop, heappush
from itertools import pairwise

from kdbg.errors import FormatError
from kdbg.formats.source import Source

SIGNATURE = b"makedumpfile\0\0\0\0"
HEADER_SIZE = 4096
MOST_PIECES = 1 << 26

Piece = tuple[int, int, int]
"""(offset in the file that is meant, bytes, offset in the flattened one)"""


class FlattenedSource(Source):
    """The file that a flattened one stands for."""

    def __init__(self, plain: Source) -> None:
        self.name = plain.name
        self._plain = plain
        self.map = b""
        self.view = memoryview(b"")
        self.cut_off = False
        self._pieces = self._in_order(self._read_pieces())
        self._starts = [offset for offset, _, _ in self._pieces]
        self.size = self._pieces[-1][0] + self._pieces[-1][1] if self._pieces else 0

    def _read_pieces(self) -> list[Piece]:
        """The pieces in the order of the file. Raises `FormatError`."""
        plain, at = self._plain, HEADER_SIZE
        pieces: list[Piece] = []
        while len(pieces) < MOST_PIECES:
            if at + 16 > plain.size:
                self.cut_off = True
                break
            offset, size = struct.unpack(">qq", plain.read(at, 16))
            if offset == -1 and size == -1:
                break
            if offset < 0 or size <= 0:
                raise FormatError(plain.name, f"flattened: a piece of {size} bytes for offset {offset}", at)
            here = min(size, max(0, plain.size - at - 16))
            if here < size:
                self.cut_off = True
            if here:
                pieces.append((offset, here, at + 16))
            at += 16 + size
        return pieces

    @staticmethod
    def _in_order(written: list[Piece]) -> list[Piece]:
        """The pieces by their places, none over another: of two for one place the later one is meant."""
        pieces = sorted(written)
        if all(one[0] + one[1] <= other[0] for one, other in pairwise(pieces)):
            return pieces
        found: list[Piece] = []
        waiting: list[tuple[int, Piece]] = []  # those that reach the place, the last written first
        edges = sorted({edge for offset, size, _ in pieces for edge in (offset, offset + size)})
        following = 0
        for start, end in pairwise(edges):
            while following < len(pieces) and pieces[following][0] == start:
                heappush(waiting, (-pieces[following][2], pieces[following]))
                following += 1
            while waiting and waiting[0][1][0] + waiting[0][1][1] <= start:
                heappop(waiting)
            if waiting:
                offset, _, place = waiting[0][1]
                found.append((start, end - start, place + start - offset))
        return found

    @staticmethod
    def recognises(source: Source) -> bool:
        """Whether the file is a flattened one."""
        return source.size >= HEADER_SIZE and bytes(source.read(0, 16)) == SIGNATURE

    def read(self, offset: int, size: int, what: str = "data") -> memoryview:
        """As `Source.read`; bytes that no piece holds are 0, as in a file with holes."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(self.name, f"cut off: {what} of {size} bytes, the file has {self.size}", offset)
        at = bisect_right(self._starts, offset) - 1
        if at >= 0:
            start, length, place = self._pieces[at]
            if offset + size <= start + length:
                return self._plain.read(place + offset - start, size)
        if size > self._plain.size:  # a place far behind all others makes a file of nothing but holes
            raise FormatError(self.name, f"flattened: {what} of {size} bytes, all pieces have fewer", offset)
        return memoryview(self._gather(offset, size, max(at, 0)))

    def _gather(self, offset: int, size: int, at: int) -> bytes:
        found = bytearray(size)
        while at < len(self._pieces) and self._starts[at] < offset + size:
            start, length, place = self._pieces[at]
            first, end = max(start, offset), min(start + length, offset + size)
            if first < end:
                found[first - offset : end - offset] = self._plain.read(place + first - start, end - first)
            at += 1
        return bytes(found)

    def find(self, pattern: bytes, start: int, end: int) -> int:
        """As `Source.find`."""
        found = bytes(self.read(start, max(0, min(end, self.size) - start))).find(pattern)
        return -1 if found < 0 else start + found

    def close(self) -> None:
        """Unmap the file."""
        self._plain.close()

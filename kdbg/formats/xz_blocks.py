"""An xz file of several blocks, as ``xz -T`` writes it: its index tells where each is; only what is read is unpacked.

Blocks that were unpacked are put into a temporary file at their places, and never unpacked twice; memory holds one at a
time. A file of one block has no way to the middle (`kdbg.formats.packed` unpacks it from end to end).

Source: the .xz file format 1.2 (tukaani.org): stream header and footer (2.1), block (3), index (4), integers (1.2).
"""

from __future__ import annotations

import lzma
import os
import tempfile
import weakref
import zlib
from bisect import bisect_right
from typing import cast

from kdbg.errors import FormatError
from kdbg.formats.source import ReadView, Source

HEADER_SIZE = FOOTER_SIZE = 12
FOOTER_MAGIC = b"YZ"
LARGEST_INDEX, LARGEST_BLOCK = 64 << 20, 256 << 20
"""Bytes. ``xz -9 -T`` makes blocks of 192 MB."""

Block = tuple[int, int, int]
"""(offset in the file, bytes there, bytes that come out)"""


def blocks_of(source: Source) -> list[Block] | None:
    """The blocks by the file's index; None where it has only one, is no single stream, or its index is damaged."""
    if source.size < HEADER_SIZE + FOOTER_SIZE:
        return None
    footer = bytes(source.read(source.size - FOOTER_SIZE, FOOTER_SIZE))
    size = (int.from_bytes(footer[4:8], "little") + 1) * 4
    at = source.size - FOOTER_SIZE - size
    if footer[10:] != FOOTER_MAGIC or at < HEADER_SIZE or size > LARGEST_INDEX:
        return None
    index = bytes(source.read(at, size))
    if zlib.crc32(index[:-4]) != int.from_bytes(index[-4:], "little") or index[0]:
        return None
    count, place = _number(index, 1)
    found, offset = list[Block](), HEADER_SIZE
    for _ in range(min(count, size)):
        unpadded, place = _number(index, place)
        plain, place = _number(index, place)
        whole = -(-unpadded // 4) * 4
        if not 0 < plain <= LARGEST_BLOCK or offset + whole > at:
            return None
        found.append((offset, whole, plain))
        offset += whole
    return found if len(found) > 1 and offset == at else None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of the index, seven bits a byte, and where the next one begins."""
    value = shift = 0
    while at < len(data) and shift < 63:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    return value, at


class XzSource(Source):
    """What comes out of an xz file of several blocks."""

    def __init__(self, packed: Source, blocks: list[Block]) -> None:
        self.name, self.cut_off = packed.name, False
        self.map = b""
        self._packed, self._blocks = packed, blocks
        self._header = bytes(packed.read(0, HEADER_SIZE))
        self._starts = [0]
        for _, _, plain in blocks:
            self._starts.append(self._starts[-1] + plain)
        self.size = self._starts[-1]
        self.unpacked: set[int] = set()
        """Numbers of the blocks that were unpacked."""
        with tempfile.TemporaryFile(prefix="kdbg-") as file:
            self._store = os.dup(file.fileno())
        self._let_go = weakref.finalize(self, os.close, self._store)
        self.view = cast(memoryview, ReadView(self))

    def read(self, offset: int, size: int, what: str = "data") -> memoryview:
        """Return ``size`` bytes. Raises `FormatError` where the file ends before, or a block is damaged."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(self.name, f"cut off: {what} of {size} bytes, it has {self.size}", offset)
        if not self._let_go.alive:
            raise FormatError(self.name, "is closed")
        if size:
            first, last = (bisect_right(self._starts, place) - 1 for place in (offset, offset + size - 1))
            for number in range(first, last + 1):
                if number not in self.unpacked:
                    self._unpack(number)
        return memoryview(os.pread(self._store, size, offset))

    def _unpack(self, number: int) -> None:
        at, size, plain = self._blocks[number]
        try:
            inflater = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 30)
            data = inflater.decompress(self._header + bytes(self._packed.read(at, size)), plain)
            if len(data) != plain:
                raise lzma.LZMAError(f"{len(data)} bytes came out, the index says {plain}")
            os.pwrite(self._store, data, self._starts[number])
        except lzma.LZMAError as error:
            raise FormatError(self.name, f"damaged: block {number} of its xz data: {error}", at) from None
        except OSError as error:
            raise FormatError(self.name, f"{tempfile.gettempdir()}: {error.strerror}") from None
        self.unpacked.add(number)

    def find(self, pattern: bytes, start: int, end: int) -> int:
        """Return the first offset of ``pattern`` between the offsets, or -1."""
        found = bytes(self.read(max(0, start), max(0, min(end, self.size) - max(0, start)))).find(pattern)
        return -1 if found < 0 else max(0, start) + found

    def close(self) -> None:
        """Let the temporary file and the packed one go."""
        self._let_go()
        self._packed.close()

"""LiME and AVML: physical memory of a running Linux, in ranges behind headers; no registers, no kernel's word.

Both have the same header for each range. LiME's ranges follow as they are (version 1). AVML's (version 2) went through
snappy in its framing format, 64 KiB at a time, and a word with their length follows them.

Sources: LiME's doc (lime_mem_range_header), AVML's image.rs; snappy's framing_format.txt.
"""

from __future__ import annotations

import contextlib
import functools
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator

from construct import Int32ul, Int64ul, Struct

from kdbg.errors import FormatError
from kdbg.formats.bare import BareMemory, FlatMemory
from kdbg.formats.compression import CODECS, Decompress, MissingCodec
from kdbg.formats.image import PAGE, PageMap
from kdbg.formats.segments import Piece
from kdbg.formats.source import Source
from kdbg.records import Info

LIME_MAGIC, AVML_MAGIC = 0x4C694D45, 0x4C4D5641
MOST_RANGES = 1 << 20
CHUNK = 1 << 16
CACHED_CHUNKS = 256

Header = Struct("magic" / Int32ul, "version" / Int32ul, "start" / Int64ul, "last" / Int64ul, "reserved" / Int64ul)


class Lime(FlatMemory):
    """A LiME dump."""

    format = "LiME memory dump"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like one, else what was expected and what is there."""
        magic = int.from_bytes(source.read(0, min(4, source.size)), "little")
        return None if magic == LIME_MAGIC else f"wants {LIME_MAGIC:x} at 0, found {magic:08x}"

    def __init__(self, source: Source) -> None:
        pieces, damage, at = list[Piece](), list[str](), 0
        while at + Header.sizeof() <= source.size and len(pieces) < MOST_RANGES:
            header = source.parse(Header, at, "range header")
            if header.magic != LIME_MAGIC or header.version != 1 or header.last < header.start:
                damage.append(f"a range's header is damaged (offset {at:#x}); the rest is lost")
                break
            size = header.last - header.start + 1
            pieces.append(Piece(header.start, size, at + Header.sizeof(), size))
            at += Header.sizeof() + size
        super().__init__(source, pieces)
        self.damage[:0] = damage


class Avml(BareMemory):
    """An AVML dump with snappy frames."""

    format = "AVML memory dump"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like one, else what was expected and what is there."""
        magic = int.from_bytes(source.read(0, min(4, source.size)), "little")
        return None if magic == AVML_MAGIC else f"wants {AVML_MAGIC:x} at 0, found {magic:08x}"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.architecture = "x86-64"
        self._chunks: list[tuple[int, int, int, bool]] = []
        """(physical address, offset, size in the file, whether compressed), ascending."""
        self._sizes: list[int] = []
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        at = 0
        while at + Header.sizeof() <= source.size and len(self._chunks) < MOST_RANGES * 16:
            header = source.parse(Header, at, "range header")
            if header.magic != AVML_MAGIC or header.version != 2 or header.last < header.start:
                self.damage.append(f"a range's header is damaged (offset {at:#x}); the rest is lost")
                break
            at = self._index(at + Header.sizeof(), header.start, header.last + 1)
            if at < 0:
                break
            at += 8  # the length of what was compressed
        order = sorted(range(len(self._chunks)), key=lambda number: self._chunks[number][0])
        self._chunks = [self._chunks[number] for number in order]
        self._sizes = [self._sizes[number] for number in order]
        self._starts = [chunk[0] for chunk in self._chunks]

    def _index(self, at: int, address: int, end: int) -> int:
        """Find the chunks of a range; where what follows it begins, -1 where the file is damaged."""
        source = self.source
        while address < end:
            try:
                head = source.read(at, 4, "snappy chunk")
                kind, size = head[0], int.from_bytes(head[1:], "little")
                body = source.read(at + 4, size, "snappy chunk")
                plain = _plain_size(kind, body)
            except (FormatError, ValueError) as error:
                self.damage.append(f"memory from {address:#x} on: {error} (offset {at:#x})")
                return -1
            if plain:
                self._chunks.append((address, at + 8, size - 4, kind == 0))
                self._sizes.append(plain)
                address += plain
            at += 4 + size
        return at

    @functools.cached_property
    def _decompress(self) -> Decompress:
        return CODECS["snappy"]()

    def _read(self, number: int) -> bytes:
        found = self._cache.get(number)
        if found is None:
            _, offset, size, compressed = self._chunks[number]
            data = bytes(self.source.read(offset, size, "snappy chunk"))
            found = self._decompress(data, self._sizes[number]) if compressed else data
            self._cache[number] = found
            if len(self._cache) > CACHED_CHUNKS:
                self._cache.popitem(last=False)
        return found

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number, or None."""
        number = bisect_right(self._starts, frame * PAGE) - 1
        if number < 0:
            return None
        start = frame * PAGE - self._starts[number]
        if start + PAGE > self._sizes[number]:
            return None
        try:
            return memoryview(self._read(number))[start : start + PAGE]
        except (ValueError, FormatError):
            return None

    def stretches(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, memoryview]]:
        """As `BareMemory.stretches`: a chunk each; those that are damaged are left out."""
        for number, (at, size) in enumerate(zip(self._starts, self._sizes, strict=True)):
            if at + size <= start or at >= end:
                continue
            first, last = -(-max(at, start) // PAGE) * PAGE - at, (min(at + size, end) & -PAGE) - at
            with contextlib.suppress(ValueError, FormatError, MissingCodec):
                yield at + first, memoryview(self._read(number))[first : max(first, last)]

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        number = bisect_right(self._starts, frame * PAGE) - 1
        if number < 0 or frame * PAGE - self._starts[number] >= self._sizes[number]:
            return "the dump does not hold that page"
        try:
            self._read(number)
        except MissingCodec as error:
            return error.reason
        except (ValueError, FormatError) as error:
            return f"damaged: {error}"
        return "the dump does not hold that page"

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose bytes lie in the file."""
        import numpy as np

        parts = [
            np.arange(start // PAGE, (start + size) // PAGE, dtype=np.uint64)
            for start, size in zip(self._starts, self._sizes, strict=True)
        ]
        return PageMap(np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64))

    def describe(self) -> Info:
        """What the dump is."""
        return Info(
            file=self.source.name,
            format=self.format,
            architecture=self.architecture if self.machine_known else "unknown",
            bits=self.bits,
            memory_size=len(self.pages) * PAGE,
            pages=len(self.pages),
            complete=not self.damage,
            damage=tuple(self.damage),
            details={"compression": "snappy"},
        )


def _plain_size(kind: int, body: memoryview) -> int:
    """Bytes that a chunk of snappy's framing format stands for; 0 for those that hold none. Raises `ValueError`."""
    if kind == 1:
        if not 4 < len(body) <= CHUNK + 4:
            raise ValueError(f"a snappy chunk of {len(body)} bytes")
        return len(body) - 4
    if kind != 0:
        if 2 <= kind <= 0x7F:
            raise ValueError(f"snappy chunk of kind {kind:#x}")
        return 0
    size = shift = 0
    for byte in body[4:9]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    if not 0 < size <= CHUNK:
        raise ValueError(f"a snappy chunk of {size} bytes")
    return size

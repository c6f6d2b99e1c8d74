"""The pages of an illumos dump: as they are, or compressed in one of three ways.

A compressed dump is a row of blocks, each behind a word of 12 bits of tag and 20 of size. Tag 0: one lzjb page. Any
other tag: a block of the stream of that number; a stream is a row of ranges, each a header (magic, first page, number
of pages) and its pages: lzjb pages behind words of their sizes, or all of it through bzip2. Page *i* belongs to entry
*i* of the frame table. An index of where each page begins is made once.

Source: <sys/dumphdr.h> (dumpcsize_t, dumpstreamhdr_t, dumpdatahdr_t) and savecore's reading of them.
"""

from __future__ import annotations

import bz2
import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from construct import Int16ul, Int32ul, Int64ul, Struct

from kdbg.formats.lzjb import decompress

if TYPE_CHECKING:
    from kdbg.formats.illumos import IllumosDump

PAGE = 4096
CACHE_BYTES = 16 << 20
DATA_HEADER_MAGIC = 0x64686472  # 'dhdr'
STREAM_MAGIC = b"StrmHdr\0"
LZJB_LEVEL = 1
DUMP_OFFSET = 65536
"""The second copy of the header, which the data header follows, lies at the last multiple of this."""

DataHeader = Struct(
    "magic" / Int32ul,
    "version" / Int32ul,
    "csize" / Int64ul,
    "maxcsize" / Int32ul,
    "maxrange" / Int32ul,
    "nstreams" / Int16ul,
    "clevel" / Int16ul,
    "metrics" / Int32ul,
)


class Pages(Protocol):
    """Pages by their position in the frame table."""

    compression: str

    def page(self, position: int) -> memoryview | None:
        """The page, or None where the file does not hold it."""
        ...

    def held(self) -> int:
        """How many pages the file holds."""
        ...

    def why_missing(self, position: int) -> str:
        """Why `page` has nothing."""
        ...


def open_pages(dump: IllumosDump) -> Pages:
    """The pages of a dump."""
    if not dump.compressed:
        return PlainPages(dump)
    header = data_header(dump)
    if header is not None and header.clevel > LZJB_LEVEL:
        return BzipPages(dump)
    return LzjbPages(dump, "lzjb streams" if header is not None else "lzjb")


def data_header(dump: IllumosDump) -> Any:
    """The dumpdatahdr behind the second copy of the dump header, or None: a dump without streams."""
    source = dump.source
    end = max(0, source.size - DUMP_OFFSET) & -DUMP_OFFSET
    magic = struct.pack("<I", DATA_HEADER_MAGIC)
    # Behind a header whose length depends on the kernel.
    at = source.find(magic, end, min(source.size, end + 4096))
    if at < 0 or at + DataHeader.sizeof() > source.size:
        return None
    return DataHeader.parse(bytes(source.view[at : at + DataHeader.sizeof()]))


class PlainPages:
    """Pages that lie in the file as they are."""

    compression = "none"

    def __init__(self, dump: IllumosDump) -> None:
        self._source = dump.source
        self._at = dump.header.data
        self._held: int = min(dump.header.npages, max(0, dump.source.size - self._at) // PAGE)
        if self._held < dump.header.npages:
            dump.damage.append(f"cut off: {dump.header.npages} pages, the file holds {self._held}")

    def page(self, position: int) -> memoryview | None:
        """The page, or None behind the file's end."""
        if position >= self._held:
            return None
        start = self._at + position * PAGE
        return self._source.view[start : start + PAGE]

    def held(self) -> int:
        """How many pages the file holds."""
        return self._held

    def why_missing(self, position: int) -> str:
        """Why `page` has nothing."""
        return "cut off: the file ends before that page"


def blocks(dump: IllumosDump) -> Iterator[tuple[int, int, int]]:
    """(tag, offset, size) of each block of the data; ends at the end mark, or with a note where the file is damaged."""
    view, at = dump.source.view, dump.header.data
    most = dump.source.size
    while True:
        if at + 4 > most:
            dump.damage.append(f"cut off: the data ends without a mark (offset {at:#x})")
            return
        word = int.from_bytes(view[at : at + 4], "little")
        tag, size = word >> 20, word & 0xFFFFF
        if not size:
            return
        if at + 4 + size > most:
            dump.damage.append(f"cut off: a block of {size} bytes (offset {at:#x})")
            return
        yield tag, at + 4, size
        at += 4 + size


class LzjbPages:
    """Pages compressed one by one, alone or in streams."""

    def __init__(self, dump: IllumosDump, compression: str) -> None:
        self.compression = compression
        self._dump = dump
        self._places = self._index(dump)
        self._cache: OrderedDict[int, memoryview | None] = OrderedDict()

    @staticmethod
    def _index(dump: IllumosDump) -> dict[int, tuple[int, int]]:
        """Position of a page -> (offset, size) of its lzjb data."""
        places: dict[int, tuple[int, int]] = {}
        streams: dict[int, list[int]] = {}  # tag -> [next position, pages left of the range]
        alone, count = 0, dump.header.npages
        for tag, offset, size in blocks(dump):
            if tag:
                _index_block(dump, places, streams.setdefault(tag, [0, 0]), offset, offset + size)
                alone = max(alone, streams[tag][0])
                continue
            if alone >= count:  # what follows is not a page: the dump's end without a mark
                break
            places[alone] = (offset, size)
            alone += 1
            if alone == count:
                break
        if len(places) < count:
            dump.damage.append(f"{count} pages, the file holds {len(places)}")
        return places

    def page(self, position: int) -> memoryview | None:
        """The page, or None where its data is absent or damaged."""
        if position not in self._cache:
            self._cache[position] = self._decompress(position)
            if len(self._cache) > CACHE_BYTES // PAGE:
                self._cache.popitem(last=False)
        return self._cache[position]

    def _decompress(self, position: int) -> memoryview | None:
        place = self._places.get(position)
        if place is None:
            return None
        offset, size = place
        try:
            return memoryview(decompress(self._dump.source.view[offset : offset + size], PAGE))
        except ValueError:
            return None

    def held(self) -> int:
        """How many pages the file holds."""
        return len(self._places)

    def why_missing(self, position: int) -> str:
        """Why `page` has nothing."""
        place = self._places.get(position)
        if place is None:
            return "cut off: the file ends before that page"
        return f"damaged: its lzjb data of {place[1]} bytes at offset {place[0]:#x} does not decompress"


def _index_block(dump: IllumosDump, places: dict[int, tuple[int, int]], state: list[int], at: int, end: int) -> None:
    """Index the pages in one block of a stream; no header or page is split over blocks."""
    view, header_size = dump.source.view, 8 + 2 * dump.word
    while at < end:
        if not state[1]:
            if bytes(view[at : at + 8]) != STREAM_MAGIC or at + header_size > end:
                dump.damage.append(f"a stream's header is damaged (offset {at:#x}); the rest of its block is lost")
                return
            form = "<QQ" if dump.word == 8 else "<II"
            state[:] = struct.unpack_from(form, view, at + 8)
            at += header_size
            continue
        if at + 4 > end:
            return
        size = int.from_bytes(view[at : at + 4], "little") & 0xFFFFF
        if at + 4 + size > end:
            dump.damage.append(f"a page's data is damaged (offset {at:#x}); the rest of its block is lost")
            return
        places[state[0]] = (at + 4, size)
        state[0] += 1
        state[1] -= 1
        at += 4 + size


class BzipPages:
    """Pages in streams that went through bzip2 as a whole: decompressed once, in order, into a temporary file."""

    compression = "bzip2 streams"

    def __init__(self, dump: IllumosDump) -> None:
        import tempfile

        self._plain = tempfile.TemporaryFile()  # noqa: SIM115
        self._count = dump.header.npages
        self._seen = bytearray(self._count)
        self._fill(dump)
        held = sum(self._seen)
        if held < self._count:
            dump.damage.append(f"{self._count} pages, the file holds {held}")

    def _fill(self, dump: IllumosDump) -> None:
        streams: dict[int, _BzipStream] = {}
        for tag, offset, size in blocks(dump):
            data = bytes(dump.source.view[offset : offset + size])
            if not tag:
                following = sum(self._seen)
                try:
                    self._put(following, decompress(data, PAGE))
                except ValueError as error:
                    dump.damage.append(f"{error} (offset {offset:#x})")
                continue
            stream = streams.setdefault(tag, _BzipStream(8 + 2 * dump.word))
            try:
                for position, page in stream.feed(data):
                    self._put(position, page)
            except (OSError, ValueError, EOFError) as error:
                dump.damage.append(f"stream {tag}: {error} (offset {offset:#x})")

    def _put(self, position: int, page: bytes) -> None:
        if 0 <= position < self._count:
            self._plain.seek(position * PAGE)
            self._plain.write(page)
            self._seen[position] = 1

    def page(self, position: int) -> memoryview | None:
        """The page, or None where its data is absent or damaged."""
        if not 0 <= position < self._count or not self._seen[position]:
            return None
        self._plain.seek(position * PAGE)
        return memoryview(self._plain.read(PAGE))

    def held(self) -> int:
        """How many pages the file holds."""
        return sum(self._seen)

    def why_missing(self, position: int) -> str:
        """Why `page` has nothing."""
        return "cut off or damaged: its stream does not reach that page"


class _BzipStream:
    """One stream: bzip2 files one after the other, ranges of pages inside."""

    def __init__(self, header_size: int) -> None:
        self._header_size = header_size
        self._inflater = bz2.BZ2Decompressor()
        self._waiting = bytearray()
        self._position = self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a block; give (position, page) of all the pages that are whole now."""
        while data:
            self._waiting += self._inflater.decompress(data)
            data = b""
            if self._inflater.eof:
                data = self._inflater.unused_data
                self._inflater = bz2.BZ2Decompressor()
        while True:
            if not self._left:
                if len(self._waiting) < self._header_size:
                    return
                header = bytes(self._waiting[: self._header_size])
                if header[:8] != STREAM_MAGIC:
                    raise ValueError("its header is damaged")
                word = (self._header_size - 8) // 2
                self._position = int.from_bytes(header[8 : 8 + word], "little")
                self._left = int.from_bytes(header[8 + word :], "little")
                del self._waiting[: self._header_size]
                continue
            if len(self._waiting) < PAGE:
                return
            yield self._position, bytes(self._waiting[:PAGE])
            del self._waiting[:PAGE]
            self._position += 1
            self._left -= 1

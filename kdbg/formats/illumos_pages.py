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
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Protocol

from construct import Int16ul, Int32ul, Int64ul, Struct

from kdbg.formats.lzjb import decompress

if TYPE_CHECKING:
    from kdbg.formats.illumos import IllumosDump

PAGE = 4096
CACHE_BYTES = 16 << 20
AT_ONCE = 1 << 20
"""Bytes that bzip2 gives before they are put away."""
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
    first = bytes(dump.source.view[dump.header.data : dump.header.data + 8])
    streams = len(first) == 8 and first[2] >> 4 | first[3] << 4
    if header is None and streams:
        dump.damage.append("cut off: the second header, which tells how the pages are compressed, is not there")
    if header.clevel > LZJB_LEVEL if header is not None else streams and first[4:7] == b"BZh":
        return BzipPages(dump)
    return LzjbPages(dump, "lzjb streams" if streams else "lzjb")


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
    while at >= 0:
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
        self._view = dump.source.view
        self._count: int = dump.header.npages
        self._sizes_at = array("q", bytes(8 * self._count))
        """Of each page by its position: offset of the word with its size; 0 where there is none."""
        self._index()
        self._held: int = self._count - self._sizes_at.count(0)
        self._cache: OrderedDict[int, memoryview | None] = OrderedDict()
        if self._held < self._count:
            dump.damage.append(f"{self._count} pages, the file holds {self._held}")

    def _index(self) -> None:
        streams: dict[int, list[int]] = {}  # tag -> [next position, pages left of the range]
        following = 0
        for tag, offset, size in blocks(self._dump):
            if tag:
                state = streams.setdefault(tag, [0, 0])
                self._index_block(state, offset, offset + size)
                following = max(following, state[0])
            elif following < self._count:
                self._sizes_at[following] = offset - 4
                following += 1
            if not streams and following == self._count:  # the end, with a mark or without
                return

    def _index_block(self, state: list[int], at: int, end: int) -> None:
        """Index the pages in one block of a stream; no header or page is split over blocks."""
        view, word = self._view, self._dump.word
        while at < end:
            if state[1] and at + 4 <= end:
                size = int.from_bytes(view[at : at + 4], "little") & 0xFFFFF
                if 0 < size <= end - at - 4 and state[0] < self._count:
                    self._sizes_at[state[0]] = at
                    state[0] += 1
                    state[1] -= 1
                    at += 4 + size
                    continue
            elif not state[1] and bytes(view[at : at + 8]) == STREAM_MAGIC and at + 8 + 2 * word <= end:
                state[0] = int.from_bytes(view[at + 8 : at + 8 + word], "little")
                state[1] = int.from_bytes(view[at + 8 + word : at + 8 + 2 * word], "little")
                at += 8 + 2 * word
                continue
            _note(self._dump, f"a stream is damaged (offset {at:#x}): pages are lost up to its next header")
            state[:] = 0, 0
            following = bytes(view[at + 1 : end]).find(STREAM_MAGIC)
            if following < 0:
                return
            at += 1 + following

    def page(self, position: int) -> memoryview | None:
        """The page, or None where its data is absent or damaged."""
        if position not in self._cache:
            self._cache[position] = self._decompress(position)
            if len(self._cache) > CACHE_BYTES // PAGE:
                self._cache.popitem(last=False)
        return self._cache[position]

    def _place(self, position: int) -> tuple[int, int] | None:
        """(offset, size) of a page's lzjb data, or None."""
        at = self._sizes_at[position] if 0 <= position < self._count else 0
        return (at + 4, int.from_bytes(self._view[at : at + 4], "little") & 0xFFFFF) if at else None

    def _decompress(self, position: int) -> memoryview | None:
        place = self._place(position)
        if place is None:
            return None
        try:
            return memoryview(decompress(self._view[place[0] : place[0] + place[1]], PAGE))
        except ValueError:
            return None

    def held(self) -> int:
        """How many pages the file holds."""
        return self._held

    def why_missing(self, position: int) -> str:
        """Why `page` has nothing."""
        place = self._place(position)
        if place is None:
            return "cut off: the file ends before that page"
        return f"damaged: its lzjb data of {place[1]} bytes at offset {place[0]:#x} does not decompress"


MOST_NOTES = 8


def _note(dump: IllumosDump, sentence: str) -> None:
    """Tell of damage, but not of thousands of places."""
    if len(dump.damage) < MOST_NOTES:
        dump.damage.append(sentence)


class BzipPages:
    """Pages in streams that went through bzip2 as a whole: decompressed once, in order, into a temporary file."""

    compression = "bzip2 streams"

    def __init__(self, dump: IllumosDump) -> None:
        import mmap
        import tempfile

        self._count: int = dump.header.npages
        self._seen = bytearray(self._count)
        with tempfile.TemporaryFile() as file:
            self._fill(dump, file)
            file.truncate(max(1, self._count) * PAGE)
            self._plain = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self._held: int = sum(self._seen)
        if self._held < self._count:
            dump.damage.append(f"{self._count} pages, the file holds {self._held}")

    def _fill(self, dump: IllumosDump, file: IO[bytes]) -> None:
        streams: dict[int, _BzipStream] = {}
        for tag, offset, size in blocks(dump):
            data = bytes(dump.source.view[offset : offset + size])
            stream = streams.setdefault(tag, _BzipStream(8 + 2 * dump.word))
            try:
                pages = stream.feed(data) if tag else [(sum(self._seen), decompress(data, PAGE))]
                for position, page in pages:
                    if position >= self._count or self._seen[position]:
                        raise ValueError(f"page {position} of {self._count}, or the same page again")
                    file.seek(position * PAGE)
                    file.write(page)
                    self._seen[position] = 1
            except (OSError, ValueError, EOFError) as error:
                _note(dump, f"stream {tag} is damaged: {error} (offset {offset:#x})")
                stream.lost = True

    def page(self, position: int) -> memoryview | None:
        """The page, or None where its data is absent or damaged."""
        if not 0 <= position < self._count or not self._seen[position]:
            return None
        return self._plain[position * PAGE : (position + 1) * PAGE]

    def held(self) -> int:
        """How many pages the file holds."""
        return self._held

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
        self.lost = False
        """Whether it is damaged: what follows has no place."""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a block; give (position, page) of all the pages that are whole now. Raises `ValueError`, `OSError`."""
        if self.lost:
            return
        while data or not self._inflater.needs_input:
            self._waiting += self._inflater.decompress(data, AT_ONCE)
            data = b""
            if self._inflater.eof:
                data = self._inflater.unused_data
                self._inflater = bz2.BZ2Decompressor()
            yield from self._pages()

    def _pages(self) -> Iterator[tuple[int, bytes]]:
        at, waiting = 0, self._waiting
        word = (self._header_size - 8) // 2
        while len(waiting) - at >= (PAGE if self._left else self._header_size):
            if self._left:
                yield self._position, bytes(waiting[at : at + PAGE])
                at += PAGE
                self._position += 1
                self._left -= 1
                continue
            header = bytes(waiting[at : at + self._header_size])
            self._position = int.from_bytes(header[8 : 8 + word], "little")
            self._left = int.from_bytes(header[8 + word :], "little")
            if header[:8] != STREAM_MAGIC or not self._left:
                raise ValueError("a range's header is none")
            at += self._header_size
        del waiting[:at]

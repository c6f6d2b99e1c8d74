"""A dump behind a URL: only the ranges that are asked for are fetched, in blocks, and kept up to a bound.

``s3://``, ``http://``, ``gs://`` and what else fsspec knows, with the package of its kind: ``kdbg[remote]`` brings
those of http and s3. Which credentials are used is the package's affair; none is ever asked for here.

A web server need not know ranges (RFC 9110, 14.2: it may answer with the whole file). One that does not is found out by
asking for two bytes of the middle; a small file is then fetched whole, once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, cast

from kdbg.errors import FormatError
from kdbg.formats.source import ReadView, Source
from kdbg.formats.spool import spool

BLOCK = 1 << 18
"""Bytes that are fetched at least: a round trip costs about as much as these."""
CACHE_BYTES = 64 << 20
WHOLE = 512 << 20
"""Bytes up to which a file is fetched whole from a server that gives no ranges."""
PIECE = 8 << 20
"""Bytes that are fetched at once where all of a file is."""

Fetch = Callable[[int, int], bytes]
"""(start, end) -> the bytes between; raises what its package raises."""


class RemoteSource(Source):
    """The bytes behind a URL; nothing is fetched before it is asked for."""

    def __init__(self, url: str) -> None:
        self.name, self.cut_off = url, False
        self.map = b""
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()
        self.fetched = 0
        """Bytes that came over the line."""
        self.requests = 0
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise FormatError(url, "a URL needs the package fsspec: pip install 'kdbg[remote]'") from None
        try:
            files, path = url_to_fs(url)
            told: dict[str, Any] = files.info(path)
        except ImportError as error:  # fsspec names the package of the store
            raise FormatError(url, f"{_reason(error)}: pip install 'kdbg[remote]'") from None
        except FileNotFoundError as error:  # so it is told of a line that does not stand, too
            why = error.__cause__
            lost = why is not None and getattr(why, "status", None) != 404
            raise FormatError(
                url, f"cannot be read: {_reason(why) if why and lost else 'there is no such file'}"
            ) from None
        except Exception as error:  # each kind of store has its own
            raise FormatError(url, f"cannot be read: {_reason(error)}") from None
        if told.get("type") == "directory":
            raise FormatError(url, "cannot be read: a directory")
        if told.get("size") is None:
            raise FormatError(url, "its server does not tell how long the file is: fetch it, and open the copy")
        self.size = int(told["size"])
        self.view = cast(memoryview, ReadView(self))
        self._files, self._path = files, path
        self._web = url.startswith(("http://", "https://"))

    @property
    def _fetch_range(self) -> Fetch:
        """What fetches a range: for the web by a way that does not take a whole file for an answer."""
        if not self._web:
            return lambda start, end: self._files.cat_file(self._path, start=start, end=end)

        def fetch(start: int, end: int) -> bytes:
            with self._files.open(self._path, "rb", cache_type="none", size=self.size) as file:
                file.seek(start)
                return file.read(end - start)  # type: ignore[no-any-return]

        return fetch

    def gives_ranges(self) -> bool:
        """Whether the server gives parts of the file. Raises `FormatError` where it does not answer."""
        if not self._web or self.size < 4:
            return True
        try:
            return len(self._fetch_range(self.size // 2, self.size // 2 + 2)) == 2
        except ValueError:  # fsspec's word for an answer with the whole file
            return False
        except Exception as error:  # each kind of store has its own
            raise FormatError(self.name, f"cannot be read: {_reason(error)}") from None

    def read(self, offset: int, size: int, what: str = "data") -> memoryview:
        """Return ``size`` bytes. Raises `FormatError` where the file ends before, or the line breaks."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(self.name, f"cut off: {what} of {size} bytes, the file has {self.size}", offset)
        if not size:
            return memoryview(b"")
        first, last = offset // BLOCK, (offset + size - 1) // BLOCK
        if last - first >= CACHE_BYTES // BLOCK:  # more than is kept
            return self._fetch(offset, offset + size)
        self._take(first, last)
        start = offset - first * BLOCK
        if first == last:
            return self._blocks[first][start : start + size]
        return memoryview(b"".join(self._blocks[number] for number in range(first, last + 1)))[start : start + size]

    def find(self, pattern: bytes, start: int, end: int) -> int:
        """Return the first offset of ``pattern`` between the offsets, or -1."""
        start, end = max(0, start), min(end, self.size)
        while start < end:
            stop = min(end, start + CACHE_BYTES // 4)
            found = bytes(self.read(start, stop - start)).find(pattern)
            if found >= 0:
                return start + found
            if stop == end:
                break
            start = stop - len(pattern) + 1
        return -1

    def close(self) -> None:
        """Forget what was fetched."""
        self._blocks.clear()

    def _take(self, first: int, last: int) -> None:
        """See to it that blocks are there: those that are not come in one piece."""
        absent = [number for number in range(first, last + 1) if number not in self._blocks]
        if absent:
            start, end = absent[0] * BLOCK, min((absent[-1] + 1) * BLOCK, self.size)
            data = self._fetch(start, end)
            for number in range(absent[0], absent[-1] + 1):
                # A copy each: a view would keep the whole piece for as long as one block of it is kept.
                block = bytes(data[number * BLOCK - start : (number + 1) * BLOCK - start])
                self._blocks[number] = memoryview(block)
        for number in range(first, last + 1):
            self._blocks.move_to_end(number)
        while len(self._blocks) > CACHE_BYTES // BLOCK:
            self._blocks.popitem(last=False)

    def _fetch(self, start: int, end: int) -> memoryview:
        try:
            data = self._fetch_range(start, end)
        except Exception as error:  # each kind of store has its own
            raise FormatError(self.name, f"cannot be read: {_reason(error)}", start) from None
        if len(data) != end - start:
            raise FormatError(self.name, f"gave {len(data)} bytes where {end - start} were asked for", start)
        self.fetched += len(data)
        self.requests += 1
        return memoryview(data)

    # all of it

    def pieces(self) -> Iterator[bytes]:
        """All bytes in order, by ranges that are not kept."""
        for start in range(0, self.size, PIECE):
            yield bytes(self._fetch(start, min(start + PIECE, self.size)))

    def stream(self) -> Iterator[bytes]:
        """All bytes in order, by one request: for a server without ranges."""
        try:
            with self._files.open(self._path, "rb", block_size=0) as file:
                while data := file.read(1 << 20):
                    self.fetched += len(data)
                    yield data
        except Exception as error:  # each kind of store has its own
            raise FormatError(self.name, f"cannot be read: {_reason(error)}") from None


def open_remote(url: str) -> Source:
    """What lies behind a URL, by ranges; a small file whole where its server gives none. Raises `FormatError`."""
    source = RemoteSource(url)
    if source.gives_ranges():
        return source
    if source.size > WHOLE:
        text = f"its server gives no ranges of a file, and all {source.size} bytes would have to be fetched"
        raise FormatError(url, f"{text}: fetch it once (`curl -O URL`), and open the copy")
    whole = spool(url, source.stream(), source.size, "the file is longer than its server told")
    whole.advice = f"its server gives no ranges of a file: all {source.size} bytes were fetched"
    return whole


def all_of(source: Source) -> Source:
    """The file itself, fetched whole where it lies behind a URL: for a format that is read from end to end."""
    if not isinstance(source, RemoteSource):
        return source
    whole = spool(source.name, source.pieces(), source.size, "the file is longer than its server told")
    whole.advice = f"the format has no index: all {source.size} bytes were fetched"
    return whole


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

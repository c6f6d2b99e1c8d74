"""A dump behind a URL: only the ranges that are asked for are fetched, in blocks, and kept up to a bound.

``s3://``, ``http://``, ``gs://`` and what else fsspec knows, with the package of its kind (``s3fs``, ``aiohttp`` ...):
the extra ``kdbg[remote]``. Which credentials are used is the package's affair; none is ever asked for here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, cast

from kdbg.errors import FormatError
from kdbg.formats.source import Source

BLOCK = 1 << 18
"""Bytes that are fetched at least: a round trip costs about as much as these."""
CACHE_BYTES = 64 << 20


class RemoteSource(Source):
    """The bytes behind a URL; nothing is fetched before it is asked for."""

    def __init__(self, url: str) -> None:
        self.name, self.cut_off = url, False
        self.map = b""
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()
        self.fetched = 0
        """Bytes that came over the line."""
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise FormatError(url, "a URL needs the package fsspec: pip install 'kdbg[remote]'") from None
        try:
            self._files, self._path = url_to_fs(url)
            told: dict[str, Any] = self._files.info(self._path)
        except Exception as error:  # each kind of store has its own
            raise FormatError(url, f"cannot be read: {_reason(error)}") from None
        if told.get("size") is None or ("partial" in told and not told["partial"]):
            raise FormatError(url, "its server gives no ranges of a file: fetch it whole, and open the copy")
        self.size = int(told["size"])
        self.view = cast(memoryview, _View(self))

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
                self._blocks[number] = data[number * BLOCK - start : (number + 1) * BLOCK - start]
        for number in range(first, last + 1):
            self._blocks.move_to_end(number)
        while len(self._blocks) > CACHE_BYTES // BLOCK:
            self._blocks.popitem(last=False)

    def _fetch(self, start: int, end: int) -> memoryview:
        try:
            data: bytes = self._files.cat_file(self._path, start=start, end=end)
        except Exception as error:  # each kind of store has its own
            raise FormatError(self.name, f"cannot be read: {_reason(error)}", start) from None
        if len(data) != end - start:
            raise FormatError(self.name, f"gave {len(data)} bytes where {end - start} were asked for", start)
        self.fetched += len(data)
        return memoryview(data)


class _View:
    """What stands for the map of a file: slices of it are fetched."""

    def __init__(self, source: RemoteSource) -> None:
        self._source = source

    def __len__(self) -> int:
        return self._source.size

    def __getitem__(self, at: slice | int) -> memoryview | int:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self._source.size)
            return self._source.read(start, max(0, stop - start))
        return self._source.read(at, 1)[0]

    def release(self) -> None:
        """Nothing is held."""


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

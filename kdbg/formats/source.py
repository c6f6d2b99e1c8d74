"""A file, mapped for reading: what every format reads from."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
from typing import TYPE_CHECKING, Any

from kdbg.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from construct import Construct


def is_url(name: str) -> bool:
    """Whether a name is that of something elsewhere: ``scheme://...``."""
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum()


def open_source(name: str) -> Source:
    """The bytes of a file, or behind a URL. Raises `FormatError`."""
    if not is_url(name):
        return Source(name)
    from kdbg.formats.remote import open_remote

    return open_remote(name)


class Source:
    """The bytes of one file, mapped read-only; nothing is read before it is asked for.

    Every access is held against the file's size before it is believed.
    """

    _identity: tuple[int, int] | None = None
    """Device and inode of the file that is mapped."""
    advice = ""
    """What was done to have it at hand and what would spare it, in a sentence."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self.cut_off = False
        """Whether the file that it was made from ended too early (compressed and flattened ones)."""
        try:
            if stat.S_ISFIFO(os.stat(self.name).st_mode):
                raise FormatError(self.name, "cannot be read: a pipe, which has no middle to go to")
            with open(self.name, "rb") as file:
                told = os.fstat(file.fileno())
                self.size, self._identity = told.st_size, (told.st_dev, told.st_ino)
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b""
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise FormatError(self.name, f"cannot be read: {text}") from None
        self.map: mmap.mmap | bytes = mapped
        """The whole file, whose slices are copies; empty where it is not there in one piece (remote, flattened)."""
        self.view = memoryview(mapped)

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> Source:
        """Bytes that are in memory already, as a source: a file inside a dump."""
        source = cls.__new__(cls)
        source.name, source.size, source.map, source.view = name, len(data), data, memoryview(data)
        source.cut_off = False
        return source

    def read(self, offset: int, size: int, what: str = "data") -> memoryview:
        """Return ``size`` bytes without copying. Raises `FormatError` where the file ends before."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(self.name, f"cut off: {what} of {size} bytes, the file has {self.size}", offset)
        return self.view[offset : offset + size]

    def array(self, offset: int, width: int, count: int, what: str = "table") -> memoryview:
        """Return ``count`` little-endian words of 4 or 8 bytes as a view that gives integers."""
        data = self.read(offset, width * count, what)
        return data.cast("Q") if width == 8 else data.cast("I")

    def filled(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(start, end) of what lies between two offsets and is no hole of a sparse file; all of it if nobody tells."""
        end = min(end, self.size)
        try:
            file = os.open(self.name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError:
            yield start, end
            return
        try:
            told = os.fstat(file)
            if (told.st_dev, told.st_ino) != self._identity or not hasattr(os, "SEEK_DATA"):
                yield start, end
                return
            while start < end:
                try:
                    start = os.lseek(file, start, os.SEEK_DATA)
                    stop = os.lseek(file, start, os.SEEK_HOLE)
                except OSError as error:
                    if error.errno != errno.ENXIO:  # not: no data behind that place
                        yield start, end
                    return
                if start < end:
                    yield start, min(stop, end)
                start = stop
        finally:
            os.close(file)

    def find(self, pattern: bytes, start: int, end: int) -> int:
        """Return the first offset of ``pattern`` between the offsets, or -1."""
        return self.map.find(pattern, start, end)

    def parse(self, declaration: Construct[Any, Any], offset: int, what: str) -> Any:
        """Return a header as its construct declaration reads it. Raises `FormatError`."""
        size = declaration.sizeof()
        from construct import ConstructError

        try:
            return declaration.parse(bytes(self.read(offset, size, what)))
        except ConstructError as error:
            raise FormatError(self.name, f"{what}: {error}", offset) from None

    def __getattr__(self, name: str) -> Any:
        """What is no attribute any more: the bytes of a closed file. Raises `FormatError`."""
        if name in ("view", "map"):
            raise FormatError(self.name, "is closed")
        raise AttributeError(name)

    def close(self) -> None:
        """Unmap, for a second time too; views that are still held keep the map alive, and stay good."""
        self.__dict__.pop("view", None)
        mapped = self.__dict__.pop("map", None)
        if isinstance(mapped, mmap.mmap):
            with contextlib.suppress(BufferError):  # somebody still holds a page
                mapped.close()


class ReadView:
    """What stands for the map of a file that has none: slices of it are read."""

    def __init__(self, source: Source) -> None:
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

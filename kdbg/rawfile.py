r"""Any file as flat bytes: the target for what is neither a dump nor an ELF file, and for all files under ``-f``.

Address 0 is the first byte. With a second file (mdb's "core"), ``/ \ @`` mean the second and ``?`` the first. There are
no symbols and no types. Opened for writing, a write past the end makes the file longer.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from kdbg.errors import ReadError, SymbolNotFound, TypeNotFound
from kdbg.target import FileMapping, Space, Target

if TYPE_CHECKING:
    from kdbg.symbols.table import Symbol

PAST_END = "cannot read past current end of file"
UNSUPPORTED = "operation not supported by target"
READ_ONLY = "target is not open for writing"
LARGEST_OFFSET = 0xFFF_FFFF_F000
"""Where the largest file that ext4 can hold ends: beyond it a seek fails, as it did where mdb was recorded."""


class RawFile(Target):
    """A file, or two, as flat bytes. Raises `OSError` where one cannot be opened."""

    kind = "raw"

    def __init__(self, path: str, core: str | None = None, writable: bool = False) -> None:
        super().__init__(path)
        self.writable = writable
        self.core_name = core
        self.idle = core is None
        self._object, self._core = self._open(writable)

    def _open(self, writable: bool) -> tuple[BinaryIO, BinaryIO | None]:
        first = _open(self.name, writable)
        try:
            return first, _open(self.core_name, writable) if self.core_name is not None else None
        except OSError:
            first.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of the (first) file now: reserved variable ``d``."""
        return os.fstat(self._object.fileno()).st_size

    @property
    def sizes(self) -> list[int]:
        """Bytes of each file."""
        files = [self._object] if self._core is None else [self._object, self._core]
        return [os.fstat(file.fileno()).st_size for file in files]

    def _file(self, space: Space) -> BinaryIO:
        return self._object if self._core is None or space is Space.OBJECT else self._core

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        data = self.read_some(address, size, space)
        if len(data) < size:
            # A short read sets no error of its own: what is told is that a file has no symbols, the last thing tried.
            raise ReadError(address + len(data), reason=UNSUPPORTED if data else PAST_END)
        return data

    def read_some(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Up to ``size`` bytes: fewer, or none, where the file ends. Raises `ReadError` for an impossible offset."""
        if address > LARGEST_OFFSET:
            raise ReadError(address, reason="Invalid argument")
        if size <= 0:
            return b""
        file = self._file(space)
        available = max(0, os.fstat(file.fileno()).st_size - address)
        try:
            return os.pread(file.fileno(), min(size, available), address)
        except OSError as error:
            raise ReadError(address, reason=error.strerror or str(error)) from None

    def write(self, address: int, data: bytes, space: Space = Space.VIRTUAL) -> None:
        """Write all of ``data``. Raises `ReadError`."""
        if not self.writable:
            raise ReadError(address, reason=READ_ONLY)
        if address > LARGEST_OFFSET:
            raise ReadError(address, reason="Invalid argument")
        try:
            os.pwrite(self._file(space).fileno(), data, address)
        except OSError as error:
            raise ReadError(address, reason=error.strerror or str(error)) from None

    def set_writable(self, writable: bool) -> None:
        """Open the files again, for writing or not. Raises `OSError`; they stay as they are then."""
        if writable == self.writable:
            return
        fresh = self._open(writable)
        self.close()
        (self._object, self._core), self.writable = fresh, writable

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """A symbol that the person added; a file has none of its own. Raises `SymbolNotFound`."""
        if module is None and (private := self.private.lookup(name)) is not None:
            return private
        raise SymbolNotFound(name, UNSUPPORTED)

    def nearest(self, address: int, distance: int | None = None) -> NoReturn:
        """Fail: a file has no symbols."""
        raise SymbolNotFound(f"{address:x}", UNSUPPORTED)

    def listed(self, module: str | None = None, dynamic: bool = False) -> NoReturn:
        """Fail: a file has no symbols."""
        raise SymbolNotFound(module or "", UNSUPPORTED)

    def objects(self) -> list[FileMapping]:
        """The file, or both: from address 0 on."""
        names = [f"{self.name} (object file)", f"{self.core_name} (core file)"]
        return [FileMapping(0, size, name) for size, name in zip(self.sizes, names, strict=False)]

    mappings = objects

    def reserved(self) -> dict[str, int]:
        """The variable ``d``: the file's size."""
        return {"d": self.size}

    def type(self, name: str) -> NoReturn:
        """Fail: a file has no types."""
        raise TypeNotFound(name, UNSUPPORTED)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            self.close()

    def close(self) -> None:
        """Let the files go."""
        self._object.close()
        if self._core is not None:
            self._core.close()


def _open(path: str, writable: bool) -> BinaryIO:
    return open(path, "r+b" if writable else "rb", buffering=0)

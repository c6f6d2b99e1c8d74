"""Targets without a file: the language alone.

mdb without an operand has a process target that no process stands behind: its memory reads as zeros, and everything
that needs the process says that there is none. With ``-f`` it has a raw file target without a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

from kdbg.errors import ReadError, SymbolNotFound, TypeNotFound
from kdbg.symbols.table import Symbol
from kdbg.target import FileMapping, Space, Target

NO_PROCESS = "no process active"
UNSUPPORTED = "operation not supported by target"


class NoProcess(Target):
    """The process target without a process."""

    idle = True

    def __init__(self) -> None:
        super().__init__("")

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Zeros, but nothing physical. Raises `ReadError`."""
        if space in (Space.PHYSICAL, Space.FILE):
            raise ReadError(address, reason=UNSUPPORTED)
        return bytes(size)

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """A symbol that the person added. Raises `SymbolNotFound`."""
        if module is None and (private := self.private.lookup(name)) is not None:
            return private
        raise SymbolNotFound(name, NO_PROCESS)

    def listed(self, module: str | None = None, dynamic: bool = False) -> Iterator[tuple[str, Symbol]]:
        """No symbols. Raises `SymbolNotFound` where all objects are asked for: nobody knows which there are."""
        if module is None:
            raise SymbolNotFound("", NO_PROCESS)
        return iter(())

    def type(self, name: str) -> NoReturn:
        """Fail: there are no types."""
        raise TypeNotFound(name, NO_PROCESS)

    def registers(self) -> Mapping[str, int]:
        """All registers, 0."""
        from kdbg.objectfile import REGISTERS

        return dict.fromkeys(REGISTERS, 0)


class NoFile(Target):
    """The raw file target without a file."""

    def __init__(self) -> None:
        super().__init__("")


class Folder(Target):
    """A folder given as a file: it opens, and cannot be read."""

    kind = "raw"

    def objects(self) -> list[FileMapping]:
        """The folder, of which nothing is mapped."""
        return [FileMapping(0, 0, f"{self.name} (object file)")]

    mappings = objects

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Fail. Raises `ReadError`."""
        raise ReadError(address, reason="Is a directory")

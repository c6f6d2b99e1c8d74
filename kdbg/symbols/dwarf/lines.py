"""Line tables: which line of which file an instruction comes from.

Source: DWARF 5, 6.2 (line number information); DWARF 4 and 3 for the headers before.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kdbg.errors import FormatError
from kdbg.symbols.dwarf import reading
from kdbg.symbols.dwarf.reading import Data, Encoding, sleb, uleb, value_of
from kdbg.symbols.dwarf.units import AT_STMT_LIST, Unit

MOST_ROWS = 1 << 22
MOST_FILES = 1 << 16
PATH, DIRECTORY = 1, 2


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the sources."""

    file: str
    """As the compiler was given it, below the folder of the sources where that can be told."""
    line: int
    """0 where the compiler made the instruction up."""
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class LineTable:
    """The line table of one unit. Raises `FormatError` where it is damaged."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        at = unit.root.number(AT_STMT_LIST)
        self._data: Data = unit.info.file.section(".debug_line")
        if at is None or at >= len(self._data):
            raise FormatError(unit.info.file.path, f"the unit {unit.name} has no line table")
        try:
            self._header(at)
        except IndexError:
            raise self._damaged("its header is cut short") from None

    def _damaged(self, reason: str) -> FormatError:
        return FormatError(self.unit.info.file.path, f"the line table of {self.unit.name}: {reason}")

    # the header

    def _header(self, at: int) -> None:
        data = self._data
        length, at, width = int.from_bytes(data[at : at + 4], "little"), at + 4, 4
        if length == 0xFFFFFFFF:
            length, at, width = int.from_bytes(data[at : at + 8], "little"), at + 8, 8
        self._end = at + length
        self.version = int.from_bytes(data[at : at + 2], "little")
        if self._end > len(data) or not 2 <= self.version <= 5:
            raise self._damaged(f"version {self.version}, {length} bytes")
        at += 2
        address = self.unit.encoding.address
        if self.version >= 5:
            address, at = data[at], at + 2
        header, at = int.from_bytes(data[at : at + width], "little"), at + width
        self._program = at + header
        self._least, at = data[at], at + 1
        at += self.version >= 4  # operations in an instruction: 1, but for machines with long words
        _, base, self._range, self._opcodes = data[at : at + 4]
        self._base = base - 256 if base > 127 else base
        if not self._range or not self._opcodes or self._program > self._end:
            raise self._damaged("a header that makes no sense")
        at += 4
        self._lengths = bytes(data[at : at + self._opcodes - 1])
        at += self._opcodes - 1
        self._encoding = Encoding(address, width, self.version)
        self._folders: list[str] = []
        self._files: list[tuple[str, int]] = []
        if self.version >= 5:
            self._folders = [str(row.get(PATH, "")) for row in self._table(at)]
            at = self._table_end
            self._files = [(str(row.get(PATH, "")), int(row.get(DIRECTORY, 0))) for row in self._table(at)]
        else:
            self._old_files(at)

    def _table(self, at: int) -> list[dict[int, Any]]:
        """Rows of a table of folders or files (version 5)."""
        data, form_count = self._data, self._data[at]
        at, forms, rows = at + 1, [], list[dict[int, Any]]()
        for _ in range(form_count):
            kind, at = uleb(data, at)
            form, at = uleb(data, at)
            forms.append((kind, form))
        count, at = uleb(data, at)
        if count > MOST_FILES:
            raise self._damaged(f"{count} files")
        for _ in range(count):
            row = {}
            for kind, form in forms:
                value = value_of(data, at, form, self._encoding)
                at = reading.skip_form(data, at, form, self._encoding)
                row[kind] = self.unit.string(form, value) if kind == PATH else value if isinstance(value, int) else 0
            rows.append(row)
        self._table_end = at
        return rows

    def _old_files(self, at: int) -> None:
        """Folders and files before version 5: folder 0 is that of the unit, files count from 1."""
        self._folders = [self.unit.folder]
        while self._data[at]:
            name, at = self._string(at)
            self._folders.append(name)
        at += 1
        self._files = [(self.unit.name, 0)]
        while self._data[at] and len(self._files) < MOST_FILES:
            at = self._old_file(at)

    def _old_file(self, at: int) -> int:
        name, at = self._string(at)
        folder, at = uleb(self._data, at)
        for _ in range(2):  # its time and its size
            _, at = uleb(self._data, at)
        self._files.append((name, folder))
        return at

    def _string(self, at: int) -> tuple[str, int]:
        found: bytes = value_of(self._data, at, reading.STRING, self._encoding)
        return found.decode("utf-8", "replace"), at + len(found) + 1

    def file(self, number: int) -> str:
        """The path of a file by its number; "" where there is none."""
        if not 0 <= number < len(self._files):
            return ""
        name, folder = self._files[number]
        if folder < len(self._folders):
            name = posixpath.join(self._folders[0] if self._folders else "", self._folders[folder], name)
        return shortened(name, self.unit.folder)

    # rows

    def at(self, address: int) -> Place | None:
        """The place of an instruction, or None."""
        starts, rows = self._rows
        at = bisect_right(starts, address) - 1
        if at < 0 or rows[at] is None:
            return None
        file, line, column = rows[at]
        return Place(self.file(file), line, column)

    @cached_property
    def _rows(self) -> tuple[list[int], list[Any]]:
        """Addresses, ascending; and of each (file, line, column), None where a sequence has ended."""
        sequences: list[list[tuple[int, Any]]] = []
        rows: list[tuple[int, Any]] = []
        try:
            for address, place in self._run():
                rows.append((address, place))
                if place is None:
                    sequences.append(rows)
                    rows = []
        except IndexError:
            raise self._damaged("its program is cut short") from None
        found: list[tuple[int, Any]] = []
        for sequence in sorted((one for one in sequences if one[0][0]), key=lambda one: one[0][0]):
            if found and found[-1][0] == sequence[0][0]:
                found.pop()  # the end of the sequence before is where this one begins
            found += sequence
        return [row[0] for row in found], [row[1] for row in found]

    def _run(self) -> Iterator[tuple[int, Any]]:
        """Run the program: each row of the table, in its order."""
        data, at, end = self._data, self._program, self._end
        opcodes, base, reach, least = self._opcodes, self._base, self._range, self._least
        step = (255 - opcodes) // reach * least
        address, file, line, column, left = 0, 1, 1, 0, MOST_ROWS
        while at < end:
            code = data[at]
            at += 1
            if code >= opcodes:
                code -= opcodes
                address += code // reach * least
                line += base + code % reach
                yield address, (file, line, column)
            elif code == 1:
                yield address, (file, line, column)
            elif code == 2:
                advance, at = uleb(data, at)
                address += advance * least
            elif code == 3:
                advance, at = sleb(data, at)
                line += advance
            elif code == 4:
                file, at = uleb(data, at)
            elif code == 5:
                column, at = uleb(data, at)
            elif code == 8:
                address += step
            elif code == 9:
                address += int.from_bytes(data[at : at + 2], "little")
                at += 2
            elif code:
                for _ in range(self._lengths[code - 1]):
                    _, at = uleb(data, at)
            else:
                size, at = uleb(data, at)
                extended = data[at]
                if extended == 1:
                    yield address, None
                    address, file, line, column = 0, 1, 1, 0
                elif extended == 2:
                    address = int.from_bytes(data[at + 1 : at + size], "little")
                elif extended == 3:
                    self._old_file(at + 1)
                at += size
            left -= 1
            if not left:
                raise self._damaged("more rows than are read")


def shortened(path: str, folder: str) -> str:
    """A path without ``..``, below the folder of the sources where it can be told.

    Kernels that are built in a folder of their own name their sources ``../../../kernel/fork.c`` from there.
    """
    path = posixpath.normpath(path)
    folder = posixpath.normpath(folder) if folder else ""
    while folder not in ("", "/", "."):
        if path.startswith(f"{folder}/"):
            return path[len(folder) + 1 :]
        folder = posixpath.dirname(folder)
        if folder.count("/") < 2:
            break
    while path.startswith("../"):
        path = path[3:]
    return path

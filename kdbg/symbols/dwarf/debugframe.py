"""Call frame information in .debug_frame: that of kernels, whose code carries no .eh_frame.

Source: DWARF 5, 6.4.1 (structure of call frame information).
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property

from kdbg.symbols.dwarf.cfi import MOST_FRAMES, Common, Contradiction, FrameTable, Read
from kdbg.symbols.dwarf.expressions import Cursor
from kdbg.symbols.dwarf.reading import Data

COMMON = 0xFFFFFFFF


class DebugFrames(FrameTable):
    """The frames of a file. ``read``: reads the dump's memory, for what was saved there."""

    def __init__(self, section: Data, bits: int, read: Read) -> None:
        super().__init__(read, 0, bits)
        self._section = section
        self._width = bits // 8

    @cached_property
    def _index(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Starts of functions, ascending; and of each (end, offset of its entry)."""
        data, at, rows, width = self._section, 0, list[tuple[int, int, int]](), self._width
        while at + 8 <= len(data) and len(rows) < MOST_FRAMES:
            length = int.from_bytes(data[at : at + 4], "little")
            if length >= 0xFFFFFFF0 or length < 4:  # 64-bit lengths are not in use
                break
            if int.from_bytes(data[at + 4 : at + 8], "little") != COMMON:
                start = int.from_bytes(data[at + 8 : at + 8 + width], "little")
                rows.append((start, start + int.from_bytes(data[at + 8 + width : at + 8 + 2 * width], "little"), at))
            at += 4 + length
        rows.sort()
        return [row[0] for row in rows], [row[1:] for row in rows]

    def _entry(self, address: int) -> tuple[int, Cursor]:
        length = int.from_bytes(self._section[address : address + 4], "little")
        return address + 4, Cursor(bytes(self._section[address + 4 : address + 4 + length]), address + 4, self._bits)

    def _frame(self, pc: int) -> tuple[Common, int, bytes] | None:
        starts, rows = self._index
        at = bisect_right(starts, pc) - 1
        if at < 0 or pc >= rows[at][0]:
            return None
        _, cursor = self._entry(rows[at][1])
        common = self._common_at(cursor.unsigned(4))
        cursor.skip(2 * self._width)
        return common, starts[at], cursor.rest()

    def _read_common(self, address: int) -> Common:
        _, cursor = self._entry(address)
        if cursor.unsigned(4) != COMMON:
            raise Contradiction
        version = cursor.unsigned(1)
        if cursor.string():
            raise Contradiction
        if version >= 4:
            cursor.skip(2)  # sizes of addresses and of segment selectors
        code, data = cursor.uleb(), cursor.sleb()
        register = cursor.unsigned(1) if version == 1 else cursor.uleb()
        return Common(code, data, register, 0, False, False, cursor.rest())

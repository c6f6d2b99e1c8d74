"""Call frame information: how the caller's registers follow from a function's, as compilers tell in .eh_frame.

An object is asked through its .eh_frame_hdr, whose table is sorted by address: a search reads a few words, a frame a
few hundred bytes. Everything is read through a function, from memory or from a file, and is bounded.

Source: DWARF 5 (6.4, 7.24), the Linux Standard Base (.eh_frame, .eh_frame_hdr), the System V ABIs' register numbers.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kdbg.errors import ReadError
from kdbg.symbols.dwarf.expressions import Cursor, evaluate

Read = Callable[[int, int], bytes]
MOST_ENTRY = 1 << 16
"""Bytes of a frame's description."""
MOST_INSTRUCTIONS = 1 << 12
MOST_FRAMES = 1 << 22
MOST_LISTED = 1 << 16
"""Frames of an object without a header that are looked at."""
NEGATE_RA_STATE = 0x2D
"""DW_CFA_AARCH64_negate_ra_state, DW_CFA_GNU_window_save elsewhere."""

UNDEFINED, SAME, OFFSET, VALUE_OFFSET, REGISTER, EXPRESSION, VALUE_EXPRESSION = range(7)
Rule = tuple[int, int | bytes]
"""(what the value follows from, the offset, register or expression)."""


class Contradiction(Exception):
    """The description of a frame contradicts itself."""


@dataclass(slots=True)
class Row:
    """Rules at one address."""

    cfa: tuple[int, int] | bytes | None = None
    """(register, offset) or an expression."""
    rules: dict[int, Rule] = field(default_factory=dict)

    def copy(self) -> Row:
        """The same rules, to be changed."""
        return Row(self.cfa, dict(self.rules))


@dataclass(frozen=True, slots=True)
class Common:
    """What a CIE says for many frames."""

    code_factor: int
    data_factor: int
    return_register: int
    encoding: int
    """Of the addresses in its frames (DW_EH_PE_*)."""
    augmented: bool
    signal: bool
    """Whether the frames are those that a signal pushed."""
    program: bytes


@dataclass(frozen=True, slots=True)
class Unwound:
    """What follows from a frame."""

    registers: dict[int, int]
    """Of the caller, by DWARF's numbers; those that are lost are left out."""
    pc: int | None
    """None: the function has no caller."""
    cfa: int
    signal: bool


class FrameTable:
    """The frames of one object.

    ``header``: address of its .eh_frame_hdr, 0: it has none; ``section``: address and size of its .eh_frame, which is
    gone through if there is no header.
    """

    def __init__(self, read: Read, header: int, bits: int, section: tuple[int, int] = (0, 0)) -> None:
        self._read, self._bits, self._base = read, bits, header
        self._count = self._table = 0
        self._common: dict[int, Common] = {}
        self._entries: list[tuple[int, int]] = []
        """(first address, the entry's) by address, where there is no header."""
        if not header:
            self._entries = sorted(self._all(*section))
            return
        try:
            version, _, count_form, table_form = read(header, 4)
            if version == 1 and table_form == 0x3B and count_form in (0x03, 0x0B):  # sorted, 32-bit, from the header
                self._count = min(int.from_bytes(read(header + 8, 4), "little"), MOST_FRAMES)
                self._table = header + 12
        except ReadError:
            pass

    def unwind(self, pc: int, registers: Mapping[int, int], stack: int) -> Unwound | None:
        """The caller of a frame, whose pc lies in or right behind the call; None where nothing tells.

        ``registers``: those of the frame; ``stack``: DWARF's number of the stack pointer.
        """
        try:
            found = self._frame(pc)
            if found is None:
                return None
            common, start, program = found
            row = self._row(common, program, start, pc)
            return self._apply(row, common, registers, stack)
        except (ReadError, Contradiction, ValueError, struct.error, IndexError):
            return None

    # finding

    def _all(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        """Every frame of an .eh_frame, as far as it makes sense."""
        end = address + size
        try:
            for _ in range(MOST_LISTED):
                if address + 4 >= end:
                    return
                at, cursor = self._entry(address)
                distance = cursor.unsigned(4)
                if distance:
                    yield cursor.encoded(self._common_at(at - distance).encoding), address
                address = at + cursor.size
        except (ReadError, Contradiction, ValueError, IndexError):
            return

    def _frame(self, pc: int) -> tuple[Common, int, bytes] | None:
        if self._entries:
            at = bisect_right(self._entries, (pc, 1 << 64)) - 1
            return self._parse(self._entries[at][1], pc) if at >= 0 else None
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            start = int.from_bytes(self._read(self._table + 8 * middle, 4), "little", signed=True) + self._base
            if start <= pc:
                low = middle + 1
            else:
                high = middle
        if not low:
            return None
        entry = int.from_bytes(self._read(self._table + 8 * low - 4, 4), "little", signed=True) + self._base
        return self._parse(entry, pc)

    def _entry(self, address: int) -> tuple[int, Cursor]:
        """(address behind the length, a cursor over the entry's content)."""
        length = int.from_bytes(self._read(address, 4), "little")
        if not 0 < length <= MOST_ENTRY:  # 64-bit lengths are not in use
            raise Contradiction
        return address + 4, Cursor(self._read(address + 4, length), address + 4, self._bits)

    def _parse(self, address: int, pc: int) -> tuple[Common, int, bytes] | None:
        at, cursor = self._entry(address)
        distance = cursor.unsigned(4)
        if not distance:
            return None
        common = self._common_at(at - distance)
        start = cursor.encoded(common.encoding)
        size = cursor.encoded(common.encoding & 0x0F)
        if not start <= pc < start + size:
            return None
        if common.augmented:
            cursor.skip(cursor.uleb())
        return common, start, cursor.rest()

    def _common_at(self, address: int) -> Common:
        if address not in self._common:
            if len(self._common) > 1024:
                self._common.clear()
            self._common[address] = self._read_common(address)
        return self._common[address]

    def _read_common(self, address: int) -> Common:
        _, cursor = self._entry(address)
        if cursor.unsigned(4):
            raise Contradiction
        version = cursor.unsigned(1)
        augmentation = cursor.string()
        code, data = cursor.uleb(), cursor.sleb()
        register = cursor.unsigned(1) if version == 1 else cursor.uleb()
        encoding, signal = 0, "S" in augmentation
        if augmentation[:1] == "z":
            end = cursor.uleb() + cursor.at
            for letter in augmentation[1:]:
                if letter == "R":
                    encoding = cursor.unsigned(1)
                elif letter == "P":
                    cursor.encoded(cursor.unsigned(1) & 0x7F)
                elif letter == "L":
                    cursor.skip(1)
            cursor.at = end
        elif augmentation:
            raise Contradiction
        return Common(code, data, register, encoding, augmentation[:1] == "z", signal, cursor.rest())

    # rules

    def _row(self, common: Common, program: bytes, start: int, pc: int) -> Row:
        initial = _Interpreter(common, Row(), start, self._bits)
        initial.run(common.program, None)
        interpreter = _Interpreter(common, initial.row.copy(), start, self._bits)
        interpreter.initial = initial.row
        interpreter.run(program, pc)
        return interpreter.row

    def _apply(self, row: Row, common: Common, registers: Mapping[int, int], stack: int) -> Unwound | None:
        mask = (1 << self._bits) - 1
        if isinstance(row.cfa, bytes):
            cfa = evaluate(row.cfa, registers, self._read, self._bits, None)
        elif row.cfa is not None and row.cfa[0] in registers:
            cfa = registers[row.cfa[0]] + row.cfa[1] & mask
        else:
            return None
        found = dict(registers)
        found[stack] = cfa
        for number, (kind, operand) in row.rules.items():
            value = self._value(kind, operand, registers, registers.get(number), cfa)
            if value is None:
                found.pop(number, None)
            else:
                found[number] = value & mask
        rule = row.rules.get(common.return_register, (SAME, 0))
        pc = None if rule[0] == UNDEFINED else found.get(common.return_register)
        return Unwound(found, pc, cfa, common.signal)

    def _value(
        self, kind: int, operand: int | bytes, registers: Mapping[int, int], same: int | None, cfa: int
    ) -> int | None:
        word = self._bits // 8
        if isinstance(operand, bytes):
            value = evaluate(operand, registers, self._read, self._bits, cfa)
            return value if kind == VALUE_EXPRESSION else int.from_bytes(self._read(value, word), "little")
        if kind == OFFSET:
            return int.from_bytes(self._read(cfa + operand & (1 << self._bits) - 1, word), "little")
        if kind == VALUE_OFFSET:
            return cfa + operand
        if kind == REGISTER:
            return registers.get(operand)
        return same if kind == SAME else None


class _Interpreter:
    """Runs the instructions of a frame up to an address."""

    def __init__(self, common: Common, row: Row, start: int, bits: int) -> None:
        self.row = row
        self.initial = Row()
        self._common, self._at, self._bits = common, start, bits
        self._kept: list[Row] = []

    def run(self, program: bytes, pc: int | None) -> None:
        """Run a program; ``pc``: where to end, None: to its end. Raises `Contradiction`."""
        cursor = Cursor(program, 0, self._bits)
        for _ in range(MOST_INSTRUCTIONS):
            if cursor.ended:
                return
            code = cursor.unsigned(1)
            high, low = code >> 6, code & 0x3F
            if high == 1:
                self._at += low * self._common.code_factor
            elif high == 2:
                self.row.rules[low] = (OFFSET, cursor.uleb() * self._common.data_factor)
            elif high == 3:
                self._restore(low)
            elif code in (0x01, 0x02, 0x03, 0x04):
                self._advance(code, cursor)
            else:
                self._other(code, cursor)
            if pc is not None and self._at > pc:
                return

    def _advance(self, code: int, cursor: Cursor) -> None:
        if code == 0x01:
            self._at = cursor.encoded(self._common.encoding)
        else:
            self._at += cursor.unsigned({0x02: 1, 0x03: 2, 0x04: 4}[code]) * self._common.code_factor

    def _restore(self, register: int) -> None:
        if register in self.initial.rules:
            self.row.rules[register] = self.initial.rules[register]
        else:
            self.row.rules.pop(register, None)

    def _other(self, code: int, cursor: Cursor) -> None:
        row, factor = self.row, self._common.data_factor
        if code in (0x00, NEGATE_RA_STATE):
            return
        if code == 0x0A:
            if len(self._kept) > 256:
                raise Contradiction
            self._kept.append(row.copy())
        elif code == 0x0B:
            if not self._kept:
                raise Contradiction
            self.row = self._kept.pop()
        elif code == 0x0C:
            row.cfa = (cursor.uleb(), cursor.uleb())
        elif code == 0x12:
            row.cfa = (cursor.uleb(), cursor.sleb() * factor)
        elif code in (0x0D, 0x0E, 0x13):
            self._change_cfa(code, cursor)
        elif code == 0x0F:
            row.cfa = cursor.block()
        elif code == 0x2E:  # DW_CFA_GNU_args_size
            cursor.uleb()
        else:
            self._register(code, cursor.uleb(), cursor)

    def _change_cfa(self, code: int, cursor: Cursor) -> None:
        if not isinstance(self.row.cfa, tuple):
            raise Contradiction
        register, offset = self.row.cfa
        if code == 0x0D:
            self.row.cfa = (cursor.uleb(), offset)
        else:
            self.row.cfa = (register, cursor.uleb() if code == 0x0E else cursor.sleb() * self._common.data_factor)

    def _register(self, code: int, register: int, cursor: Cursor) -> None:
        """Instructions that begin with a register's number."""
        factor, rules = self._common.data_factor, self.row.rules
        if code == 0x06:
            self._restore(register)
        elif code in (0x07, 0x08):
            rules[register] = (UNDEFINED if code == 0x07 else SAME, 0)
        elif code == 0x09:
            rules[register] = (REGISTER, cursor.uleb())
        elif code in (0x05, 0x14):
            rules[register] = (OFFSET if code == 0x05 else VALUE_OFFSET, cursor.uleb() * factor)
        elif code in (0x11, 0x15):
            rules[register] = (OFFSET if code == 0x11 else VALUE_OFFSET, cursor.sleb() * factor)
        elif code in (0x10, 0x16):
            rules[register] = (EXPRESSION if code == 0x10 else VALUE_EXPRESSION, cursor.block())
        else:
            raise Contradiction

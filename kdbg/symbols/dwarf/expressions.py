"""DWARF's small encodings and its stack machine, as far as call frame information uses them.

Source: DWARF 5 (2.5, 7.6), the Linux Standard Base (DW_EH_PE_* pointer encodings).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

MOST_STEPS = 1 << 10
DEEPEST = 256


class Cursor:
    """Reads one value after the other. ``address``: of the first byte. Raises `ValueError` at the end."""

    def __init__(self, data: bytes, address: int, bits: int) -> None:
        self._data, self._address, self._bits = data, address, bits
        self.at = 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self._data)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._data)

    def skip(self, size: int) -> None:
        """Go on by so many bytes."""
        self.at += size

    def rest(self) -> bytes:
        """What is left."""
        return self._data[self.at :]

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if size < 0 or self.at + size > len(self._data):
            raise ValueError("beyond the end")
        self.at += size
        return self._data[self.at - size : self.at]

    def unsigned(self, size: int) -> int:
        """An unsigned number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """A signed number of so many bytes."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def uleb(self) -> int:
        """A number in ULEB128."""
        value = shift = 0
        while shift < 70:
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("too long a number")

    def sleb(self) -> int:
        """A number in SLEB128."""
        start = self.at
        value = self.uleb()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> bits - 1 else value

    def block(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.uleb())

    def string(self) -> str:
        """Text up to a zero."""
        end = self._data.index(b"\0", self.at)
        return self.take(end + 1 - self.at)[:-1].decode("latin-1")

    def encoded(self, form: int) -> int:
        """A pointer in an encoding DW_EH_PE_*: absolute, or from its own place. Raises `ValueError` for others."""
        place = self._address + self.at
        size = {0: self._bits // 8, 2: 2, 3: 4, 4: 8}.get(form & 7)
        if form & 7 == 1:
            value = self.sleb() if form & 8 else self.uleb()
        elif size is not None:
            value = self.signed(size) if form & 8 else self.unsigned(size)
        else:
            raise ValueError("unknown encoding")
        if form & 0x70 == 0x10:
            value += place
        elif form & 0xF0:
            raise ValueError("unknown encoding")
        return value & (1 << self._bits) - 1


_BINARY: Mapping[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b, 0x1C: lambda a, b: a - b, 0x1D: lambda a, b: a % b, 0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b, 0x22: lambda a, b: a + b, 0x24: lambda a, b: a << min(b, 64),
    0x25: lambda a, b: a >> min(b, 64), 0x27: lambda a, b: a ^ b, 0x29: lambda a, b: a == b, 0x2A: lambda a, b: a >= b,
    0x2B: lambda a, b: a > b, 0x2C: lambda a, b: a <= b, 0x2D: lambda a, b: a < b, 0x2E: lambda a, b: a != b,
}  # fmt: skip
_CONSTANTS = {0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True), 0x0C: (4, False), 0x0D: (4, True),
              0x0E: (8, False), 0x0F: (8, True)}  # fmt: skip


def evaluate(
    program: bytes,
    registers: Mapping[int, int],
    read: Callable[[int, int], bytes],
    bits: int,
    first: int | None,
    special: Mapping[int, Callable[[Cursor, list[int]], None]] | None = None,
) -> int:
    """What an expression comes to. ``first``: what lies on the stack at the start.

    ``special``: operations that depend on more than registers and memory, by their codes; they go before all others.

    Raises `ValueError`, `IndexError` where it is wrong or asks for what is not known, `ReadError` of ``read``.
    """
    cursor, stack, mask = Cursor(program, 0, bits), [] if first is None else [first], (1 << bits) - 1
    for _ in range(MOST_STEPS):
        if cursor.ended:
            return stack[-1]
        code = cursor.unsigned(1)
        if special is not None and code in special:
            special[code](cursor, stack)
        elif 0x30 <= code < 0x50:
            stack.append(code - 0x30)
        elif 0x70 <= code < 0x90 or code == 0x92:
            number = cursor.uleb() if code == 0x92 else code - 0x70
            if number not in registers:
                raise ValueError("a register that is not known")
            stack.append(registers[number] + cursor.sleb() & mask)
        elif code in _CONSTANTS:
            size, signed = _CONSTANTS[code]
            stack.append((cursor.signed(size) if signed else cursor.unsigned(size)) & mask)
        elif code in _BINARY:
            two, one = stack.pop(), stack.pop()
            if code == 0x1D and not two:
                raise ValueError("division by 0")
            stack.append(int(_BINARY[code](one, two)) & mask)
        elif code in (0x28, 0x2F):
            distance = cursor.signed(2)
            if code == 0x2F or stack.pop():
                cursor.at += distance
            if cursor.at < 0:
                raise ValueError("a jump out of the expression")
        else:
            _others(code, cursor, stack, read, bits)
        if len(stack) > DEEPEST:
            raise ValueError("too deep")
    raise ValueError("too long")


def _others(code: int, cursor: Cursor, stack: list[int], read: Callable[[int, int], bytes], bits: int) -> None:
    """Operations on the top of the stack."""
    mask = (1 << bits) - 1
    if code in (0x06, 0x94):
        size = cursor.unsigned(1) if code == 0x94 else bits // 8
        stack.append(int.from_bytes(read(stack.pop(), size), "little"))
    elif code in (0x03, 0x10, 0x11):
        value = cursor.unsigned(bits // 8) if code == 0x03 else cursor.uleb() if code == 0x10 else cursor.sleb()
        stack.append(value & mask)
    elif code == 0x12:
        stack.append(stack[-1])
    elif code == 0x13:
        stack.pop()
    elif code in (0x14, 0x15):
        stack.append(stack[-2 if code == 0x14 else -1 - cursor.unsigned(1)])
    elif code == 0x16:
        stack[-1], stack[-2] = stack[-2], stack[-1]
    elif code == 0x1F:
        stack.append(-stack.pop() & mask)
    elif code == 0x20:
        stack.append(~stack.pop() & mask)
    elif code == 0x23:
        stack.append(stack.pop() + cursor.uleb() & mask)
    elif code != 0x96:
        raise ValueError("an operation that is not known")

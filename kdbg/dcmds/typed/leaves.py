"""The text of a single value: integers, bit-fields, floats, pointers, enumerations, in the form of ::print.

`Leaves.of` makes, once for each type, the function that reads and shows it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from kdbg.dcmds.typed.enumerations import decomposed, flag_bits, name_of
from kdbg.dcmds.typed.memory import Memory
from kdbg.dcmds.typed.texts import decimal, extended, internet, is_char, printable
from kdbg.errors import ReadError
from kdbg.lang.formats_numbers import MASK, calendar, carets, escaped, prefixed, real
from kdbg.symbols.model import Encoding, Kind, Type

STRING = 256
"""Characters of a text behind a pointer that are looked at, a zero included."""
NO_SYMBOL = "no symbol corresponds to address"
NOT_NUMBER = "Type is not an integer or float"
FLOATS = {(1, 32): 4, (2, 64): 8, (6, 128): 16}
"""Formats of floating point numbers that are shown: (CTF_FP_*, bits) -> bytes."""


class Unshown(Exception):
    """A value that cannot be read: what is said of it, or nothing."""


Leaf = Callable[[int, int, str], tuple[str, "int | None"]]
"""(address in bytes, bit in it, name) -> text and number. Raises `Unshown`."""


@dataclass(frozen=True, slots=True)
class Style:
    """What ::print is asked to show."""

    types: bool = False
    base_types: bool = False
    names: bool = True
    addresses: bool = False
    values: bool = True
    holes: bool = False
    hexadecimal: bool = False
    decimal: bool = False
    symbolic: bool = True
    depth: int = 1 << 62
    elements: int | None = 32
    """Of an array, at most; None: all."""
    characters: int | None = 1024
    """The longest array of characters that is shown as a text; None: any."""
    adb: bool = False
    radix: int = 16
    """For times that are no times."""


class Leaves:
    """Shows single values of one memory in one style. ``label`` shows an address as symbol and offset."""

    def __init__(self, memory: Memory, style: Style, label: Callable[[int], str], left_over: str | None = None) -> None:
        self.memory = memory
        self.style = style
        self.label = label
        self.left_over = left_over
        """The reason of the last failure, told where a read ends early; None: such reads tell their own."""
        self._made: dict[tuple[Type, str], Leaf] = {}

    def of(self, base: Type, spelling: str) -> Leaf:
        """The function for a type; ``spelling``: the type as it was declared. Raises `Unshown` for an odd one."""
        key = (base, spelling)
        leaf = self._made.get(key)
        if leaf is None:
            leaf = self._made[key] = self._make(base, spelling)
        return leaf

    def _make(self, base: Type, spelling: str) -> Leaf:
        kind = base.kind
        if kind is Kind.INTEGER:
            return self.integer(base.encoding or Encoding(), spelling)
        if kind is Kind.POINTER or kind is Kind.FUNCTION:
            return self._pointer(base, spelling)
        if kind is Kind.ENUM:
            return self._enumeration(base)
        if kind is Kind.FLOAT:
            return self._float(base.encoding or Encoding())
        raise Unshown(f"unknown ctf for  type {spelling} kind {kind.value}")

    # failures

    def failure(self, message: str, address: int, error: ReadError) -> Unshown:
        """What is said of a read that failed.

        Where mdb gets fewer bytes than it wants, it tells the reason of whatever failed before.
        """
        short = not error.reason or (self.left_over is not None and error.address != address & MASK)
        return Unshown(f"{message} at {address & MASK:x}: {self.left_over or NO_SYMBOL if short else error.reason}")

    def forget(self, reason: str) -> None:
        """Note the reason of a look-up that failed in passing."""
        if self.left_over is not None:
            self.left_over = reason

    # kinds of values

    def integer(self, encoding: Encoding, spelling: str) -> Leaf:
        """The function for integers of an encoding."""
        bits = encoding.bits
        size = bits // 8
        if encoding.varargs:
            return lambda address, bit, name: ("...", None)
        if size > 8 or bits % 8 or size & (size - 1):
            return self._bit_field(encoding)
        memory, order = self.memory, self.memory.order
        if is_char(encoding):
            return self._character()
        show = self._show_integer(encoding, spelling)
        plain = show is None

        def integer(address: int, bit: int, name: str) -> tuple[str, int | None]:
            try:
                data = memory.read(address, size)
            except ReadError as error:
                raise self.failure(f"failed to read {size} bytes", address, error) from None
            value = int.from_bytes(data, order)
            if plain or show is None:
                return (f"{value:#x}" if value else "0"), value
            return show(data, value), value

        return integer

    def _show_integer(self, encoding: Encoding, spelling: str) -> Callable[[bytes, int], str] | None:
        """How a number is shown if not in hexadecimal."""
        style, size = self.style, encoding.bits // 8
        if not size:
            return lambda data, value: ""
        if style.decimal:
            # of the smaller ones mdb forgets the sign
            bits = encoding.bits if encoding.signed and size > 2 else 0
            return lambda data, value: decimal(value, bits)
        if style.hexadecimal:
            return None
        if spelling == "time_t":
            radix = style.radix
            return lambda data, value: calendar(value - (value >> 63 << 64), radix) if value else "0"
        if spelling in ("ipaddr_t", "in_addr_t"):
            return lambda data, value: internet(data)
        return None

    def _character(self) -> Leaf:
        memory, adb = self.memory, self.style.adb

        def character(address: int, bit: int, name: str) -> tuple[str, int | None]:
            try:
                data = memory.read(address, 1)
            except ReadError:
                raise Unshown("") from None
            return f"'{carets(data) if adb else escaped(data)}'", data[0]

        return character

    def field(self, base: Type, bits: int) -> Leaf:
        """The function for a bit-field whose type does not tell its width (BTF, DWARF): all bytes that it touches."""
        memory, style = self.memory, self.style
        signed = base.encoding is not None and base.encoding.signed
        enumerators = base.enumerators

        def field(address: int, bit: int, name: str) -> tuple[str, int | None]:
            size = (bit + bits + 7) // 8
            try:
                value = memory.number(address, size)
            except ReadError as error:
                raise self.failure(f"failed to read {size} bytes", address, error) from None
            shift = bit if memory.order == "little" else 8 * size - bit - bits
            value = value >> shift & (1 << bits) - 1
            if enumerators and not style.hexadecimal:
                return f"{decimal(value, 0)} ({name_of(base, value) or '???'})", value
            if style.decimal or (signed and not style.hexadecimal):
                return decimal(value, bits if signed else 0), value
            return (f"{value:#x}" if value else "0"), value

        return field

    def _bit_field(self, encoding: Encoding) -> Leaf:
        """Integers of an odd number of bits. Only the bytes that so many bits fill are read, as in mdb."""
        memory, style, bits = self.memory, self.style, encoding.bits
        size, mask = (bits + 7) // 8, (1 << bits) - 1
        if bits > 63:
            return lambda address, bit, name: (f"??? (invalid bitfield size {bits})", None)

        def bit_field(address: int, bit: int, name: str) -> tuple[str, int | None]:
            try:
                value = memory.number(address, size)
            except ReadError as error:
                raise self.failure(f"failed to read {size} bytes", address, error) from None
            shift = bit if memory.order == "little" else (8 - (bit + bits) % 8) % 8
            value = value >> shift & mask
            if encoding.signed and not style.hexadecimal:
                return decimal(value, bits), value
            if style.decimal:
                return prefixed(value, 10), value
            return (f"{value:#x}" if value else "0"), value

        return bit_field

    def _float(self, encoding: Encoding) -> Leaf:
        memory = self.memory
        size = FLOATS.get((encoding.float_format, encoding.bits))
        if size is None:
            text = f"??? (unsupported FP format {encoding.float_format} / {encoding.bits} bits"
            return lambda address, bit, name: (text, None)
        form = ("<" if memory.order == "little" else ">") + ("f" if size == 4 else "d")

        def number(address: int, bit: int, name: str) -> tuple[str, int | None]:
            try:
                data = memory.read(address, size)
            except ReadError as error:
                raise self.failure("failed to read float", address, error) from None
            if size == 16:
                return extended(data), None
            return real(struct.unpack(form, data)[0], 7), None

        return number

    def _pointer(self, base: Type, spelling: str) -> Leaf:
        memory, label = self.memory, self.label
        size, order = memory.pointer, memory.order
        pointed = base.reference.resolved if base.kind is Kind.POINTER and base.reference is not None else None
        encoding = pointed.encoding if pointed is not None else None
        looked_at = pointed is not None and spelling != "caddr_t"
        text = looked_at and encoding is not None and is_char(encoding)
        symbolic = self.style.symbolic

        def pointer(address: int, bit: int, name: str) -> tuple[str, int | None]:
            try:
                value = int.from_bytes(memory.read(address, size), order)
            except ReadError as error:
                raise self.failure(f"failed to read {name} pointer", address, error) from None
            if not symbolic:
                return (f"{value:#x}" if value else "0"), value
            shown = label(value)
            if self.left_over is not None and shown[0] in "0123456789":
                self.left_over = NO_SYMBOL
            if value and looked_at:
                if text:
                    return shown + self._pointed(value), value
                if encoding is None:
                    self.forget(NOT_NUMBER)
            return shown, value

        return pointer

    def _pointed(self, address: int) -> str:
        """Return the text that a pointer to characters points to, if it is one."""
        try:
            text = self.memory.text(address, STRING)
        except ReadError as error:
            self.forget(error.reason)
            return ""
        if not printable(text[: STRING - 1]):
            return ""
        if len(text) >= STRING - 1:
            text = text[: STRING - 5] + b" ..."
        return f' "{text.decode("ascii")}"'

    def _enumeration(self, base: Type) -> Leaf:
        memory, enumerators = self.memory, base.enumerators
        flags = flag_bits(enumerators)
        hexadecimal = self.style.hexadecimal or bool(flags)

        def enumeration(address: int, bit: int, name: str) -> tuple[str, int | None]:
            try:
                data = memory.read(address, 4)
            except ReadError as error:
                raise self.failure(f"failed to read {name} integer", address, error) from None
            value = int.from_bytes(data, memory.order, signed=True)
            number = f"{value & 0xFFFFFFFF:#x}" if hexadecimal and value else decimal(value, 0)
            meaning = decomposed(enumerators, value & MASK) if flags else name_of(base, value) or "???"
            return f"{number} ({meaning})", value

        return enumeration

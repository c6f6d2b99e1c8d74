"""Typed memory as text, in the form of ::print: one line a member, braces around structures, brackets around arrays.

A `Renderer` walks a type as mdb does, member by member with the depth of each; what is on a line that cannot be
finished (a member that cannot be read) is dropped, the error told in its place, and the structure ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from kdbg.dcmds.enumerations import decomposed, flag_bits, name_of
from kdbg.dcmds.texts import MASK64, decimal, extended, internet, internet6, is_char, printable
from kdbg.errors import ReadError
from kdbg.lang.formats_numbers import calendar, carets, escaped, prefixed, real
from kdbg.symbols.model import Encoding, Kind, Type

TAB = 4
DEEPEST = 200
"""Levels below which structures are taken for damaged types."""
BLOCK = 1 << 16
"""Bytes of a structure that are read at once."""
STRING = 256
NO_SYMBOL = "no symbol corresponds to address"
NOT_NUMBER = "Type is not an integer or float"
COMPOSITE = frozenset({Kind.STRUCT, Kind.UNION, Kind.ARRAY})
RECORDS = frozenset({Kind.STRUCT, Kind.UNION})


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


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of ::print."""

    text: str
    name: str | None = None
    """Of the member, as a path from what was asked for."""
    type: str | None = None
    address: int | None = None
    value: int | None = None
    """Of an integer, enumeration or pointer; None for all else and where it cannot be read."""


class Memory:
    """Where values come from: a function that reads, and the block that was read last."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        order: Literal["little", "big"] = "little",
        pointer: int = 8,
        text: Callable[[int, int], bytes] | None = None,
        hollow: bool = True,
    ) -> None:
        self.source = read
        self.order = order
        self.pointer = pointer
        self.text = text or self.some
        """Reads what a pointer to characters points to: as much as there is, up to so many bytes."""
        self.hollow = hollow
        """Whether no bytes at all can be read anywhere; where not, that fails."""
        self._start = 0
        self._block = b""

    def prepare(self, address: int, size: int) -> None:
        """Read a whole structure at once, if that can be done; its members are then at hand."""
        self._block = b""
        if 0 < size <= BLOCK:
            with suppress(ReadError):
                self._block, self._start = self.source(address, size), address

    def read(self, address: int, size: int) -> bytes:
        """Exactly so many bytes. Raises `ReadError`."""
        if not size and not self.hollow:
            raise ReadError(address & MASK64)
        at = address - self._start
        if at >= 0 and at + size <= len(self._block):
            return self._block[at : at + size]
        return self.source(address & MASK64, size)

    def number(self, address: int, size: int) -> int:
        """An unsigned number. Raises `ReadError`."""
        return int.from_bytes(self.read(address, size), self.order)

    def some(self, address: int, size: int) -> bytes:
        """Bytes up to a zero, the end of what can be read, or ``size``. Raises `ReadError` if there are none."""
        try:
            return self.read(address, size).split(b"\0", 1)[0]
        except ReadError:
            found = bytearray()
            while len(found) < size:
                try:
                    byte = self.read(address + len(found), 1)
                except ReadError:
                    if not found:
                        raise
                    break
                if byte == b"\0":
                    break
                found += byte
            return bytes(found)


@dataclass(slots=True)
class Scope:
    """One visit of a type: the whole, or the elements of one array."""

    style: Style
    address: int
    limit: int
    """Levels to show from here."""
    nest: int = 0
    """Levels outside of it."""
    depth: int = 0
    """That of the member shown last."""
    closed: int = 1 << 62
    """The depth below which nothing is shown: inside a structure with a short form of its own."""
    prefix: str | None = None
    suffix: str = ""
    delimiter: str = "\n"


@dataclass(slots=True)
class Hole:
    """The place in a structure up to which members have been seen, in bits."""

    offset: int = 0
    union: bool = False


class _Stop(Exception):  # noqa: N818 - not an error of its own
    """A member cannot be shown: the visit ends."""


@dataclass(slots=True)
class Renderer:
    """Shows values. ``warn`` tells what went wrong; ``label`` shows an address as symbol and offset."""

    memory: Memory
    style: Style
    warn: Callable[[str], None]
    label: Callable[[int], str]
    left_over: str | None = None
    """The reason of the last failure, told where a read ends early; None: such reads tell their own."""
    _line: list[str] = field(default_factory=list)
    _fact: tuple[str, str, int, int | None] | None = None
    _holes: dict[int, Hole] = field(default_factory=dict)

    def show(self, type_: Type, address: int, prefix: str | None = None, suffix: str = "") -> Iterator[Shown]:
        """Show a type's value at an address; with a prefix, under that name."""
        scope = Scope(self.style, address, self.style.depth, prefix=prefix, suffix=suffix)
        if self.style.values and type_.resolved.kind in COMPOSITE:
            self.memory.prepare(address, type_.size)
        with suppress(_Stop):
            yield from self._visit(scope, "", type_, 0, 0)
        yield from self._close_all(scope)

    def show_bits(self, type_: Type, address: int, offset: int, prefix: str) -> Iterator[Shown]:
        """Show a member that begins within a byte."""
        scope = Scope(self.style, address, self.style.depth, prefix=prefix)
        with suppress(_Stop):
            yield from self._visit(scope, "", type_, offset, 0)

    # lines

    def _end(self) -> Shown:
        """Finish the line."""
        fact, self._fact = self._fact, None
        text = "".join(self._line)
        self._line.clear()
        return Shown(text, *fact) if fact else Shown(text)

    def _delimit(self, delimiter: str) -> Iterator[Shown]:
        if delimiter == "\n":
            yield self._end()
        else:
            self._line.append(delimiter)

    def _fail(self, message: str, address: int, error: ReadError) -> None:
        """Drop the line and say why. Where mdb gets fewer bytes than it wants, it tells the reason of an older failure."""
        self._line.clear()
        short = not error.reason or (self.left_over is not None and error.address != address & MASK64)
        self.warn(f"{message}: {self.left_over or NO_SYMBOL if short else error.reason}")

    def _forget(self, reason: str) -> None:
        """Note the reason of a look-up that failed in passing."""
        if self.left_over is not None:
            self.left_over = reason

    # the walk

    def _visit(self, scope: Scope, name: str, type_: Type, offset: int, depth: int) -> Iterator[Shown]:
        """Show one element and, of a structure, its members. ``offset``: in bits from the scope's address."""
        for level in range(scope.depth - 1, depth - 1, -1):
            if level < scope.closed:
                yield from self._close(scope, level)
        if depth <= scope.closed:
            scope.closed = 1 << 62
        if depth > scope.limit or depth > scope.closed:
            return
        base = type_.resolved
        kind = base.kind
        if scope.style.holes:
            yield from self._track(scope, base, offset, depth)
        spelling = self._spelling(type_, base)
        self._head(scope, name, spelling, base, offset, depth)
        scope.depth = depth
        address = scope.address + offset // 8
        self._fact = ((scope.prefix or "") + name if depth else scope.prefix or name, spelling, address, None)
        shown = name
        if depth == 0 and scope.prefix is not None:
            shown = scope.prefix
        if kind is Kind.ARRAY:
            yield from self._array(scope, base, offset)
        elif kind in RECORDS:
            self._record(scope, spelling, shown, base, address)
        else:
            self._leaf(scope, spelling, shown, base, offset)
        yield from self._delimit(scope.delimiter)
        if kind in RECORDS and depth < scope.limit and depth < scope.closed:
            if scope.nest + depth > DEEPEST:
                return
            for member in base.members:
                yield from self._visit(scope, member.name, member.type, offset + member.bit_offset, depth + 1)

    def _spelling(self, type_: Type, base: Type) -> str:
        spelling = type_.spelling
        if self.style.base_types and base.spelling not in (spelling, "struct ", "enum ", "union "):
            spelling += f" <<{base.spelling}>>"
        return spelling

    def _head(self, scope: Scope, name: str, spelling: str, base: Type, offset: int, depth: int) -> None:
        """Put what stands before the value: indentation, address, type, name, equals sign."""
        style, put = scope.style, self._line.append
        if style.types or style.names or style.addresses:
            put(" " * ((depth + scope.nest) * TAB))
        if style.addresses:
            put(self._place(scope.address, offset))
        if style.types:
            put(spelling)
            if not spelling.endswith("*") or (depth == 0 and (not style.names or scope.prefix is None)):
                put(" ")
        if style.names:
            if scope.prefix is not None and depth <= 1:
                put(scope.prefix if depth == 0 else scope.prefix + scope.suffix)
            put(name)
            if depth > 0 and not name and not scope.prefix:
                put("(anon)")
        if style.types and base.kind is Kind.INTEGER and base.encoding is not None:
            bits = base.encoding.bits
            if bits % 8 or offset % 8 or bits // 8 > 8 or bits // 8 != base.size:
                put(f" :{bits}")
        if depth != 0 or (style.names and scope.prefix is not None):
            put(" = " if style.values else " ")

    @staticmethod
    def _place(address: int, offset: int) -> str:
        place = (address + offset // 8) & MASK64
        return f"{place:x}.{offset % 8:x} " if offset % 8 else f"{place:x} "

    # the end of structures, and holes in them

    def _close(self, scope: Scope, level: int) -> Iterator[Shown]:
        depth = level + scope.nest
        if scope.style.holes and not self._hole(depth).union:
            seen, expected = self._hole(depth + 1).offset, self._hole(depth).offset
            if seen < expected:
                yield from self._show_hole(scope, level + 1, seen, expected)
        self._line.append(" " * (depth * TAB) + ("}," if level == 0 and scope.nest > 0 else "}"))
        yield self._end()

    def _close_all(self, scope: Scope) -> Iterator[Shown]:
        for level in range(scope.depth - 1, -1, -1):
            yield from self._close(scope, level)

    def _hole(self, depth: int) -> Hole:
        return self._holes.setdefault(depth, Hole())

    def _track(self, scope: Scope, base: Type, offset: int, depth: int) -> Iterator[Shown]:
        """Show the hole before an element, and note where the next one should begin."""
        hole = self._hole(depth + scope.nest)
        if depth != 0 and offset > hole.offset:
            yield from self._show_hole(scope, depth, hole.offset, offset)
        integer = base.kind is Kind.INTEGER and base.encoding is not None
        hole.offset = offset + (base.encoding.bits if integer and base.encoding else base.size * 8)
        if base.kind in COMPOSITE:
            hole.union = base.kind is Kind.UNION
            self._hole(depth + scope.nest + 1).offset = offset

    def _show_hole(self, scope: Scope, depth: int, start: int, end: int) -> Iterator[Shown]:
        bits = end - start
        if bits > 64:  # in pieces that end where the next eight bytes begin
            while start < end:
                piece = min((start // 64 + 1) * 64, end)
                yield from self._show_hole(scope, depth, start, piece)
                start = piece
            return
        size = bits // 8
        odd = bool(start % 8 or bits % 8 or size > 8 or size & (size - 1))
        spelling = "unsigned" if odd else f"uint{bits}_t"
        style, put = scope.style, self._line.append
        if style.types or style.names or style.addresses:
            put(" " * ((depth + scope.nest) * TAB))
        if style.addresses:
            put(self._place(scope.address, start))
        if style.types:
            put(f"{spelling} ")
        if style.names:
            put("<<HOLE>>")
        if odd and style.types:
            put(f" :{bits}")
        put(" = " if style.values else " ")
        self._fact = ("<<HOLE>>", spelling, scope.address + start // 8, None)
        try:
            self._integer(scope, spelling, Encoding(bits=bits), start)
        except _Stop:
            return
        yield from self._delimit(scope.delimiter)

    # values

    def _record(self, scope: Scope, spelling: str, name: str, base: Type, address: int) -> None:
        if scope.style.values and spelling in ("in6_addr_t", "struct in6_addr", "struct in_addr"):
            six = spelling != "struct in_addr"
            try:
                data = self.memory.read(address, 16 if six else 4)
            except ReadError as error:
                self._fail(f"failed to read {name} pointer at {address & MASK64:x}", address, error)
                raise _Stop from None
            self._line.append(internet6(data) if six else internet(data))
            scope.closed = scope.depth
            return
        self._line.append("{ ... }" if scope.depth == scope.limit else "{")
        scope.delimiter = "\n"

    def _array(self, scope: Scope, base: Type, offset: int) -> Iterator[Shown]:
        style = scope.style
        if not style.values:
            return
        if scope.depth == scope.limit:
            self._line.append("[ ... ]")
            return
        element = base.reference
        assert element is not None
        content = element.resolved
        address = scope.address + offset // 8
        if self._text_array(style, content, base.count, address):
            return
        count = base.count if style.elements is None else min(base.count, style.elements)
        if count == 0:
            self._line.append("[ ... ]")
            return
        composite = content.kind in COMPOSITE
        inner = Scope(style, address, scope.limit - scope.depth - 1, scope.nest + scope.depth + 1)
        if composite:
            self._line.append("[")
            yield self._end()
        else:
            inner.style = replace(style, types=False, names=False, addresses=False)
            inner.delimiter = ", "
            self._line.append("[ ")
        size, fact = content.size, self._fact
        for index in range(count):
            if index == count - 1 and not composite:
                inner.delimiter = " ]" if count == base.count else ", ... ]"
            with suppress(_Stop):
                yield from self._visit(inner, "", element, 0, 0)
            inner.address += size
        if composite:
            yield from self._close_all(inner)
            indent = " " * ((scope.depth + scope.nest) * TAB)
            self._line.append(f"{indent}]" if count == base.count else f"{indent}... ]")
        self._fact = None if composite else fact

    def _text_array(self, style: Style, content: Type, count: int, address: int) -> bool:
        """Show an array of characters as a text if it is one."""
        if style.characters is not None and count > style.characters:
            return False
        if content.encoding is None:
            self._forget(NOT_NUMBER)
            return False
        if not is_char(content.encoding):
            return False
        try:
            start = self.memory.some(address, min(8, count)) if count else b""
        except ReadError:
            return False
        # of the bytes looked at first the last one only counts if more follow it
        if not start or not printable(start[:-1] if len(start) == min(8, count) else start):
            return False
        try:
            text = self.memory.read(address, count).split(b"\0", 1)[0]
        except ReadError as error:
            self._fail(f"failed to read char array at {address & MASK64:x}", address, error)
            raise _Stop from None
        if not printable(text):
            return False
        self._line.append(f'[ "{text.decode("ascii")}" ]')
        return True

    def _leaf(self, scope: Scope, spelling: str, name: str, base: Type, offset: int) -> None:
        kind = base.kind
        if kind is Kind.FORWARD:
            self._line.append(f"{'; ' if scope.style.values else ''}<forward declaration of {base.spelling}>")
        elif not scope.style.values:
            return
        elif kind is Kind.INTEGER:
            self._integer(scope, spelling, base.encoding or Encoding(), offset)
        elif kind is Kind.POINTER or kind is Kind.FUNCTION:
            self._pointer(scope, spelling, name, base, offset)
        elif kind is Kind.ENUM:
            self._enumeration(scope, name, base, offset)
        elif kind is Kind.FLOAT:
            self._float(scope, base.encoding or Encoding(), offset)
        else:
            self._line.clear()
            self.warn(f"unknown ctf for {name} type {spelling} kind {kind.value}")
            raise _Stop

    def _value(self, value: int) -> None:
        if self._fact is not None:
            self._fact = (*self._fact[:3], value)

    def _integer(self, scope: Scope, spelling: str, encoding: Encoding, offset: int) -> None:
        style, address = scope.style, scope.address + offset // 8
        if not style.values:
            return
        bits = encoding.bits
        size = bits // 8
        if encoding.varargs:
            self._line.append("...")
            return
        if size > 8 or bits % 8 or size & (size - 1):
            self._bit_field(style, encoding, address, offset)
            return
        char = is_char(encoding)
        try:
            data = self.memory.read(address, size)
        except ReadError as error:
            if char:
                self._line.clear()
            else:
                self._fail(f"failed to read {size} bytes at {address & MASK64:x}", address, error)
            raise _Stop from None
        value = int.from_bytes(data, self.memory.order)
        self._value(value)
        if char:
            self._line.append(f"'{carets(data) if style.adb else escaped(data)}'")
        elif not size:
            return
        elif style.decimal:
            self._line.append(decimal(value, bits if encoding.signed and size > 2 else 0))
        elif style.hexadecimal:
            self._line.append(f"{value:#x}" if value else "0")
        elif spelling == "time_t" and value:
            self._line.append(calendar(value - (value >> 63 << 64) if size == 8 else value, 16))
        elif spelling in ("ipaddr_t", "in_addr_t"):
            self._line.append(internet(data))
        else:
            self._line.append(f"{value:#x}" if value else "0")

    def _bit_field(self, style: Style, encoding: Encoding, address: int, offset: int) -> None:
        """Show an integer of an odd number of bits. Only the bytes that its bits fill are read, as in mdb."""
        bits = encoding.bits
        if bits > 63:
            self._line.append(f"??? (invalid bitfield size {bits})")
            return
        size = (bits + 7) // 8
        try:
            value = self.memory.number(address, size)
        except ReadError as error:
            self._fail(f"failed to read {size} bytes at {address & MASK64:x}", address, error)
            raise _Stop from None
        if self.memory.order == "little":
            value >>= offset % 8
        else:
            value >>= (8 - (offset + bits) % 8) % 8
        value &= (1 << bits) - 1
        self._value(value)
        if encoding.signed and not style.hexadecimal:
            self._line.append(decimal(value, bits))
        elif style.decimal:
            self._line.append(prefixed(value, 10))
        else:
            self._line.append(f"{value:#x}" if value else "0")

    def _float(self, scope: Scope, encoding: Encoding, offset: int) -> None:
        import struct

        address = scope.address + offset // 8
        size = {(1, 32): 4, (2, 64): 8, (6, 128): 16}.get((encoding.float_format, encoding.bits))
        if size is None:
            self._line.append(f"??? (unsupported FP format {encoding.float_format} / {encoding.bits} bits")
            return
        try:
            data = self.memory.read(address, size)
        except ReadError as error:
            self._fail(f"failed to read float at {address & MASK64:x}", address, error)
            raise _Stop from None
        if size == 16:
            self._line.append(real(extended(data), 16))
        else:
            order = "<" if self.memory.order == "little" else ">"
            self._line.append(real(struct.unpack(order + ("f" if size == 4 else "d"), data)[0], 7))

    def _pointer(self, scope: Scope, spelling: str, name: str, base: Type, offset: int) -> None:
        address = scope.address + offset // 8
        try:
            value = self.memory.number(address, self.memory.pointer)
        except ReadError as error:
            self._fail(f"failed to read {name} pointer at {address & MASK64:x}", address, error)
            raise _Stop from None
        self._value(value)
        if not scope.style.symbolic:
            self._line.append(f"{value:#x}" if value else "0")
            return
        label = self.label(value)
        if label[0] in "0123456789":
            self._forget(NO_SYMBOL)
        self._line.append(label)
        if value and spelling != "caddr_t" and base.kind is Kind.POINTER and base.reference is not None:
            encoding = base.reference.resolved.encoding
            if encoding is None:
                self._forget(NOT_NUMBER)
            elif is_char(encoding):
                self._line.append(self._pointed(value))

    def _pointed(self, address: int) -> str:
        """Return the text that a pointer to characters points to, if it is one."""
        try:
            text = self.memory.text(address, STRING)
        except ReadError:
            return ""
        cut = len(text) >= STRING - 1
        text = text[: STRING - 1]
        if not printable(text):
            return ""
        if cut and len(text) == STRING - 1:
            text = text[: STRING - 5] + b" ..."
        return f' "{text.decode("ascii")}"'

    def _enumeration(self, scope: Scope, name: str, base: Type, offset: int) -> None:
        address = scope.address + offset // 8
        try:
            data = self.memory.read(address, 4)
        except ReadError as error:
            self._fail(f"failed to read {name} integer at {address & MASK64:x}", address, error)
            raise _Stop from None
        value = int.from_bytes(data, self.memory.order, signed=True)
        self._value(value)
        flags = flag_bits(base.enumerators)
        if scope.style.hexadecimal or flags:
            self._line.append(f"{value & 0xFFFFFFFF:#x}" if value else "0")
        else:
            self._line.append(decimal(value, 0))
        meaning = decomposed(base.enumerators, value & MASK64) if flags else name_of(base, value) or "???"
        self._line.append(f" ({meaning})")

"""::printf, members of a type in a format of the person's own.

Its text is written as it is: lines end where the format ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import OPTIONAL, Call, dcmd
from kdbg.dcmds.typed.paths import Path, PathError, compile_path
from kdbg.dcmds.typed.texts import internet, internet6
from kdbg.dcmds.typed.typenames import lookup, memory_of, number_reader, take_type_name
from kdbg.errors import CommandError, ReadError, TypeNotFound, UsageError
from kdbg.lang.errors import Abort, Silent
from kdbg.lang.formats_numbers import MASK, calendar, digits
from kdbg.symbols.model import Encoding, Kind, Type

if TYPE_CHECKING:
    from kdbg.dcmds.typed.memory import Memory

Value = int | str | bytes


@dataclass(frozen=True, slots=True)
class Directive:
    """One ``%`` of a format with the text before it."""

    before: str
    letter: str
    left: bool = False
    zeros: bool = False
    width: int = 0

    def pad(self, text: str) -> str:
        """Fill the field."""
        width = self.width
        if "\n" in text:
            width = min(width, text.index("\n"))
        if self.left:
            return text.ljust(width)
        return text.rjust(width, "0" if self.zeros else " ")


@dataclass(frozen=True, slots=True)
class Format:
    """A format taken apart."""

    directives: tuple[Directive, ...]
    rest: str
    """What follows the last directive: shown as it is."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What one call of ::printf shows."""

    address: int
    values: tuple[int | str | None, ...]
    text: str


def parse(text: str, pointer_width: int = 16) -> Format:
    """Take a format apart: ``%[-][0][width|?]letter``, ``%%``. Raises `Abort` where mdb does not know it."""
    directives: list[Directive] = []
    start = at = 0
    while at < len(text):
        if text[at] != "%":
            at += 1
            continue
        first = at
        at += 1
        if text[at : at + 1] == "%":
            at += 1
            continue
        left = text[at : at + 1] == "-"
        at += left
        field = at
        width = 0
        if text[at : at + 1] == "?":
            at, width = at + 1, pointer_width
        else:
            while at < len(text) and text[at] in "0123456789":
                at += 1
        number = text[field:at] if width == 0 else ""
        if at >= len(text):
            break
        letter = text[at]
        if letter not in _SHOW:
            raise Abort(f"illegal format string at or near '{letter}' (position {at + 1})")
        before = text[start:first].replace("%%", "%")
        directives.append(Directive(before, letter, left, number.startswith("0"), width or int(number or "0")))
        at += 1
        start = at
    return Format(tuple(directives), text[start:])


@dcmd(
    "printf",
    "show members of a type in a format",
    address=OPTIONAL,
    synopsis="format type member ...",
    words=None,
    text=lambda record, view: view.session.out.write(record.text),
    pipe=lambda record: record.text,
    help="The format is like that of C: %d %u %x %X %o %q (signed octal) %r %R (in the current radix) for integers,\n"
    "%p %a %A for pointers, %s for texts and names of enumerators, %H for sizes, %I and %N for Internet addresses,\n"
    "%Y for times, %% for a percent sign; with - (to the left), 0, a width or ? (as wide as a pointer) before the\n"
    "letter. The member '.' is the address itself.",
    example='::walk proc | ::printf "%d %s\\n" proc_t p_pidp->pid_id p_user.u_comm',
)
def printf(call: Call) -> Iterator[Printed]:
    """Show members in a format. Source: mdb_print.c (cmd_printf), mdb_io.c (what the letters show)."""
    made = call.kept.get("printf")
    if made is None:
        made = call.kept["printf"] = _prepare(call)
    yield from made.run(call.address)
    call.session.increment = 0
    call.session.dot = (call.address + made.type.size) & MASK


def _prepare(call: Call) -> _Printf:
    if not call.explicit:
        raise UsageError("")
    words = list(call.words)
    if not words or not isinstance(words[0], str):
        raise Abort("expected a format string")
    form = parse(words[0], call.target.bits // 4)
    name, members = take_type_name(words[1:])
    try:
        type_ = lookup(call, name)
    except TypeNotFound as error:
        raise Abort(f"failed to look up type {name}: {error.reason}") from None
    if not members:
        raise UsageError("at least one member must be specified")
    if len(members) != len(form.directives):
        what = "missing" if len(members) > len(form.directives) else "extra"
        raise Abort(f"{what} format specifiers (found {len(form.directives)}, expected {len(members)})")
    return _Printf(call, type_, form, members)


class _Printf:
    """::printf as it is called; it serves all addresses of a loop."""

    def __init__(self, call: Call, type_: Type, form: Format, members: list[str | int]) -> None:
        self.call, self.type, self.form, self.members = call, type_, form, members
        self.memory: Memory = memory_of(call.target)
        self.address = call.address
        self._index_of = number_reader(call)
        self._paths: dict[str, Path] = {}

    def run(self, address: int) -> Iterator[Printed]:
        self.address, form, members = address, self.form, self.members
        pieces: list[str] = []
        values: list[int | str | None] = []
        try:
            for directive, member in zip(form.directives, members, strict=True):
                value = self._value(directive, member)
                pieces.append(directive.before)
                pieces.append(directive.pad(self._show(directive.letter, value)))
                values.append(value if not isinstance(value, bytes) else value.decode("latin-1"))
        except CommandError as error:
            if isinstance(error, UsageError) or not pieces:
                raise
            # what was shown before the failure stays, behind the message
            self.call.warn(str(error))
            yield Printed(address, tuple(values), "".join(pieces))
            if isinstance(error, Abort):
                raise Abort("") from None
            raise Silent from None
        yield Printed(address, tuple(values), "".join(pieces) + form.rest)

    def _value(self, directive: Directive, member: str | int) -> Value:
        letter = directive.letter
        if not isinstance(member, str):
            raise Abort("expected only type member arguments")
        if member == ".":
            if _READ[letter] not in (_Printf._pointer, _Printf._signed, _Printf._unsigned):
                raise Abort("expected integer or pointer format specifier for '.'")
            return self.address
        path = self._paths.get(member)
        if path is None:
            path = self._paths[member] = compile_path(self.type, member, self._index_of)
        try:
            place = path.follow(self.address, self.memory.source_number, self._outside)
        except PathError as error:
            raise Abort(str(error)) from None
        try:
            if path.width and _READ[letter] in (_Printf._signed, _Printf._unsigned):
                return self._field(path, place, _READ[letter] is _Printf._signed)
            return _READ[letter](self, path.type, place, path.bit)
        except CommandError as error:
            self.call.warn(str(error))
            error.args = (f"failed to print member '{member}'",)
            raise

    def _outside(self, index: int, last: int) -> None:
        radix = self.call.session.radix
        self.call.warn(f"index {digits(index, radix)} is outside of array bounds [0 .. {digits(last, radix)}]")

    def _show(self, letter: str, value: Value) -> str:
        return _SHOW[letter](self, value) if not isinstance(value, bytes) else _BYTES[letter](value)

    # reading

    def _read(self, address: int, size: int, what: str) -> bytes:
        try:
            return self.memory.read(address, size)
        except ReadError as error:
            raise CommandError(f"failed to read {what} at {address & MASK:x}: {error.reason}") from None

    def _integer(self, type_: Type, address: int, bit: int, signed: bool) -> int:
        base = type_.resolved
        if base.kind is Kind.ENUM:
            encoding = Encoding(signed=True, bits=base.size * 8)
        elif base.kind is Kind.INTEGER and base.encoding is not None:
            encoding = base.encoding
        else:
            raise Abort("expected integer type")
        bits = encoding.bits
        size = (bits + 7) // 8
        data = self._read(address, size, f"{size} bytes")
        value = int.from_bytes(data, self.memory.order)
        if bits % 8 or size > 8 or size & (size - 1):
            value = value >> bit % 8 & (1 << bits) - 1
        # mdb takes a signed number of four bytes for an unsigned one
        if signed and encoding.signed and bits not in (0, 32) and value >> (bits - 1):
            value -= 1 << bits
        return value

    def _field(self, path: Path, address: int, signed: bool) -> int:
        """A bit-field whose type does not tell its width."""
        width, bit = path.width or 0, path.bit % 8
        size = (bit + width + 7) // 8
        value = int.from_bytes(self._read(address, size, f"{size} bytes"), self.memory.order) >> bit & (1 << width) - 1
        encoding = path.type.resolved.encoding
        return value - (1 << width) if signed and encoding and encoding.signed and value >> (width - 1) else value

    def _signed(self, type_: Type, address: int, bit: int) -> int:
        return self._integer(type_, address, bit, True)

    def _unsigned(self, type_: Type, address: int, bit: int) -> int:
        return self._integer(type_, address, bit, False)

    def _pointer(self, type_: Type, address: int, bit: int) -> int:
        if type_.resolved.kind is not Kind.POINTER:
            raise Abort("expected pointer type")
        return int.from_bytes(self._read(address, self.memory.pointer, "pointer"), self.memory.order)

    def _word(self, type_: Type, address: int, bit: int) -> bytes:
        base = type_.resolved
        if base.kind is not Kind.INTEGER or base.encoding is None or base.encoding.bits // 8 != 4:
            raise Abort("expected 32-bit integer type")
        return self._read(address, 4, "32-bit value")

    def _internet6(self, type_: Type, address: int, bit: int) -> bytes:
        try:
            wanted = lookup(self.call, "in6_addr_t")
        except TypeNotFound:
            raise Abort("could not resolve in6_addr_t type") from None
        if type_.resolved is not wanted.resolved:
            raise Abort("requires argument of type in6_addr_t")
        try:
            return self.memory.read(address, 16)
        except ReadError as error:
            raise CommandError(f"couldn't read in6_addr_t at {address & MASK:x}: {error.reason}") from None

    def _string(self, type_: Type, address: int, bit: int) -> str:
        base = type_.resolved
        if base.kind is Kind.POINTER:
            value = self._pointer(type_, address, bit)
            try:
                return self.memory.some(value, 1023)[:1022].decode("latin-1")
            except ReadError as error:
                raise CommandError(f"failed to read string at {value:x}: {error.reason}") from None
        if base.kind is Kind.ENUM:
            number = int.from_bytes(self._read(address, 4, "pointer"), self.memory.order, signed=True)
            return next((name for name, one in base.enumerators if one == number), f"<{number}>")
        if base.kind is not Kind.ARRAY or base.reference is None:
            raise Abort("exepected pointer or array type")
        if base.reference.size != 1:
            self.call.warn("string format specifier requires an array of characters")
        data = self._read(address, min(base.count, 1023), "array")
        return data.split(b"\0", 1)[0].decode("latin-1")

    # showing

    def _radix(self, value: Value) -> str:
        return digits(int(value), self.call.session.radix)

    def _label(self, value: Value) -> str:
        label: str = self.call.session.label(int(value) & MASK)
        return label

    def _symbol(self, value: Value) -> str:
        label = self.call.session.label(int(value) & MASK)
        return "" if label == "0" or label.startswith("0x") else label


def sized(value: int) -> str:
    """A number of bytes with three digits and a unit: ``2.68K``, ``16.0E``, ``12M``."""
    unit, power = 0, value
    while power >= 1024:
        power //= 1024
        unit += 1
    if not unit:
        return str(value)
    scale = 1 << 10 * unit
    if value % scale == 0:
        return f"{power}{'KMGTPE'[unit - 1]}"
    number = value / scale
    for places in (2, 1, 0):
        scaled = number * 10**places
        whole = int(scaled)
        rounded = whole + (whole & 1) if scaled - whole == 0.5 else int(scaled + 0.5)
        if rounded < 1000 or not places:
            break
    whole, fraction = divmod(rounded, 10**places)
    shown = f"{whole}.{fraction:0{places}d}" if places else str(whole)
    return f"{shown}{'KMGTPE'[unit - 1]}"


def _hexadecimal(printf: _Printf, value: Value) -> str:
    return f"{int(value) & MASK:x}"


def _upper(printf: _Printf, value: Value) -> str:
    return f"{int(value) & MASK:X}"


def _decimal(printf: _Printf, value: Value) -> str:
    number = int(value) & MASK
    return str(number - (number >> 63 << 64))


def _unsigned(printf: _Printf, value: Value) -> str:
    return str(int(value) & MASK)


def _octal(printf: _Printf, value: Value) -> str:
    return f"{int(value) & MASK:o}"


def _signed_octal(printf: _Printf, value: Value) -> str:
    number = int(value) & MASK
    return f"{number - (number >> 63 << 64):o}"


def _signed_radix(printf: _Printf, value: Value) -> str:
    number = int(value) & MASK
    return digits(number - (number >> 63 << 64), printf.call.session.radix)


def _plain(printf: _Printf, value: Value) -> str:
    return str(value)


def _size(printf: _Printf, value: Value) -> str:
    return sized(int(value) & MASK)


def _time(printf: _Printf, value: Value) -> str:
    number = int(value) & MASK
    return calendar(number - (number >> 63 << 64), printf.call.session.radix)


_SHOW: dict[str, Callable[[_Printf, Value], str]] = {
    "a": _Printf._label, "A": _Printf._symbol, "p": _hexadecimal,
    "d": _decimal, "q": _signed_octal, "R": _signed_radix,
    "H": _size, "o": _octal, "r": _Printf._radix, "u": _unsigned, "x": _hexadecimal, "X": _upper, "Y": _time,
    "s": _plain, "I": _plain, "N": _plain,
}  # fmt: skip
"""What a letter makes of a number or text."""

_BYTES: dict[str, Callable[[bytes], str]] = {"I": internet, "N": internet6}
"""What it makes of bytes."""

_READ: dict[str, Callable[[_Printf, Type, int, int], Value]] = {
    **dict.fromkeys("aAp", _Printf._pointer), **dict.fromkeys("dqR", _Printf._signed),
    **dict.fromkeys("HoruxXY", _Printf._unsigned),
    "s": _Printf._string, "I": _Printf._word, "N": _Printf._internet6,
}  # fmt: skip
"""How the value for a letter is read."""

"""::print, the value of a type at an address, or of members of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from kdbg.dcmds.paths import Place, resolve
from kdbg.dcmds.registry import Call, View, dcmd, flag, number
from kdbg.dcmds.render import Memory, Renderer, Shown, Style
from kdbg.dcmds.texts import MASK64
from kdbg.dcmds.typenames import data_type, exact_symbol, lookup, memory_of, number_reader, take_type_name
from kdbg.errors import CommandError, ReadError, SymbolNotFound, TypeNotFound, UsageError
from kdbg.lang.formats_numbers import digits, prefixed
from kdbg.symbols.model import Kind, Type

UNSUPPORTED = "operation not supported by target"
OPTIONS = (
    flag("a", "show the address of each member"),
    flag("C", "show character arrays of any length as text"),
    number("c", "limit", "show character arrays up to so many characters as text"),
    flag("d", "show integers in decimal"),
    flag("h", "show the holes in structures"),
    flag("i", "take the address itself for the value"),
    flag("L", "show all elements of arrays"),
    number("l", "limit", "show so many elements of an array"),
    flag("n", "show pointers as numbers"),
    flag("p", "the address is a physical one"),
    number("s", "depth", "show so many levels of structures"),
    flag("T", "show types, and what typedefs stand for"),
    flag("t", "show types"),
    flag("x", "show integers in hexadecimal"),
)


@dataclass(frozen=True, slots=True)
class Piped:
    """A value on its way into a pipe."""

    address: int
    """The value."""
    text: str


def _text(record: Shown | Piped, view: View) -> str:
    return record.text


@dcmd(
    "print",
    "show typed memory",
    synopsis="[-aCdhiLptx] [-c lim] [-l lim] [type] [member|offset ...]",
    options=OPTIONS,
    words=None,
    text=_text,
    help="Shows the value of a type at an address: a structure with its members, or those that are named. The type of\n"
    "a variable need not be given. Members are written as in C: next->name, list[3].value; an offset in bytes as\n"
    "$[0x18]. Without an address only the shape is shown. In a pipe the values of integers, enumerations and pointers\n"
    "are passed on, of everything else (and with -a) the address.",
    example="::walk thread | ::print kthread_t t_procp->p_user.u_comm",
)
def print_(call: Call) -> Iterator[Shown | Piped]:
    """Show typed memory. Source of its form: mdb_print.c."""
    if call.options.p and call.options.i:
        raise CommandError("-p and -i options are incompatible")
    type_, words = _type(call)
    yield from _Print(call, type_).run(words)
    call.session.dot = (call.address + type_.size) & MASK64


def _type(call: Call) -> tuple[Type, list[str | int]]:
    """Return the type that is named, or that of the symbol at the address; and the words behind it."""
    from kdbg.lang.errors import Abort

    words, immediate = list(call.words), call.options.i
    if words and isinstance(words[0], str):
        if not words[0] or words[0][0] in "+-":
            raise UsageError("")
        name, rest = take_type_name(words)
        try:
            return lookup(call, name), rest
        except TypeNotFound as error:
            reason = error.reason
        if call.explicit and not immediate:
            try:
                name = _covering(call, name)
                symbol = exact_symbol(call.target, call.address)
                name = call.target.qualified(symbol).partition("`")[0]
                # a tag that is no type is one word for all that follows
                return data_type(call.target, symbol), words[len(words) - len(rest) - 1 :]
            except (SymbolNotFound, TypeNotFound) as error:
                reason = error.reason
        raise Abort(f"failed to look up type {name}: {reason}")
    if not call.explicit or immediate:
        raise UsageError("")
    try:
        symbol = exact_symbol(call.target, call.address)
    except SymbolNotFound as error:
        raise CommandError(f"no symbol information for {call.session.label(call.address)}: {error.reason}") from None
    try:
        return data_type(call.target, symbol), words
    except TypeNotFound as error:
        label = call.session.label(call.address)
        raise CommandError(f"no type data available for {label} [{symbol.index}]: {error.reason}") from None


def _covering(call: Call, name: str) -> str:
    """What mdb names in place of the type that it could not find: in a program the symbol that covers the address."""
    if call.target.kind == "object":
        with suppress(SymbolNotFound):
            return call.target.nearest(call.address)[0].name
    return name


class _Print:
    """One call of ::print."""

    def __init__(self, call: Call, type_: Type) -> None:
        self.call, self.type, self.target = call, type_, call.target
        self.memory = memory_of(call.target, call.options.p)
        self.real = self.memory
        self.address = call.address
        if not call.explicit or call.options.i:
            self.address = 0
        if call.options.i:
            self.memory = _immediate(call.address, type_.size, self.real)
        self.style = self._style()

    def _style(self) -> Style:
        options, session = self.call.options, self.call.session
        elements = session.settings.array_limit if options.l is None else options.l
        characters = session.settings.string_limit if options.c is None else options.c
        return Style(
            types=options.t or options.T,
            base_types=options.T,
            addresses=options.a,
            values=self.call.explicit,
            holes=options.h,
            hexadecimal=options.x,
            decimal=options.d and not options.x,
            symbolic=not options.n,
            depth=1 << 62 if options.s is None else options.s,
            elements=None if options.L else elements,
            characters=None if options.C else characters,
            adb=session.settings.adb,
        )

    def run(self, words: list[str | int]) -> Iterator[Shown | Piped]:
        """Show the whole, or what the words name."""
        if not words:
            if self.call.piped_out:
                yield from self._pipe(self.memory, self.type, self.address, 0)
            else:
                yield from self._renderer(self.memory).show(self.type, self.address)
        for word in words:
            if isinstance(word, int):
                yield from self._offset(word)
            else:
                yield from self._path(word)

    def _renderer(self, memory: Memory) -> Renderer:
        left_over = {"object": "unknown symbol name", "dump": None}.get(self.target.kind, UNSUPPORTED)
        if left_over is None and self.call.options.i:
            left_over = UNSUPPORTED
        return Renderer(memory, self.style, self.call.warn, self.call.session.label, left_over)

    def _pointer(self, address: int, size: int) -> int:
        return self.real.number(address, size)

    def _outside(self, index: int, last: int) -> None:
        radix = self.call.session.radix
        self.call.warn(f"index {digits(index, radix)} is outside of array bounds [0 .. {digits(last, radix)}]")

    def _path(self, path: str) -> Iterator[Shown | Piped]:
        from kdbg.lang.errors import Abort

        try:
            number = number_reader(self.call)
            place = resolve(self.type, self.address, path, self._pointer, number, self._outside)
        except CommandError as error:
            if type(error).__module__ != "kdbg.dcmds.paths":
                raise
            raise Abort(str(error)) from None
        prefix, suffix = path, ""
        if place.type.resolved.kind in (Kind.STRUCT, Kind.UNION):
            suffix = "."
            if place.element:
                prefix, suffix = (path or "<anon>").rpartition("[")[0], "->"
        yield from self._show(place, prefix, suffix)

    def _offset(self, offset: int) -> Iterator[Shown | Piped]:
        from kdbg.lang.errors import Abort

        found = member_at(self.type, offset * 8)
        if found is None:
            raise Abort(f"invalid offset {offset & MASK64:x}")
        name, type_, bit = found
        place = Place(type_, (self.address + offset - bit // 8) & MASK64, bit, False, False)
        yield from self._show(place, name, "." if name else "")

    def _show(self, place: Place, prefix: str, suffix: str) -> Iterator[Shown | Piped]:
        memory = self.real if place.followed else self.memory
        bit = place.bit % 8
        if self.call.piped_out:
            yield from self._pipe(memory, place.type, place.address, bit)
        elif bit:
            yield from self._renderer(memory).show_bits(place.type, place.address, bit, prefix)
        else:
            yield from self._renderer(memory).show(place.type, place.address, prefix, suffix)

    def _pipe(self, memory: Memory, type_: Type, address: int, bit: int) -> Iterator[Piped]:
        """Pass on the value, or the address of what is no number."""
        base, radix = type_.resolved, self.call.session.radix
        value = address
        if not self.style.addresses and base.kind in (Kind.POINTER, Kind.ENUM, Kind.INTEGER):
            size = {Kind.POINTER: memory.pointer, Kind.ENUM: 4}.get(base.kind, 0)
            encoding = base.encoding
            try:
                if encoding is None:
                    value = memory.number(address, size)
                else:
                    value = _integer(memory, address, bit, encoding.bits)
            except ReadError as error:
                what = {Kind.POINTER: "pointer", Kind.ENUM: "enum"}.get(base.kind)
                what = what or f"{(encoding.bits + 7) // 8 if encoding else size} bytes"
                self.call.warn(f"failed to read {what} at {address:x}: {error.reason}")
                raise CommandError(f"failed to print type: {error.reason}") from None
        yield Piped(value, prefixed(value, radix))


def _integer(memory: Memory, address: int, bit: int, bits: int) -> int:
    value = memory.number(address, (bits + 7) // 8)
    return value >> bit & (1 << bits) - 1 if bits % 8 or bit else value


def _immediate(value: int, size: int, real: Memory) -> Memory:
    """Return a memory of eight bytes that hold a value: what -i shows a type of."""
    data = (value & MASK64).to_bytes(8, "little")

    def read(address: int, count: int) -> bytes:
        count = min(count, size)
        piece = data[address : address + count] if address < 8 else b""
        if len(piece) < count:
            raise ReadError(address, reason="")
        return piece

    return Memory(read, pointer=real.pointer, text=real.some)


def member_at(type_: Type, offset: int) -> tuple[str, Type, int] | None:
    """The member at an offset in bits: its path, type, and how far in it the offset lies; None where there is none."""
    if type_.size * 8 <= offset:
        return None
    path = ""
    for _ in range(64):
        if offset == 0:
            break
        base = type_.resolved
        if base.kind is Kind.ARRAY and base.reference is not None:
            type_ = base.reference
            size = type_.size * 8
            if not size:
                return None
            path += f"[{offset // size}]"
            offset %= size
        elif base.kind is Kind.STRUCT:
            for member in base.members:
                inner = member.type
                size = inner.encoding.bits if inner.encoding is not None else inner.size * 8
                if member.bit_offset <= offset < member.bit_offset + size:
                    break
            else:
                return None
            path += f".{member.name}" if path else member.name
            offset -= member.bit_offset
            type_ = member.type
        elif base.kind in (Kind.UNION, Kind.INTEGER, Kind.FLOAT, Kind.POINTER, Kind.ENUM):
            break
        else:
            return None
    return path, type_, offset

"""::print, the value of a type at an address, or of members of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from kdbg.dcmds.registry import Call, View, dcmd, flag, number
from kdbg.dcmds.typed.leaves import Style
from kdbg.dcmds.typed.memory import Memory
from kdbg.dcmds.typed.paths import Path, PathError, compile_path
from kdbg.dcmds.typed.render import Renderer, Shown
from kdbg.dcmds.typed.typenames import data_type, exact_symbol, lookup, memory_of, number_reader, take_type_name
from kdbg.errors import CommandError, ReadError, SymbolNotFound, TypeNotFound, UsageError
from kdbg.lang.formats_numbers import MASK, digits, prefixed
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
    made = call.kept.get("print")
    if made is None:
        if call.options.p and call.options.i:
            raise CommandError("-p and -i options are incompatible")
        named, type_, words = _type(call)
        made = _Print(call, type_, words)
        if named and not call.options.i:
            call.kept["print"] = made
    yield from made.run(call.address)
    call.session.increment = 0
    call.session.dot = (call.address + made.type.size) & MASK


def _type(call: Call) -> tuple[bool, Type, list[str | int]]:
    """Return whether a type is named; that type, or that of the symbol at the address; and the words behind it."""
    from kdbg.lang.errors import Abort

    words, immediate = list(call.words), call.options.i
    if words and isinstance(words[0], str):
        if not words[0] or words[0][0] in "+-":
            raise UsageError("")
        name, rest = take_type_name(words)
        try:
            return True, lookup(call, name), rest
        except TypeNotFound as error:
            reason = error.reason
        if call.explicit and not immediate:
            try:
                name = _covering(call, name)
                symbol = exact_symbol(call.target, call.address)
                name = call.target.qualified(symbol).partition("`")[0]
                # a tag that is no type is one word for all that follows
                return False, data_type(call.target, symbol), words[len(words) - len(rest) - 1 :]
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
        return False, data_type(call.target, symbol), words
    except TypeNotFound as error:
        label = call.session.label(call.address)
        raise CommandError(f"no type data available for {label} [{symbol.index}]: {error.reason}") from None


def _covering(call: Call, name: str) -> str:
    """What mdb names in place of the type that it could not find: in a program the symbol that covers the address."""
    if call.target.kind == "object":
        with suppress(SymbolNotFound):
            return call.target.nearest(call.address)[0].name
    return name


@dataclass(frozen=True, slots=True)
class Named:
    """A member that is asked for."""

    path: Path
    prefix: str
    suffix: str


class _Print:
    """::print as it is called; it serves all addresses of a loop."""

    def __init__(self, call: Call, type_: Type, words: list[str | int]) -> None:
        self.type, self.target, self.session = type_, call.target, call.session
        self.words, self.piped, self.given = words, call.piped_out, call.explicit
        self.immediate = call.options.i
        self.real = memory_of(call.target, call.options.p)
        self.memory = _immediate(call.address, type_.size, self.real) if self.immediate else self.real
        self.style = self._style(call)
        self._shown: dict[bool, Renderer] = {}
        self._index_of = number_reader(call)
        self._named: dict[str, Named] = {}

    def _style(self, call: Call) -> Style:
        options, settings = call.options, call.session.settings
        elements = settings.array_limit if options.l is None else options.l
        characters = settings.string_limit if options.c is None else options.c
        return Style(
            types=options.t or options.T,
            base_types=options.T,
            addresses=options.a,
            values=call.explicit,
            holes=options.h,
            hexadecimal=options.x,
            decimal=options.d and not options.x,
            symbolic=not options.n,
            depth=1 << 62 if options.s is None else options.s,
            elements=None if options.L else elements,
            characters=None if options.C else characters,
            adb=settings.adb,
            radix=call.session.radix,
        )

    def run(self, address: int) -> Iterator[Shown | Piped]:
        """Show the whole, or what the words name."""
        if not self.given or self.immediate:
            address = 0
        if not self.words:
            if self.piped:
                yield from self._pipe(self.memory, self.type, address, 0)
            else:
                yield from self._renderer(self.memory).show(self.type, address)
        for word in self.words:
            if isinstance(word, int):
                yield from self._offset(word, address)
            else:
                yield from self._member(word, address)

    def _renderer(self, memory: Memory) -> Renderer:
        real = memory is self.real
        shown = self._shown.get(real)
        if shown is None:
            left_over = {"object": "unknown symbol name", "dump": None}.get(self.target.kind, UNSUPPORTED)
            if left_over is None and not real:
                left_over = UNSUPPORTED
            shown = Renderer(memory, self.style, self.session.warn, self.session.label, left_over)
            self._shown[real] = shown
        return shown

    def _outside(self, index: int, last: int) -> None:
        radix = self.session.radix
        self.session.warn(f"index {digits(index, radix)} is outside of array bounds [0 .. {digits(last, radix)}]")

    def _name(self, word: str) -> Named:
        path = compile_path(self.type, word, self._index_of)
        prefix, suffix = word, ""
        if path.type.resolved.kind in (Kind.STRUCT, Kind.UNION):
            suffix = "."
            if path.element:
                prefix, suffix = word.rpartition("[")[0], "->"
        return Named(path, prefix, suffix)

    def _member(self, word: str, address: int) -> Iterator[Shown | Piped]:
        from kdbg.lang.errors import Abort

        named = self._named.get(word)
        if named is None:
            named = self._named[word] = self._name(word)
        path = named.path
        try:
            place = path.follow(address, self.real.source_number, self._outside)
        except PathError as error:
            raise Abort(str(error)) from None
        memory = self.real if path.followed else self.memory
        yield from self._show(memory, path.type, place, path.bit % 8, named.prefix, named.suffix, path.width)

    def _offset(self, offset: int, address: int) -> Iterator[Shown | Piped]:
        from kdbg.lang.errors import Abort

        found = member_at(self.type, offset * 8)
        if found is None:
            raise Abort(f"invalid offset {offset & MASK:x}")
        name, type_, bit = found
        place = (address + offset - bit // 8) & MASK
        yield from self._show(self.memory, type_, place, bit % 8, name, "." if name else "")

    def _show(
        self, memory: Memory, type_: Type, address: int, bit: int, prefix: str, suffix: str, width: int | None = None
    ) -> Iterator[Shown | Piped]:
        if self.piped:
            yield from self._pipe(memory, type_, address, bit, width)
        elif bit or width:
            yield from self._renderer(memory).show_bits(type_, address, bit, prefix, width)
        else:
            yield from self._renderer(memory).show(type_, address, prefix, suffix)

    def _pipe(self, memory: Memory, type_: Type, address: int, bit: int, width: int | None = None) -> Iterator[Piped]:
        """Pass on the value, or the address of what is no number."""
        base = type_.resolved
        value = address
        if not self.style.addresses and base.kind in (Kind.POINTER, Kind.ENUM, Kind.INTEGER):
            size = {Kind.POINTER: memory.pointer, Kind.ENUM: 4}.get(base.kind, 0)
            encoding = base.encoding
            if encoding is not None and _is_odd(encoding.bits) and not self.given:
                return
            try:
                if width:
                    value = memory.source_number(address, (bit + width + 7) // 8) >> bit & (1 << width) - 1
                elif encoding is None:
                    value = memory.source_number(address, size)
                else:
                    value = _integer(memory, address, bit, encoding.bits)
            except ReadError as error:
                what = {Kind.POINTER: "pointer", Kind.ENUM: "enum"}.get(base.kind)
                what = what or f"{(encoding.bits + 7) // 8 if encoding else size} bytes"
                self.session.warn(f"failed to read {what} at {address:x}: {error.reason}")
                raise CommandError(f"failed to print type: {error.reason}") from None
        yield Piped(value, prefixed(value, self.session.radix))


def _integer(memory: Memory, address: int, bit: int, bits: int) -> int:
    value = memory.source_number(address, (bits + 7) // 8)
    return value >> bit & (1 << bits) - 1 if _is_odd(bits) else value


def _is_odd(bits: int) -> bool:
    """Whether so many bits are no integer of C but a bit-field."""
    size = bits // 8
    return bool(size > 8 or bits % 8 or size & (size - 1))


def _immediate(value: int, size: int, real: Memory) -> Memory:
    """Return a memory of eight bytes that hold a value: what -i shows a type of."""
    data = (value & MASK).to_bytes(8, "little")

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

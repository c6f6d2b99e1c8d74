"""Symbol tables: ``::nm``, the private table (``::nmadd``, ``::nmdel``), globals with their values, source files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kdbg.dcmds.registry import NONE, OPTIONAL, REQUIRED, Call, Column, Table, View, dcmd, flag, number, word
from kdbg.errors import CommandError, ReadError, SymbolNotFound, TypeNotFound, UsageError
from kdbg.lang.formats_numbers import MASK, digits, prefixed
from kdbg.records import Text
from kdbg.symbols.table import (
    SHN_ABS,
    SHN_COMMON,
    SHN_UNDEF,
    STB_GLOBAL,
    STB_WEAK,
    STT_FILE,
    STT_FUNC,
    STT_OBJECT,
    Symbol,
)

TYPES = {0: "NOTY", 1: "OBJT", 2: "FUNC", 3: "SECT", 4: "FILE", 5: "COMM", 6: "TLS", 13: "REGI"}
BINDINGS = {0: "LOCL", 1: "GLOB", 2: "WEAK"}
SECTIONS = {SHN_UNDEF: "UNDEF", SHN_ABS: "ABS", SHN_COMMON: "COMMON"}
UNKNOWN_TYPE = "<unknown type>"
STANDARD = ("val", "sz", "type", "bind", "oth", "shndx", "name")
ORDER = ("ndx", "obj", "val", "sz", "type", "bind", "oth", "shndx", "ctfid", "ctype", "name")
"""Columns in the order in which they are always shown."""
TYPE_WORDS = tuple(name.lower() for name in TYPES.values())
LONGEST_ARGUMENT = 31
"""Characters that a type in a function's signature may have."""


@dataclass(frozen=True, slots=True)
class SymbolEntry:
    """A symbol as ``::nm`` lists it."""

    name: str
    """As shown: with its object, where an address was looked up."""
    address: int
    size: int
    type: str
    binding: str
    other: int
    section: str
    index: int
    object: str
    symbol: Symbol = field(repr=False)


def _entry(symbol: Symbol, object_name: str = "", name: str | None = None) -> SymbolEntry:
    return SymbolEntry(
        symbol.name if name is None else name,
        symbol.address,
        symbol.size,
        TYPES.get(symbol.type, "?"),
        BINDINGS.get(symbol.binding, "?"),
        symbol.other,
        SECTIONS.get(symbol.section, str(symbol.section)),
        symbol.index,
        object_name,
        symbol,
    )


def _radix(call: Call) -> int:
    """8, 10 or 16: by option, or by the default radix."""
    chosen = [base for letter, base in (("o", 8), ("d", 10), ("x", 16)) if call.options[letter]]
    if len(chosen) > 1:
        raise UsageError("-d/-o/-x options are mutually exclusive")
    return chosen[0] if chosen else {8: 8, 10: 10}.get(call.session.radix, 16)


def _columns(call: Call) -> dict[str, Column]:
    base, bits = _radix(call), call.target.bits
    wide = bits == 64
    if base == 16:
        width = 18 if wide else 10
        show: Callable[[int], str] = lambda value: f"0x{value:0{bits // 4}x}"  # noqa: E731
        other: Callable[[int], str] = lambda value: f"0x{value:<3x}"  # noqa: E731
    else:
        width = {(10, True): 20, (10, False): 10, (8, True): 22, (8, False): 11}[base, wide]
        show = other = lambda value: digits(value, base)

    def column(heading: str, width: int, cell: Callable[[SymbolEntry], str]) -> Column:
        return Column(heading, lambda record, view: cell(record), width, left=True)

    return {
        "ndx": Column("Index", lambda record, view: str(record.index), 5),
        "obj": column("Object", 15, lambda record: record.object),
        "val": column("Value", width, lambda record: show(record.address)),
        "sz": column("Size", width, lambda record: show(record.size)),
        "type": column("Type", 5, lambda record: record.type),
        "bind": column("Bind", 5, lambda record: record.binding),
        "oth": column("Other", 5, lambda record: other(record.other)),
        "shndx": column("Shndx", 8, lambda record: record.section),
        "ctfid": column("CTF ID", 9, lambda record: _type_id(call, record.symbol)),
        "ctype": column("C Type", 50, lambda record: _type_text(call, record.symbol)),
        "name": column("Name", 0, lambda record: record.name),
    }


def _type_id(call: Call, symbol: Symbol) -> str:
    if symbol.type == STT_FUNC:
        return ""
    try:
        return str(call.target.type_of(symbol).id)
    except TypeNotFound:
        return ""


def _type_text(call: Call, symbol: Symbol) -> str:
    try:
        found = call.target.type_of(symbol)
    except TypeNotFound:
        return UNKNOWN_TYPE
    if symbol.type != STT_FUNC:
        return found.spelling

    def short(one: Any) -> str:
        text = one.spelling if one is not None else "void"
        return text if len(text) <= LONGEST_ARGUMENT else f"<{one.id}>"

    arguments = [short(one) for one in found.arguments]
    if found.variadic:
        arguments.append("...")
    return f"{short(found.reference)} (*)({', '.join(arguments) or 'void'})"


def _chosen(call: Call, letter: str, known: tuple[str, ...], standard: tuple[str, ...]) -> list[str]:
    """The words of -f or -t. Raises `UsageError`."""
    text = call.options[letter]
    if text is None:
        return list(standard)
    words = str(text).split(",")
    for one in words:
        if one not in known:
            raise UsageError(f'invalid option for -{letter}: "{one}"')
    return words


def _table(call: Call) -> Table:
    columns = _columns(call)
    chosen = _chosen(call, "f", ORDER, STANDARD)
    return Table([columns[name] for name in ORDER if name in chosen], gap="|", ragged=False)


def _heading(call: Call, view: View) -> str | None:
    if call.options.h or call.options.p:
        return None
    table = _table(call)
    return Table(table.columns, ragged=False).heading(view)


@dcmd(
    "nm",
    "list symbols",
    address=OPTIONAL,
    synopsis="[-DPdghnopuvx] [-f format] [-t types] [object]",
    options=[
        flag("D", "the dynamic symbol table"),
        flag("P", "the private symbol table"),
        flag("d", "numbers in decimal"),
        flag("g", "global symbols only"),
        flag("h", "no heading"),
        flag("n", "sorted by name"),
        flag("o", "numbers in octal"),
        flag("p", "as ::nmadd commands (with -P)"),
        flag("u", "undefined symbols only"),
        flag("v", "sorted by value"),
        flag("x", "numbers in hexadecimal"),
        word("f", "format", "columns: ndx, val, sz, type, bind, oth, shndx, name, ctype, obj, ctfid"),
        word("t", "types", "types: noty, objt, func, sect, file, comm, tls, regi"),
    ],
    words=None,
    table=_table,
    heading=_heading,
    pipe=lambda record: "text",
    help="With an address: the symbol that covers it. With an object's name: that object's table.",
    example="::nm -n -t func unix",
)
def nm(call: Call) -> Iterator[SymbolEntry | None] | None:
    """Symbols of all objects, of one, of the private table, or the one at an address."""
    options = call.options
    _chosen(call, "f", ORDER, STANDARD)
    types = {name.upper() for name in _chosen(call, "t", TYPE_WORDS, TYPE_WORDS)}
    if call.words:
        name = call.words[0]
        if call.explicit or len(call.words) > 1 or not isinstance(name, str) or name.startswith("-"):
            raise UsageError("")
    _radix(call)
    if options.P and call.words:
        raise UsageError("-P/object options are mutually exclusive")
    if options.P and call.explicit:
        raise UsageError("-P/address options are mutually exclusive")
    entries = _entries(call, types)
    if options.P and options.p:
        for entry in entries:
            if entry is not None:
                call.session.out.line(_command(call, entry.symbol))
        return None
    return entries


def _command(call: Call, symbol: Symbol) -> str:
    kind = {STT_FUNC: "-f", STT_OBJECT: "-o"}.get(symbol.type, "")
    radix = call.session.radix
    return f"{prefixed(symbol.address, radix)}::nmadd {kind} -s {prefixed(symbol.size, radix)} {symbol.name}"


def _entries(call: Call, types: set[str]) -> Iterator[SymbolEntry | None]:
    options = call.options
    yield None  # the heading comes before errors
    if call.explicit:
        entries = iter([_at_address(call)])
    elif options.P:
        entries = (_entry(symbol) for symbol in call.target.private)
    else:
        entries = _all(call)
    if options.u:
        entries = (entry for entry in entries if entry.symbol.section == SHN_UNDEF)
    if options.n or options.v:
        from kdbg.sorting import qsorted

        key: Callable[[SymbolEntry], Any] = (lambda e: e.name) if options.n else (lambda e: e.address)
        entries = iter(qsorted(list(entries), key))
    for entry in entries:
        if entry.type in types:
            yield entry


def _at_address(call: Call) -> SymbolEntry:
    target = call.target
    try:
        symbol, _ = target.nearest(call.address, call.session.distance)
    except SymbolNotFound as error:
        raise CommandError(f"{digits(call.address, call.session.radix)}: {error.reason}") from None
    return _entry(symbol, symbol.module, target.qualified(symbol))


def _all(call: Call) -> Iterator[SymbolEntry]:
    target, options = call.target, call.options
    name = str(call.words[0]) if call.words else None
    try:
        for object_name, symbol in target.listed(name, bool(options.D)):
            if not options.g or symbol.binding in (STB_GLOBAL, STB_WEAK):
                yield _entry(symbol, object_name)
    except SymbolNotFound as error:
        if name is not None or target.kind == "none":
            raise CommandError(f"failed to iterate over symbols: {error.reason}") from None
        if not (options.n or options.v):
            for one in getattr(target, "objects", list)():
                call.warn(f"unable to dump symbol data for: {one.name}")


@dcmd(
    "nmadd",
    "add a name to the private symbol table",
    address=REQUIRED,
    synopsis="[-fo] [-e end] [-s size] name",
    options=[
        flag("f", "a function"),
        flag("o", "a data object"),
        number("e", "end", "size by the address of its end"),
        number("s", "size", "size in bytes"),
    ],
    words=None,
    help="Private names go before all others. A name that is there already is moved.",
    example="fffffffffbc00000::nmadd -s 40 mytable",
)
def nmadd(call: Call) -> Iterator[Text]:
    """Add or move a private symbol."""
    options = call.options
    if len(call.words) != 1 or not isinstance(call.words[0], str) or call.words[0][:1] in ("-", "+"):
        raise UsageError("")
    if options.e and options.e < call.address:
        raise UsageError(f"end ({options.e:x}) is less than start address ({call.address:x})")
    size = options.s or (options.e - call.address & MASK if options.e else None)
    kind = STT_OBJECT if options.o else STT_FUNC if options.f else None
    symbol = call.target.private.add(call.words[0], call.address, size, kind)
    yield Text(f"added {_described(call, symbol)}")


def _described(call: Call, symbol: Symbol) -> str:
    radix = call.session.radix
    return f"{symbol.name}, value={digits(symbol.address, radix)} size={digits(symbol.size, radix)}"


@dcmd(
    "nmdel",
    "remove a name from the private symbol table",
    address=NONE,
    synopsis="name",
    words=None,
    example="::nmdel mytable",
    help="Takes back what ::nmadd has added.",
    hint=False,
)
def nmdel(call: Call) -> Iterator[Text]:
    """Remove a private symbol."""
    if len(call.words) != 1 or not isinstance(call.words[0], str) or call.words[0].startswith("-"):
        raise UsageError("")
    symbol = call.target.private.remove(call.words[0])
    if symbol is None:
        raise CommandError(f"symbol '{call.words[0]}' not found in private symbol table")
    yield Text(f"deleted {_described(call, symbol)}")


@dcmd(
    "$e", "list global symbols and the values there", address=NONE, words=0, example="$e",
    help="Shows global symbols with the value that lies at each.",
    hint=False,
)  # fmt: skip
def globals_(call: Call) -> Iterator[Text]:
    """Global functions and data objects, each with the word at its address."""
    radix = call.session.radix
    size = call.target.bits // 8
    for _, symbol in _quietly(call, None):
        if symbol.binding == STB_GLOBAL and symbol.type in (STT_FUNC, STT_OBJECT):
            try:
                value = digits(int.from_bytes(call.target.read(symbol.address, size), "little"), radix)
            except ReadError:
                value = "?"
            yield Text(f"{symbol.name}({digits(symbol.address, radix)}):\t{value}")


@dcmd("$f", "list source files", address=NONE, words=1, example="$f")
@dcmd("files", "list source files", address=NONE, synopsis="[object]", words=1, example="::files")
def files(call: Call) -> Iterator[Text]:
    """Entries for source files in the symbol table, counted."""
    if call.words and not isinstance(call.words[0], str):
        raise UsageError("")
    found = (symbol for _, symbol in _quietly(call, str(call.words[0]) if call.words else None))
    names = (symbol.name for symbol in found if symbol.type == STT_FILE)
    for number_, name in enumerate(names, 1):
        yield Text(f"{number_}\t{name}")


def _quietly(call: Call, name: str | None) -> Iterator[tuple[str, Symbol]]:
    try:
        yield from call.target.listed(name)
    except SymbolNotFound:
        return

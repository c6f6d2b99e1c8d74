"""::enum, the names and values of an enumeration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import Call, View, dcmd, flag
from kdbg.dcmds.typed.enumerations import common_prefix, decomposed, flag_bits
from kdbg.dcmds.typed.typenames import lookup, take_type_name
from kdbg.errors import CommandError, TypeNotFound, UsageError
from kdbg.lang.errors import Silent
from kdbg.lang.formats_numbers import MASK, prefixed
from kdbg.symbols.model import Kind, Type


@dataclass(frozen=True, slots=True)
class Enumerator:
    """A line of ::enum."""

    value: int
    name: str
    hexadecimal: bool = False
    """Whether the value is shown so."""


def _heading(call: Call, view: View) -> str:
    try:
        width = 8 if call.options.x or flag_bits(_type(call)[1].enumerators) else 11
    except (CommandError, TypeNotFound):
        width = 11
    return f"{'VALUE':>{width}} {'NAME':<64}"


def _text(record: Enumerator, view: View) -> str:
    value = f"{record.value & 0xFFFFFFFF:8x}" if record.hexadecimal else f"{record.value:11d}"
    return f"{value} {record.name}"


def _type(call: Call) -> tuple[str, Type, list[str | int]]:
    """Name and type of the enumeration that is meant, and the words behind: a tag goes before a typedef."""
    name, rest = take_type_name(call.words)
    if " " in name:
        try:
            type_ = lookup(call, name)
        except TypeNotFound as error:
            raise CommandError(f"'{name}': {error.reason}") from None
    else:
        try:
            type_ = lookup(call, f"enum {name}")
            name = f"enum {name}"
        except TypeNotFound:
            try:
                type_ = lookup(call, name)
            except TypeNotFound as error:
                raise CommandError(f"types 'enum {name}', '{name}': {error.reason}") from None
    type_ = type_.resolved
    if type_.kind is not Kind.ENUM:
        raise CommandError(f"'{name}': not an enumeration")
    return name, type_, rest


@dcmd(
    "enum",
    "show an enumeration",
    synopsis="[-ex] enum [name]",
    lenient=True,
    options=(flag("e", "leave the common prefix out"), flag("x", "show values in hexadecimal")),
    words=None,
    text=_text,
    heading=_heading,
    pipe=lambda record: record.value & 0xFFFFFFFF,
    help="All names of an enumeration with their values; with an address the name of that value, with a name its\n"
    "value. Values of flags (powers of two) are taken apart.",
    example="::enum vtype",
)
def enum(call: Call) -> Iterator[Enumerator | None]:
    """Show an enumeration. Source: mdb_print.c (cmd_enum)."""
    name, type_, rest = _type(call)
    if len(rest) > 1:
        raise UsageError("")
    wanted = rest[0] if rest else None
    if wanted is not None and call.explicit:
        raise UsageError("may only specify one of: name, address")
    value = wanted if isinstance(wanted, int) else None
    if call.explicit:
        value = call.address
    if value is not None:
        value -= (value & MASK) >> 63 << 64
        if not -(1 << 31) <= value < 1 << 31:
            call.warn(f"value '{value}' out of enumeration range")
    enumerators = type_.enumerators
    flags = flag_bits(enumerators)
    hexadecimal = call.options.x or bool(flags)
    if value is not None and flags:
        small = value & 0xFFFFFFFF
        small -= small >> 31 << 32
        yield Enumerator(small, decomposed(enumerators, small & MASK, call.options.e), True)
        return
    prefix = common_prefix(enumerators) if call.options.e else 0
    found = False
    for one, number in enumerators:
        if (isinstance(wanted, str) and one != wanted) or (value is not None and number != value):
            continue
        found = True
        yield Enumerator(number, one[prefix:] if len(one) > prefix else one, hexadecimal)
    if not found and isinstance(wanted, str):
        yield None
        call.warn(f"name \"{wanted}\" not in '{name}'")
        raise Silent
    if not found and value is not None:
        yield None
        shown = f"-0t{-value}" if value < 0 else prefixed(value, 10)
        call.warn(f"value {shown} not in '{name}'")
        raise Silent

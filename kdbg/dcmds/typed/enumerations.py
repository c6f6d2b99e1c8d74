"""How values of enumerations read: names, common prefixes, and flags (enumerations of powers of two)."""

from __future__ import annotations

from kdbg.lang.formats_numbers import MASK
from kdbg.symbols.model import Type

Enumerators = tuple[tuple[str, int], ...]


def name_of(type_: Type, value: int) -> str | None:
    """The first name of a value, None if it has none."""
    return next((name for name, one in type_.enumerators if one == value), None)


def common_prefix(enumerators: Enumerators) -> int:
    """Length of what all names begin with; a single name is its own prefix."""
    prefix = ""
    for name, _ in enumerators:
        if not prefix:
            prefix = name
            continue
        length = 0
        while length < min(len(name), len(prefix)) and name[length] == prefix[length]:
            length += 1
        if length == len(name) == len(prefix) and length:
            length -= 1  # not all of a name
        prefix = prefix[:length]
        if not prefix:
            return 0
    return len(prefix)


def flag_bits(enumerators: Enumerators) -> int:
    """All bits of an enumeration of powers of two (0 may be among them); 0 if it is not one."""
    bits = 0
    for _, value in enumerators:
        if value < 0 or value & (value - 1):
            return 0
        bits |= value
    return bits


def decomposed(enumerators: Enumerators, value: int, bare: bool = False) -> str:
    """A value as names of flags: ``FL_{A|B}|0x8``. ``bare``: without the common prefix, in mdb's way ``A|B}``."""
    prefix = common_prefix(enumerators)
    names: list[str] = []
    seen = 0
    for name, bit in enumerators:
        if seen & bit or not bit:
            continue
        seen |= bit
        if value & bit:
            names.append(name[prefix:] if (names or bare) and len(name) > prefix else name)
    missed = value & ~seen & MASK
    text = "|".join(names)
    if len(names) > 1:
        if not bare and prefix:
            text = f"{text[:prefix]}{{{text[prefix:]}"
        text += "}"
    if names and not missed:
        return text
    return f"{text}|{missed:#x}" if names else f"{missed:#x}" if missed else "0"

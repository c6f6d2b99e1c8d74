"""What the dcmds about types have in common: names of types among their words, the type of a symbol, reading memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import Call, Word
from kdbg.errors import SymbolNotFound, TypeNotFound, UsageError
from kdbg.symbols.table import STT_FUNC, STT_OBJECT, Symbol

if TYPE_CHECKING:
    from kdbg.dcmds.typed.memory import Memory
    from kdbg.symbols.model import Type
    from kdbg.target import Target

NOT_DATA = "Symbol table entry is not a data object"
NO_SYMBOL = "no symbol corresponds to address"


def take_type_name(words: Sequence[Word]) -> tuple[str, list[Word]]:
    """The name of a type at the start of the words (``proc_t``; two words: ``struct proc``), and the words behind it.

    Raises `UsageError`, or `Abort` for a tag's keyword that stands alone.
    """
    from kdbg.lang.errors import Abort

    if not words or not isinstance(words[0], str):
        raise UsageError("")
    first = words[0]
    if first not in ("struct", "enum", "union"):
        return first, list(words[1:])
    if len(words) < 2:
        raise Abort(f"{first} is not a valid type")
    second = words[1]
    if not isinstance(second, str):
        raise UsageError("")
    return f"{first} {second}", list(words[2:])


def lookup(call: Call, name: str) -> Type:
    """The type of that name, of the target or made by ::typedef. Raises `TypeNotFound`."""
    from kdbg.symbols.synthetic import find_type

    return find_type(call.target, name)


def exact_symbol(target: Target, address: int) -> Symbol:
    """The symbol that begins at an address, as its own object knows it. Raises `SymbolNotFound`."""
    symbol, offset = target.nearest(address)
    if offset:
        raise SymbolNotFound(f"{address:x}", NO_SYMBOL)
    return symbol


def data_type(target: Target, symbol: Symbol) -> Type:
    """The type of a data symbol. Raises `TypeNotFound`."""
    try:
        found = target.type_of(symbol)
    except TypeNotFound as error:
        if symbol.type == STT_FUNC and "function" in error.reason:
            raise TypeNotFound(symbol.name, NOT_DATA) from None
        raise
    if symbol.type != STT_OBJECT:
        raise TypeNotFound(symbol.name, NOT_DATA)
    return found


def memory_of(target: Target, physical: bool = False) -> Memory:
    """The target's memory for a renderer."""
    from kdbg.dcmds.typed.memory import Memory
    from kdbg.target import Space

    pointer = target.bits // 8
    if not physical:
        return Memory(target.read, pointer=pointer, hollow=target.kind != "object")
    return Memory(lambda address, size: target.read(address, size, Space.PHYSICAL), pointer=pointer)


def number_reader(call: Call) -> Callable[[str], int]:
    """What reads a number in the default radix, or with its prefix. Raises `ParseError`."""
    from kdbg.lang.numbers import to_number

    radix = call.session.radix
    return lambda text: to_number(text, radix)

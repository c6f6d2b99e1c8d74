"""The symbols that a person adds (``::nmadd``): they go before all others.

Kept by the target, so that its own lookups can put them first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from kdbg.symbols.table import SHN_UNDEF, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_NOTYPE, Symbol

BUCKETS = 211


def bucket(name: str) -> int:
    """The ELF hash (ELF specification) of a name modulo the table's size: what orders mdb's tables of names."""
    value = 0
    for char in name.encode("latin-1", "replace"):
        value = (value << 4) + char & 0xFFFFFFFF
        high = value & 0xF0000000
        if high:
            value ^= high >> 24
        value &= ~high & 0xFFFFFFFF
    return value % BUCKETS


def order(symbol: Symbol) -> tuple[int, bool, bool, bool, str]:
    """How symbols at one address are preferred: with a size, with a type, not weak, by name."""
    return (
        symbol.address,
        symbol.size == 0,
        symbol.type == STT_NOTYPE,
        symbol.binding == STB_WEAK,
        symbol.name,
    )


class AddressMap:
    """Symbols by address, the preferred one of each address."""

    def __init__(self, symbols: Iterator[Symbol]) -> None:
        usable = (s for s in symbols if s.address and (s.binding != STB_LOCAL or s.size))
        self._symbols: list[Symbol] = []
        for symbol in sorted(usable, key=order):
            if not self._symbols or self._symbols[-1].address != symbol.address:
                self._symbols.append(symbol)
        self._addresses = [symbol.address for symbol in self._symbols]

    def nearest(self, address: int, distance: int | None = None) -> Symbol | None:
        """The symbol that covers the address (one byte if it has no size), or lies less than ``distance`` below it."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0:
            return None
        symbol = self._symbols[at]
        reach = distance or max(symbol.size, 1)
        return symbol if address - symbol.address < reach else None


class PrivateSymbols:
    """A table of names that grows and shrinks."""

    def __init__(self) -> None:
        self._symbols: dict[str, Symbol] = {}
        self._next = 0
        self._map: AddressMap | None = None

    def __bool__(self) -> bool:
        return bool(self._symbols)

    def __len__(self) -> int:
        return len(self._symbols)

    def __iter__(self) -> Iterator[Symbol]:
        """In the order of the hash table: by bucket, in one bucket the newest first."""
        newest_first = sorted(self._symbols.values(), key=lambda s: -s.index)
        return iter(sorted(newest_first, key=lambda s: bucket(s.name)))

    def lookup(self, name: str) -> Symbol | None:
        """The symbol of that name, or None."""
        return self._symbols.get(name)

    def add(self, name: str, address: int, size: int | None = None, kind: int | None = None) -> Symbol:
        """Add a symbol, or move the one of that name; what is not given stays as it was (at first: 0, no type)."""
        old = self._symbols.get(name)
        if old is None:
            old = Symbol(name, 0, 0, "", STT_NOTYPE, STB_GLOBAL, 0, SHN_UNDEF, self._next)
            self._next += 1
        new = replace(
            old,
            address=address,
            size=old.size if size is None else size,
            type=old.type if kind is None else kind,
        )
        self._symbols[name] = new
        self._map = None
        return new

    def remove(self, name: str) -> Symbol | None:
        """Take the symbol of that name out, and return it; None where there is none."""
        self._map = None
        return self._symbols.pop(name, None)

    def nearest(self, address: int, distance: int | None = None) -> Symbol | None:
        """The symbol at or below an address, as `AddressMap.nearest` has it."""
        if not self._symbols:
            return None
        if self._map is None:
            self._map = AddressMap(iter(self._symbols.values()))
        return self._map.nearest(address, distance)

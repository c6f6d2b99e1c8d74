"""Symbol tables: by name, by address through bisection, scoped by module.

A `SymbolTable` is a view on the bytes of one ELF symbol table; entries become `Symbol` objects when they are asked for.
`Symbols` joins the tables of all modules of a target.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_COMMON, STT_TLS = range(7)
STB_LOCAL, STB_GLOBAL, STB_WEAK = range(3)
SHN_UNDEF, SHN_ABS, SHN_COMMON = 0, 0xFFF1, 0xFFF2


@dataclass(frozen=True, slots=True)
class Symbol:
    """An entry of a symbol table (Elf32_Sym, Elf64_Sym; or one of the kernel's own table)."""

    name: str
    address: int
    size: int
    module: str
    """Name of the module or object that it belongs to."""
    type: int = STT_NOTYPE
    """STT_* of the ELF specification."""
    binding: int = STB_GLOBAL
    """STB_* of the ELF specification."""
    other: int = 0
    section: int = SHN_ABS
    """Section index, SHN_ABS where the table does not tell."""
    index: int = -1
    """Position in its table."""


_ENTRY = {64: struct.Struct("<IBBHQQ"), 32: struct.Struct("<IIIBBH")}
"""Elf64_Sym: name, info, other, shndx, value, size; Elf32_Sym: name, value, size, info, other, shndx."""


class SymbolTable:
    """One ELF symbol table: a view on its bytes and on those of its strings.

    Nothing is gone through before it is needed: a name is looked for in the strings, an address in an index made once.
    """

    def __init__(
        self, entries: bytes | memoryview, strings: bytes, bits: int, module: str, section: int | None = None
    ) -> None:
        self.module = module
        self._form = _ENTRY[bits]
        count = len(entries) // self._form.size
        self.entries = bytes(entries[: count * self._form.size])
        self.strings = strings
        self._bits = bits
        self._section = section
        """What section indexes are replaced by (a kernel's own table: SHN_ABS); None: as they are."""
        self._count = count
        self._map: tuple[list[int], list[int]] | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Symbol]:
        """All entries in the table's order, the null entry too."""
        return (self[index] for index in range(self._count))

    def __getitem__(self, index: int) -> Symbol:
        if not 0 <= index < self._count:
            raise IndexError(index)
        name, address, size, info, other, section = self._fields(index)
        if self._section is not None:
            section = self._section
        return Symbol(self._name(name), address, size, self.module, info & 0xF, info >> 4, other, section, index)

    def _fields(self, index: int) -> tuple[int, int, int, int, int, int]:
        """Name, value, size, info, other, section of an entry."""
        fields = self._form.unpack_from(self.entries, index * self._form.size)
        if self._bits == 32:
            return fields
        name, info, other, section, value, size = fields
        return name, value, size, info, other, section

    def _name(self, at: int) -> str:
        end = self.strings.find(b"\0", at)
        return self.strings[at : end if end >= 0 else len(self.strings)].decode("latin-1")

    # by name

    def names(self) -> Iterator[str]:
        """Names of all entries but those of sections and files, in the table's order, some perhaps twice."""
        info_at = 1 if self._bits == 64 else 3
        for fields in self._form.iter_unpack(self.entries):
            if fields[0] and fields[info_at] & 0xF not in (STT_SECTION, STT_FILE):
                yield self._name(fields[0])

    def find(self, name: str) -> Symbol | None:
        """The symbol of that name: the last global one, else the last local one (mdb's rule); None if there is none."""
        found = None
        for index in self._named(name):
            symbol = self[index]
            if symbol.type == STT_SECTION or symbol.type > STT_TLS:
                continue
            if found is None or symbol.binding != STB_LOCAL or found.binding == STB_LOCAL:
                found = symbol
        return found

    def _named(self, name: str) -> Iterator[int]:
        """Indexes of the entries with that name, ascending. Strings may share their tails."""
        pattern, indexes, at = name.encode("latin-1", "replace") + b"\0", list[int](), 0
        if name:
            while (at := self.strings.find(pattern, at)) >= 0:
                indexes += self._with_name_at(at)
                at += 1
        return iter(sorted(indexes))

    def _with_name_at(self, at: int) -> Iterator[int]:
        size, pattern, place = self._form.size, struct.pack("<I", at), 0
        while (place := self.entries.find(pattern, place)) >= 0:
            if place % size == 0:  # st_name is the first member in both widths
                yield place // size
            place += 1

    # by address

    def below(self, address: int) -> Iterator[list[Symbol]]:
        """Symbols at or below the address, nearest first: those of one address together, the best of them first.

        Only those count that mdb puts into its map: an address that is not 0, and a size if they are local.
        """
        addresses, indexes = self.address_map()
        at = bisect_right(addresses, address)
        while at > 0:
            start = at - 1
            while start > 0 and addresses[start - 1] == addresses[at - 1]:
                start -= 1
            yield sorted((self[index] for index in indexes[start:at]), key=preference)
            at = start

    def address_map(self) -> tuple[list[int], list[int]]:
        """Addresses ascending, and the index of the entry of each."""
        if self._map is None:
            rows = self._form.iter_unpack(self.entries)
            if self._bits == 64:
                found = [
                    (value, at)
                    for at, (_, info, _, _, value, size) in enumerate(rows)
                    if value and (size or info >> 4) and info & 15 != STT_SECTION
                ]
            else:
                found = [
                    (value, at)
                    for at, (_, value, size, info, _, _) in enumerate(rows)
                    if value and (size or info >> 4) and info & 15 != STT_SECTION
                ]
            found.sort()
            self._map = [value for value, _ in found], [at for _, at in found]
        return self._map


def preference(symbol: Symbol) -> tuple[bool, bool, bool, str]:
    """How mdb orders symbols of one address: those with a size, a type, not weak, then by name."""
    return symbol.size == 0, symbol.type == STT_NOTYPE, symbol.binding == STB_WEAK, symbol.name


def covers(symbol: Symbol, address: int, distance: int | None) -> bool:
    """Whether the address counts as the symbol's: inside its size (at least one byte), or nearer than ``distance``."""
    return 0 <= address - symbol.address < (distance or max(symbol.size, 1))


MOST_REMEMBERED = 1 << 16
"""Names and addresses whose symbols are remembered."""


class Symbols:
    """The symbols of all modules of a kernel, and each module's own.

    By name: globals go before locals, later modules before earlier ones. A name that is hidden so is found by its
    module, and shown with it (``module`name``).
    """

    def __init__(self, tables: Sequence[SymbolTable]) -> None:
        self.tables = tables
        """In the order of the kernel's list of modules."""
        self._by_module: dict[str, SymbolTable] = {}
        for table in tables:
            self._by_module.setdefault(table.module, table)
        self._known: dict[str, Symbol | None] = {}
        self._near: dict[tuple[int, int | None], tuple[Symbol, int] | None] = {}

    def __iter__(self) -> Iterator[Symbol]:
        """All symbols as one table has them: the local ones of all modules first."""
        for local in (True, False):
            for table in self.tables:
                yield from (symbol for symbol in table if (symbol.binding == STB_LOCAL) is local)

    def module(self, name: str) -> SymbolTable | None:
        """The table of one module, or None."""
        return self._by_module.get(name)

    def find(self, name: str) -> Symbol | None:
        """The symbol that a name without a module means, or None."""
        if name not in self._known:
            found = None
            for table in self.tables:
                symbol = table.find(name)
                if symbol and (found is None or symbol.binding != STB_LOCAL or found.binding == STB_LOCAL):
                    found = symbol
            if len(self._known) > MOST_REMEMBERED:
                self._known.clear()
            self._known[name] = found
        return self._known[name]

    def is_main(self, symbol: Symbol) -> bool:
        """Whether its bare name means this symbol."""
        found = self.find(symbol.name)
        return found is not None and (found.module, found.index) == (symbol.module, symbol.index)

    def nearest(self, address: int, distance: int | None = None) -> tuple[Symbol, int] | None:
        """The symbol that covers the address (with ``distance``: at most so far below), and the offset in it."""
        key = (address, distance)
        if key not in self._near:
            if len(self._near) > MOST_REMEMBERED:
                self._near.clear()
            self._near[key] = self._nearest(address, distance)
        return self._near[key]

    def _nearest(self, address: int, distance: int | None) -> tuple[Symbol, int] | None:
        best: Symbol | None = None
        for table in self.tables:
            found = self._best_of(table, address)
            if found and (best is None or self._better(found, best)):
                best = found
        if best is None or not covers(best, address, distance):
            return None
        return best, address - best.address

    def _best_of(self, table: SymbolTable, address: int) -> Symbol | None:
        """The nearest symbol of a table at or below an address, those that bare names mean first."""
        for group in table.below(address):
            return next((symbol for symbol in group if self.is_main(symbol)), group[0])
        return None

    def _better(self, one: Symbol, other: Symbol) -> bool:
        if one.address != other.address:
            return one.address > other.address
        return (not self.is_main(one), *preference(one)) < (not self.is_main(other), *preference(other))

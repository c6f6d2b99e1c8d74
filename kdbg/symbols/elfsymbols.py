"""Symbols of an ELF file, and which of several is meant.

mdb looks at a program through libproc, and falls back on its own view of the file: two sets of rules.

- By name: .symtab, then .dynsym, both first for symbols with a data type (object, function, common, thread-local;
  an undefined one only if nothing better is found), then for every named symbol, the last of equal names.
- By address: the nearest symbol with a data type that covers it. At one address functions go before others, global
  before local, names without ``$`` before those with it, fewer leading underscores before more, smaller before larger.

Source of the rules: observed answers, and the sort order that libproc documents in Psymtab.c (as facts).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from kdbg.symbols.elfheaders import ET_REL, ElfHeaders, string
from kdbg.symbols.table import (
    SHN_UNDEF,
    STB_LOCAL,
    STB_WEAK,
    STT_COMMON,
    STT_FILE,
    STT_FUNC,
    STT_OBJECT,
    STT_SECTION,
    STT_TLS,
    Symbol,
)

SHT_SYMTAB, SHT_DYNSYM = 2, 11
DATA_TYPES = frozenset({STT_OBJECT, STT_FUNC, STT_COMMON, STT_TLS})
MOST_SYMBOLS = 1 << 22


class ElfTable:
    """One symbol table of a file, in its order."""

    def __init__(self, elf: ElfHeaders, kind: int, module: str) -> None:
        self._elf = elf
        self._kind = kind
        self._module = module

    @cached_property
    def symbols(self) -> list[Symbol]:
        """All symbols, the empty first one included; those of sections carry the section's name."""
        elf = self._elf
        section = elf.section_of_type(self._kind)
        if section is None or not 0 <= section.link < len(elf.sections):
            return []
        strings = bytes(elf.content(elf.sections[section.link]))
        layout = struct.Struct("<IBBHQQ" if elf.bits == 64 else "<IIIBBH")
        data = elf.content(section)
        data = data[: min(len(data) // layout.size, MOST_SYMBOLS) * layout.size]
        found = []
        for index, fields in enumerate(layout.iter_unpack(data)):
            if elf.bits == 64:
                name_at, info, other, at_section, value, size = fields
            else:
                name_at, value, size, info, other, at_section = fields
            name = string(strings, name_at)
            found.append(Symbol(name, value, size, self._module, info & 15, info >> 4, other, at_section, index))
        return found

    def listed(self) -> Iterator[Symbol]:
        """The symbols as ``::nm`` lists them: those of known types and bindings, sections by their names."""
        sections = self._elf.sections
        for symbol in self.symbols:
            if symbol.type > STT_TLS or symbol.binding > STB_WEAK:
                continue
            if symbol.type == STT_SECTION and symbol.section < len(sections) and sections[symbol.section].name:
                symbol = replace(symbol, name=sections[symbol.section].name)
            yield symbol

    @cached_property
    def _by_name(self) -> dict[str, Symbol]:
        """Symbols with a data type; of equal names the first."""
        names: dict[str, Symbol] = {}
        for symbol in self.symbols:
            if symbol.type in DATA_TYPES:
                names.setdefault(symbol.name, symbol)
        return names

    @cached_property
    def _any(self) -> dict[str, Symbol]:
        """Every named symbol but those of sections, of equal names the last; in relocatable files by their offset."""
        elf = self._elf
        names = {}
        for symbol in self.symbols:
            if symbol.type <= STT_TLS and symbol.type != STT_SECTION and symbol.name and "!" <= symbol.name[0] <= "~":
                if elf.type == ET_REL and SHN_UNDEF < symbol.section < len(elf.sections):
                    offset = elf.sections[symbol.section].offset
                    symbol = replace(symbol, address=symbol.address + offset)
                names[symbol.name] = symbol
        return names

    @cached_property
    def _by_address(self) -> list[Symbol]:
        return sorted((s for s in self.symbols if s.type in DATA_TYPES), key=preference)

    def linked(self, name: str) -> Symbol | None:
        """A symbol with a data type."""
        return self._by_name.get(name)

    def any(self, name: str) -> Symbol | None:
        """A symbol of any type but a section's."""
        return self._any.get(name)

    def covering(self, address: int) -> Symbol | None:
        """The nearest symbol that covers an address, the preferred one where several begin at one place.

        The search halves the sorted table and looks only at the symbols that it meets: an outer symbol may be missed.
        """
        table = self._by_address
        low, high, best = 0, len(table) - 1, -1
        while low <= high:
            middle = (low + high) // 2
            symbol = table[middle]
            if 0 <= address - symbol.address < symbol.size and (best < 0 or symbol.address > table[best].address):
                best = middle
            if address < symbol.address:
                high = middle - 1
            else:
                low = middle + 1
        if best < 0:
            return None
        value = table[best].address
        while best > 0 and table[best - 1].address == value and address < value + table[best - 1].size:
            best -= 1
        return table[best]


def preference(symbol: Symbol) -> tuple[int, bool, bool, bool, int, int, str]:
    """The order by address: at one address, the preferred symbol first."""
    bare = symbol.name.lstrip("_")
    return (
        symbol.address,
        symbol.type != STT_FUNC,
        symbol.binding == STB_LOCAL,
        symbol.name.startswith("$"),
        len(symbol.name) - len(bare),
        symbol.size,
        bare,
    )


class ElfSymbols:
    """Both symbol tables of a file."""

    def __init__(self, elf: ElfHeaders, module: str) -> None:
        self.static = ElfTable(elf, SHT_SYMTAB, module)
        self.dynamic = ElfTable(elf, SHT_DYNSYM, module)

    def linked(self, name: str) -> Symbol | None:
        """The symbol with a data type of that name, a defined one before an undefined one."""
        return self.static.linked(name) or self.dynamic.linked(name)

    def any(self, name: str) -> Symbol | None:
        """The symbol of that name, of any type but a section's."""
        return self.static.any(name) or self.dynamic.any(name)

    def has_file(self, file: str) -> bool:
        """Whether there is a source file of that name."""
        symbol = self.static.any(file)
        return symbol is not None and symbol.type == STT_FILE

    def of_file(self, file: str, name: str) -> Symbol | None:
        """The local symbol of that name among those that follow a source file's entry."""
        if not self.has_file(file):
            return None
        start = self.static.any(file)
        assert start is not None
        for symbol in self.static.symbols[start.index + 1 :]:
            if symbol.type in (STT_SECTION, STT_FILE) or symbol.binding != STB_LOCAL:
                return None
            if symbol.name == name:
                return symbol
        return None

    def covering(self, address: int) -> Symbol | None:
        """The nearest symbol that covers an address, in either table."""
        found = [s for s in (self.static.covering(address), self.dynamic.covering(address)) if s is not None]
        return min(found, key=preference, default=None)

"""Units and entries: a unit is what one source file was compiled to, an entry one thing that it declares.

Source: DWARF 5, 7.5.1 (headers), 7.5.2 (entries), 7.21 (.debug_aranges), 2.17.3 (.debug_rnglists); DWARF 4, 2.17.3.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from kdbg.errors import FormatError
from kdbg.symbols.dwarf import reading
from kdbg.symbols.dwarf.reading import Abbreviation, Data, Encoding, abbreviations, skip_form, uleb, value_of
from kdbg.symbols.dwarf.sections import DebugFile

MOST_UNITS = 1 << 20
MOST_RANGES = 1 << 16
DEEPEST = 128

(AT_NAME, AT_STMT_LIST, AT_LOW_PC, AT_HIGH_PC, AT_COMP_DIR, AT_RANGES, AT_STR_OFFSETS_BASE, AT_ADDR_BASE,
 AT_RNGLISTS_BASE, AT_LOCLISTS_BASE) = 0x03, 0x10, 0x11, 0x12, 0x1B, 0x55, 0x72, 0x73, 0x74, 0x8C  # fmt: skip
UT_TYPE, UT_SKELETON, UT_SPLIT, UT_SPLIT_TYPE = 2, 4, 5, 6

Ranges = list[tuple[int, int]]


class Entry:
    """One entry: its tag, and its attributes when they are asked for."""

    __slots__ = ("_at", "abbreviation", "offset", "unit")

    def __init__(self, unit: Unit, offset: int, abbreviation: Abbreviation, at: int) -> None:
        self.unit = unit
        self.offset = offset
        """In .debug_info."""
        self.abbreviation = abbreviation
        self._at = at

    @property
    def tag(self) -> int:
        """DW_TAG_*."""
        return self.abbreviation.tag

    def raw(self, name: int) -> tuple[int, Any] | None:
        """(form, value as it stands) of an attribute; None where the entry lacks it."""
        data, at, encoding = self.unit.data, self._at, self.unit.encoding
        try:
            for attribute, form, constant in self.abbreviation.attributes:
                if attribute == name:
                    if form == reading.INDIRECT:
                        form, at = uleb(data, at)
                    return form, constant if form == reading.IMPLICIT_CONST else value_of(data, at, form, encoding)
                at = skip_form(data, at, form, encoding)
        except IndexError:
            raise self.unit._damaged(self.offset) from None
        return None

    def has(self, name: int) -> bool:
        """Whether it has an attribute."""
        return any(attribute == name for attribute, _, _ in self.abbreviation.attributes)

    def number(self, name: int) -> int | None:
        """An attribute that is a number; None where it is missing, or an expression."""
        found = self.raw(name)
        return found[1] if found is not None and isinstance(found[1], int) else None

    def flag(self, name: int) -> bool:
        """An attribute that is a flag."""
        return bool(self.number(name))

    def text(self, name: int) -> str:
        """An attribute that is a string; "" where it is missing."""
        found = self.raw(name)
        return self.unit.string(*found) if found is not None else ""

    def reference(self, name: int) -> Entry | None:
        """The entry that an attribute refers to; None where it is missing, or the entry lies in another file."""
        found = self.raw(name)
        if found is None:
            return None
        form, value = found
        if form in reading.REFERENCES:
            return self.unit.entry(self.unit.offset + value)
        return self.unit.info.entry(value) if form == reading.REF_ADDR else None

    def address(self, name: int) -> int | None:
        """An attribute that is an address."""
        found = self.raw(name)
        return self.unit.address(*found) if found is not None else None

    def ranges(self) -> Ranges:
        """[start, end) of the addresses that it covers."""
        found = self.raw(AT_RANGES)
        if found is not None:
            return self.unit.ranges(*found) if isinstance(found[1], int) else []
        low, high = self.address(AT_LOW_PC), self.raw(AT_HIGH_PC)
        if low is None or high is None or not isinstance(high[1], int):
            return []
        form, value = high
        end = self.unit.address(form, value) if form in (reading.ADDR, *_ADDRESS_FORMS) else low + value
        return [(low, end)] if end is not None and end > low else []

    def children(self) -> Iterator[Entry]:
        """The entries right below it."""
        return self.unit.children(self)


_ADDRESS_FORMS = (reading.ADDRX, reading.ADDRX1, reading.ADDRX2, reading.ADDRX3, reading.ADDRX4)
_INDEXED_STRINGS = (reading.STRX, reading.STRX1, reading.STRX2, reading.STRX3, reading.STRX4)


class Unit:
    """One unit."""

    def __init__(self, info: Units, offset: int, first: int, end: int, table: int, encoding: Encoding) -> None:
        self.info = info
        self.offset = offset
        self.first = first
        """Offset of its first entry, which is about itself."""
        self.end = end
        self.encoding = encoding
        self.data: Data = info.data
        self._table = table

    @cached_property
    def abbreviations(self) -> dict[int, Abbreviation]:
        """Its table of abbreviations."""
        return abbreviations(self.info.file.section(".debug_abbrev"), self._table, self.encoding)

    @cached_property
    def root(self) -> Entry:
        """The entry about itself. Raises `FormatError`."""
        return self.entry(self.first)

    @property
    def name(self) -> str:
        """Its source file, as the compiler was given it."""
        return self.root.text(AT_NAME)

    @property
    def folder(self) -> str:
        """Where the compiler ran."""
        return self.root.text(AT_COMP_DIR)

    # entries

    def entry(self, offset: int) -> Entry:
        """The entry at an offset of .debug_info. Raises `FormatError` where there is none."""
        found = self._entry(offset) if self.first <= offset < self.end else None
        if found is None:
            raise self._damaged(offset)
        return found

    def _entry(self, offset: int) -> Entry | None:
        """The entry at an offset; None for the mark that ends a row of children."""
        try:
            code, at = uleb(self.data, offset)
            return Entry(self, offset, self.abbreviations[code], at) if code else None
        except (IndexError, KeyError):
            raise self._damaged(offset) from None

    @cached_property
    def tops(self) -> frozenset[int]:
        """Offsets of the entries right below that about itself."""
        return frozenset(entry.offset for entry in self.root.children())

    def named_at(self, place: int) -> Iterator[Entry]:
        """What may be an entry whose name (or the reference to it) stands at an offset: `tops` tells whether it is."""
        for distance in self._name_places:
            end = place - distance
            for start in (end - 1, end - 2):
                if start < self.first or place >= self.end:
                    continue
                code, at = uleb(self.data, start)
                found = self.abbreviations.get(code) if at == end else None
                if found is not None and found.name == distance:
                    yield Entry(self, start, found, end)

    @cached_property
    def _name_places(self) -> set[int]:
        return {one.name for one in self.abbreviations.values() if one.name is not None}

    def _damaged(self, offset: int) -> FormatError:
        return FormatError(self.info.file.path, f".debug_info: no entry at {offset:#x} of the unit at {self.offset:#x}")

    def children(self, parent: Entry) -> Iterator[Entry]:
        """The entries right below one. Raises `FormatError` where they are damaged."""
        if not parent.abbreviation.has_children:
            return
        offset = self._behind(parent)
        while offset < self.end:
            child = self._entry(offset)
            if child is None:
                return
            yield child
            offset = self._next(child, 0)

    def _next(self, entry: Entry, depth: int) -> int:
        """Offset of what follows an entry and all that is below it."""
        if not entry.abbreviation.has_children:
            return self._behind(entry)
        sibling = entry.abbreviation.sibling
        if sibling is not None:
            at = entry._at + sibling[0]
            following = self.offset + int.from_bytes(self.data[at : at + sibling[1]], "little")
            if entry.offset < following <= self.end:
                return following
        if depth > DEEPEST:
            raise self._damaged(entry.offset)
        offset = self._behind(entry)
        while offset < self.end:
            child = self._entry(offset)
            if child is None:
                return offset + 1
            offset = self._next(child, depth + 1)
        return offset

    def _behind(self, entry: Entry) -> int:
        """Offset behind an entry's attributes."""
        abbreviation, at = entry.abbreviation, entry._at
        if abbreviation.size is not None:
            return at + abbreviation.size
        try:
            for _, form, _ in abbreviation.attributes:
                at = skip_form(self.data, at, form, self.encoding)
        except IndexError:
            raise self._damaged(entry.offset) from None
        return at

    # values

    def string(self, form: int, value: Any) -> str:
        """A string by its form."""
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if form in _INDEXED_STRINGS:
            base = self.root.number(AT_STR_OFFSETS_BASE) or 0
            value, form = self._word(".debug_str_offsets", base + value * self.encoding.offset), reading.STRP
        section = reading.STRINGS.get(form)
        return self.info.file.text(section, value) if section is not None else ""

    def address(self, form: int, value: Any) -> int | None:
        """An address by its form."""
        if form in _ADDRESS_FORMS:
            base = self.root.number(AT_ADDR_BASE) or 0
            return self._word(".debug_addr", base + value * self.encoding.address, self.encoding.address)
        return value if isinstance(value, int) else None

    def _word(self, section: str, at: int, size: int = 0) -> int:
        return int.from_bytes(self.info.file.section(section)[at : at + (size or self.encoding.offset)], "little")

    def base(self) -> int:
        """What addresses in lists count from where nothing else is said."""
        return self.root.address(AT_LOW_PC) or 0

    def ranges(self, form: int, value: int) -> Ranges:
        """The addresses that a list of ranges tells. Raises `FormatError`."""
        try:
            if self.encoding.version < 5:
                return list(self._old_ranges(value))
            if form == reading.RNGLISTX:
                base = self.root.number(AT_RNGLISTS_BASE) or 0
                value = base + self._word(".debug_rnglists", base + value * self.encoding.offset)
            return list(self._ranges(value))
        except IndexError:
            raise FormatError(self.info.file.path, f"a list of ranges at {value:#x} is cut short") from None

    def _old_ranges(self, at: int) -> Iterator[tuple[int, int]]:
        data, width, base = self.info.file.section(".debug_ranges"), self.encoding.address, self.base()
        highest = (1 << 8 * width) - 1
        for _ in range(MOST_RANGES):
            start = int.from_bytes(data[at : at + width], "little")
            end = int.from_bytes(data[at + width : at + 2 * width], "little")
            at += 2 * width
            if not start and not end:
                return
            if start == highest:
                base = end
            elif start < end:
                yield base + start, base + end

    def _ranges(self, at: int) -> Iterator[tuple[int, int]]:
        data, base = self.info.file.section(".debug_rnglists"), self.base()
        for kind, one, two in list_entries(self, data, at, RANGES):
            if kind == BASE:
                base = one
            elif kind == OFFSETS and one < two:
                yield base + one, base + two
            elif kind == ADDRESSES and one < two:
                yield one, two


END, BASE, OFFSETS, ADDRESSES, DEFAULT = range(5)
RANGES = {1: (BASE, "x"), 2: (ADDRESSES, "xx"), 3: (ADDRESSES, "xu"), 4: (OFFSETS, "uu"), 5: (BASE, "a"),
          6: (ADDRESSES, "aa"), 7: (ADDRESSES, "au")}  # fmt: skip
"""DW_RLE_*: what an entry tells, and its operands: a an address, x the index of one, u a number."""


def list_entries(unit: Unit, data: Data, at: int, kinds: Any, block: bool = False) -> Iterator[Any]:
    """(what it tells, number, number[, expression]) of each entry of a list of ranges or locations.

    Raises `IndexError` where it is cut short, `FormatError` for an entry that is not known.
    """
    width = unit.encoding.address
    for _ in range(MOST_RANGES):
        code = data[at]
        at += 1
        if not code:
            return
        if code not in kinds:
            raise FormatError(unit.info.file.path, f"an entry {code} in a list of ranges, which is not known")
        kind, operands = kinds[code]
        values = [0, 0]
        for place, operand in enumerate(operands):
            if operand == "a":
                values[place], at = int.from_bytes(data[at : at + width], "little"), at + width
            else:
                values[place], at = uleb(data, at)
                if operand == "x":
                    values[place] = unit.address(reading.ADDRX, values[place]) or 0
        if kind == ADDRESSES and operands[1] == "u":
            values[1] += values[0]
        if not block:
            yield kind, *values
        elif kind == BASE:
            yield kind, *values, b""
        else:
            size, at = uleb(data, at)
            yield kind, *values, bytes(data[at : at + size])
            at += size


class Units:
    """The units of a file."""

    def __init__(self, file: DebugFile) -> None:
        self.file = file
        self.data: Data = file.section(".debug_info")
        self._known: dict[int, Unit] = {}

    @cached_property
    def offsets(self) -> list[int]:
        """Where units begin, ascending. Ends at a header that makes no sense."""
        found, at = list[int](), 0
        while at + 11 <= len(self.data) and len(found) < MOST_UNITS:
            found.append(at)
            length = int.from_bytes(self.data[at : at + 4], "little")
            if length == 0xFFFFFFFF:
                length = int.from_bytes(self.data[at + 4 : at + 12], "little") + 8
            if length < 7:
                break
            at += 4 + length
        return found

    def __iter__(self) -> Iterator[Unit]:
        """All units that can be read, in order."""
        for offset in self.offsets:
            try:
                yield self.unit(offset)
            except FormatError:
                continue

    def unit(self, offset: int) -> Unit:
        """The unit that begins at an offset. Raises `FormatError`."""
        if offset not in self._known:
            self._known[offset] = self._header(offset)
        return self._known[offset]

    def _header(self, offset: int) -> Unit:
        data, path = self.data, self.file.path
        head = bytes(data[offset : offset + 48])
        try:
            length, at, width = int.from_bytes(head[:4], "little"), 4, 4
            if length == 0xFFFFFFFF:
                length, at, width = int.from_bytes(head[4:12], "little"), 12, 8
            end = offset + at + length
            version = int.from_bytes(head[at : at + 2], "little")
            if not 2 <= version <= 5 or end > len(data):
                raise FormatError(path, f".debug_info: a unit at {offset:#x} of version {version} and {length} bytes")
            at += 2
            kind = 1
            if version >= 5:
                kind, address, at = head[at], head[at + 1], at + 2
                table, at = int.from_bytes(head[at : at + width], "little"), at + width
                at += {UT_TYPE: 8 + width, UT_SPLIT_TYPE: 8 + width, UT_SKELETON: 8, UT_SPLIT: 8}.get(kind, 0)
            else:
                table, at = int.from_bytes(head[at : at + width], "little"), at + width
                address, at = head[at], at + 1
        except IndexError:
            raise FormatError(path, f".debug_info: the unit at {offset:#x} is cut short") from None
        if address not in (4, 8):
            raise FormatError(path, f".debug_info: a unit at {offset:#x} with addresses of {address} bytes")
        return Unit(self, offset, offset + at, end, table, Encoding(address, width, version))

    def holding(self, offset: int) -> Unit:
        """The unit in which an entry lies. Raises `FormatError`."""
        at = bisect_right(self.offsets, offset) - 1
        if at < 0:
            raise FormatError(self.file.path, f".debug_info: no unit at {offset:#x}")
        return self.unit(self.offsets[at])

    def entry(self, offset: int) -> Entry:
        """The entry at an offset of .debug_info. Raises `FormatError`."""
        return self.holding(offset).entry(offset)

    # by address

    def at(self, address: int) -> Unit | None:
        """The unit that an instruction belongs to, or None."""
        starts, table = self._by_address
        at = bisect_right(starts, address) - 1
        if at >= 0 and address < table[at][0]:
            return self.unit(table[at][1])
        return self._without_aranges(address)

    @cached_property
    def _by_address(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Starts of ranges, ascending; and of each (end, offset of the unit): by .debug_aranges."""
        rows = sorted(self._aranges())
        return [row[0] for row in rows], [row[1:] for row in rows]

    def _aranges(self) -> Iterator[tuple[int, int, int]]:
        data, at = self.file.section(".debug_aranges"), 0
        while at + 12 <= len(data):
            start, length, width = at, int.from_bytes(data[at : at + 4], "little"), 4
            at += 4
            if length == 0xFFFFFFFF:
                length, width, at = int.from_bytes(data[at : at + 8], "little"), 8, at + 8
            end = at + length
            unit = int.from_bytes(data[at + 2 : at + 2 + width], "little")
            address, segment = data[at + 2 + width], data[at + 3 + width]
            if address not in (4, 8) or segment or end > len(data):
                return
            at += 4 + width
            at += -(at - start) % (2 * address)
            pairs = struct.Struct("<QQ" if address == 8 else "<II")
            for low, size in pairs.iter_unpack(data[at : at + (end - at) // pairs.size * pairs.size]):
                if size:
                    yield low, low + size, unit
            at = end

    def _without_aranges(self, address: int) -> Unit | None:
        for start, end, offset in self._others:
            if start <= address < end:
                return self.unit(offset)
        return None

    @cached_property
    def _others(self) -> list[tuple[int, int, int]]:
        """(start, end, offset of the unit) of what .debug_aranges leaves out, by the units' own entries."""
        told = {offset for _, offset in self._by_address[1]}
        found: list[tuple[int, int, int]] = []
        for unit in self:
            if unit.offset not in told:
                try:
                    found += [(start, end, unit.offset) for start, end in unit.root.ranges()]
                except FormatError:
                    continue
        return found

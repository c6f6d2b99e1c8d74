"""The function at an address: which one, what was inlined there, and the variables that are in scope.

Source: DWARF 5, 3.3 (subroutines, inlined calls), 4.1 (variables), and 3.5 (blocks).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from kdbg.errors import FormatError
from kdbg.symbols.dwarf.lines import LineTable, Place
from kdbg.symbols.dwarf.units import AT_NAME, Entry, Unit, Units

(TAG_FORMAL_PARAMETER, TAG_LEXICAL_BLOCK, TAG_INLINED, TAG_SUBPROGRAM, TAG_VARIABLE) = 0x05, 0x0B, 0x1D, 0x2E, 0x34
AT_ABSTRACT_ORIGIN, AT_SPECIFICATION, AT_CALL_COLUMN, AT_CALL_FILE, AT_CALL_LINE = 0x31, 0x47, 0x57, 0x58, 0x59
AT_DECLARATION = 0x3C
MOST_ORIGINS = 8
DEEPEST = 64


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One function that an instruction belongs to."""

    function: str
    place: Place | None
    """The instruction's; in a function that others are inlined into, that of the call."""
    inlined: bool


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable or parameter in scope, not yet looked for."""

    name: str
    entry: Entry
    """What tells its place (a copy's own entry, where the function is inlined)."""
    parameter: bool
    function: str
    """Whose it is: the function itself, or one that is inlined there."""


class UnitCode:
    """Functions and lines of one unit."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit

    @cached_property
    def lines(self) -> LineTable | None:
        """Its line table; None where it has none that can be read."""
        try:
            return LineTable(self.unit)
        except FormatError:
            return None

    @cached_property
    def _functions(self) -> tuple[list[int], list[tuple[int, Entry]]]:
        """Starts of functions' ranges, ascending; and of each (end, the function)."""
        rows: list[tuple[int, int, Entry]] = []
        for entry in self.unit.root.children():
            if entry.tag == TAG_SUBPROGRAM:
                rows += [(start, end, entry) for start, end in entry.ranges() if start]
        rows.sort(key=lambda row: row[0])
        return [row[0] for row in rows], [row[1:] for row in rows]

    def function(self, address: int) -> Entry | None:
        """The function that an instruction belongs to."""
        starts, rows = self._functions
        at = bisect_right(starts, address) - 1
        return rows[at][1] if at >= 0 and address < rows[at][0] else None

    def scopes(self, address: int) -> list[Entry]:
        """The function and, ever further inside, the blocks and inlined calls that an instruction belongs to."""
        found, scope = list[Entry](), self.function(address)
        while scope is not None and len(found) < DEEPEST:
            found.append(scope)
            scope = next((inner for inner in _scopes_in(scope) if _covers(inner, address)), None)
        return found

    def place(self, address: int) -> Place | None:
        """The place in the sources of an instruction."""
        try:
            return self.lines.at(address) if self.lines is not None else None
        except FormatError:
            return None

    def frames(self, address: int) -> list[SourceFrame]:
        """The functions that an instruction belongs to, the innermost first. Raises `FormatError`."""
        place, found = self.place(address), list[SourceFrame]()
        for scope in reversed(self.scopes(address)):
            if scope.tag == TAG_LEXICAL_BLOCK:
                continue
            inlined = scope.tag == TAG_INLINED
            found.append(SourceFrame(name_of(scope), place, inlined))
            if inlined:
                place = self._call(scope)
        return found

    def _call(self, entry: Entry) -> Place | None:
        file, line = entry.number(AT_CALL_FILE), entry.number(AT_CALL_LINE)
        if file is None or line is None or self.lines is None:
            return None
        return Place(self.lines.file(file), line, entry.number(AT_CALL_COLUMN) or 0)

    def variables(self, address: int) -> Iterator[Variable]:
        """What is in scope at an instruction, that of the function first. Raises `FormatError`."""
        function = ""
        for scope in self.scopes(address):
            if scope.tag != TAG_LEXICAL_BLOCK:
                function = name_of(scope)
            for entry in scope.children():
                if entry.tag in (TAG_FORMAL_PARAMETER, TAG_VARIABLE) and not entry.flag(AT_DECLARATION):
                    name = name_of(entry)
                    if name:
                        yield Variable(name, entry, entry.tag == TAG_FORMAL_PARAMETER, function)


def _scopes_in(entry: Entry) -> Iterator[Entry]:
    """Blocks and inlined calls right below an entry; those of blocks that have no addresses of their own, too."""
    for child in entry.children():
        if child.tag in (TAG_LEXICAL_BLOCK, TAG_INLINED):
            yield child


def _covers(entry: Entry, address: int) -> bool:
    return any(start <= address < end for start, end in entry.ranges())


def original(entry: Entry, attribute: int) -> Entry | None:
    """The entry that holds an attribute: itself, or what it is a copy of."""
    here: Entry | None = entry
    for _ in range(MOST_ORIGINS):
        if here is None or here.has(attribute):
            return here
        here = here.reference(AT_ABSTRACT_ORIGIN) or here.reference(AT_SPECIFICATION)
    return None


def name_of(entry: Entry) -> str:
    """The name of what an entry, or what it is a copy of, declares; "" where it has none."""
    holder = original(entry, AT_NAME)
    return holder.text(AT_NAME) if holder is not None else ""


class Code:
    """Functions and lines of a file, a unit at a time."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self._known: dict[int, UnitCode] = {}

    def unit(self, address: int) -> UnitCode | None:
        """The unit that an instruction belongs to, or None. Raises `FormatError`."""
        unit = self.units.at(address)
        if unit is None:
            return None
        if unit.offset not in self._known:
            self._known[unit.offset] = UnitCode(unit)
        return self._known[unit.offset]

    def place(self, address: int) -> Place | None:
        """The place in the sources of an instruction, or None. Raises `FormatError`."""
        unit = self.unit(address)
        return unit.place(address) if unit is not None else None

    def frames(self, address: int) -> list[SourceFrame]:
        """The functions that an instruction belongs to, the innermost first. Raises `FormatError`."""
        unit = self.unit(address)
        return unit.frames(address) if unit is not None else []

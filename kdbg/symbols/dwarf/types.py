"""Types as DWARF tells them, in the type model of `kdbg.symbols.model`; found by name without an index.

A name's place in .debug_str is found by a search there, and where the entries refer to it by a search in .debug_info;
the unit around a hit is gone through as far as the hit. Short names stand in the entries themselves.

Source: DWARF 5, chapter 5 (types), 7.8 (base types' encodings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from kdbg.errors import FormatError, TypeNotFound
from kdbg.symbols.dwarf import reading
from kdbg.symbols.dwarf.functions import AT_DECLARATION, AT_SPECIFICATION, original
from kdbg.symbols.dwarf.units import AT_NAME, Entry, Units
from kdbg.symbols.model import Encoding, Kind, Member, Type

(TAG_ARRAY, TAG_ENUM, TAG_PARAMETER, TAG_MEMBER, TAG_POINTER, TAG_STRUCT, TAG_SUBROUTINE, TAG_TYPEDEF, TAG_UNION,
 TAG_UNSPECIFIED, TAG_SUBRANGE, TAG_BASE, TAG_CONST, TAG_ENUMERATOR, TAG_SUBPROGRAM, TAG_VARIABLE, TAG_VOLATILE,
 TAG_RESTRICT, TAG_ATOMIC) = (0x01, 0x04, 0x05, 0x0D, 0x0F, 0x13, 0x15, 0x16, 0x17, 0x18, 0x21, 0x24, 0x26, 0x28,
                              0x2E, 0x34, 0x35, 0x37, 0x47)  # fmt: skip
(AT_LOCATION, AT_BYTE_SIZE, AT_BIT_OFFSET, AT_BIT_SIZE, AT_CONST_VALUE, AT_UPPER_BOUND, AT_COUNT, AT_MEMBER_LOCATION,
 AT_ENCODING, AT_TYPE, AT_DATA_BIT_OFFSET) = (0x02, 0x0B, 0x0C, 0x0D, 0x1C, 0x2F, 0x37, 0x38, 0x3E, 0x49,
                                              0x6B)  # fmt: skip

_KINDS = {
    TAG_ARRAY: Kind.ARRAY, TAG_ENUM: Kind.ENUM, TAG_POINTER: Kind.POINTER, TAG_STRUCT: Kind.STRUCT,
    TAG_SUBROUTINE: Kind.FUNCTION, TAG_SUBPROGRAM: Kind.FUNCTION, TAG_TYPEDEF: Kind.TYPEDEF, TAG_UNION: Kind.UNION,
    TAG_BASE: Kind.INTEGER, TAG_CONST: Kind.CONST, TAG_VOLATILE: Kind.VOLATILE, TAG_RESTRICT: Kind.RESTRICT,
    TAG_ATOMIC: Kind.VOLATILE, TAG_UNSPECIFIED: Kind.INTEGER,
}  # fmt: skip
_TAGS = {TAG_STRUCT: "struct ", TAG_UNION: "union ", TAG_ENUM: "enum "}
_PREFIXES = {"struct": (TAG_STRUCT,), "union": (TAG_UNION,), "enum": (TAG_ENUM,)}
_PLAIN = (TAG_BASE, TAG_TYPEDEF)
_FLOATS = {4: 1, 8: 2, 16: 6}
TAG_UNSPECIFIED_PARAMETERS = 0x18
MOST_HITS = 1 << 16
MOST_UNITS = 4096
"""Units that are gone through for one name."""
MOST_MEMBERS = 1 << 16
MOST_ENDINGS = 1 << 16
"""Strings that end in a name which are held for that name."""
INLINE = 4
"""Strings of so many bytes stand in the entries themselves: a reference would take no less."""
PIECE = 4 << 20
"""Bytes that are searched at once."""


class DwarfContainer:
    """The types of a file, as the containers of BTF and CTF have them. The number of a type is its entry's offset."""

    def __init__(self, units: Units, name: str = "vmlinux") -> None:
        self.units = units
        self.name = name
        self.bits = units.file.bits
        self.complete: Callable[[str], Type | None] | None = None
        """Finds the type that a forward declaration means, by its name, anywhere in the target."""
        self.void = Type(self, 0, Kind.INTEGER, "void", 0, Encoding())
        self._types: dict[int, Type] = {}
        self._known: dict[tuple[str, tuple[int, ...]], Entry | None] = {}

    # by number

    def type_by_id(self, type_id: int) -> Type:
        """The type whose entry lies at an offset. Raises `TypeNotFound`."""
        found = self._types.get(type_id)
        if found is None:
            try:
                found = self._types[type_id] = self._build(self.units.entry(type_id))
            except FormatError as error:
                raise TypeNotFound(f"type {type_id:#x}", error.reason) from None
        return found

    def of(self, entry: Entry) -> Type:
        """The type that an entry's attribute names; void where it has none. Raises `TypeNotFound`."""
        try:
            holder = original(entry, AT_TYPE)
            found = holder.reference(AT_TYPE) if holder is not None else None
        except FormatError as error:
            raise TypeNotFound(f"type of {entry.offset:#x}", error.reason) from None
        return self.void if found is None else self.type_by_id(found.offset)

    def _build(self, entry: Entry) -> Type:
        tag, size = entry.tag, entry.number(AT_BYTE_SIZE)
        kind = _KINDS.get(tag)
        if kind is None:
            raise TypeNotFound(f"type {entry.offset:#x}", f"an entry of tag {tag:#x} is no type")
        name, number = entry.text(AT_NAME), entry.offset
        if tag in _TAGS:
            if entry.flag(AT_DECLARATION):
                return Type(self, number, Kind.FORWARD, _TAGS[tag] + name)
            return Type(self, number, kind, _TAGS[tag] + name, size or 0)
        if tag == TAG_BASE:
            return self._base(entry, name, size or 0)
        if tag == TAG_UNSPECIFIED:
            return Type(self, number, kind, name, 0, Encoding())
        if tag == TAG_POINTER:
            return Type(self, number, kind, "", size or self.bits // 8)
        if tag == TAG_ARRAY:
            return self._array(entry, 0)
        if kind is Kind.FUNCTION:
            variadic = any(child.tag == TAG_UNSPECIFIED_PARAMETERS for child in entry.children())
            return Type(self, number, kind, name, 0, variadic=variadic)
        return Type(self, number, kind, name)

    def _base(self, entry: Entry, name: str, size: int) -> Type:
        code = entry.number(AT_ENCODING) or 0
        bits = entry.number(AT_BIT_SIZE) or 8 * size
        if code in (3, 4):  # complex and floating numbers
            encoding = Encoding(signed=True, bits=bits, float_format=_FLOATS.get(size, 6))
            return Type(self, entry.offset, Kind.FLOAT, name, size, encoding)
        encoding = Encoding(signed=code in (5, 6), char=code in (6, 8), boolean=code == 2, bits=bits)
        return Type(self, entry.offset, Kind.INTEGER, name, size, encoding)

    def _dimensions(self, entry: Entry) -> list[int]:
        found = list[int]()
        for child in entry.children():
            if child.tag == TAG_SUBRANGE:
                count, last = child.number(AT_COUNT), child.number(AT_UPPER_BOUND)
                mask = (1 << self.bits) - 1
                found.append(count if count is not None else 0 if last is None else last + 1 & mask)
        return found or [0]

    def _array(self, entry: Entry, dimension: int) -> Type:
        """An array; DWARF has all dimensions in one entry, the model one a type."""
        counts = self._dimensions(entry)
        count = counts[dimension] if dimension < len(counts) else 0
        return Type(_Dimension(self, entry, dimension), entry.offset, Kind.ARRAY, "", count=count)

    # what fills types in

    def members(self, type_id: int) -> tuple[Member, ...]:
        """Members of a structure or union. Raises `TypeNotFound`."""
        found = list[Member]()
        try:
            entry = self.units.entry(type_id)
            for child in entry.children():
                if child.tag == TAG_MEMBER and len(found) < MOST_MEMBERS:
                    of = self.of(child)
                    found.append(
                        Member(child.text(AT_NAME), of, self._bit_offset(child, of), child.number(AT_BIT_SIZE))
                    )
        except FormatError as error:
            raise TypeNotFound(f"type {type_id:#x}", error.reason) from None
        return tuple(found)

    def _bit_offset(self, member: Entry, of: Type) -> int:
        bits = member.number(AT_DATA_BIT_OFFSET)
        if bits is not None:
            return bits
        found = member.raw(AT_MEMBER_LOCATION)
        place = 0
        if found is not None:
            value = found[1]
            if isinstance(value, bytes):  # DW_OP_plus_uconst
                value = reading.uleb(value, 1)[0] if value[:1] == b"\x23" else 0
            place = 8 * int(value)
        old = member.number(AT_BIT_OFFSET)  # up to version 3: from the most significant bit of its storage
        if old is None:
            return place
        storage = member.number(AT_BYTE_SIZE) or of.size
        return place + 8 * storage - old - (member.number(AT_BIT_SIZE) or 0)

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        """Names and values of an enumeration. Raises `TypeNotFound`."""
        try:
            entry = self.units.entry(type_id)
            size = entry.number(AT_BYTE_SIZE) or 4
            return tuple(
                (child.text(AT_NAME), self._constant(child, size))
                for child in entry.children()
                if child.tag == TAG_ENUMERATOR
            )
        except FormatError as error:
            raise TypeNotFound(f"type {type_id:#x}", error.reason) from None

    def _constant(self, entry: Entry, size: int) -> int:
        found = entry.raw(AT_CONST_VALUE)
        if found is None or not isinstance(found[1], int):
            return 0
        form, value = found
        width = {reading.DATA1: 8, reading.DATA2: 16, reading.DATA4: 32, reading.DATA8: 64}.get(form)
        number: int = value
        if width == 32 and size == 4 and number >> 31:  # numbers of fixed width do not tell their sign
            number -= 1 << 32
        return number

    def reference(self, type_id: int) -> Type | None:
        """What a type points to, returns or stands for. Raises `TypeNotFound`."""
        try:
            entry = self.units.entry(type_id)
        except FormatError as error:
            raise TypeNotFound(f"type {type_id:#x}", error.reason) from None
        return None if entry.tag in (TAG_BASE, TAG_STRUCT, TAG_UNION, TAG_ENUM, TAG_UNSPECIFIED) else self.of(entry)

    def arguments(self, type_id: int) -> tuple[Type, ...]:
        """Types of a function's arguments. Raises `TypeNotFound`."""
        try:
            children = self.units.entry(type_id).children()
            return tuple(self.of(child) for child in children if child.tag == TAG_PARAMETER)
        except FormatError as error:
            raise TypeNotFound(f"type {type_id:#x}", error.reason) from None

    # by name

    def lookup(self, name: str) -> Type:
        """The type of that C name, as `BtfContainer.lookup`. Raises `TypeNotFound`."""
        stars = name.count("*")
        words = [word for word in name.replace("*", " ").split() if word not in ("const", "volatile", "restrict")]
        if not words:
            raise TypeNotFound(name, "Syntax error in type name")
        if words[0] in _PREFIXES and len(words) > 1:
            entry = self._named(" ".join(words[1:]), _PREFIXES[words[0]])
        else:
            entry = next((one for spelt in _spellings(words) if (one := self._named(spelt, _PLAIN)) is not None), None)
        if entry is None:
            raise TypeNotFound(name)
        found = self.type_by_id(entry.offset)
        for _ in range(stars):
            found = Type(_Pointer(self, found), 0, Kind.POINTER, "", self.bits // 8)
        return found

    def function(self, name: str) -> Type:
        """The prototype of the function of that name. Raises `TypeNotFound`."""
        entry = self._named(name, (TAG_SUBPROGRAM,))
        if entry is None:
            raise TypeNotFound(name)
        return self.type_by_id(entry.offset)

    def variable(self, name: str, address: int) -> Type:
        """The type of the variable of that name at an address. Raises `TypeNotFound`."""
        for entry in self._all_named(name, (TAG_VARIABLE,)):
            found = entry.raw(AT_LOCATION)
            expression = found[1] if found is not None and isinstance(found[1], bytes) else b""
            where = int.from_bytes(expression[1:], "little") if expression[:1] == b"\x03" else None
            if where == address:
                return self.of(entry)
        raise TypeNotFound(name, "no variable of that name at that address")

    def all_named(self, name: str) -> Iterator[Type]:
        """All types of a tagged name: a kernel may have several structures of one name."""
        words = name.split()
        for entry in self._all_named(" ".join(words[1:]), _PREFIXES.get(words[0], ())):
            if not entry.flag(AT_DECLARATION):
                yield self.type_by_id(entry.offset)

    def _named(self, name: str, tags: tuple[int, ...]) -> Entry | None:
        """The first entry of a name that is no declaration; else the first declaration."""
        key = (name, tags)
        if key not in self._known:
            entries = list[Entry]()
            for entry in self._all_named(name, tags):
                entries.append(entry)
                if not entry.flag(AT_DECLARATION):
                    break
            self._known[key] = entries[-1] if entries else None
        return self._known[key]

    def _all_named(self, name: str, tags: tuple[int, ...]) -> Iterator[Entry]:
        """Entries of units' first row with a name and one of some tags."""
        units = set[int]()
        for offset in self._hits(name.encode("utf-8", "replace")):
            try:
                unit = self.units.holding(offset)
                units.add(unit.offset)
                if len(units) > MOST_UNITS:
                    return
                for entry in unit.named_at(offset):
                    if entry.tag not in tags or entry.text(AT_NAME) != name:
                        continue
                    if entry.flag(AT_DECLARATION) or entry.offset in unit.tops:
                        yield self._defined(entry)
            except (FormatError, IndexError):
                continue

    def _defined(self, entry: Entry) -> Entry:
        """The definition of which an entry is a part: of variables, that with the place."""
        if entry.tag != TAG_VARIABLE or entry.has(AT_LOCATION):
            return entry
        for other in entry.unit.root.children():
            if other.tag == TAG_VARIABLE and other.has(AT_SPECIFICATION) and other.has(AT_LOCATION):
                holder = other.reference(AT_SPECIFICATION)
                if holder is not None and holder.offset == entry.offset:
                    return other
        return entry

    def _hits(self, name: bytes) -> Iterator[int]:
        """Offsets in .debug_info of what may be an entry's name, or the reference to it."""
        file, text = self.units.file, name + b"\0"
        if len(text) <= INLINE:
            yield from islice(file.find_all(".debug_info", text), MOST_HITS)
        # linkers let a string be the end of a longer one
        places = list(islice(file.find_all(".debug_str", text), MOST_ENDINGS))
        if places:
            yield from islice(_references(self.units.data, places, len(file.section(".debug_str"))), MOST_HITS)

    def names(self) -> Iterator[str]:
        """Nothing: all names are not known without going through all units."""
        return iter(())

    def roots(self) -> Iterator[Type]:
        """Nothing, as `names`."""
        return iter(())

    def variables(self) -> Iterator[tuple[str, Type]]:
        """Nothing, as `names`; `variable` finds one."""
        return iter(())


class _Dimension:
    """What fills in one dimension of an array."""

    def __init__(self, container: DwarfContainer, entry: Entry, dimension: int) -> None:
        self.container, self.entry, self.dimension = container, entry, dimension

    def reference(self, _: int) -> Type:
        if self.dimension + 1 < len(self.container._dimensions(self.entry)):
            return self.container._array(self.entry, self.dimension + 1)
        return self.container.of(self.entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)


class _Pointer:
    """What fills in a pointer that stands in no file."""

    def __init__(self, container: DwarfContainer, to: Type) -> None:
        self.container, self.to = container, to

    def reference(self, _: int) -> Type:
        return self.to

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)


def _references(data: bytes | memoryview, places: list[int], size: int) -> Iterator[int]:
    """Offsets at which one of some numbers below ``size`` stands in four bytes, ascending within a piece."""
    import numpy as np

    wanted = np.zeros(size, bool)
    wanted[places] = True
    for start in range(0, len(data), PIECE):
        piece = bytes(data[start : start + PIECE + 3])
        found = []
        for shift in range(4):
            words = np.frombuffer(piece[shift : len(piece) - (len(piece) - shift) % 4], "<u4")
            near = np.flatnonzero(words < size)
            found.append(4 * near[wanted[words[near]]] + shift)
        yield from (start + at for at in np.sort(np.concatenate(found)).tolist())


def _spellings(words: list[str]) -> Iterator[str]:
    """A basic type's names: as written, and as GCC writes it (``long unsigned int``)."""
    yield " ".join(words)
    if not set(words) <= {"unsigned", "signed", "long", "short", "int", "char"}:
        return
    unsigned, longs = "unsigned" in words, words.count("long")
    if "char" in words:
        yield "unsigned char" if unsigned else "signed char" if "signed" in words else "char"
    elif "short" in words:
        yield "short unsigned int" if unsigned else "short int"
    elif longs:
        yield " ".join([*["long"] * longs, *["unsigned"] * unsigned, "int"])
    else:
        yield "unsigned int" if unsigned else "int"

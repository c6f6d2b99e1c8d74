"""Types that the person makes: ::typedef. A container of its own, searched when the target has no type of a name.

It is kept as libctf keeps a container that is written to: a list of type records, made into a new container after each
change; each record has a number that is given once. After a type was taken back, numbers and places differ, and types
that are added then may not find each other: so it is in mdb too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kdbg.errors import Error, TypeNotFound
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.ctf_write import Record, write
from kdbg.symbols.model import Encoding, Kind, Type

if TYPE_CHECKING:
    from kdbg.target import Target

CONFLICT = "Conflicting type is already defined"
LONG = 0
INTEGERS = (
    ("void", "s", None), ("signed", "s", 32), ("unsigned", "", 32), ("char", "sc", 8), ("short", "s", 16),
    ("int", "s", 32), ("long", "s", LONG), ("long long", "s", 64), ("signed char", "sc", 8), ("signed short", "s", 16),
    ("signed int", "s", 32), ("signed long", "s", LONG), ("signed long long", "s", 64), ("unsigned char", "c", 8),
    ("unsigned short", "", 16), ("unsigned int", "", 32), ("unsigned long", "", LONG), ("unsigned long long", "", 64),
    ("_Bool", "b", 8),
)  # fmt: skip
"""(name, s: signed, c: of characters, b: of truth values; bits)"""
FLOATS = (
    ("float", 1, 32), ("double", 2, 64), ("long double", 6, 128), ("float imaginary", 10, 32),
    ("double imaginary", 11, 64), ("long double imaginary", 12, 128), ("float complex", 3, 64),
    ("double complex", 4, 128), ("long double complex", 5, 256),
)  # fmt: skip
"""(name, CTF_FP_*, bits)"""
TYPEDEFS = (
    ("int8_t", "char", "char"), ("int16_t", "short", "short"), ("int32_t", "int", "int"),
    ("int64_t", "long", "long long"), ("intptr_t", "long", "int"), ("uint8_t", "unsigned char", "unsigned char"),
    ("uint16_t", "unsigned short", "unsigned short"), ("uint32_t", "unsigned", "unsigned"),
    ("uint64_t", "unsigned long", "unsigned long long"), ("uchar_t", "unsigned char", "unsigned char"),
    ("ushort_t", "unsigned short", "unsigned short"), ("uint_t", "unsigned", "unsigned"),
    ("ulong_t", "unsigned long", "unsigned long"), ("u_longlong_t", "unsigned long long", "unsigned long long"),
    ("ptrdiff_t", "long", "int"), ("uintptr_t", "unsigned long", "unsigned"),
)  # fmt: skip
"""(name, what it is where long has 64 bits, what it is where it has 32)"""


class _Generation(CtfContainer):
    """The container as it is after some change; its owner tells types of its own from others."""

    owner: SyntheticTypes


class SyntheticTypes:
    """The types of ::typedef."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._next = 1
        self._published = 0
        self.container: _Generation
        self._publish()

    def _publish(self) -> None:
        self.container = _Generation(write(self._records), 64, name="synthetic")
        self.container.owner = self
        self._published = self._next - 1

    def clear(self) -> None:
        """Forget all types."""
        self._records, self._next = [], 1
        self._publish()

    def bytes(self) -> bytes:
        """All types as a container."""
        return write(self._records)

    def lookup(self, name: str) -> Type:
        """The type of that name. Raises `TypeNotFound`."""
        return self.container.lookup(name)

    def _add(self, record: Record) -> int:
        record.id = self._next
        self._next += 1
        self._records.append(record)
        return record.id

    def _record(self, type_id: int) -> Record | None:
        return next((record for record in self._records if record.id == type_id), None)

    # what C has

    def add_base(self, wide: bool) -> None:
        """Add the types of C and of <stdint.h>, with a long of 64 bits or of 32."""
        long = 64 if wide else 32
        for name, form, given in INTEGERS:
            bits = 0 if given is None else given or long
            encoding = Encoding("s" in form, "c" in form, "b" in form, bits=bits)
            self._add(Record(0, Kind.INTEGER, name, bits // 8, encoding=encoding))
        for name, form_number, bits in FLOATS:
            encoding = Encoding(True, bits=bits, float_format=form_number)
            self._add(Record(0, Kind.FLOAT, name, bits // 8, encoding=encoding))
        self._publish()
        for name, of_wide, of_narrow in TYPEDEFS:
            source = self.container.lookup(of_wide if wide else of_narrow)
            self._add(Record(0, Kind.TYPEDEF, name, reference=source.id))
        self._publish()

    # what is made

    def add_typedef(self, name: str, of: Type | int) -> None:
        """Add another name of a type. Raises `TypeNotFound`."""
        reference = of if isinstance(of, int) else self.take(of)
        self._add(Record(0, Kind.TYPEDEF, name, reference=reference))
        self._publish()

    def add_pointer(self, to: Type | int) -> int:
        """Add a pointer, return its number. Raises `TypeNotFound`."""
        reference = to if isinstance(to, int) else self.take(to)
        self._publish()
        number = self._add(Record(0, Kind.POINTER, reference=reference))
        self._publish()
        return number

    def add_array(self, of: Type | int, index: Type, count: int) -> int:
        """Add an array, return its number. Raises `TypeNotFound`."""
        reference = of if isinstance(of, int) else self.take(of)
        by = self.take(index)
        self._publish()
        for one in (reference, by):
            if self._record(one) is None:
                raise TypeNotFound(f"type {one}", "Invalid type identifier")
        number = self._add(Record(0, Kind.ARRAY, reference=reference, index=by, count=count))
        self._publish()
        return number

    def add_record(self, kind: Kind, name: str) -> int:
        """Add a structure or union without members, return its number."""
        number = self._add(Record(0, kind, name))
        self._publish()
        return number

    def add_member(self, number: int, name: str, of: Type | int) -> None:
        """Add a member behind the others, at the next place that suits its type. Raises `TypeNotFound`."""
        record = self._record(number)
        assert record is not None
        type_id = of if isinstance(of, int) else self.take(of)
        self._publish()
        type_ = self.container.type_by_id(type_id)
        size, align = type_.size, alignment(type_)
        if type_.kind is Kind.FORWARD:
            raise TypeNotFound(name, "Invalid argument")
        if record.kind is Kind.STRUCT and record.members:
            _, last, offset = record.members[-1]
            end = (offset + _bits(self.container.type_by_id(last).resolved) + 7) // 8
            place = -(-end // max(align, 1)) * max(align, 1)
            record.members.append((name, type_id, place * 8))
            record.size = place + size
        else:
            record.members.append((name, type_id, 0))
            record.size = max(record.size, size)
        self._publish()

    def remove(self, number: int) -> None:
        """Take a type back; its number is not used again."""
        self._records = [record for record in self._records if record.id != number]
        self._publish()

    # types of others

    def read(self, container: CtfContainer) -> None:
        """Take over all types of a container. Raises `Error`, and then takes none."""
        records, number = [replace(record) for record in self._records], self._next
        try:
            for type_ in container.roots():
                self.take(type_)
        except Error:
            self._records, self._next = records, number
            raise
        finally:
            self._publish()

    def take(self, type_: Type) -> int:
        """The number of a type here; one of another container is copied with all that it needs.

        Raises `TypeNotFound` where a type of that name is here already and is another one; then nothing is copied.
        """
        records, number = len(self._records), self._next
        try:
            return self._take(type_, 0)
        except Error:
            del self._records[records:]
            self._next = number
            raise

    def _take(self, type_: Type, depth: int) -> int:
        loader = type_.loader
        if isinstance(loader, _Generation) and loader.owner is self:
            return type_.id
        if depth > 200:
            raise TypeNotFound(type_.name, "File data structure corruption detected")
        name = "" if type_.kind in (Kind.POINTER, Kind.CONST, Kind.VOLATILE, Kind.RESTRICT) else type_.name
        bare = name.partition(" ")[2] if type_.kind in (Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FORWARD) else name
        known = self._known(name) if bare and _is_root(type_) else None
        if known is not None and (type_.kind is Kind.FORWARD or known.kind is not Kind.FORWARD):
            if type_.kind is not Kind.FORWARD and known.kind is not type_.kind:
                raise TypeNotFound(name, CONFLICT)
            return self._same(known, type_)
        for record in reversed(self._records):
            if record.id <= self._published:
                break
            # numbers of equal names may be bit-fields of different widths
            if bare and record.kind is type_.kind and record.name == bare and record.encoding == type_.encoding:
                return record.id
        return self._copy(type_, bare, depth + 1)

    def _known(self, name: str) -> Type | None:
        try:
            return self.container.lookup(name)
        except TypeNotFound:
            return None

    def _same(self, known: Type, type_: Type) -> int:
        if type_.kind in (Kind.INTEGER, Kind.FLOAT):
            same = known.encoding == type_.encoding
        elif type_.kind in (Kind.STRUCT, Kind.UNION):
            places = {member.name: member.bit_offset for member in known.members}
            same = known.size == type_.size and all(places.get(m.name) == m.bit_offset for m in type_.members)
        elif type_.kind is Kind.ENUM:
            same = dict(known.enumerators) == dict(type_.enumerators)
        else:
            same = True
        if not same:
            raise TypeNotFound(type_.name, CONFLICT)
        return known.id

    def _copy(self, type_: Type, name: str, depth: int) -> int:
        kind = type_.kind
        if kind in (Kind.STRUCT, Kind.UNION):
            record = Record(0, kind, name, type_.size)
            number = self._add(record)
            record.members = [(m.name, self._take(m.type, depth), m.bit_offset) for m in type_.members]
            return number
        if kind is Kind.ENUM:
            return self._add(Record(0, kind, name, type_.size, values=list(type_.enumerators)))
        if kind in (Kind.INTEGER, Kind.FLOAT):
            bits = type_.encoding.bits if type_.encoding else 0
            return self._add(Record(0, kind, name, -(-bits // 8), encoding=type_.encoding or Encoding()))
        if kind is Kind.FORWARD:
            return self._add(Record(0, kind, name, reference=Kind.STRUCT.value))
        target = type_.reference
        if target is None:
            raise TypeNotFound(type_.name, "Invalid type identifier")
        reference = self._take(target, depth)
        if kind is Kind.ARRAY:
            loader = type_.loader
            index = loader.index(type_.id) if isinstance(loader, CtfContainer) else None
            by = reference if index is None else self._take(index, depth)
            return self._add(Record(0, kind, reference=reference, index=by, count=type_.count))
        return self._add(Record(0, kind, name if kind is Kind.TYPEDEF else "", reference=reference))


def _is_root(type_: Type) -> bool:
    loader = type_.loader
    return not isinstance(loader, CtfContainer) or loader.is_root(type_.id)


def alignment(type_: Type, depth: int = 0) -> int:
    """Bytes to whose multiple a type is aligned: libctf looks at a structure's first member only."""
    base = type_.resolved
    if depth > 64:
        return 1
    if base.kind in (Kind.POINTER, Kind.FUNCTION):
        return 8
    if base.kind is Kind.ARRAY and base.reference is not None:
        return alignment(base.reference, depth + 1)
    if base.kind in (Kind.STRUCT, Kind.UNION):
        members = base.members[:1] if base.kind is Kind.STRUCT else base.members
        return max((alignment(member.type, depth + 1) for member in members), default=0)
    return base.size


def _bits(base: Type) -> int:
    return base.encoding.bits if base.encoding is not None else base.size * 8


def synthetic_types(target: Target) -> SyntheticTypes:
    """The target's synthetic types, made at the first call."""
    if target.synthetic is None:
        target.synthetic = SyntheticTypes()
    return target.synthetic


def find_type(target: Target, name: str) -> Type:
    """The type of that name in the target, or a synthetic one. Raises `TypeNotFound`."""
    try:
        return target.type(name)
    except TypeNotFound:
        if target.synthetic is None or "`" in name:
            raise
        try:
            return target.synthetic.lookup(name)
        except TypeNotFound:
            pass
        raise

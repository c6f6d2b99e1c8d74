"""A writer of CTF containers, versions 2 and 3, from the facts of <sys/ctf.h>: what a compiler's tools would have made.

    ctf = CtfWriter()
    int_ = ctf.integer("int", 32, signed=True)
    node = ctf.structure("node")                                   # a number at once, so that it can point to itself
    ctf.define(node, [("next", ctf.pointer(node)), ("value", int_), ("low", int_, 4), ("high", int_, 4)])
    module = CtfWriter(parent=ctf, parent_name="genunix")
    module.object(node)                                            # of the first data symbol of its symbol table
    module.function(int_, [ctf.pointer(node)])                     # of the first function
    data = module.bytes(compress=True)

Methods that add a type return its number. The object and function sections follow the module's symbol table: call
`object` once for each of its data symbols that are defined and named, in the table's order, and `function` for each
function (0 and None: nothing is known of this one).

Layout: natural alignment of System V; bit-fields are packed from the low bits on, never across their storage unit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

INTEGER, FLOAT, POINTER, ARRAY, FUNCTION, STRUCT, UNION = range(1, 8)
ENUM, FORWARD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(8, 14)

Field = tuple[str, int] | tuple[str, int, int]
"""A member: name, number of its type, and the bits of a bit-field."""


@dataclass
class Record:
    """A type before it is written."""

    kind: int
    name: str
    size: int = 0
    reference: int = 0
    align: int = 0
    data: int = 0
    """The encoding of an integer or float."""
    index: int = 0
    count: int = 0
    members: list[tuple[str, int, int]] = field(default_factory=list)
    """(name, type, bit offset)"""
    values: list[tuple[str, int]] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)
    root: bool = True


class CtfWriter:
    """One container. ``bits``: the data model, 32 or 64; ``order``: "<" or ">"."""

    def __init__(
        self,
        parent: CtfWriter | None = None,
        parent_name: str = "",
        version: int = 2,
        bits: int = 64,
        order: str = "<",
        label: str = "",
    ) -> None:
        self.parent, self.parent_name, self.version = parent, parent_name, version
        self.bits, self.order, self.label = bits, order, label
        self.first = 0 if not (parent or parent_name) else 0x8000 if version == 2 else 0x80000000
        self.records: list[Record] = []
        self.objects: list[int] = []
        self.functions: list[tuple[int, list[int]] | None] = []
        self._strings = bytearray(b"\0")
        self._known: dict[str, int] = {"": 0}

    def add(self, record: Record) -> int:
        """Append a type as it is."""
        self.records.append(record)
        return self.first | len(self.records)

    def record(self, number: int) -> Record:
        """The type of that number, the parent's too."""
        holder = self
        if self.first and not number & self.first:
            assert self.parent is not None
            holder = self.parent
        return holder.records[(number & ~holder.first) - 1]

    def size(self, number: int) -> int:
        """Bytes of a type."""
        record = self.record(number)
        if record.kind in (TYPEDEF, VOLATILE, CONST, RESTRICT):
            return self.size(record.reference)
        if record.kind == ARRAY:
            return record.count * self.size(record.reference)
        return record.size

    def align(self, number: int) -> int:
        """Alignment of a type in bytes."""
        record = self.record(number)
        if record.kind in (TYPEDEF, VOLATILE, CONST, RESTRICT, ARRAY):
            return self.align(record.reference)
        return record.align or min(max(record.size, 1), self.bits // 8 if record.kind != FLOAT else 8)

    # types

    def integer(
        self, name: str, bits: int, signed: bool = False, char: bool = False, boolean: bool = False,
        offset: int = 0, size: int | None = None, root: bool = True,
    ) -> int:  # fmt: skip
        """Add an integer of so many bits; ``size`` in bytes where the storage is larger."""
        storage = 1
        while storage * 8 < bits:
            storage *= 2
        form = signed | char << 1 | boolean << 2
        stored = (storage if bits else 0) if size is None else size
        return self.add(Record(INTEGER, name, stored, data=form << 24 | offset << 16 | bits, root=root))

    def float(self, name: str, bits: int, form: int) -> int:
        """Add a floating point type: form 1 single, 2 double, 6 long double (CTF_FP_*)."""
        return self.add(Record(FLOAT, name, bits // 8, data=form << 24 | bits))

    def pointer(self, to: int) -> int:
        """Add a pointer."""
        return self.add(Record(POINTER, "", self.bits // 8, to))

    def array(self, of: int, count: int, index: int = 0) -> int:
        """Add an array."""
        return self.add(Record(ARRAY, "", 0, of, index=index or of, count=count))

    def function_type(self, returns: int, arguments: Sequence[int] = (), variadic: bool = False) -> int:
        """Add a type of functions."""
        return self.add(Record(FUNCTION, "", 0, returns, arguments=[*arguments, *([0] * variadic)]))

    def structure(self, name: str, fields: Sequence[Field] | None = None) -> int:
        """Add a structure; without fields it is completed by `define`."""
        number = self.add(Record(STRUCT, name))
        return number if fields is None else self.define(number, fields)

    def union(self, name: str, fields: Sequence[Field] | None = None) -> int:
        """Add a union; without fields it is completed by `define`."""
        number = self.add(Record(UNION, name))
        return number if fields is None else self.define(number, fields)

    def define(self, number: int, fields: Sequence[Field], size: int | None = None) -> int:
        """Give a structure or union its members, each at the next place that fits it."""
        record = self.record(number)
        at = end = 0
        align = 1
        for name, kind, *bits in fields:
            width = self.size(kind) * 8
            boundary = self.align(kind) * 8
            align = max(align, boundary // 8)
            if record.kind == UNION:
                at = 0
            if bits:
                if at // width != (at + bits[0] - 1) // width:
                    at = -(-at // width) * width
                kind, taken = self._bit_field(kind, bits[0]), bits[0]
            else:
                at, taken = -(-at // boundary) * boundary, width
            record.members.append((name, kind, at))
            at += taken
            end = max(end, at)
        record.size = -(-end // (8 * align)) * align if size is None else size
        record.align = align
        return number

    def place(self, number: int, size: int, members: Sequence[tuple[str, int, int]]) -> int:
        """Give a structure or union its size and members, each with its offset in bits."""
        record = self.record(number)
        record.size, record.members = size, list(members)
        return number

    def _bit_field(self, kind: int, bits: int) -> int:
        """Add the integer that stands for a bit-field: the name and signedness of its type, another number of bits."""
        base = self.record(kind)
        while base.kind == TYPEDEF:
            base = self.record(base.reference)
        storage = 1
        while storage * 8 < bits:
            storage *= 2
        return self.add(Record(INTEGER, base.name, storage, data=base.data & ~0xFFFF | bits, root=False))

    def enumeration(self, name: str, values: Sequence[tuple[str, int]], size: int = 4) -> int:
        """Add an enumeration."""
        return self.add(Record(ENUM, name, size, values=list(values)))

    def forward(self, name: str, kind: int = STRUCT) -> int:
        """Add the declaration of a tag whose type lies elsewhere."""
        return self.add(Record(FORWARD, name, 0, kind))

    def typedef(self, name: str, to: int) -> int:
        """Add another name of a type."""
        return self.add(Record(TYPEDEF, name, 0, to))

    def const(self, of: int) -> int:
        """Add the const form of a type."""
        return self.add(Record(CONST, "", 0, of))

    def volatile(self, of: int) -> int:
        """Add the volatile form of a type."""
        return self.add(Record(VOLATILE, "", 0, of))

    def restrict(self, of: int) -> int:
        """Add the restrict form of a type."""
        return self.add(Record(RESTRICT, "", 0, of))

    # symbols

    def object(self, number: int) -> None:
        """Say the type of the next data symbol; 0: not known."""
        self.objects.append(number)

    def function(self, returns: int | None, arguments: Sequence[int] = (), variadic: bool = False) -> None:
        """Say what the next function returns and takes; None: not known."""
        self.functions.append(None if returns is None else (returns, [*arguments, *([0] * variadic)]))

    # bytes

    def _string(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self._strings)
            self._strings += text.encode("latin-1") + b"\0"
        return self._known[text]

    def _pack(self, letters: str, *values: int) -> bytes:
        return struct.pack(self.order + letters, *values)

    def _info(self, kind: int, root: bool, count: int) -> int:
        return kind << 11 | root << 10 | count if self.version == 2 else kind << 26 | root << 25 | count

    def _word(self, *values: int) -> bytes:
        return self._pack(("H" if self.version == 2 else "I") * len(values), *values)

    def _function(self, entry: tuple[int, list[int]] | None) -> bytes:
        if entry is None:
            return self._word(0)
        return self._word(self._info(FUNCTION, False, len(entry[1])), entry[0], *entry[1])

    def _type(self, record: Record) -> bytes:
        count = len(record.members or record.values or record.arguments)
        head = self._pack("I", self._string(record.name)) + self._word(self._info(record.kind, record.root, count))
        if record.kind in (POINTER, FUNCTION, FORWARD, TYPEDEF, VOLATILE, CONST, RESTRICT):
            head += self._word(record.reference)
        elif record.size > (0xFFFE if self.version == 2 else 0xFFFFFFFE):
            largest = 0xFFFF if self.version == 2 else 0xFFFFFFFF
            head += self._word(largest) + self._pack("II", record.size >> 32, record.size & 0xFFFFFFFF)
        else:
            head += self._word(record.size)
        return head + self._details(record)

    def _details(self, record: Record) -> bytes:
        if record.kind in (INTEGER, FLOAT):
            return self._pack("I", record.data)
        if record.kind == ARRAY:
            return self._word(record.reference, record.index) + self._pack("I", record.count)
        if record.kind == FUNCTION:
            return self._word(*record.arguments, *([0] * (len(record.arguments) & 1)))
        if record.kind == ENUM:
            return b"".join(self._pack("Ii", self._string(name), value) for name, value in record.values)
        if record.size < (8192 if self.version == 2 else 1 << 29):
            form = "IHH" if self.version == 2 else "III"
            return b"".join(self._pack(form, self._string(name), kind, at) for name, kind, at in record.members)
        form = "IHHII" if self.version == 2 else "IIII"
        pad = (0,) if self.version == 2 else ()
        return b"".join(
            self._pack(form, self._string(name), kind, *pad, at >> 32, at & 0xFFFFFFFF)
            for name, kind, at in record.members
        )

    def bytes(self, compress: bool = False) -> bytes:
        """The container: a header of 36 bytes, then the sections."""
        label, parent = self._string(self.label), self._string(self.parent_name)
        labels = self._pack("II", label, len(self.records)) if label else b""
        objects = self._word(*self.objects)
        functions = b"".join(self._function(entry) for entry in self.functions)
        functions += bytes(-(len(labels) + len(objects) + len(functions)) % 4)
        types = b"".join(self._type(record) for record in self.records)
        starts = [0]
        for section in (labels, objects, functions, types):
            starts.append(starts[-1] + len(section))
        head = self._pack("HBB", 0xCFF1, self.version, 1 if compress else 0)
        head += self._pack("8I", label, parent, *starts, len(self._strings))
        body = labels + objects + functions + types + bytes(self._strings)
        return head + (zlib.compress(body) if compress else body)

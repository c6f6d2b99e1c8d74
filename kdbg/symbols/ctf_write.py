"""The writer of CTF containers beside the reader: version 2, types alone, little-endian, not compressed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from kdbg.symbols.ctf import HEADER, LAYOUTS, MAGIC, REFERENCES
from kdbg.symbols.model import Encoding, Kind

LAYOUT = LAYOUTS[2]


@dataclass(slots=True)
class Record:
    """A type before it is written; ``id`` is what others refer to it by, not always its place."""

    id: int
    kind: Kind
    name: str = ""
    size: int = 0
    reference: int = 0
    index: int = 0
    """Of an array: number of its index's type."""
    count: int = 0
    """Of an array: its elements."""
    encoding: Encoding | None = None
    members: list[tuple[str, int, int]] = field(default_factory=list)
    """(name, type, bit offset)"""
    values: list[tuple[str, int]] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)
    root: bool = True


def write(records: Sequence[Record]) -> bytes:
    """A container with these types in this order."""
    strings, places = bytearray(b"\0"), {"": 0}

    def string(text: str) -> int:
        if text not in places:
            places[text] = len(strings)
            strings.extend(text.encode("latin-1", "replace") + b"\0")
        return places[text]

    types = bytearray()
    for record in records:
        count = len(record.members) or len(record.values) or len(record.arguments)
        info = record.kind.value << LAYOUT.kind_shift | (LAYOUT.root_bit if record.root else 0) | count
        head = struct.pack("<IH", string(record.name), info)
        if record.kind in REFERENCES or record.kind in (Kind.FUNCTION, Kind.FORWARD):
            types += head + struct.pack("<H", record.reference & 0xFFFF)
        elif record.size >= LAYOUT.large_size:
            types += head + struct.pack("<HII", LAYOUT.large_size, record.size >> 32, record.size & 0xFFFFFFFF)
        else:
            types += head + struct.pack("<H", record.size)
        if record.encoding is not None:
            types += struct.pack("<I", _data(record.encoding))
        elif record.kind is Kind.ARRAY:
            types += struct.pack("<" + LAYOUT.array, record.reference, record.index, record.count)
        elif record.kind is Kind.FUNCTION:
            types += struct.pack(f"<{count + count % 2}H", *record.arguments, *[0] * (count % 2))
        for name, type_id, offset in record.members:
            if record.size < LAYOUT.large_struct:
                types += struct.pack("<" + LAYOUT.member, string(name), type_id, offset)
            else:
                high, low = offset >> 32, offset & 0xFFFFFFFF
                types += struct.pack("<" + LAYOUT.large_member, string(name), type_id, high, low)
        for name, value in record.values:
            types += struct.pack("<Ii", string(name), value)
    header = struct.pack("<" + HEADER, MAGIC, 2, 0, 0, 0, 0, 0, 0, 0, len(types), len(strings))
    return header + bytes(types) + bytes(strings)


def _data(encoding: Encoding) -> int:
    """The data word of an integer or float."""
    form = encoding.float_format or (
        encoding.signed | encoding.char << 1 | encoding.boolean << 2 | encoding.varargs << 3
    )
    return form << 24 | encoding.offset << 16 | encoding.bits

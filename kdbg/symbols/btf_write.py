"""Write BTF: types that are known by other means than the kernel's own word, as a container that all readers know.

A `BtfWriter` takes structures by their members' places and types as C writes them (``unsigned int``, ``struct file *``,
``char [16]``); what is named and not defined becomes a forward declaration.

Source: the kernel's Documentation/bpf/btf.rst, <linux/btf.h>.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping

from kdbg.symbols.btf import ARRAY, ENUM, FWD, HEADER, INT, MAGIC, PTR, STRUCT

_DECLARED = re.compile(r"(?P<base>[\w ]*?\w)\s*(?P<stars>\**)\s*(?P<counts>(?:\[\d+\])*)")
_COUNT = re.compile(r"\[(\d+)\]")
_SIGNED, _CHAR, _BOOL = 1, 2, 4
LONG = 0
INTEGERS = {
    "char": (1, _SIGNED | _CHAR), "unsigned char": (1, 0), "short int": (2, _SIGNED),
    "short unsigned int": (2, 0), "int": (4, _SIGNED), "unsigned int": (4, 0), "long int": (LONG, _SIGNED),
    "long unsigned int": (LONG, 0), "long long int": (8, _SIGNED), "long long unsigned int": (8, 0),
    "_Bool": (1, _BOOL),
}  # fmt: skip
"""Name as compilers write it into BTF -> (bytes, encoding)."""
SHORT = {"short": "short int", "unsigned short": "short unsigned int", "long": "long int",
         "unsigned long": "long unsigned int", "long long": "long long int",
         "unsigned long long": "long long unsigned int"}  # fmt: skip
"""Name as people write it -> as BTF has it."""


class BtfWriter:
    """Builds one container. ``bits``: width of long and of pointers."""

    def __init__(self, bits: int) -> None:
        self._word = bits // 8
        self._strings = bytearray(b"\0")
        self._offsets: dict[str, int] = {"": 0}
        self._records: list[bytes | None] = []
        self._ids: dict[str, int] = {}
        for name in INTEGERS:
            self._type(name)

    def structure(self, name: str, size: int, members: Iterable[tuple[str, str, int]]) -> None:
        """Define ``struct name``: its bytes, and (name, C type, offset in bytes) of its members."""
        words = [(self._string(member), self._type(of), 8 * at) for member, of, at in members]
        body = b"".join(struct.pack("<III", *three) for three in words)
        number = self._reserve(f"struct {name}")
        self._records[number - 1] = self._record(name, STRUCT << 24 | len(words), size) + body

    def enumeration(self, name: str, values: Mapping[str, int]) -> None:
        """Define ``enum name``."""
        body = b"".join(struct.pack("<Ii", self._string(key), value) for key, value in values.items())
        number = self._reserve(f"enum {name}")
        self._records[number - 1] = self._record(name, ENUM << 24 | len(values), 4) + body

    def build(self) -> bytes:
        """All types as a container."""
        names = {number: name for name, number in self._ids.items()}
        forward = (self._record(names[at].partition(" ")[2], FWD << 24, 0) if record is None else record
                   for at, record in enumerate(self._records, 1))  # fmt: skip
        types = b"".join(forward)
        header = HEADER.pack(MAGIC, 1, 0, HEADER.size, 0, len(types), len(types), len(self._strings))
        return header + types + bytes(self._strings)

    def _string(self, text: str) -> int:
        if text not in self._offsets:
            self._offsets[text] = len(self._strings)
            self._strings += text.encode("latin-1") + b"\0"
        return self._offsets[text]

    def _record(self, name: str, info: int, size: int) -> bytes:
        return struct.pack("<III", self._string(name), info, size)

    def _reserve(self, name: str) -> int:
        """The number of a type, given now if it has none; its record may come later."""
        if name not in self._ids:
            self._records.append(None)
            self._ids[name] = len(self._records)
        return self._ids[name]

    def _add(self, key: str, record: bytes) -> int:
        number = self._reserve(key)
        self._records[number - 1] = record
        return number

    def _type(self, spelt: str) -> int:
        """The number of a type as C writes it, made where there is none yet; 0 for void."""
        found = _DECLARED.fullmatch(spelt)
        if found is None:
            raise ValueError(f"{spelt}: not a type that can be written")
        number, key = self._base(found["base"]), found["base"]
        for _ in found["stars"]:
            key += " *"
            number = self._ids.get(key) or self._add(key, self._record("", PTR << 24, number))
        for count in reversed(_COUNT.findall(found["counts"])):
            key += f"[{count}]"
            index = self._base("unsigned int")
            body = struct.pack("<III", number, index, int(count))
            number = self._ids.get(key) or self._add(key, self._record("", ARRAY << 24, 0) + body)
        return number

    def _base(self, name: str) -> int:
        if name == "void":
            return 0
        name = SHORT.get(name, name)
        if name in self._ids or name not in INTEGERS:
            return self._reserve(name)
        size, encoding = INTEGERS[name]
        size = size or self._word
        return self._add(name, self._record(name, INT << 24, size) + struct.pack("<I", encoding << 24 | 8 * size))

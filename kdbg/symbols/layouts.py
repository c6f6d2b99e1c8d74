"""Chosen members of a structure, read at once: what makes ten thousand threads fast.

A `Layout` knows where the members named in it lie in this kernel's own structure (its types tell) and takes them all
out of the structure's bytes with one `struct.Struct`. Members that a kernel may lack are marked with ``?``; they come
as None.

    THREAD = {"state": "t_state", "pc": "t_pcb.val[0]", "name": "t_name?"}
    layout = Layout(kernel.type("kthread_t"), THREAD)
    layout.read(kernel.target.read, address)["pc"]
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kdbg.errors import TypeNotFound
from kdbg.symbols.model import Encoding, Kind, Type

_PART = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")
MOST_BYTES = 1 << 20
"""A larger structure is taken for damage of the types."""
_INTEGERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    offset: int
    size: int
    code: str
    shift: int = 0
    mask: int = 0
    """Of a bit-field; 0 for a whole number."""
    signed: bool = False


class Layout:
    """Where chosen members lie in one structure; the same words for every kernel."""

    def __init__(self, of: Type, members: Mapping[str, str]) -> None:
        """Look every member up. ``members``: our name -> path (``a.b[1].c``; ``?`` at the end: it may be absent).

        Raises `TypeNotFound`.
        """
        self.type = of
        self.size = of.size
        if not 0 < self.size <= MOST_BYTES:
            raise TypeNotFound(of.spelling, f"a structure of {self.size} bytes")
        self._absent: dict[str, Any] = {}
        fields: list[_Field] = []
        for name, path in members.items():
            try:
                fields.append(_field(name, of, path.rstrip("?")))
            except TypeNotFound:
                if not path.endswith("?"):
                    raise
                self._absent[name] = None
        self._groups = [_compile(group) for group in _apart(fields)]
        self._bits = [field for field in fields if field.mask]
        self._texts = [field.name for field in fields if field.code.endswith("s")]

    def unpack(self, data: bytes) -> dict[str, Any]:
        """The members, from the structure's bytes: numbers, and texts for character arrays."""
        found = dict(self._absent)
        for names, unpack in self._groups:
            found.update(zip(names, unpack(data), strict=True))
        for name in self._texts:
            found[name] = found[name].partition(b"\0")[0].decode("latin-1")
        for field in self._bits:
            number = found[field.name] >> field.shift & field.mask
            sign = (field.mask + 1) >> 1
            found[field.name] = number - field.mask - 1 if field.signed and number & sign else number
        return found

    def read(self, read: Callable[[int, int], bytes], address: int) -> dict[str, Any]:
        """The members of the structure at an address: one read of it all. Raises `ReadError`."""
        return self.unpack(read(address, self.size))


def _field(name: str, of: Type, path: str) -> _Field:
    bit_offset, bit_size, here = 0, None, of
    for word, index in _PART.findall(path):
        if word:
            member = here.member(word)
            bit_offset, bit_size, here = bit_offset + member.bit_offset, member.bit_size, member.type
            continue
        element = here.resolved.reference
        if here.resolved.kind is not Kind.ARRAY or element is None or int(index) >= here.resolved.count:
            raise TypeNotFound(f"{of.spelling}.{path}", "no such element of an array")
        bit_offset, here = bit_offset + int(index) * element.size * 8, element
    return _coded(name, here.resolved, bit_offset, bit_size)


def _coded(name: str, of: Type, bit_offset: int, bit_size: int | None) -> _Field:
    size, offset = of.size, bit_offset // 8
    element = of.reference.resolved if of.kind is Kind.ARRAY and of.reference is not None else None
    if element is not None and element.kind is Kind.INTEGER and element.size == 1:
        return _Field(name, offset, size, f"{size}s")
    encoding = of.encoding or Encoding(signed=of.kind is Kind.ENUM)
    bits = bit_size or encoding.bits or size * 8
    first = bit_offset + (encoding.offset if bit_size is None else 0)
    if of.kind in (Kind.INTEGER, Kind.ENUM) and (bits != size * 8 or first % 8):
        offset, shift = first // 8, first % 8
        width = next((w for w in _INTEGERS if w * 8 >= shift + bits), 8)
        return _Field(name, offset, width, _INTEGERS[width], shift, (1 << bits) - 1, encoding.signed)
    if size in _INTEGERS and of.kind in (Kind.INTEGER, Kind.ENUM, Kind.POINTER):
        code = _INTEGERS[size]
        return _Field(name, offset, size, code.lower() if encoding.signed and of.kind is not Kind.POINTER else code)
    if of.kind in (Kind.STRUCT, Kind.UNION, Kind.ARRAY):
        # a set of bits in words (k_sigset_t): its first eight bytes as a number
        width = next(w for w in (8, 4, 2, 1) if w <= max(size, 1))
        return _Field(name, offset, width, _INTEGERS[width])
    raise TypeNotFound(of.spelling, "not a number")


def _apart(fields: list[_Field]) -> list[list[_Field]]:
    """Fields in groups in which none overlaps another: members of unions and bit-fields share their bytes."""
    groups: list[list[_Field]] = []
    for field in sorted(fields, key=lambda one: one.offset):
        for group in groups:
            if group[-1].offset + group[-1].size <= field.offset:
                group.append(field)
                break
        else:
            groups.append([field])
    return groups


def _compile(group: list[_Field]) -> tuple[tuple[str, ...], Callable[[bytes], tuple[Any, ...]]]:
    parts, end = ["<"], 0
    for field in group:
        parts.append(f"{field.offset - end}x{field.code}")
        end = field.offset + field.size
    return tuple(field.name for field in group), struct.Struct("".join(parts)).unpack_from

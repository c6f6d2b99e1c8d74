"""Values: typed places in memory that are read like C.

thread.t_procp.p_user.u_comm.string()
cpus[0].cpu_thread
int(thread.t_procp)            # a pointer's number
thread.t_state                 # integers and enumerators come as int, floats as float
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Protocol

from kdbg.errors import ReadError, TypeNotFound, WrongType
from kdbg.symbols.model import Encoding, Kind, Member, Type

MOST_LOADED = 64 << 20
"""Bytes that a structure or table may have; a larger one is taken for damage of the types."""
MOST_STRING = 4096
"""Bytes after which a string without an end is cut."""


class Memory(Protocol):
    """What values are read from."""

    bits: int

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        ...


class Value:
    """A place in memory with a type.

    Attribute = member; pointers are followed (``.address`` of a pointer is where it points, ``.place`` where it lies
    itself); members of integer, enumeration and floating types come as numbers, all others as values. A value that was
    loaded holds its bytes: one read for the whole structure, which fails as a whole.

    Raises `ReadError` where memory cannot be read, `TypeNotFound` where the type has no such member.
    """

    __slots__ = ("_data", "_memory", "place", "type")

    def __init__(self, memory: Memory, type: Type, place: int, data: bytes | None = None) -> None:  # noqa: A002
        self._memory = memory
        self.type = type
        self.place = place
        self._data = data

    def __repr__(self) -> str:
        return f"<Value {self.type.spelling} at {self.place:x}>"

    # what it is

    @property
    def is_pointer(self) -> bool:
        """Whether its type is a pointer."""
        return self.type.resolved.kind is Kind.POINTER

    @property
    def address(self) -> int:
        """Where it lies; of a pointer: where it points."""
        return int(self) if self.is_pointer else self.place

    def has(self, name: str) -> bool:
        """Whether the structure (or what the pointer points to) has a member of that name."""
        return self._structure_type().has(name)

    def address_of(self, name: str) -> int:
        """Address of a member; a path ``a.b`` goes into structures."""
        place, of = self.address, self._structure_type()
        for part in name.split("."):
            member = of.member(part)
            place, of = place + member.offset, member.type
        return place

    # reading

    def load(self) -> Value:
        """The same value with its bytes read at once (what a pointer points to). Raises `ReadError`."""
        target = self.dereference() if self.is_pointer else self
        if target._data is not None:
            return target
        if (size := target.type.size) > MOST_LOADED:
            raise ReadError(target.place, f"{target.type.spelling} of {size} bytes is more than can be read")
        return Value(self._memory, target.type, target.place, self._memory.read(target.place, size))

    def dereference(self) -> Value:
        """What the pointer points to."""
        reference = self.type.resolved.reference
        if reference is None or not self.is_pointer:
            raise TypeNotFound(self.type.spelling, "not a pointer to a type that is known")
        return Value(self._memory, reference, int(self))

    def bytes(self, size: int | None = None) -> bytes:
        """Its bytes as they lie in memory."""
        size = self.type.size if size is None else size
        if self._data is not None and size <= len(self._data):
            return self._data[:size]
        return self._memory.read(self.place, size)

    def __int__(self) -> int:
        resolved = self.type.resolved
        if resolved.kind is Kind.INTEGER and resolved.encoding is not None:
            return decode_integer(self.bytes(), resolved.encoding, 0)
        if resolved.kind in (Kind.STRUCT, Kind.UNION, Kind.ARRAY, Kind.FUNCTION):
            raise WrongType(self.type.spelling, "it is not a number")
        return int.from_bytes(self.bytes(), "little", signed=resolved.kind is Kind.ENUM)

    __index__ = __int__

    def __bool__(self) -> bool:
        return bool(int(self)) if self.type.resolved.kind not in (Kind.STRUCT, Kind.UNION, Kind.ARRAY) else True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Value):
            return int(self) == int(other) if self.is_pointer else self.place == other.place
        return int(self) == other if isinstance(other, int) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.place)

    def string(self, size: int = MOST_STRING) -> str:
        """The text in a character array, or that a pointer points to, up to its NUL; bytes as Latin-1 characters."""
        resolved = self.type.resolved
        if resolved.kind is Kind.ARRAY:
            return self.bytes().partition(b"\0")[0].decode("latin-1")
        return read_string(self._memory, self.address, size)

    # members and elements

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            return self._member(self._structure_type().member(key))
        return self._element(key)

    def __iter__(self) -> Iterator[Any]:
        """Elements of an array."""
        return (self._element(at) for at in range(self.type.resolved.count))

    def __len__(self) -> int:
        return self.type.resolved.count

    def _structure_type(self) -> Type:
        resolved = self.type.resolved
        for _ in range(8):
            if resolved.kind is not Kind.POINTER or resolved.reference is None:
                break
            resolved = resolved.reference.resolved
        return resolved

    def _member(self, member: Member) -> Any:
        base = self
        while base.is_pointer:
            base = base.dereference()
        kind = member.type.resolved.kind
        if kind is Kind.INTEGER or member.bit_size is not None:
            return base._integer(member)
        data = None
        offset, size = member.offset, member.type.size
        if base._data is not None and offset + size <= len(base._data):
            data = base._data[offset : offset + size]
        return plain_of_kind(Value(base._memory, member.type, base.place + offset, data), kind)

    def _integer(self, member: Member) -> int:
        encoding = member.type.resolved.encoding or Encoding(bits=member.type.size * 8)
        if member.bit_size is not None:
            encoding = Encoding(signed=encoding.signed, bits=member.bit_size)
        first = member.bit_offset + encoding.offset
        start, end = first // 8, (first + encoding.bits + 7) // 8
        data = self._data[start:end] if self._data is not None else self._memory.read(self.place + start, end - start)
        return decode_integer(data, encoding, first - 8 * start - encoding.offset)

    def _element(self, at: int) -> Any:
        resolved = self.type.resolved
        element = resolved.reference
        if element is None or resolved.kind not in (Kind.ARRAY, Kind.POINTER):
            raise WrongType(self.type.spelling, "it has no elements")
        offset, data = at * element.size, None
        if resolved.kind is Kind.ARRAY and self._data is not None and 0 <= offset <= len(self._data) - element.size:
            data = self._data[offset : offset + element.size]
        return plain_of_kind(Value(self._memory, element, self.address + offset, data), element.resolved.kind)


def plain(value: Value) -> Any:
    """A number instead of the value where its type is a number's."""
    return plain_of_kind(value, value.type.resolved.kind)


def plain_of_kind(value: Value, kind: Kind) -> Any:
    """As `plain`, for a type of which the kind is known."""
    if kind in (Kind.INTEGER, Kind.ENUM):
        return int(value)
    if kind is Kind.FLOAT and value.type.size in (4, 8):
        return struct.unpack("<f" if value.type.size == 4 else "<d", value.bytes())[0]
    return value


def decode_integer(data: bytes, encoding: Encoding, shift: int) -> int:
    """The integer in little-endian bytes that begins ``shift`` + ``encoding.offset`` bits into them."""
    bits = encoding.bits or 8 * len(data)
    number = int.from_bytes(data, "little") >> (shift + encoding.offset) & (1 << bits) - 1
    return number - (1 << bits) if encoding.signed and number >> (bits - 1) else number


def read_string(memory: Memory, address: int, size: int = MOST_STRING) -> str:
    """The text at an address up to its NUL, at most ``size`` bytes; what lies before an unreadable page is taken."""
    found = bytearray()
    while len(found) < size:
        length = min(256 - (address & 0xFF), size - len(found))
        try:
            part = memory.read(address, length)
        except ReadError:
            if found:
                break
            raise
        text, end, _ = part.partition(b"\0")
        found += text
        if end:
            break
        address += length
    return found.decode("latin-1")

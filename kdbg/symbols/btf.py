"""BTF: the types that a Linux kernel carries about itself, and those that its modules carry.

A header, a section of type records numbered from 1 in their order, a section of strings. A module's BTF is split: its
numbers and string offsets go on where its base's (vmlinux's) end.

Source: the kernel's Documentation/bpf/btf.rst, <linux/btf.h>.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from typing import Protocol

from kdbg.errors import FormatError, TypeNotFound
from kdbg.symbols.model import Encoding, Kind, Member, Type

MAGIC = 0xEB9F
HEADER = struct.Struct("<HBBIIIII")
LARGEST = 256 << 20

(INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT,
 DECL_TAG, TYPE_TAG, ENUM64) = range(1, 20)  # fmt: skip

_WORDS_BEHIND = (0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0)
"""By kind: words behind the three of every record."""
_WORDS_PER_ELEMENT = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)

_KINDS = {
    INT: Kind.INTEGER, PTR: Kind.POINTER, ARRAY: Kind.ARRAY, STRUCT: Kind.STRUCT, UNION: Kind.UNION, ENUM: Kind.ENUM,
    FWD: Kind.FORWARD, TYPEDEF: Kind.TYPEDEF, VOLATILE: Kind.VOLATILE, CONST: Kind.CONST, RESTRICT: Kind.RESTRICT,
    FUNC: Kind.FUNCTION, FUNC_PROTO: Kind.FUNCTION, FLOAT: Kind.FLOAT, TYPE_TAG: Kind.TYPEDEF, ENUM64: Kind.ENUM,
    VAR: Kind.UNKNOWN, DATASEC: Kind.UNKNOWN, DECL_TAG: Kind.UNKNOWN,
}  # fmt: skip
_TAGS = {STRUCT: "struct ", UNION: "union ", ENUM: "enum ", ENUM64: "enum "}
_PREFIXES = {"struct": (STRUCT,), "union": (UNION,), "enum": (ENUM, ENUM64)}
_QUALIFIERS = frozenset({"const", "volatile", "restrict"})
_PLAIN = (INT, TYPEDEF, FLOAT)
_SINGLE, _DOUBLE, _LONG_DOUBLE = 1, 2, 6


class Keep(Protocol):
    """Where `BtfContainer` keeps where its records lie, from one session to the next."""

    name: str
    """Of what is kept: its kind and the kernel's build id."""

    def get(self, name: str) -> bytes | None: ...  # noqa: D102
    def put(self, name: str, data: bytes) -> None: ...  # noqa: D102


class BtfContainer:
    """The types of a kernel, or of one of its modules on top of the kernel's (``base``).

    Raises `FormatError` where the header or the records contradict their sizes.
    """

    def __init__(
        self,
        data: bytes,
        bits: int = 64,
        base: BtfContainer | None = None,
        name: str = "vmlinux",
        keep: Keep | None = None,
    ) -> None:
        self.name = name
        self.bits = bits
        self.base = base
        self.found_by_form = False
        """Whether structures have only the members that were found in memory, and may be longer than these."""
        self.complete: Callable[[str], Type | None] | None = None
        """Finds the type that a forward declaration means, by its name, anywhere in the target."""
        if len(data) < HEADER.size:
            raise self._fail(f"a header has {HEADER.size} bytes, found {len(data)}")
        magic, version, _, size, type_at, type_size, string_at, string_size = HEADER.unpack_from(data)
        if magic != MAGIC or version != 1:
            raise self._fail(f"wants magic eb9f and version 1, found {magic:x} and {version}")
        end = size + max(type_at + type_size, string_at + string_size)
        if not HEADER.size - 0 <= size or end > min(len(data), LARGEST) or type_at % 4 or type_size % 4:
            raise self._fail(f"sections up to byte {end}, found {len(data)}")
        words = array("I")
        words.frombytes(data[size + type_at : size + type_at + type_size])
        self._words = words
        self._strings = bytes(data[size + string_at : size + string_at + string_size])
        self._first: int = base.end if base is not None else 1
        self._string_base: int = base.string_end if base is not None else 0
        self._places = self._kept(data, keep) if keep is not None else self._scan()
        self.end: int = self._first + len(self._places)
        """The number behind its last type."""
        self.string_end: int = self._string_base + len(self._strings)
        self._types: dict[int, Type] = {}
        self._known: dict[tuple[str, tuple[int, ...]], int] = {}
        self._name_words: array[int] | None = None
        self.void: Type = base.void if base is not None else Type(self, 0, Kind.INTEGER, "void", 0, Encoding())

    def _fail(self, reason: str) -> FormatError:
        return FormatError(self.name, f"damaged BTF: {reason}")

    def _kept(self, data: bytes, keep: Keep) -> array[int]:
        """`_scan`, or what was kept of it where that can be right: places in the records, ascending."""
        name = f"{keep.name}-{zlib.crc32(data):x}-{len(data):x}"
        found, places = keep.get(name), array("I")
        if found is not None and len(found) % 4 == 0:
            places.frombytes(found)
            numbers = places.tolist()
            if numbers and not numbers[0] and numbers[-1] <= len(self._words) - 3 and sorted(numbers) == numbers:
                return places
        places = self._scan()
        keep.put(name, places.tobytes())
        return places

    def _scan(self) -> array[int]:
        """Places of the records among the words. The loop over all of them is kept flat: it decides the start-up."""
        words, places, at, end = self._words, array("I"), 0, len(self._words)
        append, behind, per_element = places.append, _WORDS_BEHIND, _WORDS_PER_ELEMENT
        try:
            while at < end:
                append(at)
                info = words[at + 1]
                kind = info >> 24 & 0x1F
                at += 3 + behind[kind] + (info & 0xFFFF) * per_element[kind]
        except IndexError:
            raise self._fail(f"a record at word {at} that is cut short or of a kind unknown") from None
        if at != end:
            raise self._fail("the last record is cut short")
        return places

    # records

    def _record(self, type_id: int) -> tuple[int, int, int, int]:
        """(place, name offset, info, size or type) of a record of its own."""
        if not self._first <= type_id < self.end:
            raise TypeNotFound(f"type {type_id}", "Invalid type identifier")
        at = self._places[type_id - self._first]
        return at, self._words[at], self._words[at + 1], self._words[at + 2]

    def _string(self, offset: int) -> str:
        if offset < self._string_base:
            return self.base._string(offset) if self.base is not None else ""
        start = offset - self._string_base
        end = self._strings.find(b"\0", start)
        return self._strings[start : end if end >= 0 else len(self._strings)].decode("latin-1")

    def __len__(self) -> int:
        """The number of types of its own."""
        return len(self._places)

    def __iter__(self) -> Iterator[Type]:
        """All its own types in order."""
        return (self.type_by_id(number) for number in range(self._first, self.end))

    def roots(self) -> Iterator[Type]:
        """Its own types that have names, in order; functions and variables are none."""
        for position, at in enumerate(self._places):
            kind = self._words[at + 1] >> 24 & 0x1F
            if self._words[at] and (kind in _TAGS or kind in _PLAIN):
                yield self.type_by_id(self._first + position)

    # types

    def type_by_id(self, type_id: int) -> Type:
        """The type of that number, of its base too. Raises `TypeNotFound`."""
        if type_id < self._first and self.base is not None:
            return self.base.type_by_id(type_id)
        found = self._types.get(type_id)
        if found is None:
            found = self._types[type_id] = self._build(type_id)
        return found

    def _build(self, type_id: int) -> Type:
        at, name_at, info, size = self._record(type_id)
        kind, name = info >> 24 & 0x1F, self._string(name_at) if name_at else ""
        if kind == INT:
            return Type(self, type_id, Kind.INTEGER, name, size, _encoding(self._words[at + 3], name))
        if kind == FLOAT:
            form = {4: _SINGLE, 8: _DOUBLE}.get(size, _LONG_DOUBLE)
            return Type(self, type_id, Kind.FLOAT, name, size, Encoding(signed=True, bits=8 * size, float_format=form))
        if kind in _TAGS:
            return Type(self, type_id, _KINDS[kind], _TAGS[kind] + name, size)
        if kind == FWD:
            return Type(self, type_id, Kind.FORWARD, ("union " if info >> 31 else "struct ") + name)
        if kind == PTR:
            return Type(self, type_id, Kind.POINTER, "", self.bits // 8)
        if kind == ARRAY:
            return Type(self, type_id, Kind.ARRAY, "", count=self._words[at + 5])
        if kind in (FUNC, FUNC_PROTO):
            return Type(self, type_id, Kind.FUNCTION, name, 0, variadic=self._is_variadic(type_id))
        if kind == TYPE_TAG:  # __user, __rcu: stands for what it marks
            return Type(self, type_id, Kind.VOLATILE, name)
        return Type(self, type_id, _KINDS.get(kind, Kind.UNKNOWN), name)

    def _prototype(self, type_id: int) -> int:
        """The function prototype that a function's number means."""
        _, _, info, reference = self._record(type_id)
        return reference if info >> 24 & 0x1F == FUNC else type_id

    def _parameters(self, type_id: int) -> list[int]:
        number = self._prototype(type_id)
        holder = self if number >= self._first or self.base is None else self.base
        at, _, info, _ = holder._record(number)
        return list(holder._words[at + 4 : at + 3 + 2 * (info & 0xFFFF) : 2])

    def _is_variadic(self, type_id: int) -> bool:
        parameters = self._parameters(type_id)
        return bool(parameters) and parameters[-1] == 0

    def members(self, type_id: int) -> tuple[Member, ...]:
        """Members of a structure or union. Raises `TypeNotFound`."""
        at, _, info, _ = self._record(type_id)
        count, fields = info & 0xFFFF, bool(info >> 31)
        words = self._words[at + 3 : at + 3 + 3 * count]
        found = []
        for name_at, number, offset in zip(words[0::3], words[1::3], words[2::3], strict=True):
            bits = offset >> 24 if fields else 0
            place = offset & 0xFFFFFF if fields else offset
            found.append(Member(self._string(name_at) if name_at else "", self.type_by_id(number), place, bits or None))
        return tuple(found)

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        """Names and values of an enumeration."""
        at, _, info, _ = self._record(type_id)
        count, signed, wide = info & 0xFFFF, bool(info >> 31), info >> 24 & 0x1F == ENUM64
        step, bits = (3, 64) if wide else (2, 32)
        words = self._words[at + 3 : at + 3 + step * count]
        found = []
        for start in range(0, len(words), step):
            value = words[start + 1] | (words[start + 2] << 32 if wide else 0)
            if (signed or not wide) and value >> (bits - 1):
                value -= 1 << bits
            found.append((self._string(words[start]), value))
        return tuple(found)

    def reference(self, type_id: int) -> Type | None:
        """What a type points to, consists of, returns or stands for; void is a type of no size."""
        at, _, info, number = self._record(type_id)
        kind = info >> 24 & 0x1F
        if kind == ARRAY:
            number = self._words[at + 3]
        elif kind == FUNC:
            return self.type_by_id(number).reference if number else self.void
        elif kind in (INT, FLOAT, STRUCT, UNION, ENUM, ENUM64, FWD, DATASEC):
            return None
        return self.type_by_id(number) if number else self.void

    def arguments(self, type_id: int) -> tuple[Type, ...]:
        """Types of a function's arguments."""
        return tuple(self.type_by_id(number) for number in self._parameters(type_id) if number)

    # names

    def lookup(self, name: str) -> Type:
        """The type of that C name: ``struct task_struct``, ``pid_t``, ``unsigned long``, ``char *``; also its base's.

        A structure is preferred to a forward declaration of its name. Raises `TypeNotFound`.
        """
        stars = name.count("*")
        words = [word for word in name.replace("*", " ").split() if word not in _QUALIFIERS]
        if not words:
            raise TypeNotFound(name, "Syntax error in type name")
        number = self._find(words)
        for _ in range(stars):
            number = self._pointer_to(number) if number else 0
        if number:
            return self.type_by_id(number)
        if self.base is not None:
            return self.base.lookup(name)
        raise TypeNotFound(name)

    def all_named(self, name: str) -> Iterator[Type]:
        """All types of a tagged name, its own first: a kernel may have several structures of one name."""
        words = name.split()
        for number in self._candidates(" ".join(words[1:]), _PREFIXES.get(words[0], ())):
            yield self.type_by_id(number)
        if self.base is not None:
            yield from self.base.all_named(name)

    def _find(self, words: list[str]) -> int:
        if words[0] in _PREFIXES and len(words) > 1:
            return self._named(" ".join(words[1:]), _PREFIXES[words[0]])
        return self._named(" ".join(words), _PLAIN) or self._named(_spelt(words), _PLAIN)

    def _named(self, name: str, kinds: tuple[int, ...]) -> int:
        """The number of the first type of that name among some kinds, 0 if there is none."""
        key = (name, kinds)
        if key not in self._known:
            self._known[key] = next(self._candidates(name, kinds), 0)
        return self._known[key]

    def _candidates(self, name: str, kinds: tuple[int, ...]) -> Iterator[int]:
        pattern = b"\0" + name.encode("latin-1", "replace") + b"\0"
        at = self._strings.find(pattern)
        offsets = [] if at < 0 else [at + 1 + self._string_base]
        if self.base is not None:  # a module's types may take their names from the kernel's strings
            at = self.base._strings.find(pattern)
            offsets += [] if at < 0 else [at + 1 + self.base._string_base]
        for offset in offsets:
            for position in self._positions(offset):
                if self._words[self._places[position] + 1] >> 24 & 0x1F in kinds:
                    yield self._first + position

    def _positions(self, name_offset: int) -> Iterator[int]:
        """Positions of the records with that name."""
        if self._name_words is None:
            words = self._words
            self._name_words = array("I", [words[at] for at in self._places])
        names, at = self._name_words, 0
        while True:
            try:
                at = names.index(name_offset, at)
            except ValueError:
                return
            yield at
            at += 1

    def _pointer_to(self, number: int) -> int:
        words = self._words
        for position, at in enumerate(self._places):
            if words[at + 2] == number and words[at + 1] >> 24 & 0x1F == PTR:
                return self._first + position
        return 0

    def names(self) -> Iterator[str]:
        """Names of its own types: ``struct task_struct``, ``pid_t``, ``int``."""
        for at in self._places:
            kind = self._words[at + 1] >> 24 & 0x1F
            if self._words[at] and (kind in _TAGS or kind in _PLAIN):
                yield _TAGS.get(kind, "") + self._string(self._words[at])

    def variables(self) -> Iterator[tuple[str, Type]]:
        """Name and type of each variable that BTF tells of (per-CPU ones, mostly)."""
        for at in self._places:
            if self._words[at + 1] >> 24 & 0x1F == VAR:
                yield self._string(self._words[at]), self.type_by_id(self._words[at + 2])

    def section_offsets(self) -> Iterator[tuple[str, int]]:
        """Name and offset of each variable in its section, of which there is one: that of the per-CPU ones."""
        for at in self._places:
            info = self._words[at + 1]
            if info >> 24 & 0x1F != DATASEC:
                continue
            for entry in range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3):
                variable, offset = self._words[entry], self._words[entry + 1]
                if self._first <= variable < self.end:
                    yield self._string(self._words[self._places[variable - self._first]]), offset

    def function(self, name: str) -> Type:
        """The prototype of the function of that name. Raises `TypeNotFound`."""
        number = self._named(name, (FUNC,))
        if not number:
            if self.base is not None:
                return self.base.function(name)
            raise TypeNotFound(name)
        return self.type_by_id(number)


def _encoding(word: int, name: str) -> Encoding:
    """Take apart an integer's word. Compilers do not mark characters as such: their name tells."""
    flags = word >> 24 & 0xF
    return Encoding(
        signed=bool(flags & 1) or name == "char",
        char=bool(flags & 2) or name in ("char", "signed char", "unsigned char"),
        boolean=bool(flags & 4),
        offset=word >> 16 & 0xFF,
        bits=word & 0xFF,
    )


def _spelt(words: list[str]) -> str:
    """A basic type's name as compilers write it into BTF: ``long unsigned int`` for ``unsigned long``."""
    rest = [word for word in words if word in ("unsigned", "signed", "long", "short", "int", "char")]
    if len(rest) != len(words):
        return " ".join(words)
    unsigned, longs = "unsigned" in rest, rest.count("long")
    if "char" in rest:
        return "unsigned char" if unsigned else "signed char" if "signed" in rest else "char"
    size = "short " if "short" in rest else "long " * longs
    if not size:
        return "unsigned int" if unsigned else "int"
    return f"{size}{'unsigned ' if unsigned else ''}int"

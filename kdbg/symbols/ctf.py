"""CTF, the Compact C Type Format of Solaris and illumos: versions 2 and 3, either byte order, compressed or not.

A container is a header, then labels, types of data objects, types of functions, types, strings. Types are numbered
from 1 in their order; a child's start at 0x8000 (version 3: 0x80000000), smaller numbers in it mean its parent's types.
The type section is gone through once for the places of its records; a record is decoded when its type is asked for.

Source: <sys/ctf.h> (ctf_header, ctf_stype, ctf_type, ctf_member, ctf_lmember, ctf_array, ctf_enum); version 3 as
FreeBSD's header of that name has it (all numbers 32 bits wide).
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kdbg.errors import FormatError, TypeNotFound
from kdbg.symbols.model import Encoding, Kind, Member, Type

MAGIC = 0xCFF1
COMPRESSED = 0x01
HEADER = "HBB8I"
HEADER_SIZE = 36
LARGEST = 128 << 20
"""Bytes: a container that claims more is taken for damaged (the largest ones known are under 10 MB)."""

NO_TYPE = "No type information available for that name"
NO_DATA = "No type information available for symbol"
_K = Kind
REFERENCES = frozenset({_K.POINTER, _K.TYPEDEF, _K.VOLATILE, _K.CONST, _K.RESTRICT})
_TAGS = {_K.STRUCT: "struct ", _K.UNION: "union ", _K.ENUM: "enum "}
_PREFIXES = {kind.value: _TAGS.get(kind, "") for kind in Kind}
_KINDS = list(Kind)
_QUALIFIERS = frozenset({"static", "volatile", "auto", "extern", "const", "register", "restrict", "_Restrict"})


@dataclass(frozen=True, slots=True)
class Layout:
    """How one version lays out its records."""

    word: int
    """Bytes of a type number, an info word, a reference."""
    head: str
    """struct format of a type's first part: name, info, size or reference."""
    kind_shift: int
    root_bit: int
    vlen_mask: int
    large_size: int
    """The size that says that two words with the real one follow."""
    large_struct: int
    """Structures of at least this size have the long kind of members."""
    member: str
    """name, type, bit offset"""
    large_member: str
    """name, type, high and low word of the bit offset"""
    array: str
    """type of the elements, of the index, count"""
    child: int
    """The first number of a child's types."""


LAYOUTS = {
    2: Layout(2, "IHH", 11, 1 << 10, 0x3FF, 0xFFFF, 8192, "IHH", "IHxxII", "HHI", 0x8000),
    3: Layout(4, "III", 26, 1 << 25, 0x1FFFFFF, 0xFFFFFFFF, 1 << 29, "III", "IIII", "III", 0x80000000),
}


class CtfContainer:
    """The types of one module or object.

    ``symtab`` and ``strtab`` are the bytes of the ELF symbol table that the object and function sections follow, and of
    its strings (which names of types may refer to as well). ``bits`` is the data model: 32 or 64.

    Raises `FormatError` where the header or a type record is wrong. Whatever is wrong with a single type shows when it
    is asked for: `TypeNotFound`.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        bits: int = 64,
        parent: CtfContainer | None = None,
        symtab: bytes | memoryview = b"",
        strtab: bytes | memoryview = b"",
        name: str = "ctf",
    ) -> None:
        self.name = name
        self.bits = bits
        self.parent = parent
        self.complete: Callable[[str], Type | None] | None = None
        """Finds the type that a forward declaration means, by its name, anywhere in the target."""
        self._symtab = symtab
        self._strtab = strtab
        self._types: dict[int, Type] = {}
        self._names: dict[str, int] | None = None
        self._pointers: dict[int, int] = {}
        self._entries: dict[int, int] | None = None
        self._functions: dict[int, Type] = {}
        self._open(memoryview(data))
        self._offsets = self._scan()

    def _fail(self, reason: str, offset: int | None = None) -> FormatError:
        return FormatError(self.name, f"damaged CTF: {reason}", offset)

    def _open(self, data: memoryview) -> None:
        if len(data) < HEADER_SIZE:
            raise self._fail(f"a header has {HEADER_SIZE} bytes, found {len(data)}")
        self._order = "<" if data[0] == MAGIC & 0xFF else ">"
        magic, version, flags, label, parent, *starts, size = struct.unpack_from(self._order + HEADER, data)
        if magic != MAGIC:
            raise self._fail(f"the magic number is {MAGIC:x}, found {magic:x}", 0)
        if version not in LAYOUTS:
            raise self._fail(f"versions 2 and 3 are known, found {version}", 2)
        labels, objects, functions, types, strings = starts
        total = strings + size
        if not labels <= objects <= functions <= types <= strings <= total <= LARGEST:
            raise self._fail("sections out of order, or too large", 4)
        if labels & 3 or objects & 1 or functions & 1 or types & 3:
            raise self._fail("sections are not aligned", 4)
        body: bytes | memoryview = data[HEADER_SIZE:]
        if flags & COMPRESSED:
            body = self._inflate(body, total)
        if len(body) < total:
            raise self._fail(f"sections of {total} bytes, found {len(body)}")
        self.version = version
        self._layout = LAYOUTS[version]
        self._body = bytes(body[:total])
        self._labels, self._objects, self._funcs, self._start, self._end = starts
        self._strings = self._body[strings:]
        self.parent_label = self._string(label) if label else ""
        self.parent_name = self._string(parent) if parent else ""
        """Name of the container whose types this one builds on, "" if it stands alone."""
        head = self._order + self._layout.head
        self._head = struct.Struct(head)
        self._encoded = struct.Struct(self._order + "I")

    def _inflate(self, packed: bytes | memoryview, total: int) -> bytes:
        inflater = zlib.decompressobj()
        try:
            body = inflater.decompress(packed, total + 1) if total else b""
        except zlib.error as error:
            raise self._fail(f"cannot be inflated ({error})") from None
        if len(body) != total:
            raise self._fail(f"inflates to {len(body)} bytes instead of {total}")
        return body

    # the type section

    def _scan(self) -> array[int]:
        """Places of all type records in the body, from number 1 on (0 stands for no type)."""
        scan = self._scan_narrow if self.version == 2 else self._scan_wide
        offsets, child = scan()
        self.is_child = bool(self.parent_name) or child
        self._base = self._layout.child if self.is_child else 0
        return offsets

    def _scan_narrow(self) -> tuple[array[int], bool]:
        """Version 2. The loop over all records: kept flat, it decides how fast a kernel opens."""
        body = self._body[self._start : self._end & ~1]
        words = array("H", body)
        if (self._order == "<") != (sys.byteorder == "little"):
            words.byteswap()
        offsets = array("I", [0])
        at, end, start, child = 0, len(words) - 3, self._start, False
        # words behind the head of each kind: fixed + per element
        fixed = (0, 2, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        per_element = (0, 0, 0, 0, 0, 1, 4, 4, 4, 0, 0, 0, 0, 0)
        while at < end:
            info, size = words[at + 2], words[at + 3]
            kind, count = info >> 11, info & 0x3FF
            if kind > 13:
                raise self._fail(f"kind {kind} of type {len(offsets)} is not known", start + 2 * at)
            offsets.append(start + 2 * at)
            at += 4
            if size == 0xFFFF:
                if at + 4 > len(words):
                    raise self._fail(f"type {len(offsets) - 1} is cut short", start + 2 * at)
                (size,) = struct.unpack_from(self._order + "I", body, 2 * at + 4)
                size |= struct.unpack_from(self._order + "I", body, 2 * at)[0] << 32
                at += 4
            if kind in (3, 10, 11, 12, 13):
                child = child or size >= 0x8000
                continue
            width = per_element[kind]
            if kind == 5:
                count += count & 1
            elif width == 4 and size >= 8192 and kind != 8:
                width = 8
            at += fixed[kind] + count * width
        if at > len(words):
            raise self._fail(f"type {len(offsets) - 1} is cut short", start + 2 * at)
        return offsets, child

    def _scan_wide(self) -> tuple[array[int], bool]:
        """Version 3."""
        layout, head = self._layout, self._order + self._layout.head
        offsets = array("I", [0])
        at, end, child = self._start, self._end, False
        fixed = {_K.INTEGER: 4, _K.FLOAT: 4, _K.ARRAY: 12}
        while at + 12 <= end:
            _, info, size = struct.unpack_from(head, self._body, at)
            number, count = info >> layout.kind_shift, info & layout.vlen_mask
            if number > 13:
                raise self._fail(f"kind {number} of type {len(offsets)} is not known", at)
            offsets.append(at)
            kind = _KINDS[number]
            child = child or (kind in REFERENCES and size >= layout.child)
            at += 12
            if size == layout.large_size and at + 8 <= end:
                high, low = struct.unpack_from(self._order + "II", self._body, at)
                size, at = high << 32 | low, at + 8
            large = size >= layout.large_struct
            if kind is _K.FUNCTION:
                at += 4 * (count + (count & 1))
            elif kind in (_K.STRUCT, _K.UNION):
                at += count * (16 if large else 12)
            elif kind is _K.ENUM:
                at += count * 8
            at += fixed.get(kind, 0)
        if at > end:
            raise self._fail(f"type {len(offsets) - 1} is cut short", at)
        return offsets, child

    def _string(self, reference: int) -> str:
        strings = self._strtab if reference >> 31 else self._strings
        start = reference & 0x7FFFFFFF
        if start >= len(strings):
            return ""
        if isinstance(strings, memoryview):
            strings = self._strtab = bytes(strings)
        end = strings.find(b"\0", start)
        return strings[start : end if end >= 0 else len(strings)].decode("latin-1")

    def _record(self, index: int) -> tuple[int, Kind, bool, int, int, int]:
        """Decode a record: name reference, kind, whether a root, vlen, size or reference, place of what follows."""
        layout, offset = self._layout, self._offsets[index]
        name, info, size = self._head.unpack_from(self._body, offset)
        offset += self._head.size
        if size == layout.large_size:
            high, low = struct.unpack_from(self._order + "II", self._body, offset)
            offset += 8
            if _KINDS[info >> layout.kind_shift] not in REFERENCES:
                size = high << 32 | low
        root = bool(info & layout.root_bit)
        return name, _KINDS[info >> layout.kind_shift], root, info & layout.vlen_mask, size, offset

    def _locate(self, type_id: int) -> tuple[CtfContainer, int]:
        """Container and index of a type number. Raises `TypeNotFound`."""
        holder: CtfContainer | None = self
        if self.is_child and type_id < self._layout.child:
            holder = self.parent
        index = type_id & (self._layout.child - 1)
        if holder is None or not 0 < index < len(holder._offsets):
            raise TypeNotFound(f"type {type_id:#x}", "Invalid type identifier")
        return holder, index

    # types

    def __len__(self) -> int:
        """The number of types of its own."""
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Type]:
        """All its own types in order."""
        return (self.type_by_id(self._base | index) for index in range(1, len(self._offsets)))

    def is_root(self, type_id: int) -> bool:
        """Whether a type stands at the top level. Raises `TypeNotFound`."""
        holder, index = self._locate(type_id)
        return holder._record(index)[2]

    def roots(self) -> Iterator[Type]:
        """Its own types at the top level (bit-fields and the like are not)."""
        for index in range(1, len(self._offsets)):
            if self._record(index)[2]:
                yield self.type_by_id(self._base | index)

    def type_by_id(self, type_id: int) -> Type:
        """The type of that number; a child knows its parent's too. Raises `TypeNotFound`."""
        found = self._types.get(type_id)
        if found is None:
            holder, index = self._locate(type_id)
            found = holder._build(type_id, index) if holder is self else holder.type_by_id(holder._base | index)
            self._types[type_id] = found
        return found

    def _build(self, type_id: int, index: int) -> Type:
        reference, kind, _, count, size, at = self._record(index)
        name = self._string(reference)
        if kind in _TAGS:
            return Type(self, type_id, kind, _TAGS[kind] + name, size)
        if kind in (_K.INTEGER, _K.FLOAT):
            return Type(self, type_id, kind, name, size, _encoding(kind, *self._encoded.unpack_from(self._body, at)))
        if kind is _K.FORWARD:
            tag = _KINDS[size] if size < len(_KINDS) else _K.STRUCT
            return Type(self, type_id, kind, _TAGS.get(tag, "struct ") + name)
        if kind is _K.ARRAY:
            elements = struct.unpack_from(self._order + self._layout.array, self._body, at)[2]
            return Type(self, type_id, kind, name, size or None, count=elements)
        if kind is _K.FUNCTION:
            variadic = count > 0 and self._argument_ids(at, count)[-1] == 0
            return Type(self, type_id, kind, name, 0, variadic=variadic)
        if kind is _K.POINTER:
            return Type(self, type_id, kind, name, self.bits // 8)
        return Type(self, type_id, kind, name, None if kind in REFERENCES else 0)

    def _argument_ids(self, at: int, count: int) -> tuple[int, ...]:
        letter = "H" if self._layout.word == 2 else "I"
        return struct.unpack_from(f"{self._order}{count}{letter}", self._body, at)

    def members(self, type_id: int) -> tuple[Member, ...]:
        """Members of a structure or union. Raises `TypeNotFound`."""
        holder, index = self._locate(type_id)
        _, kind, _, count, size, at = holder._record(index)
        if kind not in (_K.STRUCT, _K.UNION):
            return ()
        layout, order = holder._layout, holder._order
        if size < layout.large_struct:
            form = struct.Struct(order + layout.member)
            records = form.iter_unpack(holder._body[at : at + count * form.size])
            return tuple(Member(holder._string(n), holder.type_by_id(t), offset) for n, t, offset in records)
        form = struct.Struct(order + layout.large_member)
        long_records = form.iter_unpack(holder._body[at : at + count * form.size])
        return tuple(Member(holder._string(n), holder.type_by_id(t), hi << 32 | lo) for n, t, hi, lo in long_records)

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        """Names and values of an enumeration."""
        holder, index = self._locate(type_id)
        _, kind, _, count, _, at = holder._record(index)
        if kind is not _K.ENUM:
            return ()
        records = struct.iter_unpack(holder._order + "Ii", holder._body[at : at + count * 8])
        return tuple((holder._string(name), value) for name, value in records)

    def reference(self, type_id: int) -> Type | None:
        """What a type points to, consists of, returns or stands for; None for number 0."""
        if type_id in self._functions:
            return self._functions[type_id].reference
        holder, index = self._locate(type_id)
        _, kind, _, _, size, at = holder._record(index)
        if kind is _K.ARRAY:
            size = struct.unpack_from(holder._order + holder._layout.array, holder._body, at)[0]
        elif kind is not _K.FUNCTION and kind not in REFERENCES:
            return None
        return holder.type_by_id(size) if size else None

    def index(self, type_id: int) -> Type | None:
        """The type of an array's index; None for number 0 and all else."""
        holder, index = self._locate(type_id)
        _, kind, _, _, _, at = holder._record(index)
        if kind is not _K.ARRAY:
            return None
        number = struct.unpack_from(holder._order + holder._layout.array, holder._body, at)[1]
        return holder.type_by_id(number) if number else None

    def arguments(self, type_id: int) -> tuple[Type, ...]:
        """Types of a function's arguments."""
        holder, index = self._locate(type_id)
        _, kind, _, count, _, at = holder._record(index)
        if kind is not _K.FUNCTION or not count:
            return ()
        ids = holder._argument_ids(at, count)
        return tuple(holder.type_by_id(one) for one in (ids[:-1] if ids[-1] == 0 else ids))

    # names

    def lookup(self, name: str) -> Type:
        """The type of that C name, in this container, then in its parent.

        As libctf reads names: qualifiers are passed over; ``struct``, ``union``, ``enum`` and a tag, or a name of any
        other type; then stars, for which a pointer to that type (or to what it stands for) must be in the container.
        Raises `TypeNotFound`.
        """
        container: CtfContainer | None = self
        while container is not None:
            type_id = container._find(name)
            if type_id:
                return container.type_by_id(type_id)
            container = container.parent
        raise TypeNotFound(name, NO_TYPE)

    def _find(self, name: str) -> int:
        """Return the number of the type of that name in this container, 0 if there is none."""
        names, found = self._by_name(), 0
        for position, part in enumerate(name.split("*")):
            if position:
                found = self._pointer_to(found) if found else 0
                if not found:
                    return 0
            part = part.strip()
            while part and (word := part.split(None, 1))[0] in _QUALIFIERS:
                part = word[1] if len(word) > 1 else ""
            if not part:
                continue
            found = names.get(_tidy(part), 0)
            if not found:
                return 0
        if not found:
            raise TypeNotFound(name, "Syntax error in type name")
        return found

    def _pointer_to(self, type_id: int) -> int:
        mask = self._layout.child - 1
        pointer = self._pointers.get(type_id & mask)
        if pointer is None:
            pointer = self._pointers.get(self.type_by_id(type_id).resolved.id & mask, 0)
        return pointer and self._base | pointer

    def names(self) -> Iterator[str]:
        """Names of its own types: ``struct proc``, ``proc_t``, ``int``."""
        return iter(self._by_name())

    def _by_name(self) -> dict[str, int]:
        if self._names is None:
            self._names = {}
            self._index_names(self._names)
        return self._names

    def _index_names(self, names: dict[str, int]) -> None:
        """Fill the index: of two types of one name the later one counts, but for integers the first.

        Kept flat: with `_scan_narrow` it decides how fast a kernel opens.
        """
        layout, unpack, body = self._layout, self._head.unpack_from, self._body
        base, child, mask, shift = self._base, self.is_child, layout.child - 1, layout.kind_shift
        texts, pointers, anonymous = self._all_strings(), self._pointers, dict[int, int]()
        places = iter(enumerate(self._offsets))
        next(places)
        for index, offset in places:
            reference, info, size = unpack(body, offset)
            number = info >> shift
            if number == 3 and (size >= layout.child) == child:
                pointers[size & mask] = index
            if number in (0, 4):  # neither arrays nor unknown types have names
                continue
            name = texts.get(reference) if reference else ""
            if name is None:
                name = self._string(reference)
            if not name:
                if number == 10:
                    anonymous[index] = size
                continue
            if number > 2 and number != 9:
                names[_PREFIXES[number] + name] = base | index
            elif number == 9:
                names.setdefault((_PREFIXES.get(size) or "struct ") + name, base | index)
            elif (known := names.get(name)) is None or self._empty(known):
                names[name] = base | index
        self._index_anonymous(anonymous)

    def _all_strings(self) -> dict[int, str]:
        """All strings of the container's own table, by their place."""
        found, at = {}, 0
        for text in self._strings.decode("latin-1").split("\0"):
            found[at] = text
            at += len(text) + 1
        return found

    def _empty(self, type_id: int) -> bool:
        encoding = self.type_by_id(type_id).encoding
        return encoding is not None and encoding.bits == 0

    def _index_anonymous(self, typedefs: dict[int, int]) -> None:
        """A pointer to a nameless typedef (number -> what it stands for) counts as one to what that stands for."""
        mask, pointers = self._layout.child - 1, dict(self._pointers)
        for index, of in sorted(typedefs.items()):
            if index in pointers:
                self._pointers[of & mask] = pointers[index]

    # objects and functions

    def _entry(self, index: int) -> tuple[int, int]:
        """Symbol type and place of the entry for a symbol of the table, place -1 if there is none."""
        if self._entries is None:
            self._entries = dict(self._pair())
        size, info_at = (24, 4) if self.bits == 64 else (16, 12)
        where = index * size + info_at
        if not 0 <= where < len(self._symtab):
            raise TypeNotFound(f"symbol {index}", "Symbol table information is not available")
        return self._symtab[where] & 0xF, self._entries.get(index, -1)

    def _pair(self) -> Iterator[tuple[int, int]]:
        """Pair symbols with entries: both sections follow the order of the table, undefined symbols are left out."""
        form = self._order + ("IBBHQQ" if self.bits == 64 else "IIIBBH")
        size = struct.calcsize(form)
        word = self._layout.word
        objects, functions = self._objects, self._funcs
        table = bytes(self._symtab[: len(self._symtab) // size * size])
        for index, entry in enumerate(struct.iter_unpack(form, table)):
            if self.bits == 64:
                name, info, _, section, value, _ = entry
            else:
                name, value, _, info, _, section = entry
            if not name or not section or self._special(name):
                continue
            if info & 0xF == 1 and objects + word <= self._funcs and (section != 0xFFF1 or value):
                yield index, objects
                objects += word
            elif info & 0xF == 2 and functions + word <= self._start:
                yield index, functions
                (head,) = self._argument_ids(functions, 1)
                functions += word * (2 + (head & self._layout.vlen_mask)) if head else word

    def _special(self, name: int) -> bool:
        return self._strtab[name : name + 8] == b"_START_\0" or self._strtab[name : name + 6] == b"_END_\0"

    def type_of_object(self, symbol_index: int) -> Type:
        """The type of the data symbol with that index in the symbol table. Raises `TypeNotFound`."""
        kind, at = self._entry(symbol_index)
        if kind != 1:
            raise TypeNotFound(f"symbol {symbol_index}", "Symbol table entry is not a data object")
        type_id = self._argument_ids(at, 1)[0] if at >= 0 else 0
        if not type_id:
            raise TypeNotFound(f"symbol {symbol_index}", NO_DATA)
        return self.type_by_id(type_id)

    def type_of_function(self, symbol_index: int) -> Type:
        """The function's type: ``reference`` is what it returns, ``arguments`` what it takes. Raises `TypeNotFound`."""
        kind, at = self._entry(symbol_index)
        if kind != 2:
            raise TypeNotFound(f"symbol {symbol_index}", "Symbol table entry is not a function")
        head = self._argument_ids(at, 1)[0] if at >= 0 else 0
        number, count = head >> self._layout.kind_shift, head & self._layout.vlen_mask
        if number != _K.FUNCTION.value or at + (2 + count) * self._layout.word > self._start:
            raise TypeNotFound(f"symbol {symbol_index}", "No function information available for symbol")
        returned, *arguments = self._argument_ids(at + self._layout.word, 1 + count)
        variadic = bool(arguments) and arguments[-1] == 0
        if variadic:
            arguments.pop()
        return Type(_Function(self, returned, tuple(arguments)), 0, _K.FUNCTION, "", 0, variadic=variadic)


class _Function:
    """Loader of one function's type out of the function section, where functions have no number."""

    complete = None

    def __init__(self, container: CtfContainer, returned: int, taken: tuple[int, ...]) -> None:
        self._container, self._returned, self._taken = container, returned, taken

    def members(self, type_id: int) -> tuple[Member, ...]:
        return ()

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        return ()

    def reference(self, type_id: int) -> Type | None:
        return self._container.type_by_id(self._returned) if self._returned else None

    def arguments(self, type_id: int) -> tuple[Type, ...]:
        return tuple(self._container.type_by_id(one) for one in self._taken)


def _tidy(name: str) -> str:
    """One blank between ``struct``, ``union`` or ``enum`` and the tag."""
    words = name.split(None, 1)
    return " ".join(words) if words[0] in ("struct", "union", "enum") else name


def _encoding(kind: Kind, data: int) -> Encoding:
    """Take apart the data word of an integer (CTF_INT_DATA) or a float (CTF_FP_DATA)."""
    form, offset, bits = data >> 24, data >> 16 & 0xFF, data & 0xFFFF
    if kind is Kind.FLOAT:
        return Encoding(signed=True, offset=offset, bits=bits, float_format=form)
    return Encoding(bool(form & 1), bool(form & 2), bool(form & 4), bool(form & 8), offset, bits)

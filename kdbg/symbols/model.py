"""The type model: one for CTF, BTF and DWARF; each is a loader that fills it lazily.

A `Type` says what the language and the kernels need to know of a C type. Loaders subclass `Type` or fill it through a
`TypeLoader`; everything beyond name, kind and size is asked for on first use.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from kdbg.errors import TypeNotFound


class Kind(enum.Enum):
    """What sort of type it is (the kinds of CTF; BTF and DWARF map onto them)."""

    UNKNOWN = 0
    INTEGER = 1
    FLOAT = 2
    POINTER = 3
    ARRAY = 4
    FUNCTION = 5
    STRUCT = 6
    UNION = 7
    ENUM = 8
    FORWARD = 9
    TYPEDEF = 10
    VOLATILE = 11
    CONST = 12
    RESTRICT = 13


TRANSPARENT = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT})
"""Kinds that stand for another type."""

LIMIT = 64
"""Steps from a type to what it stands for, beyond which the types are taken for damaged."""

CORRUPT = "File data structure corruption detected"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How an integer or a floating point number lies in its storage (the data word of CTF's integers and floats)."""

    signed: bool = False
    char: bool = False
    boolean: bool = False
    varargs: bool = False
    offset: int = 0
    """Bit offset of the value in its storage."""
    bits: int = 0
    """Size of the value in bits."""
    float_format: int = 0
    """For floats: CTF_FP_* (1 single, 2 double, 6 long double ...); 0 for integers."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a structure or union."""

    name: str
    """Empty for an anonymous structure or union."""
    type: Type
    bit_offset: int
    """From the start of the structure, in bits."""
    bit_size: int | None = None
    """For bit-fields whose type does not tell (BTF, DWARF); None for all else."""

    @property
    def offset(self) -> int:
        """From the start of the structure, in whole bytes."""
        return self.bit_offset // 8


class TypeLoader(Protocol):
    """What fills in the details of a type when they are asked for."""

    def members(self, type_id: int) -> tuple[Member, ...]: ...  # noqa: D102
    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]: ...  # noqa: D102
    def reference(self, type_id: int) -> Type | None: ...  # noqa: D102
    def arguments(self, type_id: int) -> tuple[Type, ...]: ...  # noqa: D102

    @property
    def complete(self) -> Callable[[str], Type | None] | None:
        """What finds the type that a forward declaration of that name means, elsewhere in the target."""
        ...


class Type:
    """A C type.

    ``name`` is as C writes it without declarators: ``struct proc``, ``proc_t``, ``unsigned int``, ``enum color``; the
    name of a pointer, array or function is spelt out (``struct proc *``, ``char [8]``, ``int (*)()``) by `spelling`.
    Types of one loader are unique: ``is`` compares them.
    """

    __slots__ = ("_arguments", "_by_name", "_enumerators", "_loader", "_members", "_reference", "_resolved",
                 "_size", "_spelling", "count", "encoding", "id", "kind", "name", "variadic")  # fmt: skip

    def __init__(
        self,
        loader: TypeLoader,
        type_id: int,
        kind: Kind,
        name: str,
        size: int | None = None,
        encoding: Encoding | None = None,
        count: int = 0,
        variadic: bool = False,
    ) -> None:
        self._loader = loader
        self.id = type_id
        self.kind = kind
        self.name = name
        self._size = size
        self.encoding = encoding
        """For INTEGER and FLOAT."""
        self.count = count
        """Number of elements of an ARRAY."""
        self.variadic = variadic
        """Whether a FUNCTION takes further arguments."""
        self._members: tuple[Member, ...] | None = None
        self._by_name: dict[str, Member] | None = None
        self._enumerators: tuple[tuple[str, int], ...] | None = None
        self._reference: Type | bool | None = False
        self._spelling: str | None = None
        self._resolved: Type | None = None
        self._arguments: tuple[Type, ...] | None = None

    def __repr__(self) -> str:
        return f"<Type {self.spelling}>"

    @property
    def size(self) -> int:
        """Bytes of storage; that of the type it stands for, or of all elements, where that is meant.

        Raises `TypeNotFound` where the types of a damaged dump go round in a circle.
        """
        if self._size is None:
            count, found = 1, self
            for _ in range(LIMIT):
                if found.kind in TRANSPARENT or found.kind is Kind.FORWARD:
                    if (resolved := found.resolved) is found:
                        break
                    found = resolved
                elif found.kind is Kind.ARRAY and found._size is None:
                    count, target = count * found.count, found.reference
                    if target is None:
                        break
                    found = target
                else:
                    self._size = count * (found._size or 0)
                    return self._size
            else:
                raise TypeNotFound(self.name, CORRUPT)
            self._size = 0
        return self._size

    @property
    def loader(self) -> TypeLoader:
        """Where it comes from: the container of its module."""
        return self._loader

    @property
    def members(self) -> tuple[Member, ...]:
        """Members of a STRUCT or UNION in order (of what a typedef stands for, too)."""
        if self.kind in TRANSPARENT and self.resolved is not self:
            return self.resolved.members
        if self._members is None:
            self._members = self._loader.members(self.id) if self.kind in (Kind.STRUCT, Kind.UNION) else ()
        return self._members

    @property
    def enumerators(self) -> tuple[tuple[str, int], ...]:
        """(name, value) of an ENUM in order."""
        if self.kind in TRANSPARENT and self.resolved is not self:
            return self.resolved.enumerators
        if self._enumerators is None:
            self._enumerators = self._loader.enumerators(self.id) if self.kind is Kind.ENUM else ()
        return self._enumerators

    @property
    def reference(self) -> Type | None:
        """What a POINTER points to, an ARRAY consists of, a FUNCTION returns, a TYPEDEF or qualifier stands for."""
        if self._reference is False:
            self._reference = self._loader.reference(self.id)
        return self._reference  # type: ignore[return-value]

    @property
    def arguments(self) -> tuple[Type, ...]:
        """Types of the arguments of a FUNCTION."""
        if self._arguments is None:
            self._arguments = self._loader.arguments(self.id) if self.kind is Kind.FUNCTION else ()
        return self._arguments

    @property
    def resolved(self) -> Type:
        """The type behind typedefs and qualifiers; for a forward declaration the type that it means, if it is found.

        Raises `TypeNotFound` where the types of a damaged dump go round in a circle.
        """
        if self._resolved is None:
            found = self
            for _ in range(LIMIT):
                if found.kind not in TRANSPARENT or (target := found.reference) is None:
                    break
                found = target
            else:
                raise TypeNotFound(self.name, CORRUPT)
            if found.kind is Kind.FORWARD and found._loader.complete is not None:
                found = found._loader.complete(found.name) or found
            self._resolved = found
        return self._resolved

    def has(self, name: str) -> bool:
        """Whether there is a member of that name (anonymous structures inside are looked into)."""
        return self._find(name) is not None

    def member(self, name: str) -> Member:
        """The member of that name, its offset from the start of this type even if it lies in an anonymous member.

        Raises `TypeNotFound`.
        """
        found = self._find(name)
        if found is None:
            raise TypeNotFound(f"{self.spelling}.{name}", "no such member of structure or union")
        return found

    def _find(self, name: str) -> Member | None:
        if self.kind in TRANSPARENT and self.resolved is not self:
            return self.resolved._find(name)
        if self._by_name is None:
            self._by_name = {}
            for member in self._flattened(0):
                self._by_name.setdefault(member.name, member)
        return self._by_name.get(name)

    def _flattened(self, depth: int) -> Iterator[Member]:
        """Members, those of anonymous structures and unions in their place; offsets are from the start of this type."""
        for member in self.members:
            if member.name:
                yield member
            elif depth < 16:
                for inner in member.type.resolved._flattened(depth + 1):
                    yield Member(inner.name, inner.type, member.bit_offset + inner.bit_offset, inner.bit_size)

    @property
    def spelling(self) -> str:
        """The type as C writes it, in the manner of libctf: ``const char *``, ``int [2][3]``, ``int (*[3])()``."""
        if self._spelling is None:
            self._spelling = _Declaration(self).text()
        return self._spelling


class _Declaration:
    """A name taken apart: the base, its pointers, arrays and functions; qualifiers stand with what they qualify."""

    def __init__(self, of: Type) -> None:
        self.parts: tuple[list[Type], ...] = ([], [], [], [])
        self.order = [-1, -1, -1, -1]
        self.next = 0
        self.qualified = 0
        self._add(of, 0)

    def _add(self, one: Type, depth: int) -> None:
        if depth > LIMIT:
            raise TypeNotFound(one.name, CORRUPT)
        level = {Kind.POINTER: 1, Kind.ARRAY: 2, Kind.FUNCTION: 3}.get(one.kind, 0)
        qualifier = one.kind in (Kind.VOLATILE, Kind.CONST, Kind.RESTRICT)
        target = one.reference if level or qualifier or (one.kind is Kind.TYPEDEF and not one.name) else None
        if target is not None:
            self._add(target, depth + 1)
            if one.kind is Kind.TYPEDEF:
                return
        if qualifier:
            level = self.qualified
        if not self.parts[level]:
            self.order[level] = self.next
            self.next += 1
        if level == 1:
            self.qualified = 1
        if level == 2 or (qualifier and level == 0):
            self.parts[level].insert(0, one)
        else:
            self.parts[level].append(one)

    def text(self) -> str:
        # a pointer to an array or function needs parentheses: the order of the types is not that of the words
        pointers, arrays = self.order[1] > 1, self.order[2] > 2
        opening = 1 if pointers else 2 if arrays else -1
        closing = 2 if arrays else 1 if pointers else -1
        words: list[str] = []
        blank = False
        for level, parts in enumerate(self.parts):
            for part in parts:
                if blank:
                    words.append(" ")
                if level == opening:
                    words.append("(")
                    opening = -1
                words.append(_word(part))
                blank = part.kind not in (Kind.POINTER, Kind.ARRAY)
            if level == closing:
                words.append(")")
        return "".join(words)


def _word(part: Type) -> str:
    if part.kind is Kind.POINTER:
        return "*" if part.reference is not None else "void *"
    if part.kind is Kind.ARRAY:
        return f"[{part.count}]"
    if part.kind is Kind.FUNCTION:
        return "()"
    if part.kind in (Kind.VOLATILE, Kind.CONST, Kind.RESTRICT):
        return part.kind.name.lower()
    return part.name


class Types(Protocol):
    """A space of types: a module's, with its parent's behind it, or a whole target's."""

    def lookup(self, name: str) -> Type:
        """The type of that C name: ``struct proc``, ``proc_t``, ``unsigned long``. Raises `TypeNotFound`."""
        ...

"""Structures as C lays them out: a reader of C declarations, and the layout of what they declare.

`Layout` reads declarations (those of `samples.declarations`) and says where each member lies for 64-bit or 32-bit x86
(System V ABI: natural alignment; 8-byte integers are aligned to 4 bytes in 32-bit code). With a seed it moves the
members of every structure about, as another build of the kernel would: whoever reads such an image must go by its CTF.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\s*(?:#[^\n]*\n\s*)*(\w+|[{}()*\[\];,:=])")

INTEGERS = {
    # name: (size in 64-bit code, size in 32-bit code, signed, char)
    "char": (1, 1, True, True),
    "signed char": (1, 1, True, True),
    "unsigned char": (1, 1, False, True),
    "short": (2, 2, True, False),
    "unsigned short": (2, 2, False, False),
    "int": (4, 4, True, False),
    "unsigned int": (4, 4, False, False),
    "long": (8, 4, True, False),
    "unsigned long": (8, 4, False, False),
    "long long": (8, 8, True, False),
    "unsigned long long": (8, 8, False, False),
}


@dataclass
class Member:
    """A member of a structure or union."""

    name: str
    type: CType
    bits: int | None = None
    bit_offset: int = 0


@dataclass(eq=False)
class CType:
    """A type. ``kind``: integer, pointer, array, function, struct, union, enum, typedef, const, volatile, void."""

    kind: str
    name: str = ""
    size: int = 0
    align: int = 1
    target: CType | None = None
    """What a pointer, array, typedef or qualifier is of; what a function returns."""
    count: int = 0
    signed: bool = False
    char: bool = False
    members: list[Member] = field(default_factory=list)
    enumerators: list[tuple[str, int]] = field(default_factory=list)
    arguments: list[CType] = field(default_factory=list)
    complete: bool = True
    laid: bool = False

    @property
    def bare(self) -> CType:
        """The type behind typedefs and qualifiers."""
        found = self
        while found.kind in ("typedef", "const", "volatile"):
            assert found.target is not None
            found = found.target
        return found


class Layout:
    """The types of some declarations, laid out."""

    def __init__(self, declarations: str, bits: int = 64, shuffle: int | None = None,
                 fixed: frozenset[str] = frozenset()) -> None:  # fmt: skip
        self.bits = bits
        self.word = bits // 8
        self.types: dict[str, CType] = {}
        """By C name: ``struct proc``, ``proc_t``, ``unsigned int``."""
        self.order: list[CType] = []
        """All named types, in the order of their declaration."""
        self._random = random.Random(shuffle) if shuffle is not None else None
        self._fixed = fixed
        self._places: dict[tuple[str, str], tuple[int, CType]] = {}
        self._pointers: dict[int, CType] = {}
        self.void = CType("void", "void")
        for name, (wide, narrow, signed, char) in INTEGERS.items():
            size = wide if bits == 64 else narrow
            self._add(name, CType("integer", name, size, min(size, self.word), signed=signed, char=char, laid=True))
        self._tokens: list[str] = []
        self._at = 0
        self.declare(declarations)

    def declare(self, declarations: str) -> None:
        """Lay out more declarations."""
        self._tokens, self._at = _TOKEN.findall(declarations), 0
        while self._at < len(self._tokens):
            self._declaration()
        for ctype in self.order:
            self._lay(ctype)

    def _add(self, name: str, ctype: CType) -> CType:
        self.types[name] = ctype
        self.order.append(ctype)
        return ctype

    # --- reading ---------------------------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, text: str) -> None:
        found = self._next()
        if found != text:
            around = " ".join(self._tokens[max(0, self._at - 8) : self._at + 4])
            raise ValueError(f"expected {text!r}, found {found!r} in: {around}")

    def _accept(self, text: str) -> bool:
        if self._peek() == text:
            self._at += 1
            return True
        return False

    def _declaration(self) -> None:
        typedef = self._accept("typedef")
        base = self._specifier()
        while not self._accept(";"):
            name, ctype = self._declarator(base)
            if not typedef:
                raise ValueError(f"a declaration of a variable: {name}")
            self._add(name, CType("typedef", name, target=ctype))
            self._accept(",")

    def _specifier(self) -> CType:
        """Qualifiers and a base type."""
        qualifier = None
        while self._peek() in ("const", "volatile"):
            qualifier = self._next()
        word = self._next()
        if word in ("struct", "union"):
            base = self._aggregate(word)
        elif word == "enum":
            base = self._enumeration()
        elif word == "void":
            base = self.void
        else:
            while f"{word} {self._peek()}" in self.types:
                word += " " + self._next()
            if word == "unsigned":
                word = "unsigned int"
            base = self.types[word]
        return CType(qualifier, target=base) if qualifier else base

    def _aggregate(self, kind: str) -> CType:
        name = "" if self._peek() == "{" else self._next()
        ctype = self.types.get(f"{kind} {name}") if name else None
        if ctype is None:
            ctype = CType(kind, name, complete=False)
            if name:
                self._add(f"{kind} {name}", ctype)
        if self._accept("{"):
            ctype.complete = True
            while not self._accept("}"):
                base = self._specifier()
                if self._accept(";"):
                    ctype.members.append(Member("", base))
                    continue
                while True:
                    member, declared = self._declarator(base)
                    bits = int(self._next(), 0) if self._accept(":") else None
                    ctype.members.append(Member(member, declared, bits))
                    if not self._accept(","):
                        break
                self._expect(";")
        return ctype

    def _enumeration(self) -> CType:
        name = "" if self._peek() == "{" else self._next()
        ctype = CType("enum", name, 4, 4, laid=True)
        if name:
            ctype = self.types.get(f"enum {name}") or self._add(f"enum {name}", ctype)
        if self._accept("{"):
            value = 0
            while not self._accept("}"):
                label = self._next()
                if self._accept("="):
                    value = int(self._next(), 0)
                ctype.enumerators.append((label, value))
                value += 1
                self._accept(",")
        return ctype

    def pointer(self, target: CType) -> CType:
        """The pointer to a type."""
        found = self._pointers.get(id(target))
        if found is None:
            found = CType("pointer", size=self.word, align=self.word, target=target, laid=True)
            self._pointers[id(target)] = found
        return found

    def _declarator(self, base: CType) -> tuple[str, CType]:
        while self._accept("*"):
            base = self.pointer(base)
        if self._accept("("):  # a pointer to a function, or an array of them
            self._expect("*")
            name = self._next()
            counts = self._dimensions()
            self._expect(")")
            function = self.function(base, self._arguments())
            return name, self._array(self.pointer(function), counts)
        name = self._next()
        return name, self._array(base, self._dimensions())

    def _dimensions(self) -> list[int]:
        counts = []
        while self._accept("["):
            counts.append(int(self._next(), 0))
            self._expect("]")
        return counts

    def _array(self, element: CType, counts: list[int]) -> CType:
        for count in reversed(counts):
            element = CType("array", target=element, count=count)
        return element

    def _arguments(self) -> list[CType]:
        arguments = []
        self._expect("(")
        while not self._accept(")"):
            ctype = self._specifier()
            while self._accept("*"):
                ctype = self.pointer(ctype)
            arguments.append(ctype)
            self._accept(",")
        return [] if [a.kind for a in arguments] == ["void"] else arguments

    def function(self, result: CType, arguments: list[CType]) -> CType:
        """A function type."""
        return CType("function", target=result, arguments=arguments, laid=True)

    # --- laying out ------------------------------------------------------------------------------------------------

    def _lay(self, ctype: CType) -> CType:
        if ctype.laid:
            return ctype
        ctype.laid = True
        if ctype.kind in ("typedef", "const", "volatile"):
            assert ctype.target is not None
            below = self._lay(ctype.target)
            ctype.size, ctype.align = below.size, below.align
        elif ctype.kind == "array":
            assert ctype.target is not None
            below = self._lay(ctype.target)
            ctype.size, ctype.align = below.size * ctype.count, below.align
        elif ctype.kind in ("struct", "union"):
            self._lay_members(ctype)
        return ctype

    def _lay_members(self, ctype: CType) -> None:
        members = ctype.members
        if self._random is not None and ctype.kind == "struct" and ctype.name not in self._fixed:
            self._move(members)
        position = size = 0  # in bits
        for member in members:
            below = self._lay(member.type)
            ctype.align = max(ctype.align, below.align)
            start = 0 if ctype.kind == "union" else position
            unit = 8 * below.size
            if member.bits is None or (start % unit) + member.bits > unit:
                start = -(-start // (8 * below.align)) * 8 * below.align
            member.bit_offset = start
            position = start + (unit if member.bits is None else member.bits)
            size = max(size, position)
        ctype.size = -(-size // (8 * ctype.align)) * ctype.align

    def _move(self, members: list[Member]) -> None:
        """Another order; an array of one at the end stays there, since it stands for one of any length."""
        assert self._random is not None
        if any(member.bits is not None for member in members):
            return
        open_ended = bool(members) and members[-1].type.bare.kind == "array" and members[-1].type.bare.count == 1
        kept = [members.pop()] if open_ended else []
        before = list(members)
        while len(members) > 1 and members == before:
            self._random.shuffle(members)
        members += kept

    # --- asking ----------------------------------------------------------------------------------------------------

    def type(self, name: str) -> CType:
        """A type by its C name."""
        return self.types[name]

    def sizeof(self, name: str) -> int:
        """Bytes of a type."""
        return self.types[name].size

    def place(self, name: str, path: str) -> tuple[int, CType]:
        """Byte offset and type of a member by path: ``p_user.u_comm``, ``cache_cpu[2].cc_rounds``."""
        key = (name, path)
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = self._find(self.types[name], path)
        return found

    def offset(self, name: str, path: str) -> int:
        """Byte offset of a member by path."""
        return self.place(name, path)[0]

    def _find(self, ctype: CType, path: str) -> tuple[int, CType]:
        offset = 0
        for step in re.findall(r"\w+|\[\d+\]", path):
            bare = ctype.bare
            if step[0] == "[":
                assert bare.target is not None
                offset += int(step[1:-1]) * bare.target.size
                ctype = bare.target
                continue
            inside, ctype = self._member(bare, step)
            offset += inside
        return offset, ctype

    def _member(self, ctype: CType, name: str) -> tuple[int, CType]:
        for member in ctype.members:
            if member.name == name:
                return member.bit_offset // 8, member.type
            if not member.name:
                try:
                    inside, found = self._member(member.type.bare, name)
                except KeyError:
                    continue
                return member.bit_offset // 8 + inside, found
        raise KeyError(f"{ctype.kind} {ctype.name} has no member {name}")

    def members(self, name: str) -> Iterator[tuple[str, int]]:
        """Names and byte offsets of a structure's members."""
        for member in self.types[name].bare.members:
            yield member.name, member.bit_offset // 8

"""Modules of a kernel that is being built: their symbols in ELF tables, their types in CTF.

Facts: sys/elf.h (Elf64_Sym, Elf32_Sym, Ehdr, Shdr), sys/kobj.h (struct module: symspace holds symbols, strings, hash
table; symhdr and strhdr are section headers whose sh_addr are addresses in memory), sys/modctl.h, sys/ctf.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from samples.code import Function
from samples.ctf import FORWARD, CtfWriter, Record
from samples.layout import CType, Layout

STT_OBJECT, STT_FUNC = 1, 2


@dataclass
class Symbol:
    """A symbol as planned."""

    name: str
    address: int
    size: int
    module: str
    function: bool = False
    local: bool = False
    type: CType | None = None
    """Of an object."""
    arguments: int | None = None
    """Of a function; None: not in CTF."""


@dataclass(eq=False)
class Module:
    """A module of the kernel."""

    name: str
    file: str
    text: int
    data: int
    compressed: bool = True
    types: frozenset[str] | None = None
    """C names of the types that this module's CTF holds itself; None: all the others (the parent's)."""
    functions: list[Function] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    text_end: int = 0
    data_end: int = 0
    modctl: int = 0
    address: int = 0
    """Of its struct module."""
    description: str = ""

    def ordered(self) -> list[Symbol]:
        """Symbols in the order of the table: local ones first, as ELF wants it."""
        return [s for s in self.symbols if s.local] + [s for s in self.symbols if not s.local]

    def tables(self, bits: int) -> tuple[bytes, bytes]:
        """The symbol table and its strings."""
        strings = bytearray(b"\0")
        table = bytearray(24 if bits == 64 else 16)
        for symbol in self.ordered():
            name = len(strings)
            strings += symbol.name.encode() + b"\0"
            info = (0 if symbol.local else 1) << 4 | (STT_FUNC if symbol.function else STT_OBJECT)
            section = 1 if symbol.function else 2
            if bits == 64:
                table += struct.pack("<IBBHQQ", name, info, 0, section, symbol.address, symbol.size)
            else:
                table += struct.pack("<IIIBBH", name, symbol.address, symbol.size, info, 0, section)
        return bytes(table), bytes(strings)


def elf_hash(name: bytes) -> int:
    """The hash of the System V ABI, which struct module's buckets go by."""
    value = 0
    for char in name:
        value = (value << 4) + char
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value


def hash_table(names: list[str], buckets: int) -> tuple[list[int], list[int]]:
    """Buckets and chains for symbols 1.. of those names."""
    heads, chains = [0] * buckets, [0] * (len(names) + 1)
    for number, name in enumerate(names, 1):
        bucket = elf_hash(name.encode()) % buckets
        chains[number] = heads[bucket]
        heads[bucket] = number
    return heads, chains


class Types:
    """Writes a layout's types into CTF containers: the parent's, and children's that refer to it."""

    def __init__(self, layout: Layout, writer: CtfWriter, parent: Types | None = None) -> None:
        self.layout = layout
        self.writer = writer
        self.parent = parent
        self.numbers: dict[int, int] = {}

    def number(self, ctype: CType) -> int:
        """The number of a type, which is written where that has not been done."""
        if ctype.kind == "void":
            return 0
        known = self.numbers.get(id(ctype))
        if known is None and self.parent is not None:
            known = self.parent.numbers.get(id(ctype))
        if known is None:
            known = self._write(ctype)
        return known

    def _write(self, ctype: CType) -> int:
        writer = self.writer
        if ctype.kind in ("struct", "union"):
            return self._aggregate(ctype)
        if ctype.kind == "integer":
            number = writer.integer(ctype.name, 8 * ctype.size, ctype.signed, ctype.char)
        elif ctype.kind == "enum":
            number = writer.enumeration(ctype.name, ctype.enumerators)
        else:
            target = self.number(ctype.target) if ctype.target is not None else 0
            known = self.numbers.get(id(ctype))  # a pointer may have come up inside what it points to
            if known is not None:
                return known
            if ctype.kind == "pointer":
                number = writer.pointer(target)
            elif ctype.kind == "array":
                number = writer.array(target, ctype.count, self.number(self.layout.type("long")))
            elif ctype.kind == "function":
                number = writer.function_type(target, [self.number(a) for a in ctype.arguments])
            elif ctype.kind == "typedef":
                number = writer.typedef(ctype.name, target)
            elif ctype.kind == "const":
                number = writer.const(target)
            else:
                number = writer.volatile(target)
        self.numbers[id(ctype)] = number
        return number

    def _aggregate(self, ctype: CType) -> int:
        writer = self.writer
        if not ctype.complete:
            number = self.numbers[id(ctype)] = writer.add(Record(FORWARD, ctype.name, 0, 6))
            return number
        number = writer.structure(ctype.name) if ctype.kind == "struct" else writer.union(ctype.name)
        self.numbers[id(ctype)] = number
        members = []
        for member in ctype.members:
            below = self.number(member.type)
            if member.bits is not None:
                bare = member.type.bare
                below = writer.integer(bare.name, member.bits, bare.signed, size=bare.size, root=False)
            members.append((member.name, below, member.bit_offset))
        return writer.place(number, ctype.size, members)

    def symbols(self, symbols: Iterable[Symbol]) -> None:
        """Say the types of a module's objects and functions, in the order of its table."""
        long = self.number(self.layout.type("long"))
        for symbol in symbols:
            if not symbol.function:
                self.writer.object(self.number(symbol.type) if symbol.type is not None else 0)
            elif symbol.arguments is None:
                self.writer.function(None)
            else:
                self.writer.function(self.number(self.layout.type("int")), [long] * symbol.arguments)

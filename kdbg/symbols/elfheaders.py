"""Headers of an ELF file that is looked at as a program: sections, segments, dynamic entries.

Read with struct alone: a program opens in a few milliseconds. Every offset is held against the file's size; what lies
beyond is empty. Source: the ELF specification (generic ABI), elf.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kdbg.errors import FormatError

MAGIC = b"\x7fELF"
PT_LOAD = 1
PF_X, PF_W = 1, 2
ET_REL = 1
SHT_NOBITS = 8
MOST_ENTRIES = 1 << 16


@dataclass(frozen=True, slots=True)
class Section:
    """A section header."""

    name: str
    type: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int
    flags: int = 0
    info: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class ElfHeaders:
    """The headers of a little-endian ELF file, 32 or 64 bits. Raises `FormatError`."""

    def __init__(self, view: memoryview, name: str) -> None:
        self.view = view
        self.name = name
        if bytes(view[:4]) != MAGIC or len(view) < 52:
            raise FormatError(name, "is not an ELF file")
        elf_class, encoding = view[4], view[5]
        if elf_class not in (1, 2) or (elf_class == 2 and len(view) < 64):
            raise FormatError(name, f"ELF class {elf_class} is not supported")
        if encoding != 1:
            raise FormatError(name, "has another byte order than the debugger")
        self.bits = 32 if elf_class == 1 else 64
        layout = "<HHIQQQIHHHHHH" if self.bits == 64 else "<HHIIIIIHHHHHH"
        fields = struct.unpack_from(layout, view, 16)
        self.type, self.machine, _, self.entry, self._phoff, self._shoff, self.flags = fields[:7]
        _, self._phentsize, self._phnum, self._shentsize, self._shnum, self._shstrndx = fields[7:]
        self.sections = self._read_sections()
        self.segments = self._read_segments()

    def _records(self, offset: int, layout: str, entry_size: int, count: int) -> list[tuple[int, ...]]:
        step = max(entry_size, struct.calcsize(layout))
        places = (offset + step * at for at in range(min(count, MOST_ENTRIES)))
        size = struct.calcsize(layout)
        return [struct.unpack_from(layout, self.view, at) for at in places if at + size <= len(self.view)]

    def _read_sections(self) -> list[Section]:
        if not self._shoff:
            return []
        layout = "<IIQQQQIIQQ" if self.bits == 64 else "<IIIIIIIIII"
        first = self._records(self._shoff, layout, self._shentsize, 1)
        if not first:
            return []
        count = self._shnum or first[0][5]  # 0: too many for the field; the number is in the first header
        names_at = first[0][6] if self._shstrndx == 0xFFFF else self._shstrndx
        if self._phnum == 0xFFFF:
            self._phnum = first[0][7]
        raw = self._records(self._shoff, layout, self._shentsize, count)
        names = self._slice(raw[names_at][4], raw[names_at][5]) if names_at < len(raw) else memoryview(b"")
        text = bytes(names)
        return [
            Section(string(text, name), kind, address, offset, size, link, entry_size, flags, info)
            for name, kind, flags, address, offset, size, link, info, _, entry_size in raw
        ]

    def _read_segments(self) -> list[Segment]:
        if not self._phoff:
            return []
        if self.bits == 64:
            raw = self._records(self._phoff, "<IIQQQQQQ", self._phentsize, self._phnum)
            return [Segment(kind, flags, at, va, file, memory) for kind, flags, at, va, _, file, memory, _ in raw]
        raw = self._records(self._phoff, "<IIIIIIII", self._phentsize, self._phnum)
        return [Segment(kind, flags, at, va, file, memory) for kind, at, va, _, file, memory, flags, _ in raw]

    def _slice(self, offset: int, size: int) -> memoryview:
        return self.view[offset : offset + size] if offset <= len(self.view) else self.view[:0]

    def content(self, section: Section) -> memoryview:
        """The bytes of a section: as many as the file has."""
        return self.view[:0] if section.type == SHT_NOBITS else self._slice(section.offset, section.size)

    def section(self, name: str) -> Section | None:
        """The first section of that name, or None."""
        return next((section for section in self.sections if section.name == name), None)

    def section_of_type(self, kind: int) -> Section | None:
        """The first section of that type, or None."""
        return next((section for section in self.sections if section.type == kind), None)


def string(table: bytes, offset: int) -> str:
    """The string that begins at an offset of a string table; empty where there is none."""
    end = table.find(b"\0", offset)
    return table[offset : end if end >= 0 else len(table)].decode("latin-1")

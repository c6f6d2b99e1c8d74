"""The parts of ELF that dumps use: file header, section headers by name, program headers, notes.

Source: the ELF specification (generic ABI), elf.h. Little-endian files only: all machines of kdbg's dumps are.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from kdbg.errors import FormatError
from kdbg.formats.source import Source

MAGIC = b"\x7fELF"
EM_386, EM_X86_64, EM_AARCH64 = 3, 62, 183
ET_CORE = 4
PT_LOAD, PT_NOTE = 1, 4
MOST_SECTIONS = 1 << 16
MOST_NOTES = 1 << 16
MOST_NAME = 256
"""Bytes of a section's name."""
PHDR_SIZE = {64: 56, 32: 32}

Ident = Struct("magic" / Bytes(4), "elf_class" / Int8ul, "data" / Int8ul, "version" / Int8ul, "pad" / Bytes(9))


@functools.cache
def _headers(bits: int) -> tuple[Any, Any]:
    """Declarations of (Ehdr, Shdr) for files of 32 or 64 bits."""
    word = Int64ul if bits == 64 else Int32ul
    ehdr = Struct(
        "ident" / Ident,
        "type" / Int16ul,
        "machine" / Int16ul,
        "version" / Int32ul,
        "entry" / word,
        "phoff" / word,
        "shoff" / word,
        "flags" / Int32ul,
        "ehsize" / Int16ul,
        "phentsize" / Int16ul,
        "phnum" / Int16ul,
        "shentsize" / Int16ul,
        "shnum" / Int16ul,
        "shstrndx" / Int16ul,
    )
    shdr = Struct(
        "name" / Int32ul,
        "type" / Int32ul,
        "flags" / word,
        "addr" / word,
        "offset" / word,
        "size" / word,
        "link" / Int32ul,
        "info" / Int32ul,
        "addralign" / word,
        "entsize" / word,
    )
    return ehdr, shdr


@dataclass(frozen=True, slots=True)
class Section:
    """A section header with its name resolved."""

    name: str
    type: int
    address: int
    offset: int
    size: int
    entsize: int
    link: int
    flags: int = 0
    info: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header."""

    type: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    flags: int


@dataclass(frozen=True, slots=True)
class Note:
    """A note: its owner's name, its type, and where its descriptor lies."""

    owner: str
    type: int
    offset: int
    data: memoryview


class Elf:
    """The headers of an ELF file. Raises `FormatError` where they contradict the file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        ident = source.parse(Ident, 0, "ELF identification")
        if ident.magic != MAGIC:
            raise FormatError(source.name, f"wants an ELF header, found {bytes(ident.magic).hex()}", 0)
        if ident.elf_class not in (1, 2):
            raise FormatError(source.name, f"ELF class is {ident.elf_class}, wants 1 or 2", 4)
        if ident.data != 1:
            raise FormatError(source.name, f"ELF data encoding is {ident.data}, wants 1 (little-endian)", 5)
        self.bits = 64 if ident.elf_class == 2 else 32
        self._ehdr, self._shdr = _headers(self.bits)
        self.header = source.parse(self._ehdr, 0, "ELF header")
        self.names_cut = False
        """Whether the file ends before the names of its sections do; known once `sections` has been asked for."""
        self.machine: int = self.header.machine
        self.type: int = self.header.type

    @functools.cached_property
    def sections(self) -> list[Section]:
        """All sections in order, names resolved."""
        header = self.header
        if not header.shoff:
            return []
        first = self.source.parse(self._shdr, header.shoff, "section header")
        count = header.shnum or min(first.size, MOST_SECTIONS)  # 0: the number is in the first header
        names_at = first.link if header.shstrndx == 0xFFFF else header.shstrndx
        entry_size = max(header.shentsize, self._shdr.sizeof())
        raw = self.source.read(header.shoff, count * entry_size, f"{count} section headers")
        form = "<IIQQQQIIQQ" if self.bits == 64 else "<10I"
        rows = [struct.unpack_from(form, raw, at * entry_size) for at in range(count)]
        names = b""
        if names_at < len(rows):
            start, size = rows[names_at][4:6]
            self.names_cut = start + size > self.source.size
            if start < self.source.size:
                names = bytes(self.source.read(start, min(size, 1 << 20, self.source.size - start), "section names"))

        def name(at: int) -> str:
            return names[at : at + MOST_NAME].partition(b"\0")[0].decode("latin-1")

        return [
            Section(name(at), kind, address, offset, size, entsize, link, flags, info)
            for at, kind, flags, address, offset, size, link, info, _, entsize in rows
        ]

    @functools.cached_property
    def segments(self) -> list[Segment]:
        """All program headers in order."""
        header = self.header
        if not header.phoff:
            return []
        count = header.phnum
        if count == 0xFFFF and header.shoff:  # PN_XNUM: the number is in the first section header
            count = self.source.parse(self._shdr, header.shoff, "section header").info
        wide = self.bits == 64
        natural = PHDR_SIZE[self.bits]
        size = max(header.phentsize, natural)
        if header.phoff + count * size > self.source.size >= header.phoff + count * natural:
            size = natural  # a writer of 32-bit files that puts the 64-bit size there
        raw = self.source.read(header.phoff, count * size, f"{count} program headers")
        found = []
        for at in range(0, count * size, size):
            if wide:
                kind, flags, offset, vaddr, paddr, filesz, memsz = struct.unpack_from("<II5Q", raw, at)
            else:
                kind, offset, vaddr, paddr, filesz, memsz, flags = struct.unpack_from("<7I", raw, at)
            found.append(Segment(kind, offset, vaddr, paddr, filesz, memsz, flags))
        return found

    def section(self, name: str) -> Section | None:
        """The first section of that name, or None."""
        return next((section for section in self.sections if section.name == name), None)

    def all_notes(self) -> Iterator[Note]:
        """The notes of all program headers that say where notes are, `MOST_NOTES` at most."""
        segments = (segment for segment in self.segments if segment.type == PT_NOTE)
        return islice((note for s in segments for note in self.notes(s.offset, s.filesz)), MOST_NOTES)

    def notes(self, offset: int, size: int) -> Iterator[Note]:
        """Notes that lie in that part of the file."""
        return iterate_notes(self.source, offset, size)


def iterate_notes(source: Source, offset: int, size: int) -> Iterator[Note]:
    """Notes that lie in that part of a file; ends where they contradict its size."""
    end = min(offset + size, source.size)
    for _ in range(MOST_NOTES):
        if offset + 12 > end:
            return
        name_size, data_size, note_type = source.array(offset, 4, 3, "note header").tolist()
        name_at = offset + 12
        data_at = name_at + (name_size + 3 & ~3)
        if data_at + data_size > end:
            return
        owner = bytes(source.read(name_at, name_size)).rstrip(b"\0").decode("latin-1")
        yield Note(owner, note_type, data_at, source.read(data_at, data_size))
        offset = data_at + (data_size + 3 & ~3)

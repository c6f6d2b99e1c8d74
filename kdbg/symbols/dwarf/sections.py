"""A file with debug information: its sections by name, unpacked and relocated where they must be, and its build id.

Kernels' files are mapped, never read as a whole. Modules' are relocatable: their sections are relocated to where the
dump has them, those with debug information at 0.

Source: the ELF specification (Elf64_Rela, Elf64_Chdr), the psABIs of x86-64, AArch64 and i386 (relocations).
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property

from kdbg.errors import FormatError
from kdbg.symbols.elfheaders import ET_REL, ElfHeaders, Section, string

SHT_SYMTAB, SHT_RELA, SHT_NOTE, SHT_REL = 2, 4, 7, 9
SHF_COMPRESSED = 0x800
ZLIB, ZSTD = 1, 2
LARGEST = 2 << 30
"""Bytes of a section that is unpacked or relocated."""
MOST_RELOCATIONS = 1 << 24
PIECE = 4 << 20
"""Bytes that are searched at once."""
NT_GNU_BUILD_ID = 3
WIDTHS = {
    (62, 1): 8, (62, 10): 4, (62, 11): 4,  # R_X86_64_64, _32, _32S
    (183, 257): 8, (183, 258): 4,  # R_AARCH64_ABS64, _ABS32
    (3, 1): 4,  # R_386_32
}  # fmt: skip
"""(machine, relocation) -> bytes of the absolute address that it puts down."""


class DebugFile:
    """A file with DWARF in it.

    ``place``: section number and name -> address of that section in the dump; for relocatable files. Raises
    `FormatError` for what is no ELF file or cannot be read.
    """

    def __init__(self, path: str, place: Callable[[int, str], int | None] | None = None) -> None:
        self.path = path
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except (OSError, ValueError) as error:
            raise FormatError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
        self.elf = ElfHeaders(memoryview(self._map), path)
        self.bits = self.elf.bits
        self._place = place
        self._sections: dict[str, bytes | memoryview] = {}

    def __contains__(self, name: str) -> bool:
        return self.elf.section(name) is not None or self.elf.section(f".z{name[1:]}") is not None

    def section(self, name: str) -> bytes | memoryview:
        """The bytes of a section, unpacked and relocated; none where there is none. Raises `FormatError`."""
        if name not in self._sections:
            self._sections[name] = self._read(name)
        return self._sections[name]

    def _read(self, name: str) -> bytes | memoryview:
        section = self.elf.section(name)
        if section is None:
            old = self.elf.section(f".z{name[1:]}")  # the form before SHF_COMPRESSED
            return b"" if old is None else self._old_packed(old)
        data: bytes | memoryview = self.elf.content(section)
        if section.flags & SHF_COMPRESSED:
            data = self._unpacked(section, data)
        return self._relocated(section, data) if self.elf.type == ET_REL else data

    def find_all(self, name: str, pattern: bytes) -> Iterator[int]:
        """Offsets at which a pattern lies in a section, ascending; the section is read a piece at a time."""
        data = self.section(name)
        for start in range(0, len(data), PIECE):
            piece = bytes(data[start : start + PIECE + len(pattern) - 1])
            at = piece.find(pattern)
            while at >= 0:
                yield start + at
                at = piece.find(pattern, at + 1)

    # packed sections

    def _unpacked(self, section: Section, data: bytes | memoryview) -> bytes:
        layout = "<IIQQ" if self.bits == 64 else "<III"
        try:
            fields = struct.unpack_from(layout, data)
        except struct.error:
            raise FormatError(self.path, f"{section.name}: cut short") from None
        kind, size = fields[0], fields[2 if self.bits == 64 else 1]
        return self._plain(section.name, kind, data[struct.calcsize(layout) :], size)

    def _old_packed(self, section: Section) -> bytes:
        data = self.elf.content(section)
        return self._plain(section.name, ZLIB, data[12:], int.from_bytes(data[4:12], "big"))

    def _plain(self, name: str, kind: int, data: bytes | memoryview, size: int) -> bytes:
        if not 0 <= size <= LARGEST:
            raise FormatError(self.path, f"{name}: unpacked it would have {size} bytes")
        try:
            if kind == ZLIB:
                return zlib.decompressobj().decompress(data, size) if size else b""
            if kind == ZSTD:
                import zstandard

                return zstandard.ZstdDecompressor().decompress(bytes(data), max_output_size=size)
        except Exception as error:  # the packages' errors have no common root
            raise FormatError(self.path, f"{name}: {error}") from None
        raise FormatError(self.path, f"{name}: packed in a way ({kind}) that is not known")

    # relocation

    def _relocated(self, section: Section, data: bytes | memoryview) -> bytes | memoryview:
        number = self.elf.sections.index(section)
        relocated = bytearray(data)
        for relocations in self.elf.sections:
            if relocations.type in (SHT_RELA, SHT_REL) and relocations.info == number:
                self._apply(relocations, relocated)
        return bytes(relocated)

    def _apply(self, section: Section, data: bytearray) -> None:
        """Put addresses down, all relocations of a kind at once."""
        import numpy as np

        wide, explicit = self.bits == 64, section.type == SHT_RELA
        fields = [("at", "<u8"), ("info", "<u8")] if wide else [("at", "<u4"), ("info", "<u4")]
        if explicit:
            fields.append(("addend", "<i8" if wide else "<i4"))
        raw = self.elf.content(section)
        dtype = np.dtype(fields)
        entries = np.frombuffer(raw, dtype, min(len(raw) // dtype.itemsize, MOST_RELOCATIONS))
        info = entries["info"].astype(np.uint64)
        kinds = (info & np.uint64(0xFFFFFFFF if wide else 0xFF)).astype(np.int64)
        symbols = (info >> np.uint64(32 if wide else 8)).astype(np.int64)
        values = np.array(self._symbol_values, np.uint64)
        target = np.frombuffer(data, np.uint8)
        for kind in np.unique(kinds).tolist():
            width = WIDTHS.get((self.elf.machine, kind))
            if width is None or len(data) < width:
                continue
            which = (kinds == kind) & (symbols < len(values)) & (entries["at"] <= max(0, len(data) - width))
            places = entries["at"][which].astype(np.int64)
            found = values[symbols[which]]
            if explicit:
                found = found + entries["addend"][which].astype(np.uint64)
            else:
                found = found + sum(target[places + k].astype(np.uint64) << np.uint64(8 * k) for k in range(width))
            for byte in range(width):
                target[places + byte] = (found >> np.uint64(8 * byte)).astype(np.uint8)

    @cached_property
    def _symbol_values(self) -> list[int]:
        """What each symbol stands for: offsets in sections that have no place in the dump count from 0."""
        mask, bases = (1 << self.bits) - 1, dict[int, int]()
        for number, section in enumerate(self.elf.sections):
            placed = self._place(number, section.name) if self._place is not None else None
            bases[number] = placed or 0
        return [value + bases.get(where, 0) & mask for _, value, where in self.raw_symbols()]

    def raw_symbols(self) -> Iterator[tuple[bytes, int, int]]:
        """(name, value, number of the section) of each entry of the symbol table, the empty first one included."""
        section = self.elf.section_of_type(SHT_SYMTAB)
        if section is None or section.link >= len(self.elf.sections):
            return
        names = bytes(self.elf.content(self.elf.sections[section.link]))
        layout = struct.Struct("<IBBHQQ" if self.bits == 64 else "<IIIBBH")
        data = self.elf.content(section)
        for fields in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
            name_at, value, where = (fields[0], fields[4], fields[3]) if self.bits == 64 else (*fields[:2], fields[5])
            end = names.find(b"\0", name_at)
            yield names[name_at:end], value, where

    def symbol(self, name: str) -> int | None:
        """The value of the first symbol of that name, or None."""
        wanted = name.encode()
        return next((value for found, value, where in self.raw_symbols() if found == wanted and where), None)

    # who it is

    @cached_property
    def build_id(self) -> str:
        """Its GNU build id in hexadecimal; "" where it has none."""
        for section in self.elf.sections:
            if section.type == SHT_NOTE:
                found = build_id_of(bytes(self.elf.content(section)[: 1 << 16]))
                if found:
                    return found
        return ""

    @property
    def has_dwarf(self) -> bool:
        """Whether it has any."""
        return ".debug_info" in self

    def text(self, name: str, offset: int) -> str:
        """The string at an offset of a section of strings."""
        data = self.section(name)
        if isinstance(data, bytes):
            return string(data, offset)
        piece = bytes(data[offset : offset + 4096])
        return string(piece, 0)


def build_id_of(notes: bytes) -> str:
    """The GNU build id among ELF notes, in hexadecimal; "" where there is none."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        start = at + 12 + (name_size + 3 & ~3)
        if kind == NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0" and 0 < size <= 64:
            return notes[start : start + size].hex()
        at = start + (size + 3 & ~3)
    return ""

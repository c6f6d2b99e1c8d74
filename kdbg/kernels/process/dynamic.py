"""ELF objects as they lie in a process's memory: headers, build ids, and the symbols that the dynamic linker uses.

Source: the ELF specification (dynamic section, hash tables), <elf.h>, illumos' <sys/link.h>, GNU's .gnu.hash.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from kdbg.errors import FormatError, ReadError
from kdbg.symbols.elfheaders import ElfHeaders, Section, Segment
from kdbg.symbols.elfsymbols import SHT_DYNSYM

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_EH_FRAME = 1, 2, 3, 4, 0x6474E550
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_DEBUG = 4, 5, 6, 10, 14, 21
DT_SUNW_SYMTAB, DT_SUNW_SYMSZ, DT_GNU_HASH = 0x60000011, 0x60000012, 0x6FFFFEF5
NT_GNU_BUILD_ID = 3
SHT_STRTAB = 3
HEAD = 1 << 13
"""Bytes at the start of an object in which its program headers are looked for."""
MOST_NOTE = 1 << 16
"""Bytes of a segment of notes that is looked at."""
MOST_DYNAMIC = 1 << 12
MOST_SYMBOLS = 1 << 18
MOST_STRINGS = 1 << 24
MOST_LINKS = 1 << 12
LONGEST_NAME = 4096

Read = Callable[[int, int], bytes]
"""(address, size) -> bytes. Raises `ReadError`."""


class Tables(ElfHeaders):
    """Symbol tables that do not lie in an ELF file of their own, as if they did.

    ``tables``: section type -> (entries, strings).
    """

    def __init__(self, bits: int, kind: int, tables: dict[int, tuple[bytes, bytes]]) -> None:
        self.view = memoryview(b"")
        self.name = ""
        self.bits, self.type, self.machine, self.entry, self.flags = bits, kind, 0, 0, 0
        self.segments: list[Segment] = []
        self.sections = [Section("", 0, 0, 0, 0, 0, 0)]
        self._contents: dict[int, memoryview] = {}
        for table, (entries, strings) in tables.items():
            at = len(self.sections)
            self.sections.append(Section(".symtab", table, 0, at, len(entries), at + 1, 0))
            self.sections.append(Section(".strtab", SHT_STRTAB, 0, at + 1, len(strings), 0, 0))
            self._contents |= {at: memoryview(entries), at + 1: memoryview(strings)}

    def content(self, section: Section) -> memoryview:
        """The bytes of a section."""
        return self._contents.get(section.offset, memoryview(b""))


def headers_at(data: bytes, name: str) -> ElfHeaders | None:
    """The headers of an object by the bytes at its start; None where they are none."""
    try:
        return ElfHeaders(memoryview(data), name)
    except (FormatError, struct.error):
        return None


def bias_of(headers: ElfHeaders, base: int) -> int:
    """What is added to the addresses in a file, by the address at which its first page lies."""
    first = min((s.address & -4096 for s in headers.segments if s.type == PT_LOAD), default=0)
    return base - first


def build_id(headers: ElfHeaders, read: Callable[[Segment], bytes]) -> bytes | None:
    """The build id among the notes of an object, or None; ``read``: the bytes of a segment."""
    for segment in headers.segments:
        if segment.type != PT_NOTE or not 12 <= segment.file_size <= MOST_NOTE:
            continue
        try:
            data = read(segment)
        except ReadError:
            continue
        at = 0
        while at + 12 <= len(data):
            name_size, size, kind = struct.unpack_from("<3I", data, at)
            start = at + 12 + (name_size + 3 & ~3)
            if kind == NT_GNU_BUILD_ID and data[at + 12 : at + 16] == b"GNU\0" and 0 < size <= 64:
                return data[start : start + size] or None
            at = start + (size + 3 & ~3)
    return None


def string_at(read: Read, address: int, longest: int = LONGEST_NAME) -> str:
    """The string at an address, at most so long. Raises `ReadError`."""
    found = bytearray()
    while len(found) < longest:
        piece = read(address + len(found), min(longest - len(found), 64 - (address + len(found)) % 64))
        end = piece.find(b"\0")
        if end >= 0:
            return (found + piece[:end]).decode("utf-8", "replace")
        found += piece
    return found.decode("utf-8", "replace")


class Dynamic:
    """The dynamic section of an object in memory. Whatever cannot be read counts as not there."""

    def __init__(self, headers: ElfHeaders, bias: int, span: tuple[int, int], read: Read) -> None:
        self._bits, self._kind, self._bias, self._read, self._span = headers.bits, headers.type, bias, read, span
        self.entries: dict[int, int] = {}
        segment = next((s for s in headers.segments if s.type == PT_DYNAMIC), None)
        if segment is None:
            return
        form = struct.Struct("<QQ" if self._bits == 64 else "<II")
        address = segment.address + bias
        for at in range(min(segment.memory_size // form.size, MOST_DYNAMIC)):
            try:
                tag, value = form.unpack(read(address + at * form.size, form.size))
            except (ReadError, struct.error):
                return
            if not tag:
                return
            self.entries.setdefault(tag, value)

    def pointer(self, tag: int) -> int | None:
        """An address in the section: dynamic linkers may have added the bias already."""
        value = self.entries.get(tag)
        if value is None:
            return None
        return value if self._span[0] <= value < self._span[1] else value + self._bias

    @property
    def name(self) -> str | None:
        """The object's own name (DT_SONAME), or None."""
        at, strings = self.entries.get(DT_SONAME), self.pointer(DT_STRTAB)
        if at is None or strings is None:
            return None
        try:
            return string_at(self._read, strings + at, 256) or None
        except ReadError:
            return None

    def tables(self) -> Tables | None:
        """Its symbols: .dynsym, and where illumos' linker put local functions before them these too."""
        strings, table = self.pointer(DT_STRTAB), self.pointer(DT_SYMTAB)
        size = 24 if self._bits == 64 else 16
        count = 0
        if DT_SUNW_SYMTAB in self.entries and DT_SUNW_SYMSZ in self.entries:
            table, count = self.pointer(DT_SUNW_SYMTAB), self.entries[DT_SUNW_SYMSZ] // size
        if strings is None or table is None:
            return None
        count = min(count or self._count(table, strings, size), MOST_SYMBOLS)
        length = min(self.entries.get(DT_STRSZ, 0), MOST_STRINGS)
        try:
            entries, text = self._read(table, count * size), self._read(strings, length)
        except ReadError:
            return None
        return Tables(self._bits, self._kind, {SHT_DYNSYM: (entries, text)}) if count else None

    def _count(self, table: int, strings: int, size: int) -> int:
        """Number of symbols, which only the hash tables tell."""
        try:
            if (at := self.pointer(DT_HASH)) is not None:
                return int.from_bytes(self._read(at + 4, 4), "little")
            if (at := self.pointer(DT_GNU_HASH)) is not None:
                return self._gnu_count(at)
        except ReadError:
            pass
        return (strings - table) // size if strings > table else 0

    def _gnu_count(self, at: int) -> int:
        buckets, first, bloom, _ = struct.unpack("<4I", self._read(at, 16))
        if buckets > MOST_SYMBOLS or bloom > MOST_SYMBOLS:
            return 0
        start = at + 16 + bloom * self._bits // 8
        heads: tuple[int, ...] = struct.unpack(f"<{buckets}I", self._read(start, 4 * buckets))
        last = max(heads, default=0)
        if last < first:
            return int(first)
        chain = start + 4 * buckets + 4 * (last - first)
        for step in range(MOST_SYMBOLS):
            if int.from_bytes(self._read(chain + 4 * step, 4), "little") & 1:
                return int(last) + step + 1
        return 0


def link_map(dynamic: Dynamic, bits: int, read: Read) -> Iterator[tuple[int, str]]:
    """(bias, path) of each object that the dynamic linker has loaded, in its order; the program's path may be empty.

    ``dynamic``: the program's. struct r_debug and link_map of <link.h> are alike in Linux and illumos.
    """
    word = bits // 8
    debug = dynamic.entries.get(DT_DEBUG)
    if not debug:
        return
    try:
        at = int.from_bytes(read(debug + word, word), "little")
        for _ in range(MOST_LINKS):
            if not at:
                return
            bias, name, _, following = struct.unpack(f"<4{'Q' if bits == 64 else 'I'}", read(at, 4 * word))
            try:
                yield bias, string_at(read, name)
            except ReadError:
                yield bias, ""
            at = following
    except ReadError:
        return

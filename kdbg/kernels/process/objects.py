"""The objects of a process: the program, its shared objects, the dynamic linker; with their files, symbols and types.

Where they lie: NT_FILE in cores of Linux; the dynamic linker's list; ELF headers at the start of a range of memory.
"""

from __future__ import annotations

import functools
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.formats.process_core import PF_X, ProcessCore
from kdbg.formats.process_notes import AT_BASE, AT_ENTRY, AT_EXECFN, AT_PHDR, AT_PHNUM, AT_SUN_EXECNAME, AT_SYSINFO_EHDR
from kdbg.kernels.process.dynamic import (
    HEAD,
    PT_LOAD,
    Dynamic,
    Tables,
    bias_of,
    build_id,
    headers_at,
    link_map,
    string_at,
)
from kdbg.kernels.process.files import Files
from kdbg.symbols.elfheaders import MAGIC, ElfHeaders, Segment
from kdbg.symbols.elfsymbols import SHT_DYNSYM, SHT_SYMTAB, ElfSymbols, preference
from kdbg.symbols.table import SHN_UNDEF, STT_FILE, STT_SECTION, STT_TLS, Symbol

if TYPE_CHECKING:
    from kdbg.formats.elf import Section
    from kdbg.kernels.process.files import ElfFile
    from kdbg.symbols.ctf import CtfContainer

MOST_OBJECTS = 1 << 12
DEVICES = ("/dev/", "/memfd:", "/SYSV", "anon_inode:")
"""Beginnings of names in NT_FILE that are no files' paths."""


def _end(headers: ElfHeaders, bias: int, base: int) -> int:
    """The first address behind an object, by its program headers; ``base`` where they say nothing sane."""
    ends = (s.address + s.memory_size + bias + 4095 & -4096 for s in headers.segments if s.type == PT_LOAD)
    return max((end for end in ends if base < end <= base + (1 << 32)), default=base)


class LoadedObject:
    """One object where it was loaded."""

    def __init__(self, owner: Objects, base: int, end: int, path: str, main: bool = False) -> None:
        self._owner = owner
        self.base = base
        """Address of its first page."""
        self.end = end
        """The first address behind it."""
        self.path = path
        """As it was mapped; empty where nobody tells."""
        self.main = main

    @functools.cached_property
    def label(self) -> str:
        """The name that symbols carry: the file's base name, else what it calls itself."""
        return os.path.basename(self.path) or self.dynamic_name or f"object-at-{self.base:x}"

    @property
    def dynamic_name(self) -> str | None:
        """What it calls itself (DT_SONAME), or None."""
        return self.dynamic.name if self.dynamic is not None else None

    # headers

    @functools.cached_property
    def _memory_headers(self) -> ElfHeaders | None:
        data = bytes(self._owner.core.held(self.base, min(HEAD, self.end - self.base)))
        return headers_at(data, self.path) if data[:4] == MAGIC else None

    @functools.cached_property
    def build_id(self) -> bytes | None:
        """The build id of what was mapped, as far as the core holds it."""
        headers = self._memory_headers
        if headers is None:
            return None
        bias = bias_of(headers, self.base)

        def content(segment: Segment) -> bytes:
            data = bytes(self._owner.core.held(segment.address + bias, segment.file_size))
            if len(data) < segment.file_size:
                raise ReadError(segment.address + bias)
            return data

        return build_id(headers, content)

    @functools.cached_property
    def file(self) -> ElfFile | None:
        """The file that it was made of, where it is there and proven to be the same."""
        head = bytes(self._owner.core.held(self.base, 4096)) if self._memory_headers is not None else b""
        return self._owner.files.of(self.path, self.build_id, head, self._could_be if self.main else None)

    def _could_be(self, headers: ElfHeaders) -> bool:
        """Whether a file could be the program, by its entry and the place of its program headers."""
        auxv, bias = self._owner.core.notes.auxv, bias_of(headers, self.base)
        return auxv.get(AT_ENTRY) == headers.entry + bias and auxv.get(AT_PHNUM) == len(headers.segments)

    @functools.cached_property
    def headers(self) -> ElfHeaders | None:
        """Its program headers: from memory, else from its file; None where nothing tells."""
        return self._memory_headers or (self.file.headers if self.file is not None else None)

    @functools.cached_property
    def bias(self) -> int:
        """What is added to the addresses in its file."""
        return bias_of(self.headers, self.base) if self.headers is not None else 0

    def stretch(self, limit: int) -> None:
        """Let it end behind its data that no file shows (bss), as its program headers tell, but before a limit."""
        if self.headers is not None:
            self.end = max(self.end, min(limit, _end(self.headers, self.bias, self.base)))

    def content(self, address: int, size: int) -> bytes:
        """What its file has for an address: up to so many bytes, maybe none."""
        found = self.file
        if found is None:
            return b""
        inside = address - bias_of(found.headers, self.base)
        for segment in found.headers.segments:
            start = segment.address & -4096
            if segment.type == PT_LOAD and start <= inside < segment.address + segment.file_size + 4095 & -4096:
                at = (segment.offset & -4096) + inside - start
                pages_end = (segment.address + segment.file_size + 4095 & -4096) - inside
                return bytes(found.source.view[at : at + min(size, pages_end)])
        return b""

    # names

    @functools.cached_property
    def dynamic(self) -> Dynamic | None:
        """Its dynamic section."""
        if self.headers is None:
            return None
        return Dynamic(self.headers, self.bias, (self.base, self.end), self._owner.read)

    @functools.cached_property
    def tables(self) -> list[ElfSymbols]:
        """Its symbol tables, the fullest first: in its file, in the core's sections, in its memory, in a debug file."""
        found = []
        if self.file is not None:
            found.append(ElfSymbols(self.file.headers, self.label))
        if (embedded := self._owner.embedded_tables(self)) is not None:
            found.append(ElfSymbols(embedded, self.label))
        if not found and self.dynamic is not None and (tables := self.dynamic.tables()) is not None:
            found.append(ElfSymbols(tables, self.label))
        if all(len(one.static.symbols) == 0 for one in found):
            debug = self._owner.files.debug(self.build_id)
            if debug is not None:
                found.append(ElfSymbols(debug.headers, self.label))
        return found

    def find(self, name: str) -> Symbol | None:
        """The defined symbol of that name where it was loaded, or None."""
        for tables in self.tables:
            for table in (tables.static, tables.dynamic):
                for symbol in (table.linked(name), table.any(name)):
                    if symbol is not None and symbol.section != SHN_UNDEF and symbol.type not in (STT_FILE, STT_TLS):
                        return self.placed(symbol)
        return None

    def covering(self, address: int) -> Symbol | None:
        """The symbol that covers an address, or None."""
        found = [s for tables in self.tables if (s := tables.covering(address - self.bias)) is not None]
        return self.placed(min(found, key=preference)) if found else None

    def placed(self, symbol: Symbol) -> Symbol:
        """A symbol at the address where it was loaded."""
        if symbol.section == SHN_UNDEF or symbol.type in (STT_FILE, STT_TLS):
            return symbol
        return replace(symbol, address=symbol.address + self.bias & (1 << self._owner.core.bits) - 1)

    def listed(self, dynamic: bool) -> Iterator[Symbol]:
        """Its symbols as ``::nm`` lists them."""
        for tables in self.tables[:1]:
            yield from map(self.placed, (tables.dynamic if dynamic else tables.static).listed())

    def names(self) -> Iterator[str]:
        """Names of its symbols."""
        for tables in self.tables:
            for table in (tables.static, tables.dynamic):
                yield from (one.name for one in table.symbols if one.type not in (STT_SECTION, STT_FILE))

    # types

    def ctf(self) -> CtfContainer | None:
        """Its types, in its file or in the core's sections; None where there are none. Raises `FormatError`."""
        from kdbg.symbols.ctf import CtfContainer

        core = self._owner.core
        for section, table in self._owner.sections_of(self, ".SUNW_ctf"):
            entries = core.content(table) if table is not None else b""
            strings = self._owner.strings_of(table) if table is not None else b""
            return CtfContainer(core.content(section), core.bits, None, entries, strings, self.label)
        headers = self.file.headers if self.file is not None else None
        own = headers.section(".SUNW_ctf") if headers is not None else None
        if headers is None or own is None:
            return None
        linked = headers.sections[own.link] if 0 < own.link < len(headers.sections) else None
        text = headers.sections[linked.link] if linked is not None and 0 < linked.link < len(headers.sections) else None
        return CtfContainer(
            headers.content(own),
            core.bits,
            None,
            headers.content(linked) if linked is not None else b"",
            headers.content(text) if text is not None else b"",
            self.label,
        )


class Objects:
    """All objects of a core. ``read``: the process's memory, what is left out of the core included."""

    def __init__(self, core: ProcessCore, files: Files, read: Callable[[int, int], bytes]) -> None:
        self.core = core
        self.files = files
        self._read = read
        self._ready = False

    def read(self, address: int, size: int) -> bytes:
        """The process's memory; until the list is made, what the core itself holds of it. Raises `ReadError`."""
        if self._ready:
            return self._read(address, size)
        data = bytes(self.core.held(address, size))
        if len(data) < size:
            raise ReadError(address + len(data))
        return data

    @functools.cached_property
    def listed(self) -> list[LoadedObject]:
        """The objects: the program, then as the dynamic linker has them, then by address."""
        places = islice(self._places(), MOST_OBJECTS)
        found = {base: LoadedObject(self, base, end, path) for base, end, path in places}
        by_address = [found[base] for base in sorted(found)]
        main = self._main(by_address)
        if main is not None:
            main.main = True
            main.path = main.path or self.program_path
        for at, one in enumerate(by_address):
            one.stretch(by_address[at + 1].base if at + 1 < len(by_address) else 1 << self.core.bits)
        self._by_address = by_address
        self._bases = [one.base for one in by_address]
        order = self._link_order(main, by_address)
        self._ready = True
        return sorted(by_address, key=lambda one: (not one.main, order.get(one.base, MOST_OBJECTS), one.base))

    @property
    def main(self) -> LoadedObject | None:
        """The program, or None."""
        return next((one for one in self.listed if one.main), None)

    def at(self, address: int) -> LoadedObject | None:
        """The object that an address lies in, or None."""
        if not self.listed:
            return None
        at = bisect_right(self._bases, address) - 1
        return self._by_address[at] if at >= 0 and address < self._by_address[at].end else None

    def named(self, name: str) -> LoadedObject | None:
        """The object of that name: its path, base name, that up to a dot, or ``a.out`` for the program."""
        for one in self.listed:
            if name in (one.label, one.path) or (one.main and name == "a.out"):
                return one
        return next((one for one in self.listed if name and one.label.startswith(f"{name}.")), None)

    # where they are

    def _places(self) -> Iterator[tuple[int, int, str]]:
        """(base, end, path) of each object, each base once."""
        mapped = list(islice(self._mapped_files(), MOST_OBJECTS))
        yield from mapped
        vdso = self.core.notes.auxv.get(AT_SYSINFO_EHDR)
        program = self.core.region(self.core.notes.auxv.get(AT_PHDR, 0))
        bases, reached = [base for base, _, _ in mapped], 0
        for at, region in enumerate(self.core.regions):
            before = bisect_right(bases, region.address) - 1
            if region.address < max(reached, mapped[before][1] if before >= 0 else 0):
                continue
            if bytes(self.core.held(region.address, 4)) == MAGIC or region is program:
                reached = region.end if region.address == vdso else self._extent(at)
                yield region.address, reached, ""

    def _extent(self, at: int) -> int:
        """Where an object ends that begins with a range: by its program headers, or with the range itself."""
        region = self.core.regions[at]
        headers = headers_at(bytes(self.core.held(region.address, min(HEAD, region.size))), "")
        if headers is None:
            return region.end
        return max(region.end, _end(headers, bias_of(headers, region.address), region.address))

    def _mapped_files(self) -> Iterator[tuple[int, int, str]]:
        """Runs of ranges of one file that NT_FILE tells of, if they are an object's: with code, or an ELF header."""
        files = sorted(self.core.notes.files)
        at = 0
        while at < len(files):
            first = files[at]
            run = at + 1
            while run < len(files) and files[run].name == first.name:
                # A second look at the first page: another copy, unless it follows at once (lld's way to begin text).
                if files[run].offset == 0 and files[run].start != files[run - 1].end:
                    break
                run += 1
            if first.offset == 0 and not first.name.startswith(DEVICES):
                code = any(
                    (region := self.core.region(one.start)) is not None and region.flags & PF_X for one in files[at:run]
                )
                if code or bytes(self.core.held(first.start, 4)) == MAGIC:
                    yield first.start, files[run - 1].end, first.name
            at = run

    def _main(self, listed: list[LoadedObject]) -> LoadedObject | None:
        auxv = self.core.notes.auxv
        for key in (AT_PHDR, AT_ENTRY):
            address = auxv.get(key)
            if address is not None:
                for one in listed:
                    if one.base <= address < one.end:
                        return one
        linker = auxv.get(AT_BASE)
        return next((one for one in listed if one.base != linker), None) if not auxv else None

    @functools.cached_property
    def program_path(self) -> str:
        """The program's path as the kernel noted it on the stack (AT_EXECFN, AT_SUN_EXECNAME); empty if it did not."""
        for key in (AT_SUN_EXECNAME, AT_EXECFN):
            address = self.core.notes.auxv.get(key)
            if address:
                try:
                    return string_at(self._held_some, address)
                except ReadError:
                    continue
        return ""

    def _held_some(self, address: int, size: int) -> bytes:
        data = bytes(self.core.held(address, size))
        if not data:
            raise ReadError(address)
        return data

    def _link_order(self, main: LoadedObject | None, listed: list[LoadedObject]) -> dict[int, int]:
        """Place of each object in the dynamic linker's list, by base; objects without a path take theirs from it."""
        if main is None or main.dynamic is None:
            return {}
        order: dict[int, int] = {}
        by_bias = {one.bias: one for one in listed if not one.main and one.headers is not None}
        for place, (bias, path) in enumerate(link_map(main.dynamic, self.core.bits, self.read)):
            found = by_bias.get(bias)
            if found is not None:
                order.setdefault(found.base, place)
                found.path = found.path or path
        linker = next((one for one in listed if one.base == self.core.notes.auxv.get(AT_BASE)), None)
        if linker is not None and not linker.path:
            linker.path = linker.dynamic_name or ""
        return order

    # what the core's own sections hold (illumos)

    def sections_of(self, one: LoadedObject, *names: str) -> list[tuple[Section, Section | None]]:
        """Sections of these names whose address lies in an object, each with the one that it is linked to."""
        return [pair for pair in self._sections if pair[0].name in names and one.base <= pair[0].address < one.end]

    @functools.cached_property
    def _sections(self) -> list[tuple[Section, Section | None]]:
        return self.core.sections()

    def strings_of(self, table: Section) -> bytes:
        """The strings of a symbol table among the core's sections."""
        listed = self.core.elf.sections
        return self.core.content(listed[table.link]) if 0 < table.link < len(listed) else b""

    def embedded_tables(self, one: LoadedObject) -> Tables | None:
        """The symbol tables of an object that the core holds in sections of its own."""
        kinds = {".symtab": SHT_SYMTAB, ".dynsym": SHT_DYNSYM}
        found = {
            kinds[table.name]: (self.core.content(table), self.core.content(strings))
            for table, strings in self.sections_of(one, *kinds)
            if strings is not None
        }
        kind = one.headers.type if one.headers is not None else 0
        return Tables(self.core.bits, kind, found) if found else None

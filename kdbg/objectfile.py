"""An ELF file as a target: a program at rest.

Memory is what the program's loadable segments map: ``/`` reads the bytes that the file holds for them, ``?`` also the
zeros behind (bss). Names come from .symtab, then .dynsym; types from .SUNW_ctf. Registers exist and are 0.

Sources: the ELF specification (generic ABI); elf.h. What is found among several symbols, and which names carry their
object in labels, is mdb's choice (its process target over libproc): see `kdbg.symbols.elfsymbols`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from kdbg.errors import FormatError, ReadError, SymbolNotFound, TypeNotFound
from kdbg.symbols.elfheaders import PF_W, PF_X, PT_LOAD, ElfHeaders, Section, Segment
from kdbg.symbols.elfsymbols import ElfSymbols
from kdbg.symbols.table import STT_FILE, STT_FUNC, STT_SECTION, Symbol
from kdbg.target import FileMapping, Space, Target

if TYPE_CHECKING:
    from kdbg.symbols.ctf import CtfContainer
    from kdbg.symbols.model import Type

NO_MAPPING = "no mapping for address"
NO_OBJECT = "unknown object file name"
UNSUPPORTED = "operation not supported by target"
READ_ONLY = "target is not open for writing"

_split = str.split
REGISTERS = (
    *(f"r{number}{part}" for number in range(15, 7, -1) for part in ("", "d", "w", "l")),
    *_split("rdi edi di dil rsi esi si sil rbp ebp bp bpl rbx ebx bx bh bl rdx edx dx dh dl rcx ecx cx ch cl"),
    *_split("rax eax ax ah al trapno err rip cs rflags eflags rsp esp sp spl ss fs gs es ds fsbase gsbase"),
)
"""Registers of a 64-bit process and their parts, as variables are named."""


class ObjectFile(Target):
    """An ELF file. Raises `FormatError` where it is none, `OSError` where it cannot be opened."""

    kind = "object"
    idle = True

    def __init__(self, path: str, writable: bool = False) -> None:
        self._open(path, writable)
        super().__init__(path, self.elf.bits)
        self.writable = writable
        self.base_name = os.path.basename(path)
        self.path = path if path.startswith("/") else f"{os.getcwd()}/{path}"
        loadable = [s for s in self.elf.segments if s.type == PT_LOAD]
        self.segments: list[Segment] = sorted(loadable, key=lambda s: (s.address == 0, s.address))
        self._maps = sorted(loadable, key=lambda s: s.address)
        self._text_map = loadable[0] if loadable else None

    def _open(self, path: str, writable: bool) -> None:
        self._file = open(path, "r+b" if writable else "rb", buffering=0)  # noqa: SIM115
        try:
            size = os.fstat(self._file.fileno()).st_size
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(self._file.fileno(), 0, access=access) if size else None
            self.elf = ElfHeaders(memoryview(self._map) if self._map is not None else memoryview(b""), path)
        except (OSError, ValueError, FormatError):
            self.close()
            raise

    # memory

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        data = self.read_some(address, size, space)
        if len(data) < size:
            raise ReadError(address + len(data), reason=NO_MAPPING)
        return data

    def read_some(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Up to ``size`` bytes: as many as are mapped without a gap. Raises `ReadError` where not one is."""
        if space not in (Space.VIRTUAL, Space.OBJECT):
            raise ReadError(address, reason=UNSUPPORTED)
        pieces = []
        left, at = size, address
        while left > 0:
            piece = self._piece(at, left, space)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
            at += len(piece)
        if not pieces and size > 0:
            raise ReadError(address, reason=NO_MAPPING)
        return b"".join(pieces)

    def _piece(self, address: int, size: int, space: Space) -> bytes:
        """Bytes of one segment from an address on, none where no segment is."""
        whole = space is Space.OBJECT
        for segment in self.segments if whole else self._maps:
            inside = address - segment.address
            if 0 <= inside < (segment.memory_size if whole else segment.file_size):
                # Beyond the part that the file holds, but not at its very end, mdb reads on in the file.
                in_file = size if inside > segment.file_size else min(size, segment.file_size - inside)
                start = segment.offset + inside
                data = bytes(self.elf.view[start : start + in_file])
                if whole and len(data) == in_file:
                    data += bytes(max(0, min(size, segment.memory_size - inside) - in_file))
                return data
        return b""

    def write(self, address: int, data: bytes, space: Space = Space.VIRTUAL) -> None:
        """Write into the file, by ``?``; the memory of a program at rest cannot be written. Raises `ReadError`."""
        if not self.writable:
            raise ReadError(address, reason=READ_ONLY)
        if space not in (Space.VIRTUAL, Space.OBJECT):
            raise ReadError(address, reason=UNSUPPORTED)
        if space is Space.OBJECT and self._map is not None:
            for segment in self.segments:
                inside = address - segment.address
                if inside >= 0 and inside + len(data) <= segment.file_size:
                    start = segment.offset + inside
                    if start + len(data) <= len(self._map):
                        self._map[start : start + len(data)] = data
                        return
        raise ReadError(address, reason=NO_MAPPING)

    def set_writable(self, writable: bool) -> None:
        """Open the file again, for writing or not. Raises `OSError`."""
        if writable != self.writable:
            self.close()
            self._open(self.name, writable)
            self.writable = writable
            self.__dict__.pop("symbols", None)
            self.__dict__.pop("ctf", None)

    # names

    @cached_property
    def symbols(self) -> ElfSymbols:
        """.symtab and .dynsym. Damaged tables are empty."""
        return ElfSymbols(self.elf, self.base_name)

    def _is_own_name(self, module: str) -> bool:
        """Whether it is the object's base name (or that up to a dot), its path, or ``a.out``; no if it maps nothing."""
        if not self._maps:
            return False
        return module in (self.base_name, self.path, "a.out") or self.base_name.startswith(f"{module}.")

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name, in this object or among a source file's local symbols. Raises `SymbolNotFound`."""
        symbols = self.symbols
        if module is None or self._is_own_name(module):
            if module is None and (private := self.private.lookup(name)) is not None:
                return private
            found = symbols.linked(name) if self._maps else None
            if found is None and module is None:
                found = symbols.any(name)
            if found is None and module is not None:
                found = symbols.of_file(module, name)
            if found is None:
                raise SymbolNotFound(name)
            return found
        found = symbols.of_file(module, name)
        if found is None:
            raise SymbolNotFound(name, "unknown symbol name" if symbols.has_file(module) else NO_OBJECT)
        return found

    def listed(self, module: str | None = None, dynamic: bool = False) -> Iterator[tuple[str, Symbol]]:
        """Symbols as ``::nm`` lists them; none where nothing is mapped. Raises `SymbolNotFound` for another object."""
        if module is not None and not self._is_own_name(module):
            raise SymbolNotFound(module, NO_OBJECT)
        table = self.symbols.dynamic if dynamic else self.symbols.static
        name = self.path if module is None else module
        return ((name, symbol) for symbol in table.listed()) if self._maps else iter(())

    def _mapping(self, address: int) -> Segment | None:
        return next((s for s in self._maps if 0 <= address - s.address < s.file_size), None)

    def nearest(self, address: int, distance: int | None = None) -> tuple[Symbol, int]:
        """The symbol that covers the address. Raises `SymbolNotFound`."""
        private = self.private.nearest(address, distance)
        if private is not None:
            return private, address - private.address
        if self._mapping(address) is not None:
            symbol = self.symbols.covering(address)
            if symbol is not None and symbol.address and (not distance or address - symbol.address < distance):
                return symbol, address - symbol.address
        raise SymbolNotFound(f"{address:x}", "no symbol corresponds to address")

    def qualified(self, symbol: Symbol) -> str:
        """The name, with the object's before it for all that is not in the first segment (the text)."""
        if not symbol.module:
            return symbol.name
        mapping = self._mapping(symbol.address)
        if mapping is None or mapping is self._text_map:
            return symbol.name
        return f"{self.base_name}`{symbol.name}"

    def symbol_names(self, module: str | None = None) -> Iterator[str]:
        """Names of its symbols, in any order, some perhaps twice."""
        if module is None or self._is_own_name(module):
            for table in (self.symbols.static, self.symbols.dynamic):
                yield from (symbol.name for symbol in table.symbols if symbol.type not in (STT_SECTION, STT_FILE))
        yield from super().symbol_names(module)

    def object_names(self) -> list[str]:
        """The file's own name."""
        return [self.base_name]

    # types

    def type_names(self) -> Iterator[str]:
        """Names of its types."""
        return self.ctf.names() if self.ctf is not None else iter(())

    @cached_property
    def ctf(self) -> CtfContainer | None:
        """Types of the section .SUNW_ctf, or None: not there or damaged (a note says so)."""
        section = self.elf.section(".SUNW_ctf")
        if section is None:
            return None
        from kdbg.symbols.ctf import CtfContainer

        table, strings = self._linked(section)
        try:
            return CtfContainer(self.elf.content(section), self.bits, None, table, strings, self.base_name)
        except FormatError as error:
            self.note(f"types of {self.name} cannot be used: {error}")
            return None

    def _linked(self, section: Section) -> tuple[memoryview, memoryview]:
        """Contents of the symbol table that a section links to, and of its strings."""
        empty = memoryview(b"")
        if not 0 < section.link < len(self.elf.sections):
            return empty, empty
        table = self.elf.sections[section.link]
        if not 0 < table.link < len(self.elf.sections):
            return self.elf.content(table), empty
        return self.elf.content(table), self.elf.content(self.elf.sections[table.link])

    def type(self, name: str) -> Type:
        """The type of that C name, also as ``object`type``. Raises `TypeNotFound`."""
        if "`" in name:
            from kdbg.symbols.space import split_scope

            module, name = split_scope(name)
            if module and not self._is_own_name(module):
                raise TypeNotFound(name, NO_OBJECT)
        if self.ctf is None:
            raise TypeNotFound(name, NO_OBJECT)
        return self.ctf.lookup(name)

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a symbol of .symtab. Raises `TypeNotFound`."""
        if self.ctf is None:
            raise TypeNotFound(symbol.name, NO_OBJECT)
        if symbol.type == STT_FUNC:
            return self.ctf.type_of_function(symbol.index)
        return self.ctf.type_of_object(symbol.index)

    def type_containers(self) -> Iterator[CtfContainer]:
        """Its types, if it has some."""
        return iter(() if self.ctf is None else (self.ctf,))

    # the machine

    def registers(self) -> Mapping[str, int]:
        """All registers, 0: the program does not run."""
        return dict.fromkeys(REGISTERS, 0)

    def reserved(self) -> dict[str, int]:
        """One-letter variables: b, d (address and size of data), e (entry), m (magic number), t (size of text)."""
        text = next((s for s in self.segments if s.flags & PF_X), None)
        data = next((s for s in self.segments if s.flags & PF_W), None)
        return {
            "b": data.address if data else 0,
            "d": data.memory_size if data else 0,
            "e": self.elf.entry,
            "m": int.from_bytes(self.elf.view[:4], "little"),
            "t": text.memory_size if text else 0,
        }

    def mappings(self) -> list[FileMapping]:
        """What is mapped, by address."""
        return [FileMapping(s.address, s.file_size, self.path) for s in self._maps]

    def objects(self) -> list[FileMapping]:
        """The one object, by its first segment; none where nothing is mapped."""
        first = self._text_map
        return [] if first is None else [FileMapping(first.address, first.file_size, self.path)]

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            self.close()

    def close(self) -> None:
        """Let the file go."""
        elf = self.__dict__.pop("elf", None)
        if elf is not None:
            elf.view.release()
        mapped = self.__dict__.pop("_map", None)
        if mapped is not None:
            with contextlib.suppress(BufferError):  # somebody still holds a piece; it goes with that
                mapped.close()
        self._file.close()

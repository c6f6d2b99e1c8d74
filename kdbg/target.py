"""What is looked at: one opened dump, object or file.

The language and the dcmds see a `Target`: memory by address, symbols, types, registers and, in a dump, a kernel. The
kinds: `kdbg.dump.Dump` (a crash dump: image, address spaces, kernel), `kdbg.objectfile.ObjectFile` (an ELF file),
`kdbg.rawfile.RawFile` (any file as flat bytes), `Nothing` (the language alone).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from kdbg.errors import CommandError, ReadError, SymbolNotFound, TypeNotFound
from kdbg.symbols.private import PrivateSymbols

if TYPE_CHECKING:
    from kdbg.symbols.model import Type
    from kdbg.symbols.space import Container
    from kdbg.symbols.synthetic import SyntheticTypes
    from kdbg.symbols.table import Symbol


class Space(enum.Enum):
    """Which memory an address means."""

    VIRTUAL = "/"
    OBJECT = "?"
    PHYSICAL = "\\"
    FILE = "@"


@dataclass(frozen=True, slots=True)
class FileMapping:
    """A range of addresses and the file that it shows."""

    base: int
    size: int
    name: str


class Target:
    """Base of all targets: knows nothing, refuses everything with the language's own reasons."""

    kind: str = "none"
    """"dump", "object", "raw" or "none"."""
    idle: bool = False
    """Whether it is a file at rest: there is no address space, ``::dis`` and ``::dump`` look at the file."""

    def __init__(self, name: str, bits: int = 64) -> None:
        self.name = name
        """As the person gave it."""
        self.bits = bits
        self.notes: list[str] = []
        """What was odd or missing, a sentence each, in the order of discovery."""
        self.without_types = False
        """Whether the types that it holds are to be left alone (``-C``, ``-o noctf``)."""
        self.without_commands = False
        """Whether the commands of its kernel are to be left out (``-A``, ``-o nomods``)."""
        self.synthetic: SyntheticTypes | None = None
        """Types that the person made (``::typedef``); `kdbg.symbols.synthetic.find_type` knows them."""
        self.private = PrivateSymbols()
        """Symbols that the person added: `lookup` (without a module) and `nearest` put them before all others."""

    # memory

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        raise ReadError(address, reason="no mapping for address")

    def read_some(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Up to ``size`` bytes: as many as can be read from there on. Raises `ReadError` where not one can.

        A file's end may give none without an error.
        """
        try:
            return self.read(address, size, space)
        except ReadError:
            pieces = []
            at, end = address, address + size
            while at < end:
                step = min(end - at, 4096 - at % 4096)
                try:
                    pieces.append(self.read(at, step, space))
                except ReadError:
                    break
                at += step
            if not pieces:
                raise
            return b"".join(pieces)

    def write(self, address: int, data: bytes, space: Space = Space.VIRTUAL) -> None:
        """Write all of ``data``. Raises `ReadError`; dumps are never written to."""
        raise ReadError(address, reason="target is not open for writing")

    # names

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name, in one module or object if given. Raises `SymbolNotFound`."""
        if module is None and (private := self.private.lookup(name)) is not None:
            return private
        raise SymbolNotFound(name)

    def nearest(self, address: int, distance: int | None = None) -> tuple[Symbol, int]:
        """The symbol that covers the address, and the offset in it; with ``distance`` one that lies less far below.

        Raises `SymbolNotFound`.
        """
        private = self.private.nearest(address, distance)
        if private is not None:
            return private, address - private.address
        raise SymbolNotFound(f"{address:x}", "no symbol corresponds to address")

    def qualified(self, symbol: Symbol) -> str:
        """The name as labels show it: with its object where that is not the main one."""
        return symbol.name

    def symbol_names(self, module: str | None = None) -> Iterable[str]:
        """Names of all symbols, or of one module's, in any order, some perhaps twice: for completion."""
        return [symbol.name for symbol in self.private] if module is None else ()

    def object_names(self) -> Iterable[str]:
        """Names of the modules or objects that symbols may be scoped by."""
        return ()

    def listed(self, module: str | None = None, dynamic: bool = False) -> Iterator[tuple[str, Symbol]]:
        """Symbols with their object's name, as ``::nm`` lists them: of all objects or of one, also the dynamic tables.

        Raises `SymbolNotFound` where there is no such object.
        """
        if module is not None:
            raise SymbolNotFound(module, "unknown object file name")
        return iter(())

    # what is mapped

    def mappings(self) -> list[FileMapping]:
        """The ranges that are mapped, by address. Raises `CommandError` where that cannot be told."""
        raise CommandError("no process active")

    def objects(self) -> list[FileMapping]:
        """The modules or files that are mapped, each by its first range. Raises `CommandError` as `mappings`."""
        raise CommandError("no process active")

    # types

    def type_names(self) -> Iterable[str]:
        """Names of all types, in any order, some perhaps twice: for completion."""
        return ()

    def type(self, name: str) -> Type:
        """The type of that C name, ``object`type`` for that of one module. Raises `TypeNotFound`."""
        raise TypeNotFound(name)

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a symbol's object or function. Raises `TypeNotFound`."""
        raise TypeNotFound(symbol.name)

    def type_containers(self) -> Iterator[Container]:
        """The types of each object that has some, in the target's order."""
        return iter(())

    # the machine

    def registers(self) -> Mapping[str, int]:
        """Registers of the representative thread, by name; empty where there are none."""
        return {}

    @property
    def kernel(self) -> Any:
        """The kernel found in the dump (`kdbg.kernels`), or None."""
        return None

    def require_kernel(self) -> Any:
        """The kernel, or an error that says why there is none. Raises `CommandError`."""
        kernel = self.kernel
        if kernel is None:
            raise CommandError("command is not supported by current target")
        return kernel

    def capabilities(self) -> frozenset[str]:
        """What dcmds may ask for in ``needs``."""
        return frozenset()

    def note(self, message: str) -> None:
        """Remember what was odd (at most 1,000 notes)."""
        if len(self.notes) < 1000:
            self.notes.append(message)

    def close(self) -> None:
        """Let the file go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Nothing(Target):
    """No target: the language alone."""

    idle = True

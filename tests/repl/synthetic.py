"""A target of names alone, as many as a large kernel has: 150,000 symbols and 20,000 types."""

from __future__ import annotations

import random
from collections.abc import Iterator

from kdbg.errors import SymbolNotFound, TypeNotFound
from kdbg.symbols.model import Kind, Member, Type
from kdbg.symbols.table import Symbol
from kdbg.target import Target

SYMBOLS, TYPES = 150_000, 20_000
_PARTS = ("vm", "page", "kmem", "cache", "alloc", "free", "thread", "proc", "ip", "tcp", "udp", "zfs", "spa")


class _Loader:
    """Every structure has the same members: ``m_0`` to ``m_99``, and ``m_next``, a pointer to itself."""

    complete = None

    def __init__(self) -> None:
        self.integer = Type(self, 1, Kind.INTEGER, "int", 4)

    def members(self, type_id: int) -> tuple[Member, ...]:
        pointer = Type(self, -type_id, Kind.POINTER, "", 8)
        numbered = tuple(Member(f"m_{at}", self.integer, 32 * at) for at in range(100))
        return (*numbered, Member("m_next", pointer, 3200))

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        return ()

    def reference(self, type_id: int) -> Type | None:
        return self.structure(-type_id) if type_id < 0 else None

    def arguments(self, type_id: int) -> tuple[Type, ...]:
        return ()

    def structure(self, number: int) -> Type:
        return Type(self, number, Kind.STRUCT, f"struct s{number}", 408)


class ManyNames(Target):
    """The target. Names are made of kernel words, the same ones every time."""

    kind = "object"

    def __init__(self, symbols: int = SYMBOLS, types: int = TYPES) -> None:
        super().__init__("many")
        maker = random.Random(1)
        self.symbols = ["_".join(maker.choices(_PARTS, k=3)) + f"_{at:x}" for at in range(symbols)]
        self.types = ["_".join(maker.choices(_PARTS, k=2)) + f"_{at:x}_t" for at in range(types // 2)]
        self._loader = _Loader()
        self._tags = types - types // 2
        self.scans = 0

    def symbol_names(self, module: str | None = None) -> Iterator[str]:
        self.scans += 1
        return iter(self.symbols)

    def type_names(self) -> Iterator[str]:
        yield from self.types
        yield from (f"struct s{at}" for at in range(2, 2 + self._tags))

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        raise SymbolNotFound(name)

    def type(self, name: str) -> Type:
        if name in self.types:
            return self._loader.structure(2 + self.types.index(name))
        if name.startswith("struct s"):
            return self._loader.structure(int(name[8:]))
        raise TypeNotFound(name)

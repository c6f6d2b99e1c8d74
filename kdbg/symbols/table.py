"""Symbol tables: by name, by address through bisection, scoped by module.

A `SymbolTable` is a view on the bytes of one ELF symbol table; entries become `Symbol` objects when they are asked for.
`Symbols` joins the tables of all modules of a target.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE, STT_COMMON, STT_TLS = range(7)
STB_LOCAL, STB_GLOBAL, STB_WEAK = range(3)
SHN_UNDEF, SHN_ABS, SHN_COMMON = 0, 0xFFF1, 0xFFF2


@dataclass(frozen=True, slots=True)
class Symbol:
    """An entry of a symbol table (Elf32_Sym, Elf64_Sym; or one of the kernel's own table)."""

    name: str
    address: int
    size: int
    module: str
    """Name of the module or object that it belongs to."""
    type: int = STT_NOTYPE
    """STT_* of the ELF specification."""
    binding: int = STB_GLOBAL
    """STB_* of the ELF specification."""
    other: int = 0
    section: int = SHN_ABS
    """Section index, SHN_ABS where the table does not tell."""
    index: int = -1
    """Position in its table."""

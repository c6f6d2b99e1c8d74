"""The modules of a Linux kernel, before any type is known: struct module is probed.

What its head looks like has stood since 2.6 (include/linux/module.h): state, list, name. Two members further down are
known by what they point to: ``kallsyms`` (4.5 on) to a ``struct mod_kallsyms`` (symtab, num_symtab, strtab) whose
tables begin with the null symbol and the empty name; ``core_layout.base`` or (6.4 on) ``mem[MOD_TEXT].base``, the first
pointer to a whole page near by that may run, which a size follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.symbols.table import SHN_ABS, SymbolTable
from kdbg.vm.modes import flag_names

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_MODULES = 10_000
NAME_SIZE = {64: 56, 32: 60}
"""MODULE_NAME_LEN: 64 less a word."""
PROBED = 2048
"""Bytes of struct module that are looked at."""
MOST_SYMBOLS = 1 << 20
MOST_SIZE = 1 << 30
FARTHEST = 1 << 31
"""A module's text lies nearer to its struct module: calls within it reach no farther."""
ENTRY_SIZE = {64: 24, 32: 16}
"""Bytes of Elf64_Sym and Elf32_Sym."""


@dataclass(frozen=True, slots=True)
class ModuleImage:
    """A module as probed."""

    address: int
    """Of its struct module."""
    name: str
    base: int
    size: int
    """Of its text, or of all of its core up to 6.3; 0 with base 0 where it was not found."""
    symtab: int
    symbols: int
    """Number of entries; 0 where they were not found."""
    strtab: int


def modules(kernel: Linux) -> Iterator[ModuleImage]:
    """The modules in the order of the kernel's list, the newest first. Ends with a note where the list is broken."""
    word = kernel.bits // 8
    try:
        head = kernel.place("modules")
        at = kernel.word(head)
    except Error:
        return
    seen = {head}
    while at not in seen:
        if len(seen) > MOST_MODULES:
            kernel.target.note(f"modules: more than {MOST_MODULES} in the list; the rest is left out")
            return
        seen.add(at)
        try:
            yield _probe(kernel, at - word)
            at = kernel.word(at)
        except ReadError as error:
            kernel.target.note(f"modules: the list breaks off at {at:x}: {error}")
            return
    if at != head:
        kernel.target.note(f"modules: the list goes in a circle at {at:x}")


def _probe(kernel: Linux, address: int) -> ModuleImage:
    """A struct module: 32-bit state (padded to a word), list, name ... Raises `ReadError`."""
    word = kernel.bits // 8
    data = kernel.target.read_some(address, PROBED)
    name_at = 3 * word
    if len(data) < name_at + NAME_SIZE[kernel.bits]:
        raise ReadError(address, "struct module is not in the dump")
    name = data[name_at : name_at + NAME_SIZE[kernel.bits]].partition(b"\0")[0].decode("latin-1")
    base, size, tables = 0, 0, (0, 0, 0)
    for at in range(name_at + NAME_SIZE[kernel.bits], len(data) - 3 * word, word):
        pointer = int.from_bytes(data[at : at + word], "little")
        if not kernel.in_kernel(pointer) or pointer % word:
            continue
        if not base and (found := _size_behind(data, at + word)) and _is_text(kernel, pointer, address):
            base, size = pointer, found
        if not tables[1]:
            tables = _mod_kallsyms(kernel, pointer) or tables
        if base and tables[1]:
            break
    return ModuleImage(address, name, base, size, *tables)


def _is_text(kernel: Linux, base: int, module: int) -> bool:
    """Whether a module's text may begin at an address: a page near its struct module, of its own, that may run."""
    if base % 4096 or abs(base - module) >= FARTHEST:
        return False
    try:
        found = kernel.space.translate(base)
    except Error:
        return False
    if kernel.bits == 32:  # nothing forbids to run data, but the direct map has no modules
        return found.physical != base - kernel.lowest
    return not {"noexec", "pxn"} & set(flag_names(kernel.space.mode, found.entry))


def _size_behind(data: bytes, at: int) -> int:
    """The size behind a base: a u32, from 6.13 on perhaps behind a flag; 0 where neither looks like one."""
    for place in (at, at + 4):
        size = int.from_bytes(data[place : place + 4], "little")
        if 64 <= size < MOST_SIZE:
            return size
    return 0


def _mod_kallsyms(kernel: Linux, address: int) -> tuple[int, int, int] | None:
    """(symtab, number of symbols, strtab) if a struct mod_kallsyms lies at the address."""
    word = kernel.bits // 8
    try:
        data = kernel.memory.read(address, 3 * word)
        symtab, count, strtab = (int.from_bytes(data[at : at + word], "little") for at in range(0, 3 * word, word))
        count &= 0xFFFFFFFF
        if not (kernel.in_kernel(symtab) and kernel.in_kernel(strtab) and 0 < count < MOST_SYMBOLS):
            return None
        entry = ENTRY_SIZE[kernel.bits]
        if any(kernel.memory.read(symtab, entry)) or kernel.memory.read(strtab, 1) != b"\0":
            return None
        kernel.memory.read(symtab + entry * (count - 1), entry)
    except ReadError:
        return None
    return symtab, count, strtab


def symbol_table(kernel: Linux, module: ModuleImage) -> SymbolTable | None:
    """A module's own symbols, as its ELF file had them, with their addresses; None where they were not found.

    Raises `ReadError`.
    """
    if not module.symbols:
        return None
    entry = ENTRY_SIZE[kernel.bits]
    entries = kernel.memory.read(module.symtab, module.symbols * entry)
    names = [int.from_bytes(entries[at : at + 4], "little") for at in range(0, len(entries), entry)]
    last = max(names)
    if last >= MOST_SIZE:
        raise ReadError(module.symtab, f"module {module.name}: a symbol's name at {last:x} of its strings")
    strings = kernel.target.read_some(module.strtab, last + 512)
    end = strings.find(b"\0", last)
    return SymbolTable(entries, strings[: end + 1] if end >= 0 else strings, kernel.bits, module.name, SHN_ABS)

"""The kernel of a native crash dump: its symbols lie in the dump as an ELF file and say where it begins.

Source: libkvm's kvm_open (symbols ``kas``, ``modules``), <sys/dumphdr.h>.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, FormatError
from kdbg.formats.elf import Elf
from kdbg.formats.illumos import IllumosDump
from kdbg.formats.source import Source
from kdbg.symbols.table import SymbolTable
from kdbg.vm.mapped import MappedSpace

if TYPE_CHECKING:
    from kdbg.dump import Dump


def namelist(target: Dump, image: IllumosDump) -> SymbolTable | None:
    """The symbols that came with the dump: in it, or in the file given beside it (``unix.N``)."""
    try:
        return elf_symbols(Source.of_bytes(image.source.name, image.ksyms()))
    except FormatError as error:
        target.note(f"the dump's own symbol table: {error.reason}")
    for path in target.beside:
        try:
            return elf_symbols(Source(path))
        except FormatError as error:
            target.note(str(error))
    return None


def elf_symbols(source: Source) -> SymbolTable:
    """The symbol table of an ELF file. Raises `FormatError`."""
    elf = Elf(source)
    table = elf.section(".symtab")
    if table is None or table.link >= len(elf.sections):
        raise FormatError(source.name, "no section .symtab")
    strings = elf.sections[table.link]
    return SymbolTable(
        source.read(table.offset, table.size, ".symtab"),
        bytes(source.read(strings.offset, strings.size, ".strtab")),
        elf.bits,
        "unix",
    )


def find(target: Dump) -> tuple[MappedSpace, dict[str, int], list[Any]] | None:
    """(address space, what debug_info would say, list that takes the kernel) of a native dump; None without symbols."""
    image = target.image
    assert isinstance(image, IllumosDump)
    symbols = namelist(target, image)
    kas = symbols.find("kas") if symbols else None
    modules = symbols.find("modules") if symbols else None
    if kas is None or modules is None:
        target.note("no symbols kas and modules: the kernel's list of modules cannot be found")
        return None
    holder: list[Any] = []

    def root() -> int:
        """Top page table of ``kas``, once the kernel's types are known; meanwhile the dump's map serves alone."""
        try:
            space.by_machine = holder[0].by_machine
            frame: int = holder[0].top_frame_of_as(kas.address)
        except Error as error:
            target.note(f"the kernel's page tables were not found: {error}")
            return 0
        return frame << 12

    space = MappedSpace(image, kas.address, root)
    return space, {"di_modules": modules.address}, holder

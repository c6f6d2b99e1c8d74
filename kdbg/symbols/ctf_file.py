"""Types out of a file: an ELF file's section .SUNW_ctf, or a bare container."""

from __future__ import annotations

from kdbg.errors import FormatError
from kdbg.symbols.ctf import MAGIC, CtfContainer

LARGEST = 256 << 20
SECTION = ".SUNW_ctf"


def read_types(path: str) -> CtfContainer:
    """The types of a file. Raises `OSError`, `FormatError`."""
    with open(path, "rb") as file:
        data = file.read(LARGEST)
    if data[:2] in (MAGIC.to_bytes(2, "little"), MAGIC.to_bytes(2, "big")):
        return CtfContainer(data, name=path)
    if data[:4] != b"\x7fELF":
        raise FormatError(path, "File is not in CTF or ELF format")
    from kdbg.symbols.elfheaders import ElfHeaders

    elf = ElfHeaders(memoryview(data), path)
    section = elf.section(SECTION)
    if section is None:
        raise FormatError(path, "File does not contain CTF data")
    table = strings = memoryview(b"")
    if 0 < section.link < len(elf.sections):
        linked = elf.sections[section.link]
        table = elf.content(linked)
        if 0 < linked.link < len(elf.sections):
            strings = elf.content(elf.sections[linked.link])
    return CtfContainer(elf.content(section), elf.bits, None, table, strings, path)

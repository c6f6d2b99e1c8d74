"""Types out of a file: an ELF file's section .SUNW_ctf, or a bare container."""

from __future__ import annotations

from kdbg.errors import FormatError
from kdbg.symbols.ctf import CtfContainer

LARGEST = 256 << 20


def read_types(path: str) -> CtfContainer:
    """The types of a file. Raises `OSError`, `FormatError`."""
    with open(path, "rb") as file:
        data = file.read(LARGEST)
    if data[:4] != b"\x7fELF":
        return CtfContainer(data, name=path)
    from kdbg.symbols.elfheaders import ElfHeaders

    elf = ElfHeaders(memoryview(data), path)
    section = elf.section(".SUNW_ctf")
    if section is None:
        raise FormatError(path, "File does not contain CTF data")
    return CtfContainer(elf.content(section), elf.bits, name=path)

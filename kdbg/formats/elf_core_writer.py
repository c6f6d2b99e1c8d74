"""Write an image as an ELF dump: what `kdbg.formats.elf_core` reads, and crash, drgn and libkdumpfile."""

from __future__ import annotations

import struct

from kdbg.errors import FormatError
from kdbg.formats import ranges
from kdbg.formats.elf import ET_CORE, PT_LOAD, PT_NOTE
from kdbg.formats.elf_core import EF_INCOMPLETE
from kdbg.formats.image import PAGE, Image
from kdbg.formats.linux_notes_writer import machine_of, notes_of
from kdbg.formats.writing import Content, Frames, content_of, growing, page_bytes

EHDR_SIZE, PHDR_SIZE, SHDR_SIZE = 64, 56, 64
PN_XNUM = 0xFFFF


def write(image: Image, path: str, frames: Frames | None = None) -> int:
    """Write the pages (all, or those of ``frames``); the number of pages written. Raises `FormatError`.

    What is left out is memory that the file does not hold: p_memsz > p_filesz, as makedumpfile writes it. A paravirtual
    domain's page tables hold machine frames, which this format has no place for.
    """
    if image.paravirtual:
        raise FormatError(path, "a paravirtual domain's machine frames have no place in this format: write xen-elf")
    content, notes = content_of(image, frames), notes_of(image, erased=True)
    loads = _loads(content)
    if loads and loads[-1][2] > (1 << 64) // PAGE:
        raise FormatError(path, f"page {loads[-1][2] - 1:#x} lies beyond what this format can address")
    count = 1 + len(loads)
    table_size = EHDR_SIZE + count * PHDR_SIZE + (SHDR_SIZE if count >= PN_XNUM else 0)
    notes_at = table_size
    data_at = -(-(notes_at + len(notes)) // PAGE) * PAGE
    with growing(path) as file:
        file.write(_header(image, count, complete=not (content.lost or image.damage)))
        file.write(_segment(PT_NOTE, notes_at, 0, len(notes), len(notes)))
        at = data_at
        for first, held, end in loads:
            file.write(_segment(PT_LOAD, at, first * PAGE, (held - first) * PAGE, (end - first) * PAGE))
            at += (held - first) * PAGE
        if count >= PN_XNUM:  # the real number stands in the first section header's sh_info
            file.write(struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, count, 0, 0))
        file.write(notes)
        file.write(bytes(data_at - file.tell()))
        for frame in content.held.tolist():
            file.write(page_bytes(image, frame))
    return len(content.held)


def _loads(content: Content) -> list[tuple[int, int, int]]:
    """(first frame, end of what is held, end of what exists) of each program header: what is left out comes behind."""
    absent = ranges.union(content.excluded, content.lost)
    behind = dict(absent)
    loads = [(first, end, behind.pop(end, end)) for first, end in ranges.of_frames(content.held)]
    return sorted(loads + [(first, first, end) for first, end in behind.items()])


def _header(image: Image, count: int, complete: bool) -> bytes:
    many = count >= PN_XNUM
    sections_at = EHDR_SIZE + count * PHDR_SIZE if many else 0
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    return ident + struct.pack(
        "<HHIQQQIHHHHHH",
        ET_CORE,
        machine_of(image),
        1,
        0,
        EHDR_SIZE,
        sections_at,
        0 if complete else EF_INCOMPLETE,
        EHDR_SIZE,
        PHDR_SIZE,
        PN_XNUM if many else count,
        SHDR_SIZE if many else 0,
        1 if many else 0,
        0,
    )


def _segment(kind: int, offset: int, address: int, size: int, memory: int) -> bytes:
    flags = 7 if kind == PT_LOAD else 0
    return struct.pack("<IIQQQQQQ", kind, flags, offset, 0, address, size, memory, 0 if kind == PT_LOAD else 4)

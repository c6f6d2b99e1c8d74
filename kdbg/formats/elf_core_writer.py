"""Write an image as an ELF dump: what `kdbg.formats.elf_core` reads, and crash, drgn and libkdumpfile."""

from __future__ import annotations

import struct

from kdbg.errors import FormatError
from kdbg.formats.elf import ET_CORE
from kdbg.formats.elf_core import PT_LOAD, PT_NOTE
from kdbg.formats.image import PAGE, Image
from kdbg.formats.linux_notes_writer import machine_of, notes_of
from kdbg.formats.writing import Frames, growing, held_frames, page_bytes, runs

EHDR_SIZE, PHDR_SIZE, SHDR_SIZE = 64, 56, 64
PN_XNUM = 0xFFFF


def write(image: Image, path: str, frames: Frames | None = None) -> int:
    """Write the pages (all, or those of ``frames``); the number of pages written. Raises `FormatError`.

    A paravirtual domain's page tables hold machine frames, which this format has no place for.
    """
    if image.paravirtual:
        raise FormatError(path, "a paravirtual domain's machine frames have no place in this format: write xen-elf")
    ranges, notes = runs(held_frames(image, frames)), notes_of(image)
    count = 1 + len(ranges)
    table_size = EHDR_SIZE + count * PHDR_SIZE + (SHDR_SIZE if count >= PN_XNUM else 0)
    notes_at = table_size
    data_at = -(-(notes_at + len(notes)) // PAGE) * PAGE
    with growing(path) as file:
        file.write(_header(image, count))
        file.write(_segment(PT_NOTE, notes_at, 0, len(notes)))
        at = data_at
        for first, number in ranges:
            file.write(_segment(PT_LOAD, at, first * PAGE, number * PAGE))
            at += number * PAGE
        if count >= PN_XNUM:  # the real number stands in the first section header's sh_info
            file.write(struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, count, 0, 0))
        file.write(notes)
        file.write(bytes(data_at - file.tell()))
        for first, number in ranges:
            for frame in range(first, first + number):
                file.write(page_bytes(image, frame))
    return sum(number for _, number in ranges)


def _header(image: Image, count: int) -> bytes:
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
        0,
        EHDR_SIZE,
        PHDR_SIZE,
        PN_XNUM if many else count,
        SHDR_SIZE if many else 0,
        1 if many else 0,
        0,
    )


def _segment(kind: int, offset: int, address: int, size: int) -> bytes:
    flags = 7 if kind == PT_LOAD else 0
    return struct.pack("<IIQQQQQQ", kind, flags, offset, 0, address, size, size, PAGE if kind == PT_LOAD else 4)

"""Write an image in makedumpfile's compressed format: what `kdbg.formats.kdump` reads, and crash and libkdumpfile."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from itertools import groupby
from typing import BinaryIO

from kdbg.errors import FormatError
from kdbg.formats.compression import compressor
from kdbg.formats.elf import EM_386, EM_AARCH64
from kdbg.formats.image import PAGE, Image
from kdbg.formats.kdump import FLAGS, SIGNATURE, TIME_AT, UTS, Kdump
from kdbg.formats.linux_notes_writer import machine_of, notes_of, vmcoreinfo_text
from kdbg.formats.writing import Frames, growing, held_frames, page_bytes

HEADER_VERSION = 6
HEADER_SIZE = 464
SUB_HEADER_SIZE = 104
MOST_BITMAP_BLOCKS = (1 << 31) - 1
"""Of one bitmap: both are counted in 32 bits."""
MACHINE_NAMES = {EM_386: "i686", EM_AARCH64: "aarch64"}
_BITS = {name: bit for bit, name in FLAGS.items()}
Compress = Callable[[bytes], bytes]


def write(image: Image, path: str, frames: Frames | None = None, compression: str = "zlib") -> int:
    """Write the pages (all, or those of ``frames``); the number of pages written. Raises `FormatError`, `MissingCodec`.

    ``compression``: "zlib" or "zstd". A paravirtual domain's page tables hold machine frames, which this format has no
    place for.
    """
    if image.paravirtual:
        raise FormatError(path, "a paravirtual domain's machine frames have no place in this format: write xen-elf")
    held, compress, flag = held_frames(image, frames), compressor(compression), _BITS[compression]
    most = held[-1] + 1 if held else 0
    notes, text = notes_of(image), vmcoreinfo_text(image.vmcoreinfo)
    notes_at = PAGE + SUB_HEADER_SIZE
    sub_blocks = -(-(SUB_HEADER_SIZE + len(notes) + len(text)) // PAGE)
    bitmap_blocks = -(-most // (8 * PAGE))
    if bitmap_blocks > MOST_BITMAP_BLOCKS:
        raise FormatError(path, f"page {held[-1]:#x} lies beyond what this format can count")
    with growing(path) as file:
        file.write(_header(image, flag, sub_blocks, 2 * bitmap_blocks, most).ljust(PAGE, b"\0"))
        file.write(_sub_header(image, notes_at, len(notes), len(text), most))
        file.write(notes + text)
        bitmap_at = (1 + sub_blocks) * PAGE
        for number in range(2):
            _write_bitmap(file, held, bitmap_at + number * bitmap_blocks * PAGE)
        file.seek(bitmap_at + 2 * bitmap_blocks * PAGE)
        _pages(file, image, held, compress, flag)
    return len(held)


def _header(image: Image, flag: int, sub_blocks: int, bitmap_blocks: int, most: int) -> bytes:
    fields = _names(image)
    crashed = image.vmcoreinfo.get("CRASHTIME", "")
    data = bytearray(HEADER_SIZE)
    data[:8] = SIGNATURE
    struct.pack_into("<i", data, 8, HEADER_VERSION)
    for at, name in enumerate(fields):
        struct.pack_into("65s", data, 12 + 65 * at, name.encode("latin-1")[:64])
    struct.pack_into("<qq", data, TIME_AT[64], int(crashed) if crashed.isdigit() else 0, 0)
    struct.pack_into(
        "<IiiIIIIIIi", data, TIME_AT[64] + 16, flag, PAGE, sub_blocks, bitmap_blocks, min(most, 0xFFFFFFFF), 0, 0, 0, 0,
        len(image.contexts),
    )  # fmt: skip
    return bytes(data)


def _names(image: Image) -> list[str]:
    """The six names of the kernel's utsname; none of the first five empty, which readers take for a damaged header."""
    if isinstance(image, Kdump):
        known = image.names
    else:
        known = {"sysname": "Linux" if image.vmcoreinfo else "", "nodename": image.describe().host or ""}
        known["release"] = image.vmcoreinfo.get("OSRELEASE", "")
    known = {**known, "machine": MACHINE_NAMES.get(machine_of(image), "x86_64")}
    return [known.get(name) or ("" if name == "domainname" else "unknown") for name in UTS]


def _sub_header(image: Image, notes_at: int, notes: int, text: int, most: int) -> bytes:
    base = image.vmcoreinfo.get("NUMBER(phys_base)", "0")
    return struct.pack(
        "<qiiQQqQqQqQQQQ",
        int(base, 0) if base.lstrip("-").isdigit() else 0,
        0,
        0,
        0,
        0,
        notes_at + notes if text else 0,
        text,
        notes_at if notes else 0,
        notes,
        0,
        0,
        0,
        0,
        most,
    )


def _write_bitmap(file: BinaryIO, held: list[int], at: int) -> None:
    """A bit for each frame; blocks without any are holes of the file."""
    for block, frames in groupby(held, lambda frame: frame // (8 * PAGE)):
        bits = bytearray(PAGE)
        for frame in frames:
            bits[frame >> 3 & PAGE - 1] |= 1 << (frame & 7)
        file.seek(at + block * PAGE)
        file.write(bits)


def _pages(file: BinaryIO, image: Image, held: list[int], compress: Compress, flag: int) -> None:
    """Descriptors and pages; pages of zeros share one."""
    descriptors_at = file.tell()
    at = descriptors_at + 24 * len(held)
    file.seek(at)
    places, sizes, flags = array("q"), array("I"), array("I")
    zeros, zero_place = bytes(PAGE), None
    for frame in held:
        plain = bytes(page_bytes(image, frame))
        if plain == zeros and zero_place is not None:
            place, size, kind = zero_place
        else:
            packed = compress(plain)
            kind = flag if len(packed) < PAGE else 0
            data = packed if kind else plain
            place, size = at, len(data)
            file.write(data)
            at += size
            if plain == zeros:
                zero_place = place, size, kind
        places.append(place)
        sizes.append(size)
        flags.append(kind)
    file.seek(descriptors_at)
    for place, size, kind in zip(places, sizes, flags, strict=True):
        file.write(struct.pack("<qIIQ", place, size, kind, 0))

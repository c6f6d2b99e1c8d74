"""Write an image in makedumpfile's compressed format: what `kdbg.formats.kdump` reads, and crash and libkdumpfile."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import BinaryIO

from kdbg.errors import FormatError
from kdbg.formats import ranges
from kdbg.formats.compression import compressor
from kdbg.formats.elf import EM_386, EM_AARCH64
from kdbg.formats.image import PAGE, Image
from kdbg.formats.kdump import Kdump
from kdbg.formats.kdump_header import DESCRIPTOR, FLAGS, INCOMPLETE, SIGNATURE, TIME_AT, UTS
from kdbg.formats.linux_notes_writer import erase_info_of, machine_of, notes_of, vmcoreinfo_text
from kdbg.formats.writing import Content, Frames, content_of, growing
from kdbg.records import Info

HEADER_VERSION = 6
HEADER_SIZE = 464
SUB_HEADER_SIZE = 104
MOST_BITMAP_BLOCKS = (1 << 31) - 1
"""Of one bitmap: both are counted in 32 bits."""
MOST_LOST = 1 << 22
"""Pages that have a descriptor although they are lost; of more only the first bitmap tells, as of excluded ones."""
MACHINE_NAMES = {EM_386: "i686", EM_AARCH64: "aarch64"}
_BITS = {name: bit for bit, name in FLAGS.items()}
Compress = Callable[[bytes], bytes]


def write(image: Image, path: str, frames: Frames | None = None, compression: str = "zlib") -> int:
    """Write the pages (all, or those of ``frames``); the number of pages written. Raises `FormatError`, `MissingCodec`.

    ``compression``: "zlib" or "zstd". What is left out is known: excluded pages have a bit in the first bitmap only,
    those that are lost a descriptor of zeros besides, and the status says that the dump is incomplete. A paravirtual
    domain's page tables hold machine frames, which this format has no place for.
    """
    if image.paravirtual:
        raise FormatError(path, "a paravirtual domain's machine frames have no place in this format: write xen-elf")
    content, flag = content_of(image, frames, readable=False), _BITS[compression]
    listed = content.lost if ranges.count(content.lost) <= MOST_LOST else []
    told = ranges.union(ranges.of_frames(content.held), listed)
    exist = ranges.union(told, content.lost, content.excluded)
    most = exist[-1][1] if exist else 0
    notes, text, erased = notes_of(image), vmcoreinfo_text(image.vmcoreinfo), erase_info_of(image)
    sub_blocks = -(-(SUB_HEADER_SIZE + len(notes + text + erased)) // PAGE)
    bitmap_blocks = max(1, -(-most // (8 * PAGE)))
    if bitmap_blocks > MOST_BITMAP_BLOCKS:
        raise FormatError(path, f"page {most - 1:#x} lies beyond what this format can count")
    with growing(path) as file:
        file.seek(PAGE)
        file.write(_sub_header(image, most, len(notes), len(text), len(erased)) + notes + text + erased)
        bitmap_at = (1 + sub_blocks) * PAGE
        for number, known in enumerate((exist, told)):
            for block, bits in ranges.bitmaps(known, PAGE):
                file.seek(bitmap_at + (number * bitmap_blocks + block) * PAGE)
                file.write(bits)
        file.seek(file.truncate(bitmap_at + 2 * bitmap_blocks * PAGE))  # blocks without any bit are holes
        written = _pages(file, image, content, told, compressor(compression), flag)
        whole = written == ranges.count(told) and not (content.lost or image.damage)
        file.seek(0)
        file.write(_header(image, flag if whole else flag | INCOMPLETE, sub_blocks, 2 * bitmap_blocks, most))
    return written


def _header(image: Image, status: int, sub_blocks: int, bitmap_blocks: int, most: int) -> bytes:
    info = image.describe()
    fields = _names(image, info)
    data = bytearray(HEADER_SIZE)
    data[:8] = SIGNATURE
    struct.pack_into("<i", data, 8, HEADER_VERSION)
    for at, name in enumerate(fields):
        struct.pack_into("65s", data, 12 + 65 * at, name.encode("latin-1")[:64])
    struct.pack_into("<qq", data, TIME_AT[64], _seconds(info), 0)
    struct.pack_into(
        "<IiiIIIIIIi", data, TIME_AT[64] + 16, status, PAGE, sub_blocks, bitmap_blocks, min(most, 0xFFFFFFFF), 0, 0, 0,
        0, len(image.contexts),
    )  # fmt: skip
    return bytes(data)


def _seconds(info: Info) -> int:
    time = info.time or 0
    return int(time) if 0 <= time < 1 << 62 else 0


def _names(image: Image, info: Info) -> list[str]:
    """The six names of the kernel's utsname; none of the first five empty, which readers take for a damaged header."""
    if isinstance(image, Kdump):
        known = image.names
    else:
        known = {"sysname": "Linux" if image.vmcoreinfo else "", "nodename": info.host or ""}
        known["release"] = image.vmcoreinfo.get("OSRELEASE", "")
    known = {**known, "machine": MACHINE_NAMES.get(machine_of(image), "x86_64")}
    return [known.get(name) or ("" if name == "domainname" else "unknown") for name in UTS]


def _sub_header(image: Image, most: int, notes: int, text: int, erased: int) -> bytes:
    """The sub header before its notes, VMCOREINFO and erase info, of so many bytes each."""
    base = image.vmcoreinfo.get("NUMBER(phys_base)", "0")
    level = image.dump_level if isinstance(image, Kdump) else 0
    at = PAGE + SUB_HEADER_SIZE
    places: list[int] = []  # of VMCOREINFO, the notes, the erase info: offset and size
    for offset, size in ((at + notes, text), (at, notes), (at + notes + text, erased)):
        places += (offset if size else 0, size)
    physical = int(base, 0) if base.lstrip("-").isdigit() else 0
    return struct.pack("<qiiQQqQqQqQQQQ", physical, level, 0, 0, 0, *places, 0, 0, most)


def _pages(file: BinaryIO, image: Image, content: Content, told: ranges.Ranges, compress: Compress, flag: int) -> int:
    """Descriptors and pages; pages of zeros share one. How many pages were written.

    Of those that are lost or cannot be read the descriptors stay 0, as makedumpfile leaves those that it does not get
    to.
    """
    descriptors_at = file.tell()
    at = file.seek(descriptors_at + DESCRIPTOR.size * ranges.count(told))
    places, sizes, flags = array("q"), array("I"), array("I")
    zeros, zero_place = bytes(PAGE), None
    for frame in content.held.tolist():
        page = image.page(frame)
        if page is None:
            place, size, kind = 0, 0, 0
        elif page == zeros and zero_place is not None:
            place, size, kind = zero_place
        else:
            plain = bytes(page)
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
    file.truncate()
    following = -1
    for number, place, size, kind in zip(ranges.ranks(told, content.held).tolist(), places, sizes, flags, strict=True):
        if number != following:
            file.seek(descriptors_at + DESCRIPTOR.size * number)
        file.write(DESCRIPTOR.pack(place, size, kind, 0))
        following = number + 1
    return len(places) - places.count(0)

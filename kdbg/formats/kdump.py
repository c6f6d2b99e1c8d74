"""makedumpfile's compressed dumps (diskdump's successor), and QEMU's.

Blocks of a page: the header, the sub header with the notes, two bitmaps (pages that exist; pages in the file), one
descriptor for each page in the file, the pages. Zero pages share one page in the file. A split set is several files,
each with all the bitmaps and the descriptors of its own range.

Source: makedumpfile's diskdump_mod.h (disk_dump_header, kdump_sub_header, page_desc) and IMPLEMENTATION; QEMU's
include/sysemu/dump.h. In header versions before 6 the frame counts have 32 bits.
"""

from __future__ import annotations

import functools
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from construct import Bytes, Int32sl, Int32ul, Int64sl, Int64ul, Struct

from kdbg.errors import FormatError
from kdbg.formats.bitmap import BitmapPages, RankedBitmap, set_bits
from kdbg.formats.compression import CODECS, Decompress, MissingCodec
from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64, iterate_notes
from kdbg.formats.image import NOT_IN_DUMP, PAGE, Image, PageMap
from kdbg.formats.linux_image import LinuxImage
from kdbg.formats.linux_notes import LinuxNotes, parse_vmcoreinfo, read_notes
from kdbg.formats.segments import EXCLUDED
from kdbg.formats.source import Source
from kdbg.records import Info

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"KDUMP   "
MACHINES = {"x86_64": EM_X86_64, "i686": EM_386, "i586": EM_386, "i386": EM_386, "aarch64": EM_AARCH64}
FLAGS = {1: "zlib", 2: "lzo", 4: "snappy", 0x20: "zstd"}
COMPRESSED = sum(FLAGS)
INCOMPLETE, EXCLUDED_VMEMMAP = 0x8, 0x10
CACHE_BYTES = 32 << 20
DESCRIPTOR = struct.Struct("<QIIQ")  # offset, size, flags, page_flags
DESCRIPTOR_SIZE = DESCRIPTOR.size
BLOCKS = (4096, 8192, 16384, 65536)
"""Bytes of a block, which is a page of the kernel: those of arm64 have up to 64K."""
LAST_DESCRIPTORS = 1024
"""How many are looked at to tell whether a file is cut off."""
OTHER_FILE = "in a file of the split set that was not given"

Tail = Struct(  # behind the time, which has words of the writer's width
    "status" / Int32ul,
    "block_size" / Int32sl,
    "sub_hdr_size" / Int32sl,
    "bitmap_blocks" / Int32ul,
    "max_mapnr" / Int32ul,
    "total_ram_blocks" / Int32ul,
    "device_blocks" / Int32ul,
    "written_blocks" / Int32ul,
    "current_cpu" / Int32ul,
    "nr_cpus" / Int32sl,
)
UTS = ("sysname", "nodename", "release", "version", "machine", "domainname")
Names = Struct("signature" / Bytes(8), "header_version" / Int32sl, *[name / Bytes(65) for name in UTS])
TIME_AT = {64: 0x198, 32: 0x194}
"""Where the time of the dump lies: a struct timeval."""


@functools.cache
def sub_header(bits: int) -> Any:
    """Declare kdump_sub_header of a writer with words of so many bits; later versions are longer."""
    word = Int64sl if bits == 64 else Int32sl
    size = Int64ul if bits == 64 else Int32ul
    return Struct(
        "phys_base" / word,
        "dump_level" / Int32sl,
        "split" / Int32sl,
        "start_pfn" / size,
        "end_pfn" / size,
        "offset_vmcoreinfo" / Int64sl,
        "size_vmcoreinfo" / size,
        "offset_note" / Int64sl,
        "size_note" / size,
        "offset_eraseinfo" / Int64sl,
        "size_eraseinfo" / size,
        "start_pfn_64" / Int64ul,
        "end_pfn_64" / Int64ul,
        "max_mapnr_64" / Int64ul,
    )


class Part:
    """One file of a dump: its header, and where the descriptors of its pages lie."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names = source.parse(Names, 0, "header")
        if self.names.signature != SIGNATURE:
            raise FormatError(source.name, 'wants "KDUMP   "', 0)
        self.bits = self._width()
        self.header = header = source.parse(Tail, TIME_AT[self.bits] + 2 * self.bits // 8, "header")
        if header.bitmap_blocks > source.size // header.block_size + 1:
            at = TIME_AT[self.bits] + 2 * self.bits // 8 + 12
            raise FormatError(source.name, f"{header.bitmap_blocks} blocks of bitmaps, the file has fewer", at)
        self.block = header.block_size
        self.sub = self._sub_header()
        self.bitmap_at = (1 + header.sub_hdr_size) * self.block
        self.bitmap_size = header.bitmap_blocks * self.block
        self.descriptors_at = self.bitmap_at + self.bitmap_size
        self.zeros_at = -1
        """Offset of the page of zeros that others share, once it is known."""

    def _width(self) -> int:
        """Width of the writer's words: where the header makes sense (sizes of blocks and of what they hold)."""
        for bits in (64, 32):
            at = TIME_AT[bits] + 2 * bits // 8
            if at + Tail.sizeof() <= self.source.size:
                tail = self.source.parse(Tail, at, "header")
                # Read with the other width, max_mapnr stands where the size of a block is expected.
                if tail.block_size in BLOCKS and 0 < tail.sub_hdr_size < 4096 and tail.bitmap_blocks:
                    return bits
        raise FormatError(self.source.name, "the header's block size is none that is known", TIME_AT[64])

    def _sub_header(self) -> dict[str, int]:
        """Members of the sub header that this version has; the others 0."""
        declaration = sub_header(self.bits)
        names = [c.name for c in declaration.subcons if c.name]
        data = bytes(self.source.read(self.block, min(self.block, max(0, self.source.size - self.block)), "sub header"))
        data = data.ljust(declaration.sizeof(), b"\0")
        found = {name: int(value) for name, value in declaration.parse(data).items() if name in names}
        version = self.names.header_version
        since = {"split": 2, "start_pfn": 2, "end_pfn": 2, "offset_vmcoreinfo": 3, "size_vmcoreinfo": 3}
        since |= {"offset_note": 4, "size_note": 4, "offset_eraseinfo": 5, "size_eraseinfo": 5}
        since |= {"start_pfn_64": 6, "end_pfn_64": 6, "max_mapnr_64": 6}
        return {name: value if version >= since.get(name, 1) else 0 for name, value in found.items()}

    @property
    def most(self) -> int:
        """Frames that the bitmaps count."""
        return self.sub["max_mapnr_64"] or int(self.header.max_mapnr)

    @property
    def split(self) -> tuple[int, int] | None:
        """(first, end) frame of its range if it is one file of a split set."""
        if not self.sub["split"]:
            return None
        if self.names.header_version >= 6:
            return self.sub["start_pfn_64"], self.sub["end_pfn_64"]
        return self.sub["start_pfn"], self.sub["end_pfn"]

    def same_set(self, other: Part) -> bool:
        """Whether another file is of the same split set."""
        if other.split is None or self.block != other.block or self.most != other.most:
            return False
        return all(bytes(self.bitmap(number)) == bytes(other.bitmap(number)) for number in (1, 2))

    def bitmap(self, number: int) -> NDArray[np.uint8]:
        """Bitmap 1 (pages that exist) or 2 (pages in the file): uint8[bytes], a bit a frame, lowest first."""
        import numpy as np

        half = self.bitmap_size // 2
        start = self.bitmap_at + (number - 1) * half
        size = min(half, (self.most + 7) // 8, max(0, self.source.size - start))
        return np.frombuffer(self.source.read(start, size, f"bitmap {number}"), np.uint8)


class Kdump(LinuxImage):
    """A dump in makedumpfile's format; of a split set, all the files that were given."""

    format = "makedumpfile dump (KDUMP)"
    unpacks = True

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like one, else what was expected and what is there."""
        head = bytes(source.read(0, min(8, source.size)))
        return None if head == SIGNATURE else f'wants "KDUMP   " at 0, found {head.hex()}'

    def __init__(self, source: Source) -> None:
        first = Part(source)
        self.parts = [first]
        machine = MACHINES.get(_text(first.names.machine), EM_X86_64 if first.bits == 64 else EM_386)
        super().__init__(source, machine, _notes(first, machine))
        if first.header.status & INCOMPLETE:
            self.damage.append("the dump is incomplete: makedumpfile ran out of space")
        if source.cut_off:
            self.damage.append("cut off: the flattened file ends without a mark")
        self.block = first.block
        self._per_block = first.block // PAGE
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._most = CACHE_BYTES // self.block
        self._codecs: dict[int, Decompress] = {}
        self._zeros = bytes(self.block)

    def join(self, others: Sequence[Image]) -> None:
        """Take in the other files of a split set. Raises `FormatError` for files of another dump."""
        mine = self.parts[0]
        for other in others:
            if not isinstance(other, Kdump) or mine.split is None or not mine.same_set(other.parts[0]):
                raise FormatError(other.source.name, f"not of one split set with {self.source.name}")
            self.parts += other.parts
            self.damage += other.damage
        self.parts.sort(key=lambda part: part.split or (0, 0))

    # where pages are

    @functools.cached_property
    def _held(self) -> list[tuple[Part, RankedBitmap]]:
        """Which blocks each file holds: of one of a split set, those of its range."""
        found = []
        for part in self.parts:
            held = RankedBitmap(part.bitmap(2), *(part.split or (0, part.most)))
            found.append((part, held))
            self._look_for_cut(part, held.count)
        return found

    def _look_for_cut(self, part: Part, count: int) -> None:
        """Note where a file ends before its descriptors do, or before the pages of the last of them."""
        source, end = part.source, part.descriptors_at + count * DESCRIPTOR_SIZE
        if end > source.size:
            text = f"cut off: {count} page descriptors from offset {part.descriptors_at:#x}, the file has {source.size}"
            self.damage.append(f"{source.name}: {text}")
            return
        start = max(part.descriptors_at, end - LAST_DESCRIPTORS * DESCRIPTOR_SIZE)
        rows = struct.iter_unpack("<QIIQ", source.read(start, end - start))
        reach = max((offset + size for offset, size, _, _ in rows), default=0)
        if reach > source.size:
            self.damage.append(f"{source.name}: cut off: pages reach to {reach:#x}, the file has {source.size:#x}")

    def _descriptor(self, block: int) -> tuple[Part, int] | None:
        """(file, offset of the descriptor) of a block, or None."""
        for part, held in self._held:
            position = held.position(block)
            if position is not None:
                return part, part.descriptors_at + position * DESCRIPTOR_SIZE
        return None

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number, or None where the file does not hold it or its data is damaged."""
        plain = self._block(frame // self._per_block)
        if plain is None:
            return None
        if self._per_block == 1:
            return memoryview(plain)
        start = frame % self._per_block * PAGE
        return memoryview(plain)[start : start + PAGE]

    def read_physical(self, address: int, size: int) -> bytes:
        """``size`` bytes of physical memory. Raises `Missing` where a page is not in the dump."""
        start = address % self.block
        if 0 <= size <= self.block - start:
            number = address // self.block
            plain = self._cache.get(number) or self._block(number)
            if plain is not None:
                return plain[start : start + size]
        return super().read_physical(address, size)

    def _block(self, number: int) -> bytes | None:
        """The block with that number, or None; those read last are kept."""
        plain = self._cache.get(number)
        if plain is None:
            place = self._descriptor(number)
            if place is None:
                return None
            try:
                plain = self._plain(*place)
            except (FormatError, ValueError):
                return None
            self._cache[number] = plain
            if len(self._cache) > self._most:
                self._cache.popitem(last=False)
        return plain

    def _plain(self, part: Part, at: int) -> bytes:
        """The block whose descriptor lies there. Raises `FormatError`, `ValueError`, `MissingCodec`."""
        offset, size, flags = _descriptor(part, at)
        if offset == part.zeros_at:
            return self._zeros
        data = part.source.read(offset, size, "page")
        plain = self._codec(flags)(data, self.block) if flags else bytes(data)
        if len(plain) != self.block:
            raise ValueError(f"a page of {len(plain)} bytes")
        if flags and plain == self._zeros:  # the writer gives all of these one place: it is decompressed once
            part.zeros_at = offset
        return plain

    def _codec(self, flags: int) -> Decompress:
        found = self._codecs.get(flags)
        if found is None:
            found = self._codecs[flags] = CODECS[_compression(flags)]()
        return found

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        block = frame // self._per_block
        place = self._descriptor(block)
        if place is None:
            exists = any(_bit(part.bitmap(1), block) for part in self.parts)
            in_another = any(_bit(part.bitmap(2), block) for part in self.parts)
            if in_another:
                return OTHER_FILE
            return EXCLUDED if exists else NOT_IN_DUMP
        try:
            self._plain(*place)
        except MissingCodec as error:
            return error.reason
        except (FormatError, ValueError) as error:
            return f"damaged: {getattr(error, 'reason', '') or error}"
        return NOT_IN_DUMP

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose pages lie in the files."""
        return BitmapPages([held for _, held in self._held], self._per_block)

    # what it is

    @property
    def compression(self) -> str:
        """How pages are compressed, by the first header's status."""
        return _compression(self.parts[0].header.status)

    @property
    def names(self) -> dict[str, str]:
        """The kernel's utsname by its members, as the first header has it."""
        return {name: _text(self.parts[0].names[name]) for name in UTS}

    def describe(self) -> Info:
        """What the dump is."""
        part = self.parts[0]
        names = self.names
        pages = len(self.pages)
        exist = self._per_block * set_bits(part.bitmap(1))
        elsewhere = self._per_block * set_bits(part.bitmap(2)) - pages
        missing = {"excluded": exist - elsewhere - pages, OTHER_FILE: elsewhere}
        time = int.from_bytes(part.source.read(TIME_AT[part.bits], part.bits // 8), "little")
        return Info(
            file=self.source.name,
            format=self.format,
            architecture=self.architecture,
            bits=self.bits,
            memory_size=exist * PAGE,
            pages=pages,
            missing=max(0, exist - pages),
            missing_why={why: number for why, number in missing.items() if number > 0},
            cpus=len(self.contexts),
            complete=not self.damage and elsewhere <= 0,
            damage=tuple(self.damage),
            host=names["nodename"] or None,
            time=float(time) if time else None,
            details={
                "header_version": part.names.header_version,
                "compression": self.compression,
                "dump_level": part.sub["dump_level"],
                "split": part.split is not None,
                "release": names["release"] or self.vmcoreinfo.get("OSRELEASE"),
                "erase_info": bool(part.sub["size_eraseinfo"]),
            },
        )


def _compression(flags: int) -> str:
    """Name of the compression that a status or a descriptor's flags tell of."""
    return next((name for bit, name in FLAGS.items() if flags & bit), "none")


def _descriptor(part: Part, at: int) -> tuple[int, int, int]:
    """(offset, size, flags) of a page_desc. Raises `FormatError` where it is behind the file's end or too large."""
    offset, size, flags, _ = DESCRIPTOR.unpack(part.source.read(at, DESCRIPTOR_SIZE, "page descriptor"))
    if size > 2 * part.block:
        raise FormatError(part.source.name, f"a page of {size} bytes", at)
    return offset, size, flags & COMPRESSED


def _notes(part: Part, machine: int) -> LinuxNotes:
    sub, source = part.sub, part.source
    notes = LinuxNotes()
    if 0 < sub["size_note"] <= 64 << 20 and sub["offset_note"] + sub["size_note"] <= source.size:
        notes = read_notes(iterate_notes(source, sub["offset_note"], sub["size_note"]), machine)
    if not notes.vmcoreinfo and 0 < sub["size_vmcoreinfo"] <= 1 << 20:
        text = source.read(sub["offset_vmcoreinfo"], sub["size_vmcoreinfo"], "VMCOREINFO")
        notes.vmcoreinfo = parse_vmcoreinfo(bytes(text))
    return notes


def _bit(bitmap: NDArray[np.uint8], frame: int) -> bool:
    return frame >> 3 < len(bitmap) and bool(bitmap[frame >> 3] >> (frame & 7) & 1)


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1")

"""The headers of makedumpfile's dumps: what one file of them tells of itself and of where its pages lie.

Source: makedumpfile's diskdump_mod.h (disk_dump_header, kdump_sub_header, page_desc) and IMPLEMENTATION; QEMU's
include/sysemu/dump.h. In header versions before 6 the frame counts have 32 bits.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any

from construct import Bytes, Int32sl, Int32ul, Int64sl, Int64ul, Struct

from kdbg.errors import FormatError
from kdbg.formats.source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"KDUMP   "
FLAGS = {1: "zlib", 2: "lzo", 4: "snappy", 0x20: "zstd"}
COMPRESSED = sum(FLAGS)
INCOMPLETE = 0x8
DESCRIPTOR = struct.Struct("<QIIQ")  # offset, size, flags, page_flags
BLOCKS = (4096, 8192, 16384, 65536)
"""Bytes of a block, which is a page of the kernel: those of arm64 have up to 64K."""
MOST_TOLD = 16 << 20
"""Bytes of what a sub header points at."""

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
        empty = None
        for bits in (64, 32):
            at = TIME_AT[bits] + 2 * bits // 8
            if at + Tail.sizeof() <= self.source.size:
                tail = self.source.parse(Tail, at, "header")
                # Read with the other width, max_mapnr stands where the size of a block is expected.
                if tail.block_size in BLOCKS and 0 < tail.sub_hdr_size < 4096 and tail.bitmap_blocks:
                    return bits
                if tail.block_size in BLOCKS and not (tail.sub_hdr_size or tail.bitmap_blocks or tail.max_mapnr):
                    empty = empty or bits
        if empty is not None:  # a dump of no memory
            return empty
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

    @property
    def incomplete(self) -> bool:
        """Whether its writer did not get to the end."""
        return bool(self.header.status & INCOMPLETE)

    def same_set(self, other: Part) -> bool:
        """Whether another file is of the same split set."""
        if other.split is None or self.block != other.block or self.most != other.most:
            return False
        return all(bytes(self.bitmap(number)) == bytes(other.bitmap(number)) for number in (1, 2))

    def overlaps(self, other: Part) -> bool:
        """Whether another file of the set is to hold some of the same frames."""
        (first, end), (start, stop) = self.split or (0, 0), other.split or (0, 0)
        return max(first, start) < min(end, stop)

    def bitmap(self, number: int) -> NDArray[np.uint8]:
        """Bitmap 1 (pages that exist) or 2 (pages in the file): uint8[bytes], a bit a frame, lowest first."""
        import numpy as np

        half = self.bitmap_size // 2
        start = min(self.bitmap_at + (number - 1) * half, self.source.size)
        size = min(half, (self.most + 7) // 8, max(0, self.source.size - start))
        return np.frombuffer(self.source.read(start, size, f"bitmap {number}"), np.uint8)

    @property
    def bitmaps_cut(self) -> bool:
        """Whether the file ends within its bitmaps, so that nothing tells what it left out on purpose."""
        return bool(self.bitmap_at + self.bitmap_size > self.source.size)

    def descriptor(self, at: int) -> tuple[int, int, int]:
        """(offset, size, flags) of a page_desc. Raises `FormatError` where it is behind the file's end or too large."""
        offset, size, flags, _ = DESCRIPTOR.unpack(self.source.read(at, DESCRIPTOR.size, "page descriptor"))
        if size > 2 * self.block:
            raise FormatError(self.source.name, f"a page of {size} bytes", at)
        return offset, size, flags & COMPRESSED

    def offsets(self, count: int) -> NDArray[np.uint64]:
        """Where the pages of the first descriptors lie: uint64[count], of a file that is cut off fewer."""
        import numpy as np

        count = min(count, max(0, self.source.size - self.descriptors_at) // DESCRIPTOR.size)
        table = self.source.read(self.descriptors_at, count * DESCRIPTOR.size, "page descriptors")
        return np.frombuffer(table, "<u8").reshape(-1, DESCRIPTOR.size // 8)[:, 0]

    def told(self, size: int, offset: int) -> bytes:
        """What the sub header points at; b"" where there is none or the file ends before."""
        if not 0 < size <= MOST_TOLD or offset <= 0 or offset + size > self.source.size:
            return b""
        return bytes(self.source.read(offset, size))

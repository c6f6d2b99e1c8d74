"""makedumpfile's dumps: every header version, both widths, every compression, split sets, two bitmaps, flattened.

    KdumpShape(compression="lzo", version=4).data({3: page, 7: page})
    split(pages, [(0, 5), (5, 9)])           # the files of a set
    flatten(data, seed=1)                    # blocks out of order

Facts: makedumpfile's diskdump_mod.h (disk_dump_header, kdump_sub_header, page_desc), makedumpfile.h (the flattened
format) and IMPLEMENTATION; which members a sub header of each version has: the same, and crash's diskdump.h.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from samples.memory import PAGE

STATUS = {"raw": 0, "zlib": 1, "lzo": 2, "snappy": 4, "zstd": 0x20}
INCOMPLETE = 8
SINCE = {"split": 2, "vmcoreinfo": 3, "note": 4, "eraseinfo": 5, "pfn_64": 6}
"""Which version brought which members of the sub header."""


@dataclass(frozen=True)
class KdumpShape:
    """How a dump is written; `data` writes one file."""

    compression: str = "zlib"
    version: int = 6
    bits: int = 64
    """Width of the writer's words."""
    machine: str = "x86_64"
    block: int = PAGE
    """Bytes of a block and of a page: 4096, or an arm64 kernel's 65536."""
    share_zeros: bool = True
    """Whether pages of zeros share one place in the file."""
    exist: Sequence[int] = ()
    """Frames that exist and were left out, besides the pages given."""
    most: int | None = None
    """max_mapnr; None: one more than the highest frame."""
    range: tuple[int, int] | None = None
    """First and end frame of one file of a split set."""
    notes: bytes = b""
    vmcoreinfo: bytes = b""
    erase_info: bytes = b""
    level: int = 31
    time: int = 1_700_000_000
    status: int = 0
    """More bits of the header's status."""
    names: Mapping[str, str] = field(default_factory=lambda: {"sysname": "Linux", "nodename": "sample-host"})

    def data(self, pages: Mapping[int, bytes]) -> bytes:
        """One file."""
        known = {*pages, *self.exist}
        most = self.most if self.most is not None else max(known, default=-1) + 1
        bitmap = -(-max(most, 1) // (8 * self.block)) * self.block
        extra = self.notes + self.vmcoreinfo + self.erase_info
        blocks = -(-(104 + len(extra)) // self.block)
        out = self._header(blocks, 2 * bitmap // self.block, most).ljust(self.block, b"\0")
        out += (self._sub_header(most) + extra).ljust(blocks * self.block, b"\0")
        out += _bits(known, bitmap) + _bits(pages, bitmap)
        mine = [frame for frame in sorted(pages) if self.range is None or self.range[0] <= frame < self.range[1]]
        return out + self._pages(pages, mine, len(out) + 24 * len(mine))

    def _pages(self, pages: Mapping[int, bytes], mine: Sequence[int], at: int) -> bytes:
        descriptors, body, zero = b"", b"", None
        for frame in mine:
            plain = bytes(pages[frame])
            if zero is not None and not any(plain):
                descriptors += zero
                continue
            packed = compress(self.compression, plain)
            shorter = self.compression != "raw" and len(packed) < self.block
            data = packed if shorter else plain
            flags = STATUS[self.compression] if shorter else 0
            descriptor = struct.pack("<qIIQ", at + len(body), len(data), flags, 0)
            if self.share_zeros and not any(plain):
                zero = descriptor
            descriptors += descriptor
            body += data
        return descriptors + body

    def _header(self, sub_blocks: int, bitmap_blocks: int, most: int) -> bytes:
        out = b"KDUMP   " + struct.pack("<i", self.version)
        for name in ("sysname", "nodename", "release", "version", "machine", "domainname"):
            value = self.machine if name == "machine" else self.names.get(name, "")
            out += value.encode().ljust(65, b"\0")
        out += bytes(-len(out) % (self.bits // 8))
        out += struct.pack("<qq" if self.bits == 64 else "<ii", self.time, 0)
        return out + struct.pack(
            "<IiiIIIIIIi", STATUS[self.compression] | self.status, self.block, sub_blocks, bitmap_blocks,
            min(most, 0xFFFFFFFF), 0, 0, 0, 0, 1,
        )  # fmt: skip

    def _sub_header(self, most: int) -> bytes:
        """The members that this version has."""
        word = "q" if self.bits == 64 else "i"
        at = self.block + 104
        first, end = self.range or (0, 0)
        places = {
            "vmcoreinfo": (at + len(self.notes) if self.vmcoreinfo else 0, len(self.vmcoreinfo)),
            "note": (at if self.notes else 0, len(self.notes)),
            "eraseinfo": (at + len(self.notes) + len(self.vmcoreinfo) if self.erase_info else 0, len(self.erase_info)),
        }
        out = struct.pack(f"<{word}i", 0, self.level)
        if self.version >= SINCE["split"]:
            out += struct.pack(f"<i2{word}", int(self.range is not None), first, end)
        for name, (offset, size) in places.items():
            if self.version >= SINCE[name]:
                out += struct.pack(f"<q{word}", offset, size)
        if self.version >= SINCE["pfn_64"]:
            out += struct.pack("<3Q", first, end, most)
        # What an older writer leaves behind its last member is whatever lay there.
        return out + (b"\xa5" if self.version < 6 else b"\0") * (104 - len(out))


def compress(name: str, data: bytes) -> bytes:
    """A page through one of the compressions."""
    if name == "zlib":
        return zlib.compress(data, 1)
    if name == "lzo":
        from lzallright import LZOCompressor

        return bytes(LZOCompressor().compress(data))
    if name == "snappy":
        import cramjam

        return bytes(cramjam.snappy.compress_raw(data))
    if name == "zstd":
        try:
            from compression import zstd
        except ImportError:
            from backports import zstd
        return bytes(zstd.compress(data, 3))
    return data


def split(
    pages: Mapping[int, bytes], ranges: Sequence[tuple[int, int]], shape: KdumpShape | None = None
) -> list[bytes]:
    """The files of a split set; a range without pages makes an empty member."""
    return [replace(shape or KdumpShape(), range=one).data(pages) for one in ranges]


def flatten(data: bytes, seed: int | None = None, piece: int = 5000, ended: bool = True, holes: bool = True) -> bytes:
    """A file in the flattened format; ``seed``: pieces in another order than the file's. Pages of zeros are holes."""
    pieces = [(at, data[at : at + piece]) for at in range(0, len(data), piece)]
    if holes:
        pieces = [(at, part) for at, part in pieces if any(part) or at + len(part) == len(data)]
    if seed is not None:
        random.Random(seed).shuffle(pieces)
    out = b"makedumpfile\0\0\0\0" + struct.pack(">qq", 1, 1)
    out = out.ljust(PAGE, b"\0")
    out += b"".join(struct.pack(">qq", at, len(part)) + part for at, part in pieces)
    return out + (struct.pack(">qq", -1, -1) if ended else b"")


def _bits(frames: Iterable[int], size: int) -> bytes:
    bitmap = bytearray(size)
    for frame in frames:
        bitmap[frame >> 3] |= 1 << (frame & 7)
    return bytes(bitmap)

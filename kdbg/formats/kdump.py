"""makedumpfile's compressed dumps (diskdump's successor), and QEMU's.

Blocks of a page: the header, the sub header with the notes, two bitmaps (pages that exist; pages in the file), one
descriptor for each page in the file, the pages. Zero pages share one page in the file. A split set is several files,
each with all the bitmaps and the descriptors of its own range.

A writer that runs out of space leaves the descriptors of the pages that it did not get to at 0.

Source: makedumpfile's IMPLEMENTATION; the headers: `kdbg.formats.kdump_header`.
"""

from __future__ import annotations

import functools
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdbg.errors import FormatError
from kdbg.formats.bitmap import BitmapPages, RankedBitmap, set_bits
from kdbg.formats.compression import CODECS, Decompress, MissingCodec
from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64, iterate_notes
from kdbg.formats.image import NOT_IN_DUMP, PAGE, Image, PageMap
from kdbg.formats.kdump_header import DESCRIPTOR, FLAGS, SIGNATURE, TIME_AT, UTS, Part
from kdbg.formats.known import other_machine
from kdbg.formats.linux_image import LinuxImage
from kdbg.formats.linux_notes import LinuxNotes, parse_vmcoreinfo, read_notes
from kdbg.formats.ranges import Ranges, minus, of_bits, of_frames
from kdbg.formats.segments import EXCLUDED, EXCLUDED_OR_LOST
from kdbg.formats.source import Source
from kdbg.records import Info

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MACHINES = {"x86_64": EM_X86_64, "i686": EM_386, "i586": EM_386, "i386": EM_386, "aarch64": EM_AARCH64}
CACHE_BYTES = 32 << 20
LAST_DESCRIPTORS = 1024
"""How many are looked at to tell whether a file is cut off."""
OTHER_FILE = "in a file of the split set that was not given"
NOT_WRITTEN = "lost: the dump is incomplete, its writer did not get to that page"


class Kdump(LinuxImage):
    """A dump in makedumpfile's format; of a split set, all the files that were given."""

    format = "makedumpfile dump (KDUMP)"
    unpacks = True

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like one, else what was expected and what is there."""
        head = bytes(source.read(0, min(8, source.size)))
        if head != SIGNATURE:
            return f'wants "KDUMP   " at 0, found {head.hex()}'
        other = other_machine(source)
        return f"of a machine {other}, whose page tables are not known" if other else None

    def __init__(self, source: Source) -> None:
        first = Part(source)
        self.parts = [first]
        machine = MACHINES.get(_text(first.names.machine), EM_X86_64 if first.bits == 64 else EM_386)
        super().__init__(source, machine, _notes(first, machine))
        if first.incomplete:
            self.damage.append("the dump is incomplete: makedumpfile ran out of space, or its source was damaged")
        if source.cut_off:
            self.damage.append("cut off: the flattened file ends without a mark")
        self.block = first.block
        self._per_block = first.block // PAGE
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._most = CACHE_BYTES // self.block
        self._codecs: dict[int, Decompress] = {}
        self._zeros = bytes(self.block)

    @property
    def dump_level(self) -> int:
        """Which kinds of pages makedumpfile was told to exclude (-d)."""
        return self.parts[0].sub["dump_level"]

    @property
    def erase_info(self) -> bytes:
        """As `LinuxImage.erase_info`."""
        sub = self.parts[0].sub
        return self.parts[0].told(sub["size_eraseinfo"], sub["offset_eraseinfo"]) or super().erase_info

    def join(self, others: Sequence[Image]) -> None:
        """Take in the other files of a split set. Raises `FormatError` for files of another dump."""
        mine = self.parts[0]
        for other in others:
            if not isinstance(other, Kdump) or mine.split is None or not mine.same_set(other.parts[0]):
                raise FormatError(other.source.name, f"not of one split set with {self.source.name}")
            twin = next((part for part in self.parts if part.overlaps(other.parts[0])), None)
            if twin is not None:
                raise FormatError(other.source.name, f"has the same pages as {twin.source.name}: was it given twice?")
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
        source, end = part.source, part.descriptors_at + count * DESCRIPTOR.size
        if part.bitmaps_cut:
            text = f"cut off: bitmaps of {part.bitmap_size} bytes from offset {part.bitmap_at:#x}"
            self.damage.append(f"{source.name}: {text}, the file has {source.size}")
            return
        if end > source.size:
            text = f"cut off: {count} page descriptors from offset {part.descriptors_at:#x}, the file has {source.size}"
            self.damage.append(f"{source.name}: {text}")
            return
        start = max(part.descriptors_at, end - LAST_DESCRIPTORS * DESCRIPTOR.size)
        rows = struct.iter_unpack("<QIIQ", source.read(start, end - start))
        reach = max((offset + size for offset, size, _, _ in rows), default=0)
        if reach > source.size:
            self.damage.append(f"{source.name}: cut off: pages reach to {reach:#x}, the file has {source.size:#x}")

    def _descriptor(self, block: int) -> tuple[Part, int] | None:
        """(file, offset of the descriptor) of a block, or None."""
        for part, held in self._held:
            position = held.position(block)
            if position is not None:
                return part, part.descriptors_at + position * DESCRIPTOR.size
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
        offset, size, flags = part.descriptor(at)
        if offset == part.zeros_at:
            return self._zeros
        if not offset:
            raise FormatError(part.source.name, NOT_WRITTEN, at)
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
            if not exists:
                return NOT_IN_DUMP
            return EXCLUDED_OR_LOST if any(part.incomplete or part.bitmaps_cut for part in self.parts) else EXCLUDED
        try:
            self._plain(*place)
        except MissingCodec as error:
            return error.reason
        except (FormatError, ValueError) as error:
            reason = getattr(error, "reason", "") or str(error)
            return reason if reason == NOT_WRITTEN else f"damaged: {reason}"
        return NOT_IN_DUMP

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose pages lie in the files."""
        bitmaps = [self._written(part, held) if part.incomplete else held for part, held in self._held]
        return BitmapPages(bitmaps, self._per_block)

    @staticmethod
    def _written(part: Part, held: RankedBitmap) -> RankedBitmap:
        """Of an incomplete file: the blocks whose descriptors its writer got to fill in."""
        import numpy as np

        frames, offsets = held.frames(), part.offsets(held.count)
        lost = np.append(frames[: len(offsets)][offsets == 0], frames[len(offsets) :])
        bits = part.bitmap(2).copy()
        np.bitwise_and.at(bits, lost >> np.uint64(3), ~(np.uint8(1) << (lost & np.uint64(7)).astype(np.uint8)))
        return RankedBitmap(bits, held.first, held.end)

    @property
    def excluded(self) -> Ranges:
        """As `Image.excluded`."""
        part = self.parts[0]
        exist, held = part.bitmap(1), part.bitmap(2)
        size = min(len(exist), len(held))
        return self._ranges(of_bits(exist[:size] & ~held[:size]), part.most)

    @property
    def lost(self) -> Ranges:
        """As `Image.lost`; the pages of files of the split set that were not given too."""
        part = self.parts[0]
        return minus(self._ranges(of_bits(part.bitmap(2)), part.most), of_frames(self.pages.array))

    def _ranges(self, blocks: Ranges, most: int) -> Ranges:
        """Frames of blocks below a bound."""
        each = self._per_block
        return [(first * each, min(end, most) * each) for first, end in blocks if first < most]

    # what it is

    @property
    def compression(self) -> str:
        """How pages are compressed, by the first header's status."""
        return _compression(self.parts[0].header.status)

    @property
    def names(self) -> dict[str, str]:
        """As `Image.names`, of the first header."""
        return {name: _text(self.parts[0].names[name]) for name in UTS}

    def describe(self) -> Info:
        """What the dump is."""
        part = self.parts[0]
        names = self.names
        # QEMU fills in the machine alone.
        release = names["release"] or self.vmcoreinfo.get("OSRELEASE") or ""
        system = (names["sysname"] or "Linux", release, names["version"])
        pages = len(self.pages)
        exist = self._per_block * set_bits(part.bitmap(1))
        elsewhere = self._per_block * set_bits(part.bitmap(2)) - pages
        unwritten = sum(held.count for _, held in self._held) * self._per_block - pages
        elsewhere -= unwritten
        left_out = "excluded, or cut off with the bitmaps" if part.bitmaps_cut else "excluded"
        missing = {left_out: exist - elsewhere - unwritten - pages, "not written": unwritten, OTHER_FILE: elsewhere}
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
            kernel=" ".join(part for part in system if part) if release else None,
            host=names["nodename"] or None,
            time=float(time) if time else None,
            details={
                "header_version": part.names.header_version,
                "compression": self.compression,
                "dump_level": self.dump_level,
                "split": part.split is not None,
                "release": release or None,
                "erase_info": bool(self.erase_info),
                **(self.host.details if self.host is not None else {}),
            },
        )


def _compression(flags: int) -> str:
    """Name of the compression that a status or a descriptor's flags tell of."""
    return next((name for bit, name in FLAGS.items() if flags & bit), "none")


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

"""Native crash dumps of illumos and Solaris: ``vmcore.N`` as savecore writes it, ``vmdump.N`` as the kernel wrote it.

Both begin with a dumphdr: where the symbol table (``ksyms``), the table of page frames, the translations of kernel
addresses and the pages lie. In a vmcore the translations are a hash of (address space, address) -> place in the file
and the pages lie as they are; in a vmdump they are a list of (address space, address, frame) and the pages are
compressed (`kdbg.formats.illumos_pages`).

Source: <sys/dumphdr.h> (dumphdr_t versions 9 and 10, dump_map_t, dumpdatahdr_t), <sys/mem.h> (mem_vtop_t), libkvm's and
savecore's use of them.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any

from construct import Bytes, Int32sl, Int32ul, Int64sl, Int64ul, Padding, Struct

from kdbg.errors import FormatError
from kdbg.formats.frames import FrameColumn
from kdbg.formats.illumos_xpv import FOREIGN_PFN, PLATFORM
from kdbg.formats.image import NOT_IN_DUMP, Image, PageMap
from kdbg.formats.source import Source
from kdbg.records import Info

if TYPE_CHECKING:
    from kdbg.formats.illumos_pages import Pages

MAGIC = 0xDEFEC8ED
VERSIONS = (9, 10)
COMPLETE, LIVE, COMPRESSED, ENCRYPTED = 0x2, 0x4, 0x8, 0x10
KERNEL_PAGES, ALL_PAGES, CURRENT_PROCESS = 0x10000, 0x20000, 0x40000
CONTENT = {
    KERNEL_PAGES: "kernel pages only",
    ALL_PAGES: "all kernel and user pages",
    CURRENT_PROCESS: "kernel pages and pages of the current process",
}
MOST_CHAIN = 256
"""Entries of one chain of the translation hash that are followed; past a longer one all are listed instead."""


@functools.cache
def header_of(word_bits: int) -> Any:
    """Declare dumphdr_t of a kernel with words of so many bits."""
    signed, unsigned = (Int64sl, Int64ul) if word_bits == 64 else (Int32sl, Int32ul)
    # After the texts, whose length is odd, the compiler aligns the first word.
    before = 16 + 5 * 8 + 6 * 257 + 200
    return Struct(
        "magic" / Int32ul,
        "version" / Int32ul,
        "flags" / Int32ul,
        "wordsize" / Int32ul,
        "start" / Int64sl,
        "ksyms" / Int64sl,
        "pfn" / Int64sl,
        "map" / Int64sl,
        "data" / Int64sl,
        *[name / Bytes(257) for name in ("sysname", "nodename", "release", "version_name", "machine", "platform")],
        "panicstring" / Bytes(200),
        Padding(-before % (word_bits // 8)),
        "crashtime" / signed,
        "pageshift" / signed,
        "pagesize" / signed,
        "hashmask" / signed,
        "nvtop" / signed,
        "npages" / unsigned,
        "ksyms_size" / unsigned,
        "ksyms_csize" / unsigned,
    )


Tail = Struct("fm_panic" / Int32ul, "uuid" / Bytes(37))
"""What later kernels put behind it without a new version."""


class IllumosDump(Image):
    """A native crash dump."""

    format = "illumos crash dump"
    native = True

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file begins like one, else what was expected and what is there."""
        magic = int.from_bytes(source.read(0, min(4, source.size)), "little")
        return None if magic == MAGIC else f"wants {MAGIC:x} at 0, found {magic:08x}"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        word_bits = source.array(12, 4, 1, "dump header")[0]
        if word_bits not in (32, 64):
            raise FormatError(source.name, f"dump header: words of {word_bits} bits", 12)
        declaration = header_of(word_bits)
        self.header = header = source.parse(declaration, 0, "dump header")
        if header.version not in VERSIONS:
            raise FormatError(source.name, f"dump version {header.version}, wants 9 or 10", 4)
        if header.pagesize != 4096 or header.pageshift != 12:
            raise FormatError(source.name, f"dump header: pages of {header.pagesize} bytes, wants 4096")
        if header.flags & ENCRYPTED:
            raise FormatError(source.name, "the dump is encrypted: decrypt it with savecore and its key first", 8)
        self.bits = word_bits
        self.word = word_bits // 8
        self.compressed = bool(header.flags & COMPRESSED)
        if self.compressed and not source.map:  # each page tells where the next one is, and nothing else does
            from kdbg.formats.remote import all_of

            self.source = source = all_of(source)
            self.advice.append(source.advice)
        for name in ("ksyms", "pfn", "map", "data"):
            if header[name] < 0:
                raise FormatError(source.name, f"dump header: {name} at offset {header[name]}", 24)
        frames = source.array(header.pfn, self.word, header.npages, f"table of {header.npages} page frames")
        self.frames = FrameColumn(frames, (1 << word_bits) - 1)
        if not header.flags & COMPLETE:
            self.damage.append("the dump is not complete: the kernel ran out of space or time while it wrote it")
        self.uuid = self._uuid(declaration.sizeof())

    def _uuid(self, at: int) -> str:
        """The image's identifier, where the header is a later kernel's."""
        first = min(o for o in (self.header.ksyms, self.header.pfn, self.header.map, self.header.data) if o > 0)
        if at + Tail.sizeof() > first or not any(self.source.view[at : at + Tail.sizeof()]):
            return ""
        return _text(self.source.parse(Tail, at, "dump header's end").uuid)

    # pages

    @functools.cached_property
    def _store(self) -> Pages:
        from kdbg.formats.illumos_pages import open_pages

        return open_pages(self)

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number, or None."""
        position = self.frames.find(frame)
        return None if position is None else self._store.page(position)

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        position = self.frames.find(frame)
        return NOT_IN_DUMP if position is None else self._store.why_missing(position)

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose bytes lie in the file."""
        import numpy as np

        held = self._store.held()
        return PageMap(np.unique(self.frames.array()[:held]))

    @property
    def platform(self) -> str:
        """The platform of the kernel, as the header names it: i86pc, i86xpv."""
        return _text(self.header.platform)

    def made_up(self, frame: int) -> bool:
        """Whether a frame is none of the machine's: a number made up for a page of Xen's (`formats.illumos_xpv`)."""
        return self.platform == PLATFORM and bool(frame & FOREIGN_PFN[self.bits])

    @functools.cached_property
    def hypervisor_pages(self) -> int:
        """Pages of Xen's in the dump: 0 where none ran, 1 (the shared page) where its domain 0 panicked, else many."""
        if self.platform != PLATFORM:
            return 0
        import numpy as np

        mark = FOREIGN_PFN[self.bits]
        return int(np.count_nonzero(self.frames.array() & np.uint64(mark)))

    def locate(self, frame: int) -> tuple[int | None, str | None]:
        """As `Image.locate`: a made-up frame has no place in the machine's memory."""
        pfn, missing = super().locate(frame)
        return (None if self.made_up(frame) else pfn), missing

    # translations

    def frame_of(self, space: int, address: int) -> int | None:
        """Frame of the page that an address of an address space (``struct as``) maps by the dump's own map, or None."""
        page = address & -4096
        if not self.compressed and "_listed" not in self.__dict__:
            try:
                return self._hashed(space, page)
            except RecursionError:  # a chain that leads round, or a hash that is none
                pass
        return self._listed.get((space, page))

    @property
    def _entry(self) -> str:
        """The form of a dump_map_t."""
        return "<qqqQQ" if self.word == 8 else "<qqqII"

    def _hashed(self, space: int, page: int) -> int | None:
        """Look a page up in the hash. Raises `RecursionError` for too long a chain."""
        header, source, size = self.header, self.source, 24 + 2 * self.word
        slot = ((space >> 3) + (page >> 12)) & header.hashmask
        entry = header.map + slot * size
        if entry < 0 or entry + size > source.size:
            return None
        at = struct.unpack(self._entry, source.read(entry, size))[0]
        for _ in range(MOST_CHAIN):
            if at <= 0 or at + size > source.size:
                return None
            _, following, data, owner, address = struct.unpack(self._entry, source.read(at, size))
            if address == page and owner == space:
                return self._frame_at(data)
            at = following
        raise RecursionError

    def _frame_at(self, data: int) -> int | None:
        """Frame of the page whose bytes lie at an offset of the file, or None."""
        position = data - self.header.data >> 12
        return int(self.frames.words[position]) if data > 0 and 0 <= position < len(self.frames) else None

    @functools.cached_property
    def _listed(self) -> dict[tuple[int, int], int]:
        """(address space, page address) -> frame, all of them. Raises `FormatError` where the map is cut off."""
        header = self.header
        if self.compressed:
            count = header.nvtop
            words = self.source.array(header.map, self.word, 3 * count, f"map of {count} translations").tolist()
            return dict(zip(zip(words[0::3], words[1::3], strict=True), words[2::3], strict=True))
        size = 24 + 2 * self.word
        count = max(0, min(max(header.hashmask + 1, header.nvtop), (self.source.size - header.map) // size))
        rows = struct.iter_unpack(self._entry, self.source.read(header.map, count * size, "map of translations"))
        found = ((owner, address, self._frame_at(data)) for _, _, data, owner, address in rows)
        return {(owner, address): frame for owner, address, frame in found if frame is not None}

    def translations(self) -> list[tuple[int, int, int]]:
        """All (address space, page address, frame) that the dump's own map holds. Raises `FormatError`."""
        return [(space, address, frame) for (space, address), frame in self._listed.items()]

    # names

    def ksyms(self) -> bytes:
        """The kernel's symbol table as an ELF file. Raises `FormatError`."""
        header = self.header
        data = self.source.read(header.ksyms, header.ksyms_csize, "symbol table")
        if header.ksyms_csize == header.ksyms_size:
            return bytes(data)
        from kdbg.formats.lzjb import decompress

        if header.ksyms_size > 64 << 20:
            raise FormatError(self.source.name, f"a symbol table of {header.ksyms_size} bytes", header.ksyms)
        try:
            return decompress(data, header.ksyms_size)
        except ValueError as error:
            raise FormatError(self.source.name, f"symbol table: {error}", header.ksyms) from None

    # what it is

    @property
    def names(self) -> dict[str, str]:
        """As `Image.names`."""
        members = {name: name for name in ("sysname", "nodename", "release", "machine")} | {"version": "version_name"}
        return {name: _text(self.header[member]) for name, member in members.items()}

    @property
    def panic_string(self) -> str:
        """The message of the panic; "" where there was none."""
        return _text(self.header.panicstring)

    @property
    def content(self) -> str:
        """Which pages the kernel was told to dump, in words."""
        return next((words for flag, words in CONTENT.items() if self.header.flags & flag), "unknown")

    def describe(self) -> Info:
        """What the dump is."""
        header, names = self.header, self.names
        held = self._store.held()
        return Info(
            file=self.source.name,
            format=self.format + (", compressed" if self.compressed else ""),
            architecture="x86-64" if self.bits == 64 else "x86",
            bits=self.bits,
            memory_size=header.npages * 4096,
            pages=held,
            missing=header.npages - held,
            missing_why={"cut off": header.npages - held} if held < header.npages else {},
            complete=not self.damage,
            damage=tuple(self.damage),
            kernel=" ".join(names[name] for name in ("sysname", "release", "version")),
            host=names["nodename"],
            time=float(header.crashtime),
            details={
                "version": header.version,
                "compression": self._store.compression,
                "content": self.content,
                "live": bool(header.flags & LIVE),
                "panic": self.panic_string,
                "uuid": self.uuid,
                **({"pages_of_xen": self.hypervisor_pages} if self.hypervisor_pages else {}),
            },
        )


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1")

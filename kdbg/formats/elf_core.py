"""ELF dumps of a Linux machine: kdump's ``/proc/vmcore``, makedumpfile -E, QEMU's ``dump-guest-memory``.

Program headers say which physical memory lies where; they may overlap (the kernel's text twice, QEMU's mappings), be
unaligned in the file, and hold less than they stand for: what lies behind p_filesz was excluded. QEMU's ELF header
claims to be 8 bytes long; only e_phoff tells where the program headers are.

Source: the ELF specification; fs/proc/vmcore.c; QEMU's dump/dump.c; makedumpfile's elf_info.c.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import FormatError
from kdbg.formats.elf import ET_CORE, MAGIC, PT_LOAD, Elf
from kdbg.formats.image import PAGE, PageMap
from kdbg.formats.linux_image import ARCHITECTURES, LinuxImage
from kdbg.formats.linux_notes import read_notes
from kdbg.formats.ranges import Ranges
from kdbg.formats.segments import EXCLUDED, EXCLUDED_OR_LOST, Piece, SegmentMap
from kdbg.formats.source import Source

if TYPE_CHECKING:
    from kdbg.records import Info

EF_INCOMPLETE = 1
"""Of e_flags: makedumpfile ran out of space (DUMP_ELF_INCOMPLETE in its sources and in crash's netdump.h)."""


class ElfCore(LinuxImage):
    """An ELF dump of a machine."""

    format = "ELF dump of a Linux kernel"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file is one, else what was expected and what is there."""
        if bytes(source.read(0, min(4, source.size))) != MAGIC:
            return "wants an ELF header"
        try:
            elf = Elf(source)
            if elf.type != ET_CORE or elf.machine not in ARCHITECTURES:
                return f"wants ELF type 4 (core) of a known machine, found type {elf.type}, machine {elf.machine}"
            if read_notes(elf.all_notes(), elf.machine).process:
                return "the core of a process, not of a machine"
            if not any(segment.type == PT_LOAD for segment in elf.segments):
                return "an ELF core without memory (no PT_LOAD)"
        except FormatError as error:
            return error.reason
        return None

    def __init__(self, source: Source) -> None:
        elf = Elf(source)
        super().__init__(source, elf.machine, read_notes(elf.all_notes(), elf.machine))
        self.segments = SegmentMap(
            (Piece(s.paddr, s.memsz, s.offset, s.filesz) for s in elf.segments if s.type == PT_LOAD), source.size
        )
        self.damage += self.segments.damage()
        self._incomplete = elf.header.flags & EF_INCOMPLETE
        if self._incomplete:
            self.damage.append("the dump is incomplete: makedumpfile ran out of space, or its source was damaged")
        self._window = (0, 0, 0)
        if self.notes.qemu:
            self.format = "ELF dump of a guest (QEMU dump-guest-memory)"
        if self.host is not None:
            self.format = "ELF dump of a Xen host" + (" (QEMU dump-guest-memory)" if self.notes.qemu else "")

        told = self.vmcoreinfo or self.host is not None or any("cr3" in registers for registers in self.contexts)
        self.bare = not told  # as VirtualBox writes it, or whoever left out the notes

    def stretches(self, start: int = 0, end: int = 1 << 64) -> Iterator[tuple[int, memoryview]]:
        """As `kdbg.formats.bare.BareMemory.stretches`."""
        return self.segments.stretches(self.source, start, end)

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number, or None."""
        return self.segments.page(self.source, frame)

    def read_physical(self, address: int, size: int) -> bytes:
        """``size`` bytes of physical memory. Raises `Missing` where a page is not in the dump."""
        first, end, shift = self._window  # what was read last lies mostly in the same range
        if not first <= address < end:
            first, end, shift = self._window = self.segments.window(address)
        if first <= address and 0 <= size <= end - address and self.source.map:
            place = address + shift
            return self.source.map[place : place + size]
        return super().read_physical(address, size)

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        why = self.segments.why_missing(frame)
        return EXCLUDED_OR_LOST if why == EXCLUDED and self._incomplete else why

    @property
    def excluded(self) -> Ranges:
        """As `Image.excluded`."""
        return self.segments.excluded()

    @property
    def lost(self) -> Ranges:
        """As `Image.lost`."""
        return self.segments.lost()

    @property
    def pages_in_file(self) -> int:
        """How many `pages` there are."""
        return self.segments.count()

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose bytes lie in the file."""
        return self.segments.pages()

    def describe(self) -> Info:
        """What the dump is."""
        from kdbg.records import Info

        pages = self.pages_in_file
        missing = self.segments.missing(pages)
        crashed = self.vmcoreinfo.get("CRASHTIME", "")
        return Info(
            file=self.source.name,
            format=self.format,
            architecture=self.architecture,
            bits=self.bits,
            memory_size=self.segments.told() * PAGE,
            pages=pages,
            missing=sum(missing.values()),
            missing_why=missing,
            cpus=len(self.contexts),
            complete=not self.damage,
            damage=tuple(self.damage),
            kernel=_kernel(self.vmcoreinfo.get("OSRELEASE")),
            time=float(crashed) if crashed.isdigit() else None,
            details={
                "compression": "none",
                "release": self.vmcoreinfo.get("OSRELEASE"),
                **(self.host.details if self.host is not None else {}),
            },
        )


def _kernel(release: str | None) -> str | None:
    return f"Linux {release}" if release else None

"""ELF dumps of a Linux machine: kdump's ``/proc/vmcore``, makedumpfile -E, QEMU's ``dump-guest-memory``.

Program headers say which physical memory lies where; they may overlap (the kernel's text twice, QEMU's mappings), be
unaligned in the file, and hold less than they stand for: what lies behind p_filesz was excluded. QEMU's ELF header claims to
be 8 bytes long; only e_phoff tells where the program headers are.

Source: the ELF specification; fs/proc/vmcore.c; QEMU's dump/dump.c; makedumpfile's elf_info.c.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from typing import TYPE_CHECKING

from kdbg.errors import FormatError
from kdbg.formats.elf import ET_CORE, MAGIC, Elf, Segment
from kdbg.formats.image import NOT_IN_DUMP, PAGE, PageMap
from kdbg.formats.linux_image import ARCHITECTURES, LinuxImage
from kdbg.formats.linux_notes import read_notes
from kdbg.formats.source import Source
from kdbg.records import Info

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PT_LOAD, PT_NOTE = 1, 4
EXCLUDED = "excluded from the dump on purpose"
CUT_OFF = "cut off: the file ends before that page"


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
                return f"wants ELF type 4 (core) of a machine that is known, found type {elf.type}, machine {elf.machine}"
            if read_notes(_notes(elf), elf.machine).process:
                return "the core of a process, not of a machine"
            if not any(segment.type == PT_LOAD for segment in elf.segments):
                return "an ELF core without memory (no PT_LOAD)"
        except FormatError as error:
            return error.reason
        return None

    def __init__(self, source: Source) -> None:
        elf = Elf(source)
        super().__init__(source, elf.machine, read_notes(_notes(elf), elf.machine))
        self._loads = sorted(
            (segment for segment in elf.segments if segment.type == PT_LOAD and segment.memsz), key=lambda s: s.paddr
        )
        self._starts = [segment.paddr for segment in self._loads]
        self._longest = max((segment.memsz for segment in self._loads), default=0)
        if self.notes.qemu:
            self.format = "ELF dump of a guest (QEMU dump-guest-memory)"
        for segment in self._loads:
            if segment.offset + segment.filesz > source.size:
                self.damage.append(
                    f"cut off: memory from {segment.paddr:#x} of {segment.filesz} bytes at offset {segment.offset:#x},"
                    f" the file has {source.size}"
                )

    # pages

    def _covering(self, address: int) -> list[Segment]:
        """Segments that stand for a physical address, those that begin nearest before it first."""
        found = []
        at = bisect_right(self._starts, address)
        while at and self._starts[at - 1] + self._longest > address:
            at -= 1
            if address < self._loads[at].paddr + self._loads[at].memsz:
                found.append(self._loads[at])
        return found

    def _place(self, address: int) -> int | None:
        """Offset in the file of the page at a physical address, or None."""
        for segment in self._covering(address):
            offset = address - segment.paddr
            if offset + PAGE <= segment.filesz and segment.offset + offset + PAGE <= self.source.size:
                return segment.offset + offset
        return None

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number, or None."""
        place = self._place(frame * PAGE)
        return None if place is None else self.source.read(place, PAGE, "page")

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        address = frame * PAGE
        covering = self._covering(address)
        if not covering:
            return NOT_IN_DUMP
        held = any(address - segment.paddr + PAGE <= segment.filesz for segment in covering)
        return CUT_OFF if held else EXCLUDED

    @functools.cached_property
    def pages(self) -> PageMap:
        """The frames whose bytes lie in the file."""
        import numpy as np

        parts: list[NDArray[np.uint64]] = []
        for segment in self._loads:
            held = min(segment.filesz, max(0, self.source.size - segment.offset))
            first, end = -(-segment.paddr // PAGE), (segment.paddr + held) // PAGE
            if end > first:
                parts.append(np.arange(first, end, dtype=np.uint64))
        return PageMap(np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64))

    # what it is

    def describe(self) -> Info:
        """What the dump is."""
        pages = len(self.pages)
        told = _union((s.paddr, s.paddr + s.memsz) for s in self._loads) // PAGE
        return Info(
            file=self.source.name,
            format=self.format,
            architecture=self.architecture,
            bits=self.bits,
            memory_size=told * PAGE,
            pages=pages,
            missing=max(0, told - pages),
            missing_why=self._why_missing_pages(told - pages),
            cpus=len(self.contexts),
            complete=not self.damage,
            damage=tuple(self.damage),
            time=float(self.vmcoreinfo["CRASHTIME"]) if self.vmcoreinfo.get("CRASHTIME", "").isdigit() else None,
            details={"compression": "none", "release": self.vmcoreinfo.get("OSRELEASE")},
        )

    def _why_missing_pages(self, count: int) -> dict[str, int]:
        if count <= 0:
            return {}
        excluded = sum((s.memsz - s.filesz) // PAGE for s in self._loads if s.memsz > s.filesz)
        why = {"excluded": min(excluded, count)} if excluded else {}
        if count > excluded:
            why["cut off"] = count - excluded
        return why


def _union(ranges: object) -> int:
    """Total length of ranges (start, end) that may overlap."""
    total = reached = 0
    for start, end in sorted(ranges):  # type: ignore[call-overload]
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _notes(elf: Elf):  # type: ignore[no-untyped-def]
    for segment in elf.segments:
        if segment.type == PT_NOTE:
            yield from elf.notes(segment.offset, segment.filesz)

"""Cores of processes: ELF files of type ET_CORE that a kernel of Linux or illumos (or gdb, gcore) writes of a program.

No `Image`: there are no page tables and no frames, only ranges of the program's own addresses. A range may hold less
than it stands for (p_filesz < p_memsz): what shows a file is often left out. Cores of illumos have sections besides:
symbol tables and types of the mapped objects, tied to them by sh_addr.

Source: the ELF specification; Linux' fs/binfmt_elf.c; illumos' uts/common/exec/elf/elf.c and lib/libproc (Pcore.c).
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from kdbg.errors import FormatError
from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64, ET_CORE, MAGIC, PT_LOAD, Elf
from kdbg.formats.process_notes import ProcessNotes, is_process, read_process_notes

if TYPE_CHECKING:
    from kdbg.formats.elf import Section
    from kdbg.formats.source import Source
    from kdbg.records import Info

PF_X, PF_W, PF_R = 1, 2, 4
ARCHITECTURES = {EM_386: "x86", EM_X86_64: "x86-64", EM_AARCH64: "arm64"}
MOST_REGIONS = 1 << 16


@dataclass(frozen=True, slots=True)
class Region:
    """A range of addresses that was mapped."""

    address: int
    size: int
    offset: int
    """Of its first byte in the core."""
    held: int
    """Bytes of it that the core holds."""
    told: int
    """Bytes of it that the core is to hold: where it is more, the file is cut off."""
    flags: int
    """PF_R, PF_W, PF_X."""

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size


class ProcessCore:
    """The core of a process."""

    format = "core of a process"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file is one, else what was expected and what is there."""
        if bytes(source.read(0, min(4, source.size))) != MAGIC:
            return "wants an ELF header"
        try:
            elf = Elf(source)
            if elf.type != ET_CORE or elf.machine not in ARCHITECTURES:
                return f"wants ELF type 4 (core) of a known machine, found type {elf.type}, machine {elf.machine}"
            if not is_process(elf.all_notes()):
                return "wants notes of a process (NT_PRPSINFO, NT_PSTATUS, NT_AUXV, NT_FILE), found none"
        except FormatError as error:
            return error.reason
        return None

    def __init__(self, source: Source) -> None:
        self.source = source
        self.elf = Elf(source)
        self.machine, self.bits = self.elf.machine, self.elf.bits
        self.architecture = ARCHITECTURES[self.machine]
        self.notes: ProcessNotes = read_process_notes(self.elf.all_notes(), self.machine, self.bits)
        self.format = f"core of a process of {self.notes.system}"
        self.damage: list[str] = []
        """What is wrong with the file, a sentence each."""
        self.advice: list[str] = []
        self.regions: list[Region] = self._read_regions()
        """By address."""
        self._starts = [region.address for region in self.regions]

    def _read_regions(self) -> list[Region]:
        limit, size = 1 << self.bits, self.source.size
        found, cut = [], 0
        for segment in islice((s for s in self.elf.segments if s.type == PT_LOAD), MOST_REGIONS):
            length = min(segment.memsz or segment.filesz, limit - segment.vaddr)
            if length <= 0:
                continue
            told = min(segment.filesz, length)
            held = max(0, min(told, size - segment.offset))
            cut += held < told
            found.append(Region(segment.vaddr, length, segment.offset, held, told, segment.flags))
        if cut:
            self.damage.append(
                f"cut off: {cut} ranges of memory lie, in whole or in part, behind the file's end at {size}"
            )
        if not self.notes.threads:
            self.damage.append("it tells of no thread")
        found.sort(key=lambda region: region.address)
        return sorted(found + self._untold(found), key=lambda region: region.address)

    def _untold(self, found: list[Region]) -> list[Region]:
        """Ranges that only NT_FILE tells of: gdb's gcore leaves them out when nobody can have written to them."""
        starts, added, reached = [region.address for region in found], [], 0
        for file in sorted(self.notes.files):
            at = bisect_right(starts, file.start)
            before = found[at - 1].end if at else 0
            after = starts[at] if at < len(starts) else 1 << self.bits
            if max(before, reached) <= file.start < file.end <= after:
                added.append(Region(file.start, file.end - file.start, 0, 0, 0, PF_R))
                reached = file.end
        return added

    def region(self, address: int) -> Region | None:
        """The range that an address lies in, or None."""
        at = bisect_right(self._starts, address) - 1
        return self.regions[at] if at >= 0 and address < self.regions[at].end else None

    def held(self, address: int, size: int) -> memoryview:
        """Up to ``size`` bytes from an address on: as many as the core holds without a gap in its range; maybe none."""
        region = self.region(address)
        if region is None:
            return memoryview(b"")
        inside = address - region.address
        size = min(size, region.held - inside)
        return self.source.read(region.offset + inside, size, "memory") if size > 0 else memoryview(b"")

    def sections(self) -> list[tuple[Section, Section | None]]:
        """Sections of symbols and types with the one that each is linked to: of cores of illumos."""
        try:
            listed = self.elf.sections
        except FormatError as error:
            self.damage.append(f"its sections cannot be read: {error.reason}")
            return []
        wanted = (one for one in listed if one.name in (".symtab", ".dynsym", ".SUNW_ctf"))
        return [(one, listed[one.link] if 0 < one.link < len(listed) else None) for one in wanted]

    def content(self, section: Section) -> bytes:
        """The bytes of a section, as many as the file has."""
        size = max(0, min(section.size, self.source.size - section.offset))
        return bytes(self.source.read(section.offset, size)) if size else b""

    @functools.cached_property
    def memory_size(self) -> int:
        """Bytes of memory that the core tells of."""
        return sum(region.size for region in self.regions)

    def describe(self) -> Info:
        """What the core is."""
        from kdbg.records import Info

        notes = self.notes
        held = sum(region.held for region in self.regions)
        signal = notes.representative.signal if notes.representative is not None else None
        return Info(
            file=self.source.name,
            format=self.format,
            architecture=self.architecture,
            bits=self.bits,
            memory_size=self.memory_size,
            pages=held // 4096,
            missing=(self.memory_size - held) // 4096,
            missing_why={"left out or cut off": (self.memory_size - held) // 4096} if held < self.memory_size else {},
            complete=not self.damage,
            damage=tuple(self.damage),
            host=notes.host,
            details={
                "program": notes.name, "arguments": notes.arguments, "pid": notes.pid, "signal": signal or None,
                "threads": len(notes.threads), "release": notes.uname.get("release"),
            },
        )  # fmt: skip

"""ELF dumps of machines: the kernel's /proc/vmcore, makedumpfile -E, QEMU's dump-guest-memory, with their oddities.

    ElfDump([Load(0x1000, page1 + page2, memory=0x5000)], notes(EM_X86_64, [{"rip": 0x1234}])).write(path)

Facts: the ELF specification; QEMU's dump/dump.c (section headers at 64, program headers behind them, e_ehsize 8 in
version 7.2); makedumpfile's elf_info.c and <linux/elf.h> (PN_XNUM: the number of program headers in the first section
header's sh_info).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samples.dump_notes import EM_386, EM_X86_64


@dataclass(frozen=True)
class Load:
    """A PT_LOAD: memory from a physical address on."""

    address: int
    data: bytes = b""
    """What the file holds of it."""
    memory: int | None = None
    """Bytes that it stands for; more than the data: the rest was excluded."""
    virtual: int = 0
    same_as: int | None = None
    """The place in the list of the segment whose bytes in the file are these too."""


@dataclass
class ElfDump:
    """What is planned of the dump; `data` and `write` make it."""

    loads: Sequence[Load]
    notes: bytes = b""
    machine: int = EM_X86_64
    bits: int = 64
    qemu: bool = False
    """QEMU's layout: two section headers at 64, program headers behind them, a header that claims 8 bytes."""
    unaligned: int = 0
    """Bytes by which memory lies off a multiple of 4 in the file."""
    many: bool = False
    """PN_XNUM: e_phnum is 0xffff and the number stands in the first section header, however small it is."""

    def data(self) -> bytes:
        """The file."""
        wide = self.bits == 64
        ehdr, phdr, shdr = (64, 56, 64) if wide else (52, 32, 40)
        count = len(self.loads) + 1
        sections = 2 if self.qemu else 1 if self.many else 0
        headers_at = ehdr + sections * shdr if self.qemu else ehdr
        sections_at = ehdr if self.qemu else ehdr + count * phdr
        notes_at = ehdr + sections * shdr + count * phdr
        at = -(-(notes_at + len(self.notes)) // 4) * 4 + self.unaligned
        start, places, body = at, list[int](), b""
        for load in self.loads:
            places.append(at if load.same_as is None else places[load.same_as])
            if load.same_as is None:
                body += load.data
                at += len(load.data)
        rows = [self._segment(4, notes_at, 0, 0, len(self.notes), len(self.notes))]
        for load, place in zip(self.loads, places, strict=True):
            size = len(load.data if load.same_as is None else self.loads[load.same_as].data)
            memory = size if load.memory is None else load.memory
            rows.append(self._segment(1, place, load.virtual, load.address, size, memory))
        word = "Q" if wide else "I"
        head = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9) + struct.pack(
            f"<HHI3{word}I6H", 4, self.machine, 1, 0, headers_at, sections_at if sections else 0, 0,
            8 if self.qemu else ehdr, phdr, 0xFFFF if self.many else count, shdr if sections else 0, sections,
            1 if self.qemu else 0,
        )  # fmt: skip
        table = b""
        if sections:
            table += struct.pack(f"<II4{word}II2{word}", 0, 0, 0, 0, 0, 0, 0, count if self.many else 0, 0, 0)
        if sections > 1:
            table += struct.pack(f"<II4{word}II2{word}", 1, 3, 0, 0, at, 11, 0, 0, 0, 0)
        both = (table, b"".join(rows)) if self.qemu else (b"".join(rows), table)
        whole = head + both[0] + both[1] + self.notes
        return whole.ljust(start, b"\0") + body + (b"\0.shstrtab\0" if self.qemu else b"")

    def _segment(self, kind: int, offset: int, virtual: int, physical: int, size: int, memory: int) -> bytes:
        if self.bits == 64:
            return struct.pack("<IIQQQQQQ", kind, 0, offset, virtual, physical, size, memory, 0)
        return struct.pack("<8I", kind, offset, virtual, physical, size, memory, 0, 0)

    def write(self, path: Path) -> Path:
        """Write it; the path."""
        path.write_bytes(self.data())
        return path


__all__ = ["EM_386", "EM_X86_64", "ElfDump", "Load"]

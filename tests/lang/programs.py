"""Small files to run the language on, planned here: bytes of any kind, and an ELF program."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.objectfile import ObjectFile
from kdbg.rawfile import RawFile
from kdbg.target import Target

TEXT, DATA = 0x400000, 0x401000
NOTYPE, OBJECT, FUNC, FILE = 0, 1, 2, 4
LOCAL, GLOBAL = 0, 1


def raw(folder: Path, data: bytes, name: str = "file.bin", writable: bool = False) -> RawFile:
    """A file of these bytes, opened as a target."""
    path = folder / name
    path.write_bytes(data)
    return RawFile(str(path), writable=writable)


@dataclass
class Program:
    """An ELF file with two segments: code at 400000, data (and zeros behind it) at 401000."""

    code: bytes = b"\x55\x48\x89\xe5\xe8\x02\x00\x00\x00\x5d\xc3\xc3"
    data: bytes = bytes(range(16))
    zeros: int = 16
    bits: int = 64
    symbols: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    """Name, address, size, type, binding."""

    def __post_init__(self) -> None:
        if not self.symbols:
            self.symbols = [
                ("prog.c", 0, 0, FILE, LOCAL),
                ("hidden", DATA + 8, 4, OBJECT, LOCAL),
                ("main", TEXT, 11, FUNC, GLOBAL),
                ("leaf", TEXT + 11, 1, FUNC, GLOBAL),
                ("_leaf", TEXT + 11, 1, FUNC, GLOBAL),
                ("table", DATA, 8, OBJECT, GLOBAL),
                ("_edata", DATA + 16, 0, NOTYPE, GLOBAL),
            ]

    def bytes(self) -> bytes:
        """The file."""
        wide = self.bits == 64
        header, phdr, shdr = (64, 56, 64) if wide else (52, 32, 40)
        code_at = header + 2 * phdr
        data_at = code_at + len(self.code)
        names, entries = b"\0", b"\0" * (24 if wide else 16)
        for name, address, size, kind, binding in self.symbols:
            section = 0xFFF1 if kind == FILE else 1 if address < DATA else 2
            info = binding << 4 | kind
            if wide:
                entries += struct.pack("<IBBHQQ", len(names), info, 0, section, address, size)
            else:
                entries += struct.pack("<IIIBBH", len(names), address, size, info, 0, section)
            names += name.encode() + b"\0"
        table_at = data_at + len(self.data)
        names_at = table_at + len(entries)
        titles = b"\0.symtab\0.strtab\0.shstrtab\0"
        titles_at = names_at + len(names)
        sections_at = titles_at + len(titles)
        loads = [(5, code_at, TEXT, len(self.code), len(self.code)),
                 (6, data_at, DATA, len(self.data), len(self.data) + self.zeros)]  # fmt: skip
        sections = [(0, 0, 0, 0, 0), (1, 2, table_at, len(entries), 2), (9, 3, names_at, len(names), 0),
                    (17, 3, titles_at, len(titles), 0)]  # fmt: skip
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
        form = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
        machine = 62 if wide else 3
        out = ident + struct.pack(
            form, 2, machine, 1, TEXT, header, sections_at, 0, header, phdr, 2, shdr, len(sections), 3
        )
        for flags, offset, address, file_size, memory_size in loads:
            if wide:
                out += struct.pack("<IIQQQQQQ", 1, flags, offset, address, address, file_size, memory_size, 1)
            else:
                out += struct.pack("<IIIIIIII", 1, offset, address, address, file_size, memory_size, flags, 1)
        out += self.code + self.data + entries + names + titles
        form = "<IIQQQQIIQQ" if wide else "<IIIIIIIIII"
        for name_at, kind, offset, size, link in sections:
            out += struct.pack(form, name_at, kind, 0, 0, offset, size, link, 0, 1, 0)
        return out

    def open(self, folder: Path, name: str = "prog", writable: bool = False) -> ObjectFile:
        """Write the file and open it."""
        path = folder / name
        path.write_bytes(self.bytes())
        return ObjectFile(str(path), writable)


def session(target: Target) -> tuple[Session, ListSink]:
    """A session on a target, and where all that it says goes, in order."""
    sink = ListSink()
    return Session(target, sink, sink), sink


def run(target: Target, *lines: str) -> str:
    """What the language answers to these statements."""
    opened, sink = session(target)
    for line in lines:
        opened.execute(line)
    return sink.text()

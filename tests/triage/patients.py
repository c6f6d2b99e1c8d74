"""A dump in a plain ELF file of which bytes are changed in a copy, and the triage of that copy."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kdbg
from kdbg.dump import Dump
from kdbg.triage.report import Finding, Report


def loads(path: Path) -> Iterator[tuple[int, int, int]]:
    """(offset, physical address, bytes in the file) of each PT_LOAD of an ELF64 file."""
    with path.open("rb") as file:
        head = file.read(64)
        start, entry, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        file.seek(start)
        for _ in range(count):
            kind, _, offset, _, physical, size = struct.unpack_from("<IIQQQQ", file.read(entry))
            if kind == 1:
                yield offset, physical, size


class Patient:
    """A dump, what is to be changed in it, and the triage of the changed copy."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.target: Dump = kdbg.open(path)  # type: ignore[assignment]
        self.changes: list[tuple[int, bytes]] = []

    @property
    def kernel(self) -> Any:
        return self.target.kernel

    def poke(self, address: int, data: bytes) -> None:
        """Change kernel memory; the file is a plain ELF dump, whose pages lie in it as they are."""
        physical = self.target.translate(address).physical
        assert physical is not None
        self.poke_physical(physical, data)

    def poke_physical(self, physical: int, data: bytes) -> None:
        for offset, start, size in loads(self.path):
            if start <= physical < start + size:
                self.changes.append((offset + physical - start, data))
                return
        raise AssertionError(f"{physical:x} is in no segment")

    def triage(self) -> Report:
        copy = self.folder / "changed.elf"
        shutil.copyfile(self.path, copy)
        with copy.open("r+b") as file:
            for offset, data in self.changes:
                file.seek(offset)
                file.write(data)
        with kdbg.open(copy) as changed:
            return changed.triage()


def only(report: Report, name: str) -> Finding:
    found = report.found(name)
    assert len(found) == 1, [finding.name for finding in report.findings]
    return found[0]

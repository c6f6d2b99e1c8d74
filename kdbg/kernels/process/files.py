"""The program's and the libraries' files, where they are given or lie at their paths: used only if they are the same.

What a core left out is in these files, if they are still those that were mapped. A build id proves it; where the object
has none, the first page that the core holds. A file that is another is named and never read from.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdbg.errors import FormatError
from kdbg.formats.source import Source
from kdbg.kernels.process.dynamic import build_id
from kdbg.symbols.elfheaders import ElfHeaders, Segment

DEBUG_FOLDER = "/usr/lib/debug/.build-id"
"""Where distributions put symbols that were taken out of programs, by build id."""


@dataclass(slots=True)
class ElfFile:
    """An ELF file and what identifies it."""

    path: str
    source: Source
    headers: ElfHeaders
    id: bytes | None
    used: bool = False
    given: bool = False
    why: str = ""
    """Why it stands for an object no more than in name."""


def open_elf(path: str) -> ElfFile | None:
    """An ELF file, or None: not there, no plain file, or no ELF file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        source = Source(path)
        headers = ElfHeaders(source.view, path)
    except (OSError, ValueError, FormatError, struct.error):
        return None

    def content(segment: Segment) -> bytes:
        return bytes(source.view[segment.offset : segment.offset + segment.file_size])

    return ElfFile(path, source, headers, build_id(headers, content))


class Files:
    """The files that a core may be read with. ``note``: takes a sentence on one that does not fit."""

    def __init__(self, given: Sequence[str], note: Callable[[str], None]) -> None:
        self._note = note
        self.given = [found for path in given if (found := open_elf(path)) is not None]
        for one in self.given:
            one.given = True
        for path in given:
            if all(one.path != path for one in self.given):
                note(f"{path} is not used: it is no ELF file")

    def of(
        self, path: str, wanted: bytes | None, head: bytes, main: Callable[[ElfHeaders], bool] | None
    ) -> ElfFile | None:
        """The file of an object: by its build id, or by the bytes at its start that the core holds.

        ``path``: as it was mapped. ``main``: of the program, whose file may have another name: whether what the kernel
        told it at its start fits a file, which has to do where the core holds nothing of its headers.
        """
        for one in self.given:
            if wanted is not None and one.id == wanted:
                one.used = True
                return one
        base = os.path.basename(path)
        named = [one for one in self.given if os.path.basename(one.path) == base]
        if main is not None and not named and len(self.given) == 1:
            named = self.given[:1]
        for one in named:
            if self._fits(one, wanted, head, main):
                one.used = True
                return one
        if not os.path.isabs(path):
            return None
        found = open_elf(path)
        return found if found is not None and self._fits(found, wanted, head, None) else None

    def _fits(self, one: ElfFile, wanted: bytes | None, head: bytes, main: Callable[[ElfHeaders], bool] | None) -> bool:
        if wanted is not None:
            if one.id == wanted:
                return True
            has = f"build id {one.id.hex()}" if one.id else "no build id"
            self._refuse(one, f"it has {has}, what was mapped has {wanted.hex()}")
            return False
        if head:
            if bytes(one.source.view[: len(head)]) == head:
                return True
            self._refuse(one, "it begins with other bytes than what was mapped")
            return False
        if main is None:
            return False
        if not main(one.headers):
            self._refuse(one, "it begins elsewhere than what ran")
            return False
        self._note(f"{one.path} is taken for the program by where it begins: the core holds no better proof")
        return True

    def _refuse(self, one: ElfFile, why: str) -> None:
        if one.given:  # another object may still be made of it
            one.why = one.why or why
        else:
            self._note(f"{one.path} is not used: {why}")

    def unused(self) -> None:
        """Note the given files that nothing in the core is made of."""
        for one in self.given:
            if not one.used:
                one.used = True
                has = f" (build id {one.id.hex()})" if one.id else ""
                self._note(f"{one.path} is not used: {one.why or f'nothing in the core is made of it{has}'}")

    @staticmethod
    def debug(wanted: bytes | None) -> ElfFile | None:
        """The file with the symbols that were taken out of an object, if this machine has it; its build id is equal."""
        if wanted is None or len(wanted) < 2:
            return None
        found = open_elf(f"{DEBUG_FOLDER}/{wanted[:1].hex()}/{wanted[1:].hex()}.debug")
        return found if found is not None and found.id == wanted else None

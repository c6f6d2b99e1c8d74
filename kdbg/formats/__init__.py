"""Dump formats: bytes -> `Image`. One module a format; `open_image` asks each whether it knows the file.

A new format is a new module and one line in `FORMATS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kdbg.errors import FormatError
from kdbg.formats.image import Image
from kdbg.formats.source import Source

FORMATS = (
    ("kdbg.formats.xc_core", "XcCore"),
    ("kdbg.formats.xen_elf", "XenElf"),
    ("kdbg.formats.illumos", "IllumosDump"),
)
"""(module, class) of each format, in the order in which they are asked."""


class NotADump(FormatError):
    """A file that none of the formats knows; ``refusals`` says what each expected."""

    def __init__(self, file: str, refusals: list[str]) -> None:
        super().__init__(file, "not a dump that kdbg knows: " + "; ".join(refusals))
        self.refusals = refusals


def open_image(path: str) -> Image:
    """Open a dump by what its first bytes say.

    Raises `NotADump` where no format knows it, another `FormatError` where one does and it is damaged.
    """
    source = Source(path)
    refusals = []
    for module, name in FORMATS:
        reader: Any = getattr(import_module(module), name)
        refusal = reader.recognises(source)
        if refusal is None:
            image: Image = reader(source)
            return image
        refusals.append(f"{module.rpartition('.')[2]} {refusal}")
    source.close()
    raise NotADump(path, refusals)


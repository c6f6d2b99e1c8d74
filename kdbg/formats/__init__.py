"""Dump formats: bytes -> `Image`. One module a format; `open_image` asks each whether it knows the file.

A new format is a new module and one line in `FORMATS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kdbg.errors import FormatError
from kdbg.formats.flattened import FlattenedSource
from kdbg.formats.image import Image
from kdbg.formats.known import recognise
from kdbg.formats.source import Source

FORMATS = (
    ("kdbg.formats.xc_core", "XcCore"),
    ("kdbg.formats.xen_elf", "XenElf"),
    ("kdbg.formats.illumos", "IllumosDump"),
    ("kdbg.formats.kdump", "Kdump"),
    ("kdbg.formats.elf_core", "ElfCore"),
    ("kdbg.formats.lime", "Lime"),
    ("kdbg.formats.lime", "Avml"),
)
"""(module, class) of each format, in the order in which they are asked."""


class NotADump(FormatError):
    """A file that none of the formats reads.

    ``known``: what it is all the same and what to do with it, if its beginning says so; ``refusals``: what each format
    expected.
    """

    def __init__(self, file: str, refusals: list[str], known: str | None) -> None:
        super().__init__(file, known or "not a dump that kdbg knows: " + "; ".join(refusals))
        self.refusals = refusals
        self.known = known


def open_image(path: str) -> Image:
    """Open a dump by what its first bytes say.

    Raises `NotADump` where no format knows it, another `FormatError` where one does and it is damaged.
    """
    source = Source(path)
    if FlattenedSource.recognises(source):
        source = FlattenedSource(source)
    refusals = []
    for module, name in FORMATS:
        reader: Any = getattr(import_module(module), name)
        refusal = reader.recognises(source)
        if refusal is None:
            image: Image = reader(source)
            return image
        refusals.append(f"{module.rpartition('.')[2]} {refusal}")
    known = recognise(source)
    source.close()
    raise NotADump(path, refusals, known)


def open_images(paths: list[str]) -> tuple[Image, list[str]]:
    """Open the files of one dump; the image, and those of the files that are no dumps (namelists).

    Several dumps are one only if their format joins them: the files of a split set. Raises as `open_image`, and
    `FormatError` where dumps do not belong together.
    """
    images, beside = [], []
    for path in paths:
        try:
            images.append(open_image(path))
        except NotADump:
            if path == paths[-1] and not images:
                raise
            beside.append(path)
    first, *others = images
    if others:
        first.join(others)
    return first, beside

"""``kdbg convert``: any dump that opens, written in another format."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kdbg.errors import UsageError
from kdbg.formats.image import Image
from kdbg.formats.writing import Frames

WRITERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "elf": ("kdbg.formats.elf_core_writer", {}, "ELF, as /proc/vmcore and QEMU write it"),
    "kdump": ("kdbg.formats.kdump_writer", {"compression": "zlib"}, "makedumpfile's, pages through zlib"),
    "kdump-zstd": ("kdbg.formats.kdump_writer", {"compression": "zstd"}, "makedumpfile's, pages through zstd"),
    "raw": ("kdbg.formats.bare_writer", {"form": "raw"}, "a flat file of the memory alone"),
    "lime": ("kdbg.formats.bare_writer", {"form": "lime"}, "the memory alone, as LiME writes it"),
    "avml": ("kdbg.formats.bare_writer", {"form": "avml"}, "the memory alone, as AVML writes it (through snappy)"),
    "vmcore": ("kdbg.formats.illumos_writer", {}, "illumos' vmcore, as savecore writes it (of an illumos dump)"),
    "xen-elf": ("kdbg.formats.xen_elf_writer", {}, "a Xen domain core, as xl dump-core writes it"),
}
"""Name of a format -> (module of its writer, arguments, what it is)."""


def natural_format(image: Image) -> str:
    """The format that keeps all that an image holds."""
    from kdbg.formats.xen import XenImage

    if image.native:
        return "vmcore"
    if image.host is not None:
        return "elf"  # what makedumpfile writes of a Xen host, too
    return "xen-elf" if isinstance(image, XenImage) else "kdump"


def convert(image: Image, path: str, name: str, frames: Frames | None = None) -> int:
    """Write an image to a new file; the number of pages written. Raises `UsageError`, `FormatError`."""
    if name not in WRITERS:
        raise UsageError(f"format {name} is not written: {', '.join(WRITERS)}")
    module, arguments, _ = WRITERS[name]
    written: int = import_module(module).write(image, path, frames, **arguments)
    return written

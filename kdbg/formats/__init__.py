"""Dump formats: bytes -> `Image`, or `ProcessCore`. One module a format; each is asked whether it knows the file.

A new format is a new module and one line in `FORMATS`.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kdbg.errors import FormatError
from kdbg.formats.bare import HEAD, RawMemory, begins_like_a_pc
from kdbg.formats.flattened import FlattenedSource
from kdbg.formats.image import Image
from kdbg.formats.known import elf_in_words, recognise
from kdbg.formats.looks import looks_like
from kdbg.formats.packed import Tell, head_of, kind_of, unpack
from kdbg.formats.packed import advice as unpacking_advice
from kdbg.formats.source import Source, open_source

if TYPE_CHECKING:
    from kdbg.formats.process_core import ProcessCore

FORMATS = (
    ("kdbg.formats.xc_core", "XcCore"),
    ("kdbg.formats.xen_elf", "XenElf"),
    ("kdbg.formats.illumos", "IllumosDump"),
    ("kdbg.formats.kdump", "Kdump"),
    ("kdbg.formats.process_core", "ProcessCore"),
    ("kdbg.formats.elf_core", "ElfCore"),
    ("kdbg.formats.lime", "Lime"),
    ("kdbg.formats.lime", "Avml"),
    ("kdbg.formats.bare", "RawMemory"),
)
"""(module, class) of each format, in the order in which they are asked."""


class NotADump(FormatError):
    """A file that none of the formats reads.

    ``known``: what it is all the same and what to do with it, if its beginning says so; ``looks``: what its bytes look
    like; ``refusals``: what each format expected and found.
    """

    def __init__(self, file: str, refusals: list[str], known: str | None, looks: str) -> None:
        super().__init__(file, known or f"not a dump that kdbg knows: {looks}")
        self.refusals = refusals
        self.known = known
        self.looks = looks


def open_image(path: str) -> Image:
    """Open the dump of a machine. Raises as `open_file`, and `FormatError` for the core of a process."""
    return _machine(open_file(path))


def _machine(found: Image | ProcessCore) -> Image:
    if not isinstance(found, Image):
        raise FormatError(found.source.name, "the core of a process, not of a machine: it has no pages and no kernel")
    return found


def open_file(path: str, tell: Tell = lambda _: None) -> Image | ProcessCore:
    """Open a dump by what its first bytes say; one inside gzip, bzip2, xz or zstd is unpacked to a temporary file.

    ``path``: a file, or a URL (``s3://``, ``http://`` ...), of which only the ranges that are needed are fetched.
    ``tell``: is called now and then with a line on how far it is, where that takes long.

    Raises `NotADump` where no format knows it, another `FormatError` where one does and it is damaged.
    """
    source = open_source(path)
    packed = kind_of(source)
    if packed is None:
        return _open(source)
    _recognised(Source.of_bytes(path, head_of(source, packed)), whole=False)
    image = _open(_unpacked(source, packed, tell))
    if image.source.cut_off:
        image.damage.append(f"cut off: its {packed} data ends too early")
    return image


def _unpacked(source: Source, packed: str, tell: Tell) -> Source:
    if packed == "xz":
        from kdbg.formats.xz_blocks import XzSource, blocks_of

        blocks = blocks_of(source)
        if blocks is not None:
            made = XzSource(source, blocks)
            text = f"the dump is inside xz, in {len(blocks)} blocks, of which those that are read are unpacked"
            made.advice = f"{text}: `xz -dk {source.name}` spares that next time"
            return made
    began = time.monotonic()
    plain = unpack(source, packed, tell)
    plain.advice = unpacking_advice(source.name, packed, source.size, plain.size, time.monotonic() - began)
    return plain


def _open(source: Source) -> Image | ProcessCore:
    if FlattenedSource.recognises(source):
        if not source.map:  # its pieces are small, and each tells where the next one is
            from kdbg.formats.remote import all_of

            source = all_of(source)
        advice, source = source.advice, FlattenedSource(source)
        source.advice = advice
    image: Image | ProcessCore = _recognised(source)(source)
    if source.advice:
        image.advice.append(source.advice)
    return image


def _recognised(source: Source, whole: bool = True) -> Any:
    """The class of the format that a file has. Raises `NotADump`.

    ``whole`` False: only its beginning is there, so a format whose magic number fits is enough.
    """
    refusals: dict[str, str] = {}
    for module, name in FORMATS:
        reader: Any = getattr(import_module(module), name)
        refusal = reader.recognises(source)
        if refusal is None:
            return reader
        refusals[name] = refusal
    head = bytes(source.read(0, min(HEAD, source.size)))
    if not whole and (head[:4] in (b"\x7fELF", b"make") or begins_like_a_pc(head)):
        return None
    known = recognise(source)
    looks = f"{elf_in_words(source)}; {refusals['ElfCore']}" if head[:4] == b"\x7fELF" else looks_like(source)
    raise NotADump(source.name, [f"{name} {refusal}" for name, refusal in refusals.items()], known, looks)


def open_images(paths: list[str]) -> tuple[Image, list[str]]:
    """Open the files of one dump of a machine, as `open_files`. Raises `FormatError` for the core of a process too."""
    found, beside = open_files(paths)
    return _machine(found), beside


def open_memory(path: str, base: int = 0, tell: Tell = lambda _: None) -> RawMemory:
    """Take a file for physical memory as it is, from the address ``base`` on, whatever its bytes. Raises `FormatError`.

    One inside gzip, bzip2, xz or zstd is unpacked to a temporary file.
    """
    source = open_source(path)
    if not source.size:
        raise FormatError(path, "the file is empty")
    packed = kind_of(source)
    if packed is not None:
        source = _unpacked(source, packed, tell)
    image = RawMemory(source, base)
    if source.advice:
        image.advice.append(source.advice)
    return image


def open_files(paths: list[str], tell: Tell = lambda _: None) -> tuple[Image | ProcessCore, list[str]]:
    """Open the files of one dump; the image, and those of the files that are no dumps (namelists, programs).

    Several dumps are one only if their format joins them: the files of a split set. Raises as `open_file`, and
    `FormatError` where dumps do not belong together.
    """
    images, beside = [], []
    for path in paths:
        try:
            images.append(open_file(path, tell))
        except NotADump:
            if path == paths[-1] and not images:
                raise
            beside.append(path)
    first, *others = images
    if others:
        machine = _machine(first)
        machine.join([_machine(other) for other in others])
    return first, beside

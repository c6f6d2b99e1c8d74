"""Write the memory of an image and nothing else: flat, as LiME, as AVML. Registers and notes have no place in these.

Sources: as `kdbg.formats.lime`; AVML cuts ranges into blocks of 16 MB (its MAX_BLOCK_SIZE) and compresses each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from kdbg.errors import FormatError
from kdbg.formats.compression import MissingCodec
from kdbg.formats.image import PAGE, Image
from kdbg.formats.lime import AVML_MAGIC, LIME_MAGIC, Header
from kdbg.formats.ranges import of_frames
from kdbg.formats.writing import Frames, content_of, growing, page_bytes

BLOCK_PAGES = (16 << 20) // PAGE
FARTHEST = 1 << 44
"""Where a flat file ends at the latest: what ext4 holds in one."""


def write(image: Image, path: str, frames: Frames | None = None, form: str = "raw") -> int:
    """Write the pages (all, or those of ``frames``); the number of pages written. Raises `FormatError`.

    A flat file has holes where the image has no page: they read as zeros, and cannot be told from pages of zeros.
    """
    if image.paravirtual:
        raise FormatError(path, "a paravirtual domain's machine frames have no place in this format: write xen-elf")
    held = content_of(image, frames).held
    runs = [(int(first), int(end)) for first, end in of_frames(held)]
    if form == "raw" and runs and runs[-1][1] * PAGE > FARTHEST:
        raise FormatError(path, f"memory up to {runs[-1][1] * PAGE:#x} makes a flat file that long: write lime")
    if runs and runs[-1][1] * PAGE > 1 << 64:
        raise FormatError(path, f"page {runs[-1][1] - 1:#x} lies beyond what this format can address")
    try:
        pack = _snappy() if form == "avml" else None
    except MissingCodec as error:
        raise FormatError(path, error.reason) from None
    with growing(path) as file:
        for first, end in runs:
            if pack is not None:
                _write_avml(image, file, first, end, pack)
                continue
            if form == "lime":
                file.write(_header(LIME_MAGIC, 1, first, end))
            else:
                file.seek(first * PAGE)
            for frame in range(first, end):
                file.write(page_bytes(image, frame))
    return len(held)


def _write_avml(image: Image, file: BinaryIO, first: int, end: int, pack: Callable[[bytes], bytes]) -> None:
    for begin, stop in _blocks(first, end):
        packed = pack(b"".join(page_bytes(image, frame) for frame in range(begin, stop)))
        file.write(_header(AVML_MAGIC, 2, begin, stop) + packed + len(packed).to_bytes(8, "little"))


def _blocks(first: int, end: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + BLOCK_PAGES, end)) for begin in range(first, end, BLOCK_PAGES))


def _header(magic: int, version: int, first: int, end: int) -> bytes:
    return Header.build(
        {"magic": magic, "version": version, "start": first * PAGE, "last": end * PAGE - 1, "reserved": 0}
    )


def _snappy() -> Callable[[bytes], bytes]:
    """What makes snappy's framing format. Raises `MissingCodec`."""
    try:
        import cramjam
    except ImportError:
        raise MissingCodec("snappy", "cramjam") from None
    return lambda data: bytes(cramjam.snappy.compress(data))

"""What the tests of formats share: pages to recognise, plain targets of bytes, comparison of images."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

import kdbg
from kdbg.formats import open_image, open_images
from kdbg.formats.image import Image

PAGE = 4096


def page(number: int) -> bytes:
    """A page that tells its number, half of it hard to compress."""
    return number.to_bytes(8, "little") * 256 + random.Random(number).randbytes(PAGE - 2048)


def pages(*numbers: int, zeros: tuple[int, ...] = ()) -> dict[int, bytes]:
    """Frame -> page; those of ``zeros`` are empty."""
    return dict(sorted({**{n: page(n) for n in numbers}, **{n: bytes(PAGE) for n in zeros}}.items()))


def opened(path: Path, data: bytes) -> Image:
    """Bytes as a file, opened."""
    path.write_bytes(data)
    return open_image(str(path))


def opened_set(folder: Path, files: list[bytes]) -> Image:
    """Several files, opened as one dump."""
    paths = []
    for number, data in enumerate(files):
        paths.append(str(folder / f"part-{number}"))
        Path(paths[-1]).write_bytes(data)
    return open_images(paths)[0]


def holds(image: Image, wanted: Mapping[int, bytes]) -> None:
    """Assert that an image holds exactly those pages, byte for byte, and says so."""
    assert list(image.pages) == sorted(wanted)
    assert len(image.pages) == len(wanted)
    for frame, data in wanted.items():
        found = image.page(frame)
        assert found is not None, f"page {frame:#x}: {image.why_missing(frame)}"
        assert bytes(found) == data, f"page {frame:#x} differs"
        assert image.read_physical(frame * PAGE + 5, 7) == data[5:12]


def misses(image: Image, frame: int, why: str) -> None:
    """Assert that a page is not there, for that reason."""
    assert image.page(frame) is None
    assert why in image.why_missing(frame)
    with pytest.raises(kdbg.Missing, match=why):
        image.read_physical(frame * PAGE, 8)

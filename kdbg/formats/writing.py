"""What the writers of formats share: a file that appears only when it is whole, and pages in order.

Writers take an `Image` and the pages that are to go in, as frame numbers that page tables hold (None: all that the
image has). They never write to the dump that they read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from kdbg.errors import FormatError
from kdbg.formats.image import PAGE, Image

Frames = Iterable[int]


@contextlib.contextmanager
def growing(path: str) -> Iterator[BinaryIO]:
    """A file under another name until it is whole. Raises `FormatError` where it cannot be written, or exists."""
    if os.path.exists(path):
        raise FormatError(path, "exists already: choose another name, or remove it first")
    temporary = f"{path}.{os.getpid()}.growing"
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise FormatError(path, f"cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def held_frames(image: Image, frames: Frames | None) -> list[int]:
    """The frames to write, ascending: those asked for that the image holds, or all."""
    if frames is None:
        pfns = iter(image.pages)
        if not image.paravirtual:
            return list(pfns)
        return sorted(mfn for mfn in map(image.pfn_to_mfn, pfns) if mfn is not None)
    return sorted(frame for frame in set(frames) if image.page(frame) is not None)


def runs(frames: list[int]) -> list[tuple[int, int]]:
    """(first frame, number) of each run of following frames."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and frame == found[-1][0] + found[-1][1]:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((frame, 1))
    return found


def page_bytes(image: Image, frame: int) -> memoryview:
    """A page that `held_frames` named; zeros where its data turns out to be damaged."""
    page = image.page(frame)
    return page if page is not None else memoryview(bytes(PAGE))


def pad(file: BinaryIO, alignment: int) -> int:
    """Write zeros up to a multiple of ``alignment``; the place reached."""
    at = file.tell()
    file.write(bytes(-at % alignment))
    return at + -at % alignment

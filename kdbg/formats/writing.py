"""What the writers of formats share: a file that appears only when it is whole, and what is to stand in it.

Writers take an `Image` and the pages that are to go in, as frame numbers that page tables hold (None: all that the
image has). They never write to the dump that they read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from kdbg.errors import FormatError
from kdbg.formats import ranges
from kdbg.formats.image import PAGE, Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class Content:
    """The memory that a new dump is to tell of, in frames as page tables hold them."""

    held: NDArray[np.uint64]
    """Frames whose pages are written, ascending."""
    excluded: ranges.Ranges
    """Frames that exist and are left out on purpose."""
    lost: ranges.Ranges
    """Frames whose pages should be there and are not: cut off or damaged."""


def content_of(image: Image, frames: Frames | None = None, readable: bool = True) -> Content:
    """What to write of an image: the pages asked for, or all. What the image leaves out stays left out.

    ``readable`` False: a page of ``held`` may turn out to be damaged (each is read once only).
    """
    import numpy as np

    every = _frames(image)
    asked = every if frames is None else np.array(sorted(set(frames)), np.uint64)
    held = asked
    if frames is not None or (readable and image.unpacks):
        held = np.array([frame for frame in asked.tolist() if image.page(frame) is not None], np.uint64)
    if image.paravirtual:  # the only format that holds these has no place for what is left out
        return Content(held, [], [])
    kept, told = ranges.of_frames(held), ranges.of_frames(every)
    wanted = told if frames is None else ranges.of_frames(asked)
    lost = ranges.minus(ranges.union(image.lost, ranges.both(told, wanted)), kept)
    excluded = ranges.union(image.excluded, ranges.minus(told, wanted))
    return Content(held, ranges.minus(excluded, ranges.union(kept, lost)), lost)


def _frames(image: Image) -> NDArray[np.uint64]:
    """All frames that an image holds, as page tables hold them, ascending."""
    import numpy as np

    pfns = image.pages.array
    if not image.paravirtual:
        return pfns
    return np.unique(np.array([m for m in map(image.pfn_to_mfn, pfns.tolist()) if m is not None], np.uint64))


def page_bytes(image: Image, frame: int) -> memoryview:
    """A page that `content_of` found readable; zeros where it is not so any more."""
    page = image.page(frame)
    return page if page is not None else memoryview(bytes(PAGE))


def pad(file: BinaryIO, alignment: int) -> int:
    """Write zeros up to a multiple of ``alignment``; the place reached."""
    at = file.tell()
    file.write(bytes(-at % alignment))
    return at + -at % alignment

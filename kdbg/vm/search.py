"""Search all memory of a dump for values: array work, a window of pages at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Missing
from kdbg.formats.image import PAGE, Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.unsignedinteger]

WINDOW = 256
"""Pages that are looked at together."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is searched: values of ``size`` bytes.

    Those with ``value`` <= v < ``value`` + ``distance`` where that is given, else with v & ``mask`` = ``value``.
    """

    value: int
    size: int = 8
    mask: int | None = None
    distance: int | None = None

    def matches(self, words: Words) -> NDArray[np.bool_]:
        """Which values are meant: bool[n]."""
        kind, last = words.dtype.type, (1 << 8 * self.size) - 1
        found: NDArray[np.bool_] = words != words
        if self.value > last:
            return found
        if self.distance is not None:
            found = words - kind(self.value) < kind(min(self.distance, last))
            found &= words >= kind(self.value)  # no value beyond the last is meant
        elif self.mask is not None:
            found = words & kind(self.mask & last) == kind(self.value)
        else:
            found = words == kind(self.value)
        return found


@dataclass(frozen=True, slots=True)
class Hit:
    """A place in memory with a value that was searched."""

    physical: int
    value: int


def search(
    image: Image, pattern: Pattern, start: int = 0, end: int = 1 << 64, tell: Callable[[float], None] = lambda _: None
) -> Iterator[Hit]:
    """The places in guest-physical memory between two addresses where aligned values match, ascending.

    ``tell`` is told which part of the dump (0 to 1) has been looked at. Pages that cannot be read are passed over.
    """
    import numpy as np

    pfns = image.pages.array
    done, count = 0, max(len(pfns), 1)
    for first, length in _windows(pfns):
        if first << 12 < end and (first + length) << 12 > start:
            for at, data in _data(image, first, length):
                words = np.frombuffer(data, f"<u{pattern.size}")
                places = np.flatnonzero(pattern.matches(words))
                for place, value in zip(places.tolist(), words[places].tolist(), strict=True):
                    address = (at << 12) + place * pattern.size
                    if start <= address < end:
                        yield Hit(address, value)
        done += length
        tell(done / count)


def _windows(pfns: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """(first, number) of frames that follow one another, at most `WINDOW` of them."""
    import numpy as np

    for begin in range(0, len(pfns), 1 << 16):
        part = pfns[begin : begin + (1 << 16)]
        breaks = np.flatnonzero(np.diff(part) != 1) + 1
        starts, ends = [0, *breaks.tolist()], [*breaks.tolist(), len(part)]
        for start, end in zip(starts, ends, strict=True):
            for at in range(start, end, WINDOW):
                yield int(part[at]), min(WINDOW, end - at)


def _data(image: Image, first: int, count: int) -> Iterator[tuple[int, bytes | memoryview]]:
    """(first frame, bytes) of some frames: in one piece where they can be read so, else page by page."""
    try:
        yield first, image.read_physical(first << 12, count * PAGE)
    except Missing:
        for pfn in range(first, first + count):
            page = image.page_of_pfn(pfn)
            if page is not None:
                yield pfn, page

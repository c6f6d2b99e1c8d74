"""The map of memory in a report: which stretches of physical memory the dump holds, and where page tables lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdbg.errors import Error
from kdbg.triage.report import MemoryMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.formats.image import Image
    from kdbg.formats.ranges import Ranges
    from kdbg.vm.space import AddressSpace

    Counts = NDArray[np.int64]

CELLS = 256
"""Stretches of the map that have something in them, at most."""
MOST_CELLS = 1 << 13
"""Stretches in all: the holes between them are long where memory lies at both ends of 4 GiB."""
CUT_OFF = "cut off"
"""In the reason why a page is missing."""
MOST_TABLES = 1 << 16
"""Page tables that are looked for: 256 MiB of them."""


def memory_map(target: Any) -> MemoryMap | None:
    """The map of a dump; None for the core of a process, which has no physical memory, and for a dump of nothing."""
    if target.kind != "dump":
        return None
    image: Image = target.image
    info = image.describe()
    pfns = image.pages.array
    excluded, lost = image.excluded, image.lost
    top = max([int(pfns[-1]) + 1 if len(pfns) else 0, *(end for _, end in (*excluded[-1:], *lost[-1:]))])
    if not info.complete:
        top += info.missing
    if not top:
        return None
    stretch = 1 << (-(-top // MOST_CELLS) - 1).bit_length()
    while True:
        size = -(-top // stretch)
        held = _counted(pfns, stretch, size)
        left_out, gone = (_covered(ranges, stretch, size) for ranges in (excluded, lost))
        if int((held + left_out + gone > 0).sum()) <= CELLS:
            break
        stretch *= 2
    tables = page_tables(target)
    cells = "".join(map(_cell, held.tolist(), left_out.tolist(), gone.tolist(), [stretch] * size))
    if not info.complete and not lost:
        cells = _asked(image, cells, stretch)
    return MemoryMap(
        stretch,
        cells,
        len(pfns),
        dict(info.missing_why),
        None if tables is None else len(tables),
        "" if tables is None else _tenths(_counted(tables[tables < top], stretch, size), stretch),
        _tenths(held, stretch),
        _tenths(left_out, stretch),
    )


def page_tables(target: Any) -> NDArray[np.uint64] | None:
    """The pfns (uint64[n]) of the page tables of the kernel's own space; None where it is not known."""
    import numpy as np

    from kdbg.vm.arrays import tables

    try:
        space: AddressSpace = target.space
        frames = tables(space, MOST_TABLES)
    except Error:
        return None
    if not len(frames):
        return None
    if target.image.paravirtual:
        numbers = (target.image.mfn_to_pfn(frame) for frame in frames.tolist())
        return np.array(sorted(number for number in numbers if number is not None), np.uint64)
    return frames


def _counted(pfns: NDArray[np.uint64], stretch: int, size: int) -> Counts:
    """How many of the frames lie in each stretch."""
    import numpy as np

    found: Counts = np.bincount((pfns // np.uint64(stretch)).astype(np.int64), minlength=size)
    return found


def _covered(ranges: Ranges, stretch: int, size: int) -> Counts:
    """How many frames of each stretch lie in the ranges."""
    import numpy as np

    edges = np.arange(size + 1, dtype=np.int64) * stretch
    if not ranges:
        return np.zeros(size, np.int64)
    bounds = np.array(ranges, np.int64)
    total = np.concatenate(([0], np.cumsum(bounds[:, 1] - bounds[:, 0])))
    before = np.searchsorted(bounds[:, 0], edges, side="right")  # ranges that begin at or below each edge

    reaching = np.where(before > 0, bounds[before - 1, 1], 0)
    below: Counts = total[before] - np.where(before > 0, np.maximum(reaching - edges, 0), 0)
    return np.diff(below)


def _asked(image: Image, cells: str, stretch: int) -> str:
    """The map with what is lost in it, from a format that tells it of single pages alone: the middle one is asked."""
    lost = {
        number
        for number, cell in enumerate(cells)
        if cell == " " and CUT_OFF in image.why_pfn_missing(number * stretch + stretch // 2)
    }
    return "".join("." if number in lost else cell for number, cell in enumerate(cells))


def _cell(held: int, left_out: int, lost: int, stretch: int) -> str:
    if held:
        return "#" if held >= stretch else "+"
    return "." if lost else "x" if left_out else " "


def _tenths(counts: Counts, stretch: int) -> str:
    """Shares of a stretch, a character each."""
    return "".join(
        " " if not count else "#" if count >= stretch else str(min(9, max(1, round(10 * count / stretch))))
        for count in counts.tolist()
    )

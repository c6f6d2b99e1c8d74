"""A bit a frame: which pages a file holds, and how many lie before each of them, without a list of all."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from kdbg.formats.image import PageMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP = 64
"""Bytes of the bitmap for each of which the count before it is kept: 1.6 % of the bitmap."""


class RankedBitmap:
    """The set bits of a bitmap between two frames (``end`` not included), lowest bit of each byte first.

    Memory: the bitmap itself stays where it is (mapped), and 8 bytes for each 64 of it. 100 GB of memory have a bitmap
    of 3 MB.
    """

    def __init__(self, bits: NDArray[np.uint8], first: int, end: int) -> None:
        import numpy as np

        self._bits = bits.data
        self.first = max(0, first)
        self.end = max(self.first, min(end, 8 * len(bits)))
        counts = _counts(bits)
        self._before = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).data
        self._base = self._rank(self.first)
        self._last = (-2, 0)  # frame and position that were asked for last
        self.count = self._rank(self.end) - self._base
        """Bits that are set."""

    def __contains__(self, frame: int) -> bool:
        return self.first <= frame < self.end and bool(self._bits[frame >> 3] >> (frame & 7) & 1)

    def position(self, frame: int) -> int | None:
        """How many set bits lie before a frame's, or None where its own is not set."""
        at = frame >> 3
        if not self.first <= frame < self.end or not self._bits[at] >> (frame & 7) & 1:
            return None
        last_frame, found = self._last
        if frame == last_frame + 1:  # in order: one after the other
            found += 1
        else:
            group = at // GROUP
            inside = int.from_bytes(self._bits[group * GROUP : at + 1], "little") & (1 << (frame & 8 * GROUP - 1)) - 1
            found = self._before[group] + inside.bit_count() - self._base
        self._last = frame, found
        return found

    def _rank(self, frame: int) -> int:
        group = frame // (8 * GROUP)
        if group >= len(self._before) - 1:
            return int(self._before[-1])
        inside = int.from_bytes(self._bits[group * GROUP : (group + 1) * GROUP], "little")
        return int(self._before[group]) + (inside & (1 << frame - group * 8 * GROUP) - 1).bit_count()

    def frames(self) -> NDArray[np.uint64]:
        """uint64[count], ascending."""
        import numpy as np

        low, high = self.first >> 3, -(-self.end // 8)
        bits = np.unpackbits(np.frombuffer(self._bits[low:high], np.uint8), bitorder="little")
        found = np.flatnonzero(bits).astype(np.uint64)
        found += np.uint64(8 * low)
        inside = (found >= np.uint64(self.first)) & (found < np.uint64(self.end))
        return found if inside.all() else found[inside]


class BitmapPages(PageMap):
    """The pages of ranked bitmaps, each bit of which stands for so many pages; listed only when they are asked for."""

    def __init__(self, bitmaps: list[RankedBitmap], pages_per_bit: int = 1) -> None:
        self._bitmaps, self._each = bitmaps, pages_per_bit

    @functools.cached_property
    def array(self) -> NDArray[np.uint64]:  # type: ignore[override]
        """uint64[pages], ascending."""
        import numpy as np

        parts = [bitmap.frames() for bitmap in self._bitmaps]
        bits = parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
        if self._each == 1:
            return bits
        inside = np.arange(self._each, dtype=np.uint64)
        return (bits[:, None] * np.uint64(self._each) + inside).ravel()

    def __len__(self) -> int:
        if len(self._bitmaps) == 1:
            return self._bitmaps[0].count * self._each
        return len(self.array)  # the ranges of damaged sets may overlap

    def __contains__(self, pfn: object) -> bool:
        return isinstance(pfn, int) and any(pfn // self._each in bitmap for bitmap in self._bitmaps)


def set_bits(bits: NDArray[np.uint8]) -> int:
    """How many bits of a bitmap are set."""
    return int(_counts(bits).sum())


def _counts(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64[groups]: bits set in each `GROUP` bytes."""
    import numpy as np

    whole = len(bits) // GROUP * GROUP
    counts = _popcount(bits[:whole]).reshape(-1, GROUP).sum(axis=1, dtype=np.int64)
    return np.append(counts, _popcount(bits[whole:]).sum(dtype=np.int64)) if whole < len(bits) else counts


def _popcount(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import numpy as np

    if hasattr(np, "bitwise_count"):  # numpy 2
        counted: NDArray[np.uint8] = np.bitwise_count(bits)
        return counted
    return _table()[bits]


@functools.cache
def _table() -> NDArray[np.uint8]:
    """Bits set in each byte."""
    import numpy as np

    return np.array([number.bit_count() for number in range(256)], np.uint8)

"""Ranges of page frames: (first, end) pairs, ``end`` not included, ascending and apart from each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ranges = list[tuple[int, int]]
AT_ONCE = 1 << 20
"""Bytes of a bitmap that are looked at in one go."""


def of_frames(frames: NDArray[np.uint64]) -> Ranges:
    """The ranges that ascending frames make: uint64[n] -> n ranges at most."""
    import numpy as np

    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) != np.uint64(1)) + 1
    firsts = frames[np.concatenate(([0], breaks))]
    lasts = frames[np.concatenate((breaks - 1, [len(frames) - 1]))]
    return [(first, last + 1) for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]


def of_bits(bits: NDArray[np.uint8]) -> Ranges:
    """The ranges of set bits, the lowest bit of each byte first: uint8[n] -> frames below 8 n."""
    import numpy as np

    found: Ranges = []
    for at in range(0, len(bits), AT_ONCE):
        part = bits[at : at + AT_ONCE]
        if part.any():
            frames = np.flatnonzero(np.unpackbits(part, bitorder="little")).astype(np.uint64)
            found += of_frames(frames + np.uint64(8 * at))
    return union(found)


def union(*several: Iterable[tuple[int, int]]) -> Ranges:
    """What lies in any of them; they may overlap, in any order, and be empty."""
    found: Ranges = []
    for first, end in sorted(one for ranges in several for one in ranges if one[0] < one[1]):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((first, end))
    return found


def minus(ranges: Ranges, others: Ranges) -> Ranges:
    """What lies in ``ranges`` and not in ``others``."""
    found: Ranges = []
    at = 0
    for first, end in ranges:
        while at < len(others) and others[at][1] <= first:
            at += 1
        following = at
        while following < len(others) and others[following][0] < end:
            if first < others[following][0]:
                found.append((first, others[following][0]))
            first = max(first, others[following][1])
            following += 1
        if first < end:
            found.append((first, end))
    return found


def both(ranges: Ranges, others: Ranges) -> Ranges:
    """What lies in both."""
    return minus(ranges, minus(ranges, others))


def count(ranges: Ranges) -> int:
    """How many frames they have."""
    return sum(end - first for first, end in ranges)


def ranks(ranges: Ranges, frames: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """How many frames of the ranges lie before each of some frames that lie in them: uint64[n] -> uint64[n]."""
    import numpy as np

    if not ranges:
        return np.zeros(0, np.uint64)
    table = np.array(ranges, np.uint64)
    firsts, sizes = table[:, 0], table[:, 1] - table[:, 0]
    at = np.searchsorted(firsts, frames, "right") - 1
    before: NDArray[np.uint64] = np.cumsum(sizes) - sizes
    return before[at] + frames - firsts[at]


def bitmaps(ranges: Ranges, size: int) -> Iterator[tuple[int, bytes]]:
    """(number of the block, its bytes) of each block of ``size`` bytes of their bitmap that has a bit set."""
    import numpy as np

    each, block, bits = 8 * size, -1, np.zeros(0, np.uint8)
    full = b"\xff" * size
    for first, end in ranges:
        while first < end:
            number = first // each
            stop = min(end, (number + 1) * each)
            if stop - first == each:
                if block >= 0:
                    yield block, np.packbits(bits, bitorder="little").tobytes()
                    block = -1
                yield number, full
            else:
                if number != block:
                    if block >= 0:
                        yield block, np.packbits(bits, bitorder="little").tobytes()
                    block, bits = number, np.zeros(each, np.uint8)
                bits[first - number * each : stop - number * each] = 1
            first = stop
    if block >= 0:
        yield block, np.packbits(bits, bitorder="little").tobytes()

"""Ranked bitmaps: positions, counts and lists equal those of a plain walk over the bits."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.formats.bitmap import BitmapPages, RankedBitmap, set_bits


@given(data=st.binary(max_size=200), first=st.integers(0, 1700), length=st.integers(-3, 1700), seed=st.integers(0, 99))
def test_positions_equal_a_walk_over_the_bits(data: bytes, first: int, length: int, seed: int) -> None:
    end = first + length
    bits = np.frombuffer(data, np.uint8)
    planned = [frame for frame in range(8 * len(data)) if data[frame >> 3] >> (frame & 7) & 1]
    assert set_bits(bits) == len(planned)
    planned = [frame for frame in planned if first <= frame < end]
    held = RankedBitmap(bits, first, end)
    assert held.count == len(planned)
    assert held.frames().tolist() == planned
    order = list(range(8 * len(data) + 3))
    for _ in range(2):  # in order, then in none
        for frame in order:
            assert held.position(frame) == (planned.index(frame) if frame in planned else None)
            assert (frame in held) == (frame in planned)
        random.Random(seed).shuffle(order)


@pytest.mark.parametrize("range_", [(0, 1 << 64), (1 << 63, 1 << 64), ((1 << 64) - 1, 0), (9, 3)])
def test_ranges_that_a_damaged_header_tells(range_: tuple[int, int]) -> None:
    held = RankedBitmap(np.full(3, 0xFF, np.uint8), *range_)
    assert held.count == len(held.frames()) == (24 if range_[0] == 0 else 0)
    assert held.position(1 << 63) is None


def test_blocks_of_several_pages() -> None:
    pages = BitmapPages([RankedBitmap(np.array([0b101], np.uint8), 0, 8)], 16)
    assert list(pages) == [*range(16), *range(32, 48)]
    assert len(pages) == 32
    assert 40 in pages
    assert 17 not in pages


def test_the_ranges_of_two_files_may_overlap() -> None:
    bits = np.array([0xFF], np.uint8)
    pages = BitmapPages([RankedBitmap(bits, 0, 5), RankedBitmap(bits, 3, 8)])
    assert list(pages) == list(range(8))
    assert len(pages) == 8

"""Sorting as qsort(3C) of illumos does it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.sorting import qsorted


@pytest.mark.parametrize("count", [0, 1, 4, 5, 19, 20, 49, 50, 500])
@pytest.mark.parametrize("kinds", [1, 2, 7, 1000])
def test_entries_ascend_and_none_is_lost(count: int, kinds: int) -> None:
    chance = random.Random(count * kinds)
    keys = [chance.randrange(kinds) for _ in range(count)]
    found = qsorted(range(count), keys.__getitem__)
    assert [keys[at] for at in found] == sorted(keys)
    assert sorted(found) == list(range(count))


def test_few_equal_entries_stay_in_order() -> None:
    assert qsorted(["b2", "a1", "b1", "a0"], lambda entry: ord(entry[0])) == ["a1", "a0", "b2", "b1"]


def test_equal_entries_come_out_as_the_library_leaves_them() -> None:
    """The log of the sample cores: 20 entries a chunk, 172 written, each chunk's last one never used."""
    times = [0 if at > 180 or at % 20 == 19 else at + 1 for at in range(220)]
    unused = [at for at in qsorted(range(220), lambda at: -times[at]) if not times[at]]
    assert unused == [
        198, 199, *range(201, 220), 139, 119, 99, 79, 59, 39, 159, 19, 179, *range(181, 198), 200,
    ]  # fmt: skip


def test_five_equal_entries_do_not_stay_in_order() -> None:
    assert qsorted(["b1", "a1", "a2", "b2", "a3"], lambda entry: entry[0]) == ["a2", "a1", "a3", "b2", "b1"]


@given(st.lists(st.integers(), unique=True))
def test_of_different_keys_there_is_one_order(entries: list[int]) -> None:
    assert qsorted(entries, lambda entry: entry) == sorted(entries)

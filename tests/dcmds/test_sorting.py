"""Sorting that is not stable, as illumos' qsort(3C) is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kdbg.dcmds.sorting import unstable_sorted


@given(st.lists(st.tuples(st.integers(0, 9), st.integers())))
def test_it_sorts_and_loses_nothing(records):
    found = unstable_sorted(records, lambda record: record[0])
    assert [record[0] for record in found] == sorted(record[0] for record in records)
    assert sorted(found) == sorted(records)


@given(st.lists(st.integers(), unique=True))
def test_of_different_keys_there_is_one_order(records):
    assert unstable_sorted(records, lambda record: record) == sorted(records)


def test_up_to_four_records_keep_the_order_of_equal_keys():
    assert unstable_sorted([(1, "a"), (0, "b"), (1, "c"), (0, "d")], lambda record: record[0]) == [
        (0, "b"), (0, "d"), (1, "a"), (1, "c"),
    ]  # fmt: skip


def test_five_records_do_not():
    assert unstable_sorted(["b1", "a1", "a2", "b2", "a3"], lambda record: record[0]) == ["a2", "a1", "a3", "b2", "b1"]

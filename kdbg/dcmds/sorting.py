"""Sorting as the C library of illumos does it: not stable, and so visible in the order of equal keys.

The algorithm (libc's qsort): three-way quicksort. Partitions of less than five are sorted by insertion; the pivot is
the middle, from 20 on the median of three, from 50 on the median of three medians; records equal to the pivot are
gathered at both ends while the rest is partitioned, and moved next to it then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

INSERTION, MEDIAN_OF_3, MEDIAN_OF_9 = 5, 20, 50


def unstable_sorted(records: Sequence[T], key: Callable[[T], Any]) -> list[T]:
    """The records by their keys, equal ones in the order that illumos' qsort(3C) leaves them in."""
    sorter = _Sorter([(key(record), record) for record in records])
    sorter.sort()
    return [record for _, record in sorter.items]


class _Sorter:
    def __init__(self, items: list[tuple[Any, Any]]) -> None:
        self.items = items

    def sort(self) -> None:
        waiting = [(0, len(self.items))]
        while waiting:
            start, count = waiting.pop()
            if count < INSERTION:
                self._insert(start, count)
                continue
            low, high = self._partition(start, start + count - 1)
            waiting += [(start, low - start), (high + 1, start + count - 1 - high)]

    def _swap(self, one: int, other: int) -> None:
        self.items[one], self.items[other] = self.items[other], self.items[one]

    def _compare(self, one: int, other: int) -> int:
        left, right = self.items[one][0], self.items[other][0]
        return int(left > right) - int(left < right)

    def _insert(self, start: int, count: int) -> None:
        for top in range(start + 1, start + count):
            at = top
            while at > start and self._compare(at - 1, at) > 0:
                self._swap(at - 1, at)
                at -= 1

    def _median(self, a: int, b: int, c: int) -> int:
        if self._compare(a, b) < 0:
            if self._compare(b, c) < 0:
                return b
            return c if self._compare(a, c) < 0 else a
        if self._compare(b, c) > 0:
            return b
        return c if self._compare(a, c) > 0 else a

    def _pivot(self, start: int, count: int) -> int:
        if count < MEDIAN_OF_3:
            return start + count // 2
        if count < MEDIAN_OF_9:
            step = (count - 1) // 2
            return self._median(start, start + step, start + 2 * step)
        step = (count - 1) // 8
        thirds = [self._median(*(start + step * (3 * third + one) for one in range(3))) for third in range(3)]
        return self._median(*thirds)

    def _partition(self, first: int, last: int) -> tuple[int, int]:
        """Partition and return the bounds of the records that equal the pivot (inclusive)."""
        pivot = self._pivot(first, last - first + 1)
        low_equal = low = first
        high_equal = high = last
        while True:
            while low <= high:
                if low != pivot:
                    order = self._compare(low, pivot)
                    if order > 0:
                        break
                    if order == 0:
                        if low_equal == pivot:
                            pivot = low
                        elif low_equal != low:
                            self._swap(low_equal, low)
                        low_equal += 1
                low += 1
            while low < high:
                if high != pivot:
                    order = self._compare(high, pivot)
                    if order < 0:
                        break
                    if order == 0:
                        if high_equal == pivot:
                            pivot = high
                        elif high_equal != high:
                            self._swap(high_equal, high)
                        high_equal -= 1
                high -= 1
            if low >= high:
                break
            self._swap(low, high)
            low += 1
            high -= 1
        place = self._settle(pivot, low, high)
        return self._gather(first, last, low_equal, high_equal, place)

    def _settle(self, pivot: int, low: int, high: int) -> int:
        """Put the pivot between the partitions; return its place."""
        if high < low:
            if pivot < high:
                self._swap(pivot, high)
                return high
            if pivot > low:
                self._swap(pivot, low)
                return low
            return pivot
        if pivot < high:
            low = high - 1
        if pivot != low:
            self._swap(pivot, low)
        return low

    def _gather(self, first: int, last: int, low_equal: int, high_equal: int, place: int) -> tuple[int, int]:
        """Move the equal records from both ends next to the pivot."""
        below, at = low_equal - first, place
        low_equal = min(low_equal, first + (place - low_equal))
        while low_equal > first:
            low_equal -= 1
            at -= 1
            self._swap(low_equal, at)
        above, at = last - high_equal, place
        high_equal = max(high_equal, last - (high_equal - place))
        while high_equal < last:
            high_equal += 1
            at += 1
            self._swap(high_equal, at)
        return place - below, place + above

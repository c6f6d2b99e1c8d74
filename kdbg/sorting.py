"""Sorting as illumos' qsort(3C) does it: what is equal comes out in the order in which that leaves it.

Only where entries are equal does it matter how they are sorted; recorded answers show such entries (unused ones of the
kmem log, symbols of one value) in the order of that library's sort, a quicksort that keeps those equal to the pivot
apart at both ends of the part and then moves them to the middle. Fact: its thresholds, its choice of pivot and its
exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

FEW, MEDIAN_OF_THREE, MEDIAN_OF_NINE = 5, 20, 50
"""Entries from which on a part is divided; its pivot is a median of three; of nine."""
MOST = 1 << 18
"""Entries up to which the order of equal ones is kept like that; beyond it is as they were found."""


def qsorted(entries: Sequence[T], key: Callable[[T], Any]) -> list[T]:
    """The entries by ascending key; keys are hashable."""
    keys = [key(entry) for entry in entries]
    if len(set(keys)) == len(keys) or len(keys) > MOST:
        return sorted(entries, key=key)
    order = _Parts(keys).sorted()
    return [entries[at] for at in order]


class _Parts:
    """The positions of the entries under way: ``at[i]`` is the entry that stands at place i."""

    def __init__(self, keys: list[Any]) -> None:
        self.keys = keys
        self.at = list(range(len(keys)))

    def sorted(self) -> list[int]:
        waiting = [(0, len(self.at))]
        while waiting:
            low, end = waiting.pop()
            if end - low < FEW:
                self.at[low:end] = sorted(self.at[low:end], key=self.keys.__getitem__)
                continue
            first, last = self.divide(low, end - 1, self.pivot(low, end - low))
            waiting += [(low, first), (last + 1, end)]
        return self.at

    def key(self, place: int) -> Any:
        return self.keys[self.at[place]]

    def swap(self, one: int, other: int) -> None:
        self.at[one], self.at[other] = self.at[other], self.at[one]

    def median(self, one: int, two: int, three: int) -> int:
        """Of three places the one with the middle key; of equal ones the second where they do not ascend."""
        a, b, c = self.key(one), self.key(two), self.key(three)
        if a < b:
            return two if b < c else three if a < c else one
        return two if b > c else three if a > c else one

    def pivot(self, low: int, count: int) -> int:
        if count < MEDIAN_OF_THREE:
            return low + count // 2
        if count < MEDIAN_OF_NINE:
            step = (count - 1) // 2
            return self.median(low, low + step, low + 2 * step)
        step = (count - 1) // 8
        thirds = [self.median(*(low + (3 * third + number) * step for number in range(3))) for third in range(3)]
        return self.median(*thirds)

    def divide(self, low: int, high: int, pivot: int) -> tuple[int, int]:
        """Smaller entries to the left, larger ones to the right; first and last place of those equal to the pivot."""
        up, down, pivot, left_equals, right_equals = self.sweep(low, high, pivot)
        middle = self.settle(up, down, pivot)
        return self.gather(low, high, middle, left_equals, right_equals)

    def sweep(self, low: int, high: int, pivot: int) -> tuple[int, int, int, int, int]:
        """Exchange what stands on the wrong side; entries equal to the pivot go to the ends of the part.

        The pivot stays where it is; where an equal entry would be exchanged with it, that one becomes the pivot.
        Returns where the two searches ended, the pivot's place, and how many equal entries stand at either end.
        """
        key = self.key(pivot)
        up, down, left, right = low, high, low, high
        while True:
            while up <= down and (up == pivot or self.key(up) <= key):
                if up != pivot and self.key(up) == key:
                    if left == pivot:
                        pivot = up
                    else:
                        self.swap(left, up)
                    left += 1
                up += 1
            while up < down and (down == pivot or self.key(down) >= key):
                if down != pivot and self.key(down) == key:
                    if right == pivot:
                        pivot = down
                    else:
                        self.swap(right, down)
                    right -= 1
                down -= 1
            if up >= down:
                return up, down, pivot, left - low, high - right
            self.swap(up, down)
            up, down = up + 1, down - 1

    def settle(self, up: int, down: int, pivot: int) -> int:
        """Bring the pivot between the smaller and the larger entries; its place."""
        if down < up:
            place = down if pivot < down else up if pivot > up else pivot
        else:
            place = down - 1 if pivot < down else down
        if place != pivot:
            self.swap(pivot, place)
        return place

    def gather(self, low: int, high: int, middle: int, left: int, right: int) -> tuple[int, int]:
        """Move the equal entries from both ends next to the pivot, each with as few exchanges as will do."""
        smaller, larger = middle - low - left, high - middle - right
        for number in range(min(left, smaller)):
            self.swap(low + min(left, smaller) - 1 - number, middle - 1 - number)
        for number in range(min(right, larger)):
            self.swap(high - min(right, larger) + 1 + number, middle + 1 + number)
        return middle - left, middle + right

"""Ranges that are searched for many addresses: kept sorted, so that a question costs a search and not a walk."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

LAST = (1 << 64) - 1


class Ranges:
    """Ranges in the order in which a walk gives them; finds those that hold an address."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        # a damaged range may end beyond all memory
        known = ((start, min(end, LAST), number) for number, (start, end) in enumerate(ranges))
        rows = sorted(row for row in known if 0 <= row[0] < row[1])
        self._starts = array("Q", (row[0] for row in rows))
        self._ends = array("Q", (row[1] for row in rows))
        self._numbers = array("Q", (row[2] for row in rows))
        self._reach = array("Q", accumulate(self._ends, max))
        """The largest end of all ranges up to this one: where to stop looking back."""

    def __len__(self) -> int:
        return len(self._starts)

    def hits(self, addresses: Sequence[int]) -> list[tuple[int, int]]:
        """(number of the range, address) for all ranges that hold one of the sorted addresses, by number."""
        if len(self) < len(addresses):
            rows = zip(self._starts, self._ends, self._numbers, strict=True)
            return sorted(
                (number, address)
                for start, end, number in rows
                for address in addresses[bisect_left(addresses, start) : bisect_left(addresses, end)]
            )
        return sorted((number, address) for address in addresses for number in self.holding(address))

    def holding(self, address: int) -> Iterator[int]:
        """Numbers of the ranges that hold the address."""
        at = bisect_right(self._starts, address) - 1
        while at >= 0 and self._reach[at] > address:
            if self._ends[at] > address:
                yield self._numbers[at]
            at -= 1


class Search:
    """Addresses that are looked for, sorted, and which of them were found."""

    def __init__(self, addresses: Iterable[int], everything: bool) -> None:
        self.addresses = sorted(addresses)
        self._found = [False] * len(self.addresses)
        self.everything = everything
        self._left = len(self.addresses)
        self._wanted: tuple[int, list[int]] = (-1, [])

    @property
    def done(self) -> bool:
        """Whether nothing is left to look for."""
        return self._left == 0 and not self.everything

    def take(self, base: int, size: int) -> Iterator[int]:
        """The wanted addresses in a range; they count as found."""
        if size <= 0:
            return
        for at in range(bisect_left(self.addresses, base), bisect_left(self.addresses, base + size)):
            if self._claim(at):
                yield self.addresses[at]

    def _claim(self, at: int) -> bool:
        if self._found[at]:
            return self.everything
        self._found[at] = True
        self._left -= 1
        return True

    def wanted(self) -> list[int]:
        """The addresses that are still looked for, each once, sorted."""
        if self._wanted[0] != self._left:
            pairs = zip(self.addresses, self._found, strict=True)
            found = list(dict.fromkeys(address for address, found in pairs if self.everything or not found))
            self._wanted = self._left, found
        return self._wanted[1]

    def unknown(self) -> list[int]:
        """The addresses that were never found."""
        return [address for address, found in zip(self.addresses, self._found, strict=True) if not found]

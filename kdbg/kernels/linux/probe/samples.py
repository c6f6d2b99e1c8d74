"""Structures of one kind side by side, so that a member is found by what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from kdbg.errors import Error

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

Column = Any
"""A column of numbers: numpy.ndarray of unsigned integers."""
MOST_ROWS = 2000
"""Structures that are looked at: more would not say more."""


class Samples:
    """A row for each structure, a column for each word of it.

    What is not in the dump, and what lies behind the structures, reads as zero.
    """

    def __init__(self, kernel: Linux, addresses: Iterable[int], size: int) -> None:
        self.kernel, self.word = kernel, kernel.bits // 8
        self.addresses = list(addresses)[:MOST_ROWS]
        self.size = -(-size // 8) * 8
        data = b"".join(some(kernel, address, self.size).ljust(self.size, b"\0") for address in self.addresses)
        self.words = numpy.frombuffer(data, "<u8" if self.word == 8 else "<u4").reshape(
            len(self.addresses), self.size // self.word
        )
        self.ints = numpy.frombuffer(data, "<u4").reshape(len(self.addresses), self.size // 4)
        self.base = numpy.array(self.addresses, self.words.dtype)
        """The structures' own addresses, as a column."""

    def __len__(self) -> int:
        return len(self.addresses)

    def at(self, offset: int) -> Column:
        """The words at an offset in bytes."""
        return _column(self.words, offset // self.word)

    def int_at(self, offset: int) -> Column:
        """The 32-bit numbers at an offset in bytes."""
        return _column(self.ints, offset // 4)

    def long_at(self, offset: int) -> Column:
        """The 64-bit numbers at an offset in bytes, which is a multiple of four."""
        low, high = self.int_at(offset).astype("u8"), self.int_at(offset + 4).astype("u8")
        return low | high << numpy.uint64(32)

    def first_word(self, holds: Callable[[Column], Any], start: int = 0, end: int | None = None) -> int | None:
        """The first offset in [start, end) at which what the words must be holds; None where there is none."""
        return next(self.each_word(holds, start, end), None)

    def each_word(self, holds: Callable[[Column], Any], start: int = 0, end: int | None = None) -> Iterator[int]:
        """All such offsets, ascending."""
        return (at for at in range(-(-start // self.word) * self.word, self._end(end), self.word) if holds(self.at(at)))

    def first_int(self, holds: Callable[[Column], Any], start: int = 0, end: int | None = None) -> int | None:
        """As `first_word`, for 32-bit numbers."""
        return next((at for at in range(-(-start // 4) * 4, self._end(end), 4) if holds(self.int_at(at))), None)

    def first_at(self, holds: Callable[[int], Any], start: int, end: int | None, step: int) -> int | None:
        """The first offset of a run of columns for which something holds that is asked of the offset itself."""
        return next((at for at in range(-(-start // step) * step, self._end(end), step) if holds(at)), None)

    def _end(self, end: int | None) -> int:
        return self.size if end is None else min(max(end, 0), self.size)

    def of_kernel(self, column: Column) -> Any:
        """Which words are addresses in the kernel's half, aligned as those of structures."""
        return (column >= self.kernel.lowest) & (column % self.word == 0)


def _column(table: Any, number: int) -> Column:
    return table[:, number] if number < table.shape[1] else numpy.zeros(len(table), table.dtype)


def some(kernel: Linux, address: int, size: int) -> bytes:
    """The bytes at an address as far as the dump has them, perhaps none."""
    try:
        return kernel.target.read_some(address, size)
    except Error:
        return b""


def share(holds: Any) -> float:
    """The part of rows for which something holds."""
    return float(numpy.mean(holds)) if len(holds) else 0.0


def words_of(kernel: Linux, addresses: Sequence[int], offset: int = 0) -> list[int]:
    """The word at an offset behind each address; 0 where it cannot be read."""
    size = kernel.bits // 8
    return [int.from_bytes(some(kernel, address + offset, size), "little") for address in addresses]

"""Frame tables: which entry of a core's table of pages holds a frame.

The tables can have millions of entries, sorted or not, with holes and invalid ones. Opening must not read them
through, so an answer is first guessed (frames lie in runs; most tables ascend) and checked against the table itself;
only what no guess finds makes an index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALL = 1 << 16
"""Entries up to which a dictionary is made at once: some milliseconds."""
SCANS = 12
"""Misses in a large table that are answered by a search through its bytes before an index is made."""


class FrameColumn:
    """One column of a frame table: frame numbers by position, and back.

    ``words`` is a view of integers (possibly strided); ``invalid`` the value that stands for no frame; ``limit`` the
    number of entries that count. Where a frame stands twice the first entry is meant.
    """

    def __init__(self, words: memoryview, invalid: int) -> None:
        self.words = words
        self.invalid = invalid
        self._delta = 0
        self._index: dict[int, int] | None = None
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
        self._misses = 0

    def __len__(self) -> int:
        return len(self.words)

    def array(self) -> NDArray[np.uint64]:
        """The column as uint64[entries]; a view where the words have 8 bytes."""
        import numpy as np

        return np.asarray(self.words).astype(np.uint64, copy=False)

    def find(self, frame: int) -> int | None:
        """Position of the entry that holds ``frame``, or None."""
        words = self.words
        guess = frame + self._delta
        if 0 <= guess < len(words) and words[guess] == frame and frame != self.invalid:
            return guess
        found = self._search(frame) if frame != self.invalid else None
        if found is not None:
            self._delta = found - frame
        return found

    def _search(self, frame: int) -> int | None:
        if self._index is not None:
            return self._index.get(frame)
        if len(self.words) <= SMALL:
            values = self.words.tolist()
            self._index = dict(zip(reversed(values), range(len(values) - 1, -1, -1), strict=True))
            return self._index.get(frame)
        if self._sorted is None:
            position = self._bisect(frame)
            if position is not None:
                return position
            self._misses += 1
            if self._misses <= SCANS:
                return self._scan(frame)
        return self._bisect_sorted(frame)

    def _bisect(self, frame: int) -> int | None:
        """Search as if the table ascended; only a hit says anything."""
        words, low, high = self.words, 0, len(self.words)
        while low < high:
            middle = (low + high) // 2
            if words[middle] < frame:
                low = middle + 1
            else:
                high = middle
        return low if low < len(words) and words[low] == frame else None

    def _scan(self, frame: int) -> int | None:
        import numpy as np

        hits = np.flatnonzero(np.asarray(self.words) == frame)
        return int(hits[0]) if len(hits) else None

    def _bisect_sorted(self, frame: int) -> int | None:
        import numpy as np

        values, positions = self.sorted()
        at = int(np.searchsorted(values, np.uint64(frame)))
        return int(positions[at]) if at < len(values) and int(values[at]) == frame else None

    def sorted(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Frames ascending without invalid ones, uint64[n], and their positions, int64[n]."""
        if self._sorted is None:
            import numpy as np

            values = self.array()
            positions = np.argsort(values, kind="stable")
            values = values[positions]
            end = int(np.searchsorted(values, np.uint64(self.invalid)))
            self._sorted = values[:end], positions[:end]
        return self._sorted

    def positions(self, frames: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Positions of many frames, int64[n]; -1 where the table has none."""
        import numpy as np

        values, where = self.sorted()
        if not len(values):
            return np.full(len(frames), -1, np.int64)
        table = self._dense(values, where)
        if table is not None:
            first = int(values[0])
            shifted = frames - np.uint64(first)
            inside = shifted < np.uint64(len(table))
            found = table[np.where(inside, shifted, np.uint64(0))]
            return np.where(inside, found, -1)
        at = np.minimum(np.searchsorted(values, frames), len(values) - 1)
        return np.where(values[at] == frames, where[at], -1)

    _table: Any = None

    def _dense(self, values: NDArray[np.uint64], where: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """A table by frame where the frames lie close enough together: one look-up instead of a search."""
        import numpy as np

        span = int(values[-1]) - int(values[0]) + 1
        if span > 4 * len(values) + (1 << 20):
            return None
        if self._table is None:
            self._table = np.full(span, -1, np.int64)
            self._table[(values - values[0])[::-1]] = where[::-1]
        return self._table  # type: ignore[no-any-return]


class Ascending:
    """The column that is not in the file: entry *i* is frame *i*."""

    invalid = -1

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @property
    def words(self) -> range:
        """The frames in order."""
        return range(self._count)

    def array(self) -> NDArray[np.uint64]:
        """The column as uint64[entries]."""
        import numpy as np

        return np.arange(self._count, dtype=np.uint64)

    def find(self, frame: int) -> int | None:
        """Position of the entry that holds ``frame``, or None."""
        return frame if 0 <= frame < self._count else None

    def positions(self, frames: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Positions of many frames, int64[n]; -1 where there is none."""
        import numpy as np

        return np.where(frames < np.uint64(self._count), frames.astype(np.int64), -1)


Column = FrameColumn | Ascending

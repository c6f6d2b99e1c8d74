"""Sorted indexes of names: what completion and "did you mean" look in, by bisection, never by a scan.

An index is made once for a target, in batches, so that whoever waits meanwhile waits for one batch only.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

BATCH = 4096
"""Names that are taken, or sorted, at a time."""
LIMIT = 400
"""Matches that are shown at most."""
NEAR = 2000
"""Names with the same beginning that are compared with a misspelt one at most."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"


class NameIndex:
    """Names in order, each once."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = sorted(set(names))

    @classmethod
    def of_runs(cls, runs: Sequence[Sequence[str]]) -> NameIndex:
        """Join runs that are sorted already."""
        index = cls()
        joined = [name for run in runs for name in run]
        joined.sort()  # finds the runs and merges them
        index.names = list(dict.fromkeys(joined))
        return index

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        at = bisect_left(self.names, name)
        return at < len(self.names) and self.names[at] == name

    def range(self, prefix: str) -> tuple[int, int]:
        """Where the names that begin so stand: first, and behind the last."""
        return bisect_left(self.names, prefix), bisect_left(self.names, prefix + "\U0010ffff")

    def matches(self, prefix: str, limit: int = LIMIT) -> list[str]:
        """Names that begin so. Of too many the first ones and the last one: what all have in common stays true."""
        first, end = self.range(prefix)
        if end - first > limit:
            return [*self.names[first : first + limit - 1], self.names[end - 1]]
        return self.names[first:end]

    def near(self, name: str, limit: int = 3) -> list[str]:
        """Names that one may have meant, the nearest first: one slip away, or two behind the same three letters."""
        if len(name) < 2:
            return []
        found = {one: 1 for one in _slips(name) if len(one) > 1 and one in self}
        if len(name) >= 4:
            letters = set(name)
            first, end = self.range(name[:3])
            for candidate in self.names[first : min(end, first + NEAR)]:
                if abs(len(candidate) - len(name)) > 2 or len(letters.symmetric_difference(candidate)) > 4:
                    continue  # cheaper to see than to count
                if candidate not in found and candidate != name:
                    distance = slips(name, candidate)
                    if distance <= 2:
                        found[candidate] = distance
        spelling = sorted(name)
        # of equals those first that have the same letters: fingers are faster than one another
        order = sorted(found, key=lambda one: (found[one], sorted(one) != spelling, abs(len(one) - len(name)), one))
        return order[:limit]


def _slips(name: str) -> Iterator[str]:
    """All texts that one slip makes of a name: a letter lost, swapped, wrong or added; other capitals."""
    letters = _LETTERS if name.islower() else _LETTERS + _LETTERS[:26].upper()
    parts = [(name[:at], name[at:]) for at in range(len(name) + 1)]
    for head, tail in parts:
        if tail:
            yield head + tail[1:]
            for letter in letters:
                yield head + letter + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in letters:
            yield head + letter + tail
    yield name.lower()
    yield name.upper()


def slips(one: str, other: str, most: int = 2) -> int:
    """How many slips lie between two texts (optimal string alignment); ``most`` + 1 if there are more."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        after = [i]
        for j, b in enumerate(other, 1):
            cost = min(row[j] + 1, after[-1] + 1, row[j - 1] + (a != b))
            if before and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            after.append(cost)
        if min(after) > most:
            return most + 1
        before, row = row, after
    return min(row[-1], most + 1)


def plain(name: str) -> bool:
    """Whether a name from a dump may be offered: printable ASCII, and not too long."""
    return name.isascii() and name.isprintable() and 0 < len(name) <= 256


class LazyIndex:
    """An index that is made when it is first needed, or by `make_in_background` before.

    ``source`` gives the names; ``lock`` is held while names are taken from it, a batch at a time: the target is not to
    be used from two threads at once.
    """

    def __init__(self, source: Callable[[], Iterable[str]], lock: threading.RLock) -> None:
        self._source = source
        self._lock = lock
        self._making = threading.Lock()
        self._index: NameIndex | None = None

    @property
    def ready(self) -> bool:
        """Whether it is made."""
        return self._index is not None

    def get(self) -> NameIndex:
        """The index; made now if it has to be."""
        if self._index is None:
            with self._making:
                if self._index is None:
                    self._index = self._make()
        return self._index

    def _make(self) -> NameIndex:
        runs: list[list[str]] = []
        names: Iterator[str] | None = None
        while True:
            try:
                with self._lock:
                    names = iter(self._source()) if names is None else names
                    batch = list(islice(names, BATCH))
            except Exception:  # a damaged table of names: what came before it is there
                batch = []
            if not batch:
                return NameIndex.of_runs(runs)
            runs.append(sorted(name for name in batch if plain(name)))


def make_in_background(indexes: Sequence[LazyIndex], after: float = 0) -> threading.Thread:
    """Make indexes one after the other in a thread that does not keep the process alive; ``after``: seconds."""

    def work() -> None:
        time.sleep(after)
        for index in indexes:
            index.get()

    thread = threading.Thread(target=work, name="names", daemon=True)
    thread.start()
    return thread

"""Threads grouped by their stacks: those that are in the same state at the same place.

Facts: how mdb's ``::stacks`` groups and sorts. A group is led by the first of its threads that was met; the others
follow, the latest first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import ReadError, SymbolNotFound
from kdbg.kernels.solaris.findstack import Found, StackFinder

if TYPE_CHECKING:
    from collections.abc import Callable

    from kdbg.kernels.solaris.kernel import Solaris


@dataclass(frozen=True, slots=True)
class Group:
    """Threads with one stack."""

    threads: tuple[int, ...]
    """Addresses; the leader first."""
    state: int
    panicked: bool
    sync_ops: int
    failure: int
    pcs: tuple[int, ...]
    truncated: bool

    def passes(self, start: int, end: int) -> bool:
        """Whether a return address lies in a range."""
        return any(start <= pc < end for pc in self.pcs)


def group_threads(kernel: Solaris, threads: Iterable[int], failed: Callable[[int], None]) -> list[Group]:
    """Threads by stack, sorted: panics last, large groups first. ``failed`` is told of threads that cannot be read."""
    finder = kernel.part(StackFinder)
    groups: dict[tuple[object, ...], list[int]] = {}
    examples: dict[tuple[object, ...], Found] = {}
    for thread in threads:
        try:
            found = finder.find(thread)
        except ReadError:
            failed(thread)
            continue
        key = (found.panicked, found.state, found.failure, found.pcs, found.truncated, found.sync_ops)
        examples.setdefault(key, found)
        groups.setdefault(key, []).append(thread)
    unsorted = [
        Group(
            (members[0], *members[:0:-1]),
            examples[key].state,
            examples[key].panicked,
            examples[key].sync_ops,
            examples[key].failure,
            examples[key].pcs,
            examples[key].truncated,
        )
        for key, members in groups.items()
    ]
    return sorted(unsorted, key=functools.cmp_to_key(_Order(kernel)))


class _Order:
    """The order of groups; remembers which symbol a pc belongs to."""

    def __init__(self, kernel: Solaris) -> None:
        self._nearest = kernel.target.nearest
        self._names: dict[int, str | None] = {}

    def __call__(self, one: Group, other: Group) -> int:
        first = (one.panicked, -len(one.threads), one.state, one.failure)
        second = (other.panicked, -len(other.threads), other.state, other.failure)
        if first != second:
            return -1 if first < second else 1
        for mine, its in zip(one.pcs, other.pcs, strict=False):
            if mine != its:
                return self._compare(mine, its)
        last = (not one.truncated, len(one.pcs), one.sync_ops)
        final = (not other.truncated, len(other.pcs), other.sync_ops)
        return (last > final) - (last < final)

    def _compare(self, one: int, other: int) -> int:
        """Two pcs: by symbol, then by address."""
        mine, its = self._name(one), self._name(other)
        if mine is not None and its is not None and mine != its:
            return -1 if mine < its else 1
        return -1 if one < other else 1

    def _name(self, pc: int) -> str | None:
        if pc not in self._names:
            try:
                self._names[pc] = self._nearest(pc)[0].name
            except SymbolNotFound:
                self._names[pc] = None
        return self._names[pc]

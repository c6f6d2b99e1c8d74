"""Page-table walks for arrays of addresses: the levels' table read a level at a time, all addresses at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kdbg.vm.modes import PRESENT, Level, PagingMode

if TYPE_CHECKING:
    from kdbg.vm.space import AddressSpace, Run

Words = NDArray[np.uint64]

BATCH = 1 << 14
"""Addresses that are walked at once: their tables and indexes stay in the processor's cache."""
MOST_TABLES = 1 << 20
"""Tables that a scan follows: a bound for random page tables."""
MOST_TIMES = 1 << 12
"""How often it follows the same one: a bound for cyclic ones, and for mappings of nothing."""
LEFT_OUT = "page tables: more than a scan follows; the rest is left out"


@dataclass(frozen=True, slots=True)
class ArrayTranslation:
    """What `AddressSpace.translate_array` gives: one element an address."""

    addresses: Words
    """uint64[n]."""
    frames: Words
    """uint64[n]: frame number of the 4K page as page tables hold it; 0 where unmapped."""
    entries: Words
    """uint64[n]: the leaf entry, or the one with which the walk ended."""
    levels: NDArray[np.int8]
    """int8[n]: of the leaf, or where the walk ended."""
    mapped: NDArray[np.bool_]
    """bool[n]."""

    def __len__(self) -> int:
        return len(self.addresses)


def translate(space: AddressSpace, addresses: Words) -> ArrayTranslation:
    """Walk all addresses (uint64[n])."""
    addresses = np.ascontiguousarray(addresses, dtype=np.uint64)
    result, regions = empty(addresses), space.regions()
    for start in range(0, len(addresses), BATCH):
        part = slice(start, min(start + BATCH, len(addresses)))
        left = regions.translate(addresses[part], result, part) if regions is not None else None
        if regions is None:
            walk_batch(space, result, part)
        elif left is not None:
            some = empty(addresses[part][left])
            walk_batch(space, some, slice(0, len(some)))
            result.frames[part][left], result.entries[part][left] = some.frames, some.entries
            result.levels[part][left], result.mapped[part][left] = some.levels, some.mapped
    return result


def empty(addresses: Words) -> ArrayTranslation:
    """A result in which nothing is mapped yet."""
    count = len(addresses)
    frames, entries = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    return ArrayTranslation(addresses, frames, entries, np.zeros(count, np.int8), np.zeros(count, bool))


def walk_batch(
    space: AddressSpace, result: ArrayTranslation, part: slice, lowest: int = 0
) -> tuple[NDArray[np.int64], Words]:
    """Walk a part of the addresses, down to level ``lowest``.

    Returned: positions in the part of those that go on below, int64[n], and the addresses of their tables, uint64[n].
    """
    mode, addresses = space.mode, result.addresses[part]
    nowhere = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    if not mode.levels:
        result.frames[part] = addresses >> np.uint64(12)
        result.mapped[part] = _canonical(addresses, mode.canonical_bits)
        return nowhere
    tables = np.full(len(addresses), space.root, np.uint64)
    walking = np.arange(len(addresses))  # positions in the batch that are still on their way
    inside = _canonical(addresses, mode.canonical_bits)
    if mode.upper_only:
        inside &= addresses >= np.uint64(1 << 63)
    result.levels[part] = len(mode.levels) - 1
    if not inside.all():
        walking, tables, addresses = walking[inside], tables[inside], addresses[inside]
    frames_out, entries_out = result.frames[part], result.entries[part]
    levels_out, mapped_out = result.levels[part], result.mapped[part]
    for number in range(len(mode.levels) - 1, lowest - 1, -1):
        level = mode.levels[number]
        indexes = (addresses >> np.uint64(level.shift)) & np.uint64((1 << level.bits) - 1)
        entries, there = _entries(space, tables, indexes)
        present = there & _present(level, number, entries)
        leaf = present if number == 0 else present & _is_leaf(level, entries)
        whole = len(walking) == len(entries_out)
        at = slice(None) if whole else walking
        entries_out[at] = entries
        levels_out[at] = number
        if number == 0 or leaf.any():
            hit = walking[leaf]
            mapped_out[hit] = True
            frames_out[hit] = _leaf_frames(space, entries[leaf], addresses[leaf], number)
        onward = present & ~leaf
        if not onward.all():
            walking, addresses, entries = walking[onward], addresses[onward], entries[onward]
        tables = _table_addresses(mode, entries)
        if not len(walking):
            return nowhere
    return walking, tables


def _entries(space: AddressSpace, tables: Words, indexes: Words) -> tuple[Words, NDArray[np.bool_]]:
    """The entries (uint64[n]) at indexes of tables, and whether they are in the image."""
    width = np.uint64(space.mode.entry_size)
    places = tables + indexes * width
    return space.image.words(places >> np.uint64(12), (places & np.uint64(0xFFF)) // width, space.mode.entry_size)


def _present(level: Level, number: int, entries: Words) -> NDArray[np.bool_]:
    needed = PRESENT | (level.table if number == 0 else 0)
    found: NDArray[np.bool_] = entries & np.uint64(needed | level.reserved) == np.uint64(needed)
    return found


def _is_leaf(level: Level, entries: Words) -> NDArray[np.bool_]:
    """Which present entries of a level above 0 map memory themselves."""
    bit, when_set = (level.table, False) if level.table else (level.large, True)
    found: NDArray[np.bool_] = (entries & np.uint64(bit) != 0) == when_set
    return found


def _table_addresses(mode: PagingMode, entries: Words) -> Words:
    found = entries & np.uint64(mode.frame_mask)
    return found | _extra_bits(mode, entries) if mode.extra_in_tables else found


def _extra_bits(mode: PagingMode, entries: Words) -> Words:
    assert mode.extra is not None
    start, number, to = mode.extra
    return (entries >> np.uint64(start) & np.uint64((1 << number) - 1)) << np.uint64(to)


def _leaf_frames(space: AddressSpace, entries: Words, addresses: Words, number: int) -> Words:
    """Frame of the 4K page that each leaf entry of a level gives for its address."""
    mode = space.mode
    size = 1 << mode.levels[number].shift
    found = entries & np.uint64(mode.frame_mask & -size)
    if mode.extra is not None and (number or mode.extra_in_tables):
        found = found | _extra_bits(mode, entries)
    if size == 4096:
        return found >> np.uint64(12)
    return (found + (addresses & np.uint64(size - 1))) >> np.uint64(12)


def _canonical(addresses: Words, bits: int) -> NDArray[np.bool_]:
    if bits < 48:
        found: NDArray[np.bool_] = addresses < np.uint64(1 << bits)
        return found
    extended = (addresses << np.uint64(64 - bits)).view(np.int64) >> np.int64(64 - bits)
    same: NDArray[np.bool_] = extended.view(np.uint64) == addresses
    return same


def leaves(space: AddressSpace, start: int, end: int) -> Iterator[ArrayTranslation]:
    """All present leaves in [start, end), a batch of tables at a time."""
    mode = space.mode
    if not mode.levels or space.root >> 64:  # a damaged root may lie beyond all memory
        return
    tables = np.array([space.root], np.uint64)
    bases = np.zeros(1, np.uint64)
    yield from _scan(space, len(mode.levels) - 1, tables, bases, start, end, _Followed(space))


class _Followed:
    """How often a scan has followed each table.

    Some are shared by many (a kernel's shadow of nothing); in damaged ones each leads to itself.
    """

    def __init__(self, space: AddressSpace) -> None:
        self._damage = space.image.damage
        self._left = MOST_TABLES
        self._times: dict[int, int] = {}

    def allowed(self, tables: Words) -> NDArray[np.bool_]:
        """Which of some tables (uint64[n] addresses) are to be followed (bool[n]); they count as followed."""
        distinct, which, counts = np.unique(tables, return_inverse=True, return_counts=True)
        before = np.array([self._times.get(table, 0) for table in distinct.tolist()], np.int64)
        self._times.update(zip(distinct.tolist(), (before + counts).tolist(), strict=True))
        order = np.argsort(which, kind="stable")
        rank = np.empty(len(tables), np.int64)
        rank[order] = np.arange(len(tables)) - np.repeat(np.cumsum(counts) - counts, counts)
        good: NDArray[np.bool_] = before[which] + rank < MOST_TIMES
        good &= np.cumsum(good) <= self._left
        self._left -= int(good.sum())
        if not good.all() and LEFT_OUT not in self._damage:
            self._damage.append(LEFT_OUT)
        return good


def _scan(
    space: AddressSpace, number: int, tables: Words, bases: Words, start: int, end: int, followed: _Followed
) -> Iterator[ArrayTranslation]:
    """Present leaves under tables (uint64[n] addresses) that begin at virtual ``bases`` (uint64[n])."""
    mode, level = space.mode, space.mode.levels[number]
    slots = np.arange(1 << level.bits, dtype=np.uint64)
    step = max(1, BATCH * 4 // len(slots))
    good = followed.allowed(tables)
    tables, bases = tables[good], bases[good]
    for at in range(0, len(tables), step):
        some = tables[at : at + step]
        entries, there = _entries(space, np.repeat(some, len(slots)), np.tile(slots, len(some)))
        addresses = np.repeat(bases[at : at + step], len(slots)) + np.tile(slots << np.uint64(level.shift), len(some))
        if number == len(mode.levels) - 1 and mode.canonical_bits >= 48:
            high = addresses >> np.uint64(mode.canonical_bits - 1) & np.uint64(1)
            if mode.upper_only:
                high = np.ones_like(high)
            addresses |= np.where(high != 0, np.uint64(~((1 << mode.canonical_bits) - 1) & (1 << 64) - 1), np.uint64(0))
        span = (1 << level.shift) - 1
        keep = there & _present(level, number, entries)
        keep &= (addresses <= np.uint64(end - 1)) & (addresses | np.uint64(span) >= np.uint64(start))
        addresses, entries = addresses[keep], entries[keep]
        leaf = np.ones(len(entries), bool) if number == 0 else _is_leaf(level, entries)
        if leaf.any():
            yield ArrayTranslation(
                addresses[leaf],
                _leaf_frames(space, entries[leaf], addresses[leaf], number),
                entries[leaf],
                np.full(int(leaf.sum()), number, np.int8),
                np.ones(int(leaf.sum()), bool),
            )
        if number and not leaf.all():
            deeper = _table_addresses(mode, entries[~leaf])
            yield from _scan(space, number - 1, deeper, addresses[~leaf], start, end, followed)


def tables(space: AddressSpace, most: int = MOST_TABLES) -> Words:
    """The frames (uint64[n], ascending, as page tables hold them) of the tables that a space is made of.

    A table larger than a page is as many frames. At most ``most`` tables are followed; a table that the image lacks
    counts, and leads nowhere.
    """
    mode = space.mode
    if not mode.levels or space.root >> 64:
        return np.empty(0, np.uint64)
    found: list[Words] = []
    here = np.array([space.root], np.uint64)
    for number in range(len(mode.levels) - 1, -1, -1):
        level = mode.levels[number]
        here = np.unique(here)[:most]
        most -= len(here)
        pages = np.arange(max(1, (mode.entry_size << level.bits) >> 12), dtype=np.uint64)
        found.append(((here >> np.uint64(12))[:, None] + pages).ravel())
        if number == 0:
            break
        here = np.concatenate([np.empty(0, np.uint64), *_below(space, number, here)])
    return np.unique(np.concatenate(found))


def _below(space: AddressSpace, number: int, above: Words) -> Iterator[Words]:
    """The addresses of the tables that tables (uint64[n] addresses) of a level point to."""
    level = space.mode.levels[number]
    slots = np.arange(1 << level.bits, dtype=np.uint64)
    step = max(1, BATCH * 4 // len(slots))
    for at in range(0, len(above), step):
        some = above[at : at + step]
        entries, there = _entries(space, np.repeat(some, len(slots)), np.tile(slots, len(some)))
        entries = entries[there & _present(level, number, entries)]
        yield _table_addresses(space.mode, entries[~_is_leaf(level, entries)])


def runs(space: AddressSpace, start: int, end: int) -> Iterator[Run]:
    """Mapped ranges in [start, end): neighbours with following frames, the same level and flags are joined."""
    from kdbg.vm.space import Run

    if not space.mode.levels:
        yield Run(start, end - start, start >> 12, 0, 0)
        return
    pending: Run | None = None
    for batch in leaves(space, start, end):
        for run in _runs_of(space, batch):
            if pending and _follows(pending, run):
                pending = Run(pending.address, pending.size + run.size, pending.frame, pending.level, pending.flags)
            else:
                if pending:
                    yield pending
                pending = run
    if pending:
        yield pending


def _runs_of(space: AddressSpace, batch: ArrayTranslation) -> Iterator[Run]:
    from kdbg.vm.space import Run

    sizes = np.array([1 << level.shift for level in space.mode.levels], np.uint64)[batch.levels]
    flags = batch.entries & np.uint64(~space.mode.frame_mask & (1 << 64) - 1)
    breaks = np.ones(len(batch), bool)
    breaks[1:] = (
        (batch.addresses[1:] != batch.addresses[:-1] + sizes[:-1])
        | (batch.frames[1:] != batch.frames[:-1] + (sizes[:-1] >> np.uint64(12)))
        | (batch.levels[1:] != batch.levels[:-1])
        | (flags[1:] != flags[:-1])
    )
    firsts = np.flatnonzero(breaks)
    totals = np.add.reduceat(sizes, firsts) if len(firsts) else sizes
    for at, total in zip(firsts.tolist(), totals.tolist(), strict=True):
        yield Run(int(batch.addresses[at]), total, int(batch.frames[at]), int(batch.levels[at]), int(flags[at]))


def _follows(one: Run, other: Run) -> bool:
    return (
        other.address == one.address + one.size
        and other.frame == one.frame + (one.size >> 12)
        and (other.level, other.flags) == (one.level, one.flags)
    )

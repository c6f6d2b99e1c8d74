"""The kernel's own books of its page tables: hats and htables, and its list of machine frames.

Sources: <vm/hat_i86.h> (struct hat, struct hat_mmu_info), <vm/htable.h> (htable_t), <vm/hat_pte.h>. Page-table entries
are read from guest-physical memory.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, Error, ReadError
from kdbg.kernels.solaris.lists import Guard
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

HTABLE_COPIED = 0x01
"""ht_flags: the top table is that of each CPU; the hat keeps a copy of the entries."""
PAGE_SHIFT = 12
PT_VALID, PT_LARGE = 0x1, 0x80
MOST_BUCKETS = 1 << 16
MOST_FRAMES = 1 << 28
MOST_HATS = 1 << 16

_HAT = {
    "max_level": "hat_max_level?", "buckets": "hat_num_hash", "table": "hat_ht_hash", "next": "hat_next",
}  # fmt: skip
_HTABLE = {
    "next": "ht_next", "hat": "ht_hat", "vaddr": "ht_vaddr", "level": "ht_level", "flags": "ht_flags", "pfn": "ht_pfn",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hat:
    """A struct hat: the page tables of one address space."""

    address: int
    max_level: int | None
    """Level of its top table; None in older kernels, where it is the processor's."""
    buckets: int
    table: int
    """Of its htables: an array of chains."""
    next: int


@dataclass(frozen=True, slots=True)
class Htable:
    """An htable_t: one page table."""

    address: int
    next: int
    hat: int
    vaddr: int
    level: int
    flags: int
    pfn: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """An entry on the way of an address: the table that covers it at one level."""

    level: int
    htable: int
    entry: int


@dataclass(frozen=True, slots=True)
class Mmu:
    """What the kernel says of its paging: members of struct hat_mmu_info (<sys/hat_i86.h>)."""

    max_level: int
    ptes_per_table: int
    pte_size: int
    pt_nx: int
    pt_global: int
    level_shift: tuple[int, ...]
    """By level, as the next two."""
    level_mask: tuple[int, ...]
    level_offset: tuple[int, ...]


MOST_LEVELS = 8
_MMU_NUMBERS = ("max_level", "ptes_per_table", "pte_size", "pt_nx", "pt_global")
_MMU_TABLES = ("level_shift", "level_mask", "level_offset")


class Hats:
    """The page tables of one kernel as it keeps them itself."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.read = kernel.memory.read
        self._hat = Layout(kernel.type("struct hat"), _HAT)
        self._htable = Layout(kernel.type("htable_t"), _HTABLE)
        self._known: dict[int, dict[tuple[int, int], list[Htable]]] = {}

    @functools.cached_property
    def mmu(self) -> Mmu | None:
        """The kernel's struct hat_mmu_info, or None where it cannot be read, is not set up yet, or makes no sense."""
        try:
            found = self.kernel.variable_value("mmu").load()
            levels = int(found.num_level)
            if not found.max_level < levels <= MOST_LEVELS:
                return None
            numbers = {name: int(found[name]) for name in _MMU_NUMBERS}
            tables = [tuple(int(found[name][level]) for level in range(levels)) for name in _MMU_TABLES]
        except (Error, TypeError):  # its type may be damaged: a structure where a number belongs
            return None
        if not all(0 <= shift < 64 for shift in tables[0]):
            return None
        shifts, masks, offsets = tables
        return Mmu(**numbers, level_shift=shifts, level_mask=masks, level_offset=offsets)

    @functools.cached_property
    def kernel_hat(self) -> int:
        """Address of the kernel's own hat; 0 where kas cannot be read."""
        try:
            return int(self.kernel.variable_value("kas").load().a_hat)
        except Error:
            return 0

    def hat(self, address: int) -> Hat:
        """The hat at an address. Raises `ReadError`."""
        return Hat(address=address, **self._hat.read(self.read, address))

    def hat_of(self, space: int) -> int:
        """Address of the hat of a struct as. Raises `ReadError`."""
        return int(self.kernel.load("struct as", space).a_hat)

    def hats(self) -> Iterator[Hat]:
        """All hats, the kernel's first. Raises `ReadError`, `Error`."""
        at, guard = self.kernel_hat, Guard("hat", MOST_HATS)
        while at:
            found = self.hat(guard(at))
            yield found
            at = found.next

    def htables(self, hat: Hat) -> Iterator[Htable]:
        """The page tables of a hat, chain by chain. Raises `CommandError`."""
        guard, word = Guard("htable"), self.kernel.bits // 8
        for number in range(min(hat.buckets, MOST_BUCKETS)):
            try:
                at = self.kernel.word(hat.table + number * word)
                while at:
                    found = Htable(address=at, **self._htable.read(self.read, at))
                    guard(at)
                    yield found
                    at = found.next
            except ReadError:
                raise CommandError("Couldn't read htable") from None

    def path(self, address: int, space: int = 0) -> Iterator[Mapping]:
        """The entries for an address, level by level from the lowest, of ``space`` (a struct as) or the kernel's own.

        Raises `CommandError`.
        """
        try:
            at = self.hat_of(space) if space else self.kernel_hat
        except ReadError:
            raise CommandError("Couldn't read struct as") from None
        try:
            hat = self.hat(at)
        except ReadError:
            raise CommandError("Couldn't read struct hat") from None
        mmu = self.mmu
        if mmu is None:
            return
        by_place = self._places(hat)
        top = mmu.max_level if hat.max_level is None else hat.max_level
        for level in range(mmu.max_level + 1):
            base = 0 if level in (top, mmu.max_level) else address & mmu.level_mask[level + 1]
            for table in by_place.get((level, base), ()):
                yield Mapping(level, table.address, self.entry(mmu, hat, table, address))

    def _places(self, hat: Hat) -> dict[tuple[int, int], list[Htable]]:
        """The tables of a hat by (level, first address); those of a few hats are remembered."""
        if hat.address not in self._known:
            found: dict[tuple[int, int], list[Htable]] = {}
            for table in self.htables(hat):
                found.setdefault((table.level, table.vaddr), []).append(table)
            if len(self._known) >= 4:
                self._known.clear()
            self._known[hat.address] = found
        return self._known[hat.address]

    def entry(self, mmu: Mmu, hat: Hat, table: Htable, address: int) -> int:
        """The entry for an address in a table; 0 where it cannot be read."""
        index = (address - table.vaddr >> mmu.level_shift[table.level]) & mmu.ptes_per_table - 1
        size = mmu.pte_size
        try:
            if table.flags & HTABLE_COPIED and self.kernel.type("struct hat").has("hat_copied_ptes"):
                at = self.kernel.at("struct hat", hat.address).address_of("hat_copied_ptes")
                return int.from_bytes(self.read(at + index * size, size), "little")
            data = self.kernel.target.read_physical((table.pfn << PAGE_SHIFT) + index * size, size)
        except ReadError:
            return 0
        return int.from_bytes(data, "little")

    @functools.cached_property
    def tables_by_frame(self) -> dict[int, Htable]:
        """All page tables of all hats by pfn."""
        found: dict[int, Htable] = {}
        try:
            for hat in self.hats():
                for table in self.htables(hat):
                    found.setdefault(table.pfn, table)
        except Error:
            pass
        return found

    # machine frames

    @functools.cached_property
    def paravirtual(self) -> bool:
        """Whether the kernel says of itself that it runs on Xen: it has a list of machine frames."""
        try:
            return bool(self.kernel.word_at("mfn_list")) and all(
                self.kernel.has_symbol(name) for name in ("xen_virt_start", "mfn_count")
            )
        except Error:
            return False

    @functools.cached_property
    def _machine_frames(self) -> memoryview | None:
        try:
            count, at = self.kernel.word_at("mfn_count"), self.kernel.word_at("mfn_list")
            word = self.kernel.bits // 8
            if not 0 < count <= MOST_FRAMES:
                return None
            return memoryview(self.read(at, count * word)).cast("Q" if word == 8 else "I")
        except Error:
            return None

    @property
    def has_frames(self) -> bool:
        """Whether the kernel's list of machine frames is there to be asked."""
        return self.paravirtual and self._machine_frames is not None

    def mfn_of(self, pfn: int) -> int | None:
        """The machine frame of a pfn by the kernel's list, or None."""
        frames = self._machine_frames
        if frames is None or not 0 <= pfn < len(frames):
            return None
        found: int = frames[pfn]
        return None if found == (1 << self.kernel.bits) - 1 else found

    @functools.cached_property
    def _by_machine_frame(self) -> dict[int, int]:
        frames = self._machine_frames
        if frames is None:
            return {}
        return {mfn: pfn for pfn, mfn in zip(range(len(frames) - 1, -1, -1), reversed(frames), strict=True)}

    def pfn_of(self, mfn: int) -> int | None:
        """The first pfn that has a machine frame by the kernel's list, or None."""
        return self._by_machine_frame.get(mfn)


def hats(kernel: Solaris) -> Hats:
    """The page tables of a kernel as it keeps them, made once."""
    return kernel.part(Hats)

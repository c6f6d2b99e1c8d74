"""Paging modes as data: a table of levels each.

Level 0 is the table whose entries are the smallest leaves (4K; arm64: the granule). Sources: Intel SDM volume 3,
chapter 4 (tables 4-2 to 4-20); AMD APM volume 2, chapter 5; Arm ARM, D8 (VMSAv8-64 translation tables).
"""

from __future__ import annotations

from dataclasses import dataclass

PRESENT, WRITE, USER, ACCESSED, DIRTY, LARGE, GLOBAL = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 8
NO_EXECUTE = 1 << 63


@dataclass(frozen=True, slots=True)
class Level:
    """One level of page tables."""

    name: str
    shift: int
    """Of the address bits that index the table; 1 << shift is what an entry covers."""
    bits: int
    """How many address bits index the table."""
    large: int = 0
    """The entry bit that makes a leaf above level 0; 0 where there are no large pages."""
    reserved: int = 0
    """Bits that must be zero in a present entry."""
    table: int = 0
    """The entry bit that makes a table, where a leaf is what lacks it (arm64's blocks); at level 0 it must be set."""

    def is_leaf(self, entry: int) -> bool:
        """Whether a present entry of this level (not level 0) maps memory itself."""
        return bool(entry & self.large) or bool(self.table and not entry & self.table)


@dataclass(frozen=True, slots=True)
class PagingMode:
    """How a virtual address is translated."""

    name: str
    entry_size: int
    """Bytes."""
    levels: tuple[Level, ...]
    """Indexed by level: 0 = the smallest leaves."""
    frame_mask: int
    """The bits of an entry that hold a frame's address."""
    canonical_bits: int
    """Virtual addresses have so many bits; those above repeat the highest (64-bit modes)."""
    flags: tuple[tuple[int, str], ...]
    """(bit mask, name) in order of the bits."""
    root_mask: int = ~0xFFF
    """The bits of cr3 that hold the top table's address."""
    extra: tuple[int, int, int] | None = None
    """(from bit, number, to bit) of an address's high bits that an entry keeps elsewhere."""
    extra_in_tables: bool = False
    """Whether all entries keep them there, not only leaves above level 0."""
    upper_only: bool = False
    """Whether the tables translate only addresses of the upper half (arm64's TTBR1)."""

    def canonical(self, address: int) -> bool:
        """Whether the address is one that this mode can translate."""
        if self.upper_only and not address >> 63:
            return False
        if self.canonical_bits < 48:
            return 0 <= address < 1 << self.canonical_bits
        return (address + (1 << self.canonical_bits - 1) & (1 << 64) - 1) >> self.canonical_bits == 0

    def leaf_frame_address(self, entry: int, level: int) -> int:
        """The address of the page that a leaf entry of that level maps."""
        return entry & self.frame_mask & -(1 << self.levels[level].shift) | self.extra_bits(entry, level)

    def table_address(self, entry: int) -> int:
        """The address of the table that an entry leads to."""
        return entry & self.frame_mask | (self.extra_bits(entry, 1) if self.extra_in_tables else 0)

    def extra_bits(self, entry: int, level: int) -> int:
        """The address bits that the entry keeps elsewhere, in their place."""
        if self.extra is None or not (level or self.extra_in_tables):
            return 0
        start, number, to = self.extra
        return (entry >> start & (1 << number) - 1) << to


_X86_FLAGS = (
    (PRESENT, "present"),
    (WRITE, "write"),
    (USER, "user"),
    (1 << 3, "wrthru"),
    (1 << 4, "nocache"),
    (ACCESSED, "ref"),
    (DIRTY, "mod"),
    (LARGE, "large"),
    (GLOBAL, "global"),
    (1 << 9, "soft0"),
    (1 << 10, "soft1"),
    (1 << 11, "soft2"),
)
_LONG_FLAGS = (*_X86_FLAGS, (1 << 52, "bit52"), (NO_EXECUTE, "noexec"))

_LONG_LEVELS = (
    Level("pt", 12, 9),
    Level("pd", 21, 9, LARGE),
    Level("pdpt", 30, 9, LARGE),
    Level("pml4", 39, 9, reserved=LARGE),
)

X86_64 = PagingMode("x86-64, 4 levels", 8, _LONG_LEVELS, 0x000FFFFFFFFFF000, 48, _LONG_FLAGS)
X86_64_LA57 = PagingMode(
    "x86-64, 5 levels",
    8,
    (*_LONG_LEVELS, Level("pml5", 48, 9, reserved=LARGE)),
    0x000FFFFFFFFFF000,
    57,
    _LONG_FLAGS,
)
PAE = PagingMode(
    "PAE",
    8,
    (
        Level("pt", 12, 9),
        Level("pd", 21, 9, LARGE),
        # The low bits that are reserved in native entries are ignored: Xen's guests may set them.
        Level("pdpt", 30, 2),
    ),
    0x000FFFFFFFFFF000,
    32,
    _LONG_FLAGS,
    root_mask=0xFFFFFFE0,
)
X86_32 = PagingMode("x86, 2 levels", 4, (Level("pt", 12, 10), Level("pd", 22, 10)), 0xFFFFF000, 32, _X86_FLAGS)
X86_32_PSE = PagingMode(
    "x86, 2 levels with 4M pages",
    4,
    (Level("pt", 12, 10), Level("pd", 22, 10, LARGE)),
    0xFFFFF000,
    32,
    _X86_FLAGS,
    extra=(13, 8, 32),
)
UNPAGED = PagingMode("no paging", 8, (), 0, 32, ())
"""Virtual = guest-physical: a vCPU whose CR0.PG is 0."""


_ARM64_FLAGS = (
    (1 << 0, "valid"),
    (1 << 1, "table"),
    (1 << 6, "user"),
    (1 << 7, "readonly"),
    (1 << 10, "accessed"),
    (1 << 11, "notglobal"),
    (1 << 51, "dirty"),
    (1 << 52, "contiguous"),
    (1 << 53, "pxn"),
    (1 << 54, "uxn"),
)
_ARM64_NAMES = ("pte", "pmd", "pud", "pgd", "p4d")


def arm64(granule: int, address_bits: int, upper_only: bool = True) -> PagingMode:
    """arm64's tables for a granule of so many address bits (12, 14 or 16) and addresses of so many (39 to 52)."""
    step, levels = granule - 3, list[Level]()
    shift = granule
    while shift < address_bits:
        bits = min(step, address_bits - shift)
        # Blocks: 2M and 1G, 32M, 512M; never at the top of four levels.
        block = shift > granule and shift <= (30 if granule == 12 else granule + step)
        levels.append(
            Level(_ARM64_NAMES[len(levels)], shift, bits, table=2) if block or shift == granule
            else Level(_ARM64_NAMES[len(levels)], shift, bits)
        )  # fmt: skip
        shift += step
    wide = granule == 16 and address_bits > 48
    return PagingMode(
        f"arm64, {1 << granule - 10}K granule, {address_bits} bits",
        8,
        tuple(levels),
        0x0000FFFFFFFFFFFF & -(1 << granule),
        address_bits + 1,
        _ARM64_FLAGS,
        extra=(12, 4, 48) if wide else None,
        extra_in_tables=wide,
        upper_only=upper_only,
    )


def flag_names(mode: PagingMode, entry: int) -> list[str]:
    """Names of the flags that are set in an entry."""
    return [name for bit, name in mode.flags if entry & bit]

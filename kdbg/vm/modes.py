"""Paging modes as data: a table of levels each.

Level 0 is the table whose entries are 4K leaves. Sources: Intel SDM volume 3, chapter 4 (tables 4-2 to 4-20); AMD APM
volume 2, chapter 5.
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


@dataclass(frozen=True, slots=True)
class PagingMode:
    """How a virtual address is translated."""

    name: str
    entry_size: int
    """Bytes."""
    levels: tuple[Level, ...]
    """Indexed by level: 0 = 4K leaves."""
    frame_mask: int
    """The bits of an entry that hold a frame's address."""
    canonical_bits: int
    """Virtual addresses have so many bits; those above repeat the highest (64-bit modes)."""
    flags: tuple[tuple[int, str], ...]
    """(bit mask, name) in order of the bits."""
    root_mask: int = ~0xFFF
    """The bits of cr3 that hold the top table's address."""
    pse36: bool = False
    """Whether a 4M leaf holds bits 32-39 of its address in bits 13-20."""

    def canonical(self, address: int) -> bool:
        """Whether the address is one that this mode can translate."""
        if self.canonical_bits < 48:
            return 0 <= address < 1 << self.canonical_bits
        return (address + (1 << self.canonical_bits - 1) & (1 << 64) - 1) >> self.canonical_bits == 0

    def leaf_frame_address(self, entry: int, level: int) -> int:
        """The address of the page that a leaf entry of that level maps."""
        size = 1 << self.levels[level].shift
        address = entry & self.frame_mask & -size
        if level and self.pse36:
            address |= (entry >> 13 & 0xFF) << 32
        return address


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
    pse36=True,
)
UNPAGED = PagingMode("no paging", 8, (), 0, 32, ())
"""Virtual = guest-physical: a vCPU whose CR0.PG is 0."""


def flag_names(mode: PagingMode, entry: int) -> list[str]:
    """Names of the flags that are set in an entry."""
    return [name for bit, name in mode.flags if entry & bit]

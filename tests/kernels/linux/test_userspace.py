"""Pages that a process has and its CPU may not use: entries without presence, as mprotect(PROT_NONE) leaves them."""

from __future__ import annotations

from typing import Any

import pytest

from kdbg.errors import Unmapped
from kdbg.kernels.linux.userspace import UserSpace
from kdbg.vm.modes import GLOBAL, LARGE, PAE, PRESENT, X86_32_PSE, X86_64, PagingMode, arm64

ADDRESS, FRAME = 0x12345000, 0x29E


class Memory:
    """Tables for one address; everything else is zero."""

    architecture, paravirtual, machine_addresses, unpacks = "x86", False, False, False

    def __init__(self, mode: PagingMode, leaf: int, level: int = 0) -> None:
        self.pages: dict[int, bytearray] = {}
        for number in range(len(mode.levels) - 1, level - 1, -1):
            page = self.pages.setdefault(1 + number, bytearray(4096))
            index = ADDRESS >> mode.levels[number].shift & (1 << mode.levels[number].bits) - 1
            entry = leaf if number == level else number << 12 | PRESENT | mode.levels[number - 1].table
            at = index * mode.entry_size
            page[at : at + mode.entry_size] = entry.to_bytes(mode.entry_size, "little")
        self.root = len(mode.levels) << 12

    def page(self, frame: int) -> memoryview | None:
        return memoryview(self.pages[frame]) if frame in self.pages else None

    def why_missing(self, frame: int) -> str:
        return "not there"

    def locate(self, frame: int) -> tuple[int, None]:
        return frame, None


def pfn(mode: PagingMode, leaf: int, level: int = 0) -> Any:
    memory = Memory(mode, leaf, level)
    return UserSpace(memory, mode, memory.root).translate(ADDRESS).pfn  # type: ignore[arg-type]


def inverted(frame: int, flags: int) -> int:
    return (frame << 12 ^ X86_64.frame_mask) & X86_64.frame_mask | flags


@pytest.mark.parametrize("mode", [X86_64, PAE], ids=str)
def test_frames_are_inverted_against_l1tf_or_were_not_yet(mode: PagingMode) -> None:
    assert pfn(mode, inverted(FRAME, GLOBAL | 0x60)) == FRAME
    assert pfn(mode, FRAME << 12 | GLOBAL | 0x60) == FRAME


def test_two_levels_invert_nothing() -> None:
    assert pfn(X86_32_PSE, FRAME << 12 | GLOBAL | 0x60) == FRAME


def test_a_large_page() -> None:
    assert pfn(X86_64, inverted(0x400, GLOBAL | LARGE | 0x60), level=1) == 0x400 + (ADDRESS >> 12 & 0x1FF)


def test_arm64_keeps_the_type_of_a_page() -> None:
    mode = arm64(12, 48, upper_only=False)
    assert pfn(mode, 1 << 58 | FRAME << 12 | 0xF82) == FRAME


@pytest.mark.parametrize(
    ("mode", "entry"),
    [(X86_64, 0), (X86_64, inverted(FRAME, 0x60)), (X86_64, 0x7FFFF << 12 | 2), (X86_32_PSE, 0x123E),
     (arm64(12, 48, upper_only=False), 0x29E << 12 | 0x80)],
)  # fmt: skip
def test_what_was_swapped_out_is_not_there(mode: PagingMode, entry: int) -> None:
    with pytest.raises(Unmapped):
        pfn(mode, entry)

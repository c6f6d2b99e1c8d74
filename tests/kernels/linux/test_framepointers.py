"""Stacks by frame pointers, of x86 kernels of both widths: calls, interrupts, the ends of threads and programs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kdbg.errors import ReadError, SymbolNotFound
from kdbg.kernels.linux.framepointers import INTERRUPTED, USER, FramePointers
from kdbg.records import Frame

TEXT = {32: 0xC0100000, 64: 0xFFFFFFFF81000000}
STACK = {32: 0xC2000000, 64: 0xFFFF888002000000}


class Kernel:
    """A kernel with one stack."""

    def __init__(self, bits: int) -> None:
        self.bits, self.word_size = bits, bits // 8
        self.stack = bytearray(8192)
        self.memory = SimpleNamespace(read=self.read)
        self.mapping = SimpleNamespace(is_code=lambda at: TEXT[bits] <= at < TEXT[bits] + 0x100000)
        self.module_images: list[Any] = []

    def put(self, offset: int, *words: int) -> None:
        for at, word in enumerate(words):
            place = offset + at * self.word_size
            self.stack[place : place + self.word_size] = word.to_bytes(self.word_size, "little")

    def read(self, address: int, size: int) -> bytes:
        at = address - STACK[self.bits]
        if not 0 <= at <= len(self.stack) - size:
            raise ReadError(address, "no such page")
        return bytes(self.stack[at : at + size])

    def in_kernel(self, address: int) -> bool:
        return address >= (0xC0000000 if self.bits == 32 else 1 << 63)

    def image_symbol(self, name: str) -> Any:
        raise SymbolNotFound(name)

    def part(self, of: Any) -> Any:
        return of(self)


def walker(kernel: Kernel) -> FramePointers:
    return FramePointers(kernel, lambda pc, sp, exact, note: Frame(pc, sp, "f", 0, note=note))  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [32, 64])
def test_a_task_that_left_its_cpu(bits: int) -> None:
    kernel, text, stack = Kernel(bits), TEXT[bits], STACK[bits]
    word = bits // 8
    kernel.put(0x1000, 0x202, 1, 2, 3, stack + 0x1100, text + 0x10)  # flags, si, di, bx, then bp and the place
    kernel.put(0x1100, stack + 0x1200, text + 0x20)
    kernel.put(0x1200, 0, text + 0x30)  # a thread's first frame
    frames = walker(kernel).task(stack + 0x1000)
    assert [frame.pc - text for frame in frames] == [0x10, 0x20, 0x30]
    assert [frame.sp - stack for frame in frames] == [0x1000 + 6 * word, 0x1100 + 2 * word, 0x1200 + 2 * word]
    assert frames[-1].note is None


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("user", [True, False])
def test_an_interrupt_is_followed_to_what_it_interrupted(bits: int, user: bool) -> None:
    kernel, text, stack = Kernel(bits), TEXT[bits], STACK[bits]
    word, registers = bits // 8, 0x1400
    marked = stack + registers | 1 if bits == 64 else stack + registers & ~(1 << 31)
    kernel.put(0x1000, marked, text + 0x40)
    place = {64: {"bp": 4, "ip": 16, "cs": 17, "sp": 19}, 32: {"bp": 5, "ip": 12, "cs": 13, "sp": 15}}[bits]
    told = {"bp": 0x7000, "ip": 0x401000, "cs": 0x33, "sp": 0x7FF0} if user else {
        "bp": stack + 0x1600, "ip": text + 0x50, "cs": 0x10, "sp": stack + 0x1500}  # fmt: skip
    for name, value in told.items():
        kernel.put(registers + place[name] * word, value)
    kernel.put(0x1600, 0, text + 0x60)
    frames = list(walker(kernel).frames(text + 0x30, stack + 0xF00, stack + 0x1000, exact=True))
    if user:
        assert [(frame.pc, frame.note) for frame in frames[-1:]] == [(0x401000, USER)]
        assert frames[-1].sp == 0x7FF0
        frames = frames[:-1]
    else:
        assert [frame.pc - text for frame in frames[2:]] == [0x50, 0x60]
        assert frames[2].note == INTERRUPTED
        frames = frames[:2]
    assert [frame.pc - text for frame in frames] == [0x30, 0x40]


def test_a_stack_that_goes_in_a_circle_ends() -> None:
    kernel, text, stack = Kernel(64), TEXT[64], STACK[64]
    kernel.put(0x1000, stack + 0x1000, text + 0x20)
    frames = list(walker(kernel).frames(text + 0x10, stack + 0xF00, stack + 0x1000, exact=True))
    assert len(frames) <= 3


def test_what_is_no_frame_is_said() -> None:
    kernel = Kernel(32)
    with pytest.raises(ReadError, match="no frame of a task"):
        walker(kernel).task(STACK[32] + 0x1000)

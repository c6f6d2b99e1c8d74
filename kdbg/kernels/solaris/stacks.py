"""Stacks: the chain of frame pointers, with the arguments where they can be told.

Facts: mdb's unwinders for amd64 and i386 kernels. A frame is two words: the caller's frame pointer and the return
address. There are no special frames for traps; a walk ends at a frame pointer of 0, at one that cannot be read, or in a
circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.solaris.saveargs import SEARCHED, Saved, pushed_arguments, saved_arguments, signature
from kdbg.records import Frame

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris
    from kdbg.symbols.table import Symbol

UNREADABLE = "no mapping for address"
CIRCLE = "stack frame pointer is invalid"
MISALIGNED = "stack address is not properly aligned"
MOST_ARGUMENTS = 32
"""Words of arguments that are read."""
MOST_FRAMES = 10_000
"""A stack of 1 MB has room for no more than six times as many; circles are found before."""


class Unwinder:
    """Walks stacks of one kernel; remembers how each function saves its arguments."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.target = kernel.target
        self.word: int = kernel.bits // 8
        self._saved: dict[tuple[str, int], Saved | None] = {}
        self._nearest: dict[int, tuple[Symbol, int] | None] = {}
        self._inverts = self._panicking()

    def frames(self, fp: int, pc: int = 0) -> Iterator[Frame]:
        """Frames from a frame pointer on; ``pc`` 0: unknown, the first frame shown is the caller's.

        Where the chain ends badly the last record has no pc: its ``sp`` is the pointer, its ``note`` the reason.
        """
        step = self._step64 if self.word == 8 else self._step32
        slow, move = 0, True
        for _ in range(MOST_FRAMES):
            if fp == 0:
                return
            if self.word == 4 and fp & 3:
                yield Frame(0, fp, None, 0, note=MISALIGNED)
                return
            try:
                next_fp, next_pc = self._pair(fp)
                if slow == 0:
                    slow = fp
                else:
                    slow = self._pair(slow)[0] if move else slow
                    if slow == fp:
                        yield Frame(0, fp, None, 0, note=CIRCLE)
                        return
            except ReadError:
                yield Frame(0, fp, None, 0, note=UNREADABLE)
                return
            move = not move
            try:
                arguments = step(fp, pc, next_pc)
            except ReadError:
                return
            if pc:
                yield self._frame(fp, pc, arguments)
            if self._inverts and next_fp and next_fp < fp and (fp ^ ~next_fp & self._mask) < 0xFFF:
                next_fp = ~next_fp & self._mask
            fp, pc = next_fp, next_pc

    def stack(self, fp: int, pc: int = 0) -> list[Frame]:
        """All frames; how the chain ended badly stands in the last one's ``note``."""
        found = list(self.frames(fp, pc))
        if found and found[-1].note and not found[-1].pc:
            end = found.pop()
            if found:
                found[-1] = replace(found[-1], note=f"{end.sp:x}: {end.note}")
        return found

    @property
    def _mask(self) -> int:
        return (1 << 8 * self.word) - 1

    def _pair(self, fp: int) -> tuple[int, int]:
        data = self.target.read(fp, 2 * self.word)
        return int.from_bytes(data[: self.word], "little"), int.from_bytes(data[self.word :], "little")

    def _frame(self, fp: int, pc: int, arguments: tuple[int, ...]) -> Frame:
        found = self._function(pc)
        if found is None:
            return Frame(pc, fp, None, 0, None, arguments)
        symbol, offset = found
        return Frame(pc, fp, symbol.name, offset, symbol.module, arguments)

    def _function(self, pc: int) -> tuple[Symbol, int] | None:
        if pc not in self._nearest:
            try:
                self._nearest[pc] = self.target.nearest(pc)
            except SymbolNotFound:
                self._nearest[pc] = None
        return self._nearest[pc]

    def _panicking(self) -> bool:
        """Whether Xen's own panic stack is on: it marks the frames of exceptions by inverted pointers."""
        try:
            return int(self.kernel.variable("xpv_panicking")) > 0
        except (Error, TypeError):
            return False

    # arguments

    def _step64(self, fp: int, pc: int, _: int) -> tuple[int, ...]:
        """Arguments of the frame. Raises `ReadError` where they should be and cannot be read."""
        saved = self._saved_by(pc) if pc else None
        if saved is None:
            return ()
        words = saved.registers + saved.skipped
        below = self.target.read(fp - 8 * words, 8 * words)
        values = [int.from_bytes(below[8 * at : 8 * at + 8], "little") for at in range(words)][: saved.registers][::-1]
        more = min(saved.total - saved.registers, MOST_ARGUMENTS - saved.registers)
        if more > 0:
            above = self.target.read(fp + 16, 8 * more)
            values += [int.from_bytes(above[8 * at : 8 * at + 8], "little") for at in range(more)]
        return tuple(values)

    def _saved_by(self, pc: int) -> Saved | None:
        """How the function of this pc has saved its arguments by now."""
        function = self._function(pc)
        if function is None:
            return None
        symbol, offset = function
        key = (symbol.module, symbol.address)
        if key not in self._saved:
            self._saved[key] = self._analyse(symbol)
        saved = self._saved[key]
        return saved if saved is not None and saved.done <= offset else None

    def _analyse(self, symbol: Symbol) -> Saved | None:
        try:
            told = signature(self.target.type_of(symbol))
            if told is None:
                return None
            return saved_arguments(self.target.read(symbol.address, min(symbol.size, SEARCHED)), *told)
        except Error:
            return None

    def _step32(self, fp: int, pc: int, return_address: int) -> tuple[int, ...]:
        """Arguments of the frame: the words above it that the caller drops; where it drops none, as its type tells."""
        try:
            count = pushed_arguments(self.target.read(return_address, 6)) or self._declared(pc)
        except ReadError:
            return ()
        for words in range(min(count, MOST_ARGUMENTS), 0, -1):
            try:
                data = self.target.read(fp + 8, 4 * words)
            except ReadError:
                continue
            return tuple(int.from_bytes(data[4 * at : 4 * at + 4], "little") for at in range(words))
        return ()

    def _declared(self, pc: int) -> int:
        """How many arguments the function of this pc takes by its type; 0 where nothing tells."""
        function = self._function(pc) if pc else None
        try:
            return len(self.target.type_of(function[0]).resolved.arguments) if function else 0
        except Error:
            return 0


def thread_stack(kernel: Solaris, thread: int) -> list[Frame]:
    """The stack of a thread that is not running: its saved pc first, then the chain of frames.

    Where no chain reaches the stack's bottom (an interrupt thread that has not run), what hangs on the saved pointer;
    empty where the stack is not in memory. Raises `ReadError` where there is no thread.
    """
    from kdbg.kernels.solaris.findstack import NOT_FOUND, StackFinder

    finder, unwinder = kernel.part(StackFinder), kernel.part(Unwinder)
    found = finder.find(thread)
    if not found.failure:
        return unwinder.stack(found.sp, found.pc)
    return unwinder.stack(*finder.registers(thread)) if found.failure == NOT_FOUND else []

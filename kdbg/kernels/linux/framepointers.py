"""Stacks of x86 kernels that keep frame pointers: of 32 bits, and of 64 bits where there are no unwind tables.

At the frame pointer lie the caller's and the place to return to. Entries from interrupts mark theirs: it then leads to
the registers that were interrupted (64 bits: the lowest bit set; 32 bits: the highest one cleared). A task that is off
its CPU has left a ``struct inactive_task_frame`` at thread.sp, which ends with the frame pointer and the place.

Sources: arch/x86/kernel/unwind_frame.c (decode_frame_pointer), arch/x86/include/asm/frame.h (ENCODE_FRAME_POINTER),
arch/x86/include/asm/switch_to.h, arch/x86/include/asm/ptrace.h (pt_regs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdbg.errors import ReadError, SymbolNotFound
from kdbg.records import Frame

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_FRAMES = 2000
STACK_SIZE = 1 << 14
"""Bytes to whose multiple a stack is aligned at most (THREAD_SIZE of x86-64; 1 << 13 with 32 bits)."""
INACTIVE_WORDS = 8
"""Words of struct inactive_task_frame, at most."""
REGISTERS = {64: {"bp": 4, "ip": 16, "cs": 17, "sp": 19}, 32: {"bp": 5, "ip": 12, "cs": 13, "sp": 15}}
"""Width -> places of registers among the words of struct pt_regs."""
USER, INTERRUPTED = "in user mode", "interrupted here"

Name = Callable[[int, int, bool, str | None], Frame]
"""(pc, sp, whether it is that of an instruction to come, note) -> the frame with its function."""


class Text:
    """Where one kernel's code lies. Without a bit that forbids it, data may be executed, too: the symbols tell then."""

    def __init__(self, kernel: Linux) -> None:
        self._kernel = kernel
        self._start, self._end = (self._edge(name) for name in ("_stext", "_etext"))

    def _edge(self, name: str) -> int:
        try:
            return self._kernel.image_symbol(name).address
        except SymbolNotFound:
            return 0

    def holds(self, address: int) -> bool:
        """Whether an address is one of code: of the image, or of a module."""
        kernel = self._kernel
        if kernel.mapping.is_code(address):
            return self._start <= address < self._end if self._end else True
        return any(module.base <= address < module.base + module.size for module in kernel.module_images)


@dataclass(frozen=True, slots=True)
class FramePointers:
    """The walk over one kernel's stacks."""

    kernel: Linux
    name: Name

    def task(self, sp: int) -> list[Frame]:
        """The frames of a task that left its CPU with that stack pointer. Raises `ReadError`."""
        word, text = self.kernel.bits // 8, self.kernel.part(Text)
        saved = self._words(sp, INACTIVE_WORDS)
        for at in range(len(saved) - 1):  # the words before differ from version to version
            bp, ip = saved[at], saved[at + 1]
            if text.holds(ip) and (sp < bp < self._end(sp) or not bp):
                return list(self.frames(ip, sp + (at + 2) * word, bp, exact=False))
        raise ReadError(sp, f"{sp:x}: no frame of a task that left its CPU", "no frame")

    def cpu(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU of 32 bits from its registers, the place where it was first."""
        return list(self.frames(registers["eip"], registers["esp"], registers["ebp"], exact=True))

    def frames(self, ip: int, sp: int, bp: int, exact: bool) -> Iterator[Frame]:
        """The place ``ip``, then its callers. ``exact``: whether the instruction there has not run yet."""
        kernel, word = self.kernel, self.kernel.bits // 8
        note: str | None = None
        for _ in range(MOST_FRAMES):
            if not kernel.in_kernel(ip):
                yield Frame(ip, sp, None, 0, note=USER)
                return
            frame, note = self.name(ip, sp, exact, note), None
            registers = self._marked(bp, sp)
            if registers is None and not sp <= bp < self._end(sp):  # a thread's first frame, or the program's own
                yield frame
                return
            try:
                if registers is not None:
                    saved = self._words(registers, 17 if word == 4 else 21)
                    places = REGISTERS[kernel.bits]
                    yield frame
                    ip, bp, exact = saved[places["ip"]], saved[places["bp"]], True
                    sp = saved[places["sp"]] if word == 8 else registers + 15 * word  # within the kernel none is pushed
                    if saved[places["cs"]] & 3:
                        yield Frame(ip, saved[places["sp"]], None, 0, note=USER)
                        return
                    note = INTERRUPTED
                    if not ip:  # a thread of the kernel's own came from nowhere
                        return
                    continue
                following, ip = self._words(bp, 2)
            except ReadError as error:
                yield replace(frame, note=f"the stack cannot be followed: {error}")
                return
            yield frame
            sp, bp, exact = bp + 2 * word, following, False

    def _marked(self, bp: int, sp: int) -> int | None:
        """Address of the registers that a marked frame pointer leads to; None for any other."""
        if self.kernel.bits == 64:
            return bp & ~1 if bp & 1 else None
        plain = bp | 1 << 31
        return plain if bp and plain != bp and sp <= plain < self._end(sp) else None

    def _end(self, sp: int) -> int:
        return (sp | STACK_SIZE - 1) + 1

    def _words(self, address: int, count: int) -> list[int]:
        word = self.kernel.bits // 8
        data = self.kernel.memory.read(address, count * word)
        return [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data), word)]

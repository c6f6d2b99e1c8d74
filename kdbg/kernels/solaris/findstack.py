"""Find a thread's stack: a chain of frames from somewhere in it that reaches its bottom.

The saved stack pointer is tried first, then every word from the stack's lowest address up. Facts: how mdb's
``::findstack`` decides (what it takes for good, and what it refuses).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kdbg.errors import ReadError
from kdbg.kernels.solaris.threads import LOADED, PANIC
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_BYTES = 1 << 20
"""A larger stack is taken for damage."""
MOST_PCS = 254
"""Return addresses of a chain that are kept."""

NOT_IN_MEMORY, CORRUPT, NOT_FOUND = 2, 3, 4
"""Why a stack was not found; the order in which ``::stacks`` sorts."""
REASONS = {
    NOT_IN_MEMORY: "thread not in memory",
    CORRUPT: "thread structure stack info corrupt",
    NOT_FOUND: "no consistent stack found",
}

MEMBERS = {
    "sync_ops": "t_sobj_ops",
    "state": "t_state",
    "flag": "t_flag",
    "scheduler_flag": "t_schedflag",
    "top": "t_stk",
    "base": "t_stkbase",
    "pc": "t_pcb.val[0]",
    "sp": "t_pcb.val[1]",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a thread's stack."""

    thread: int
    state: int
    panicked: bool
    sync_ops: int
    failure: int = 0
    """0, or why there is no stack (`REASONS`)."""
    problem: str = ""
    """The failure in mdb's words; "" where it has a list of candidates instead."""
    sp: int = 0
    pc: int = 0
    """The saved pc, where the saved stack pointer led to the bottom; else 0."""
    pcs: tuple[int, ...] = ()
    """The return addresses of the chain."""
    truncated: bool = False
    candidates: tuple[tuple[int, int], ...] = ()
    """(frame pointer, frames that hang together) of what looked like a stack, where none reached the bottom."""


class StackFinder:
    """Finds stacks of one kernel's threads."""

    def __init__(self, kernel: Solaris) -> None:
        self.layout = Layout(kernel.type("kthread_t"), MEMBERS)
        self._read = kernel.memory.read
        self._word = kernel.bits // 8
        self._mask = (1 << kernel.bits) - 1

    def find(self, thread: int) -> Found:
        """Look for the stack of a thread. Raises `ReadError` where its kthread_t cannot be read."""
        told = self.layout.read(self._read, thread)
        facts: dict[str, Any] = {
            "thread": thread,
            "state": told["state"],
            "panicked": bool(told["flag"] & PANIC),
            "sync_ops": told["sync_ops"],
        }
        if not told["scheduler_flag"] & LOADED:
            return Found(**facts, failure=NOT_IN_MEMORY, problem=f"thread {thread:x} isn't in memory")
        top, base = told["top"], told["base"]
        if top < base:
            problem = f"stack base or stack top corrupt for thread {thread:x}"
            return Found(**facts, failure=CORRUPT, problem=problem)
        if top - base > MOST_BYTES:
            problem = f"stack size for thread {thread:x} is too big to be reasonable"
            return Found(**facts, failure=CORRUPT, problem=problem)
        try:
            memory = self._read(base, top - base)
        except ReadError:
            problem = f"couldn't read entire stack for thread {thread:x}"
            return Found(**facts, failure=CORRUPT, problem=problem)
        stack = _Stack(memory, base, top, self._word)
        return self._search(facts, stack, told["sp"] & self._mask, told["pc"] & self._mask)

    def registers(self, thread: int) -> tuple[int, int]:
        """The saved (sp, pc) of a thread. Raises `ReadError`."""
        told = self.layout.read(self._read, thread)
        return told["sp"] & self._mask, told["pc"] & self._mask

    def _search(self, facts: dict[str, Any], stack: _Stack, sp: int, pc: int) -> Found:
        if stack.base <= sp <= stack.base + len(stack.words) * self._word:
            levels = stack.crawl(sp, erase=False)
            if levels is None:
                return Found(**facts, sp=sp, pc=pc, pcs=tuple(stack.pcs), truncated=stack.truncated)
        stack.restore()
        for frame in stack.places():
            if stack.crawl(frame, erase=True) is None:
                return Found(**facts, sp=frame, pcs=tuple(stack.pcs), truncated=stack.truncated)
        stack.restore()
        candidates = []
        for frame in stack.places():
            pointer = stack.word(frame)
            levels = stack.crawl(frame, erase=True)
            if levels is not None and levels > 1:
                candidates.append((pointer, levels))
        return Found(**facts, failure=NOT_FOUND, candidates=tuple(candidates))


class _Stack:
    """The memory of a stack as words, and the crawl along its frames."""

    def __init__(self, memory: bytes, base: int, top: int, word: int) -> None:
        self._memory = memory
        self.base = base
        self._word = word
        self._shift = 3 if word == 8 else 2
        self._align = 15 if word == 8 else 3
        self._bottom = top - 8 if word == 8 and top & 15 else top
        """Where the last frame points: the top half-frame of a misaligned amd64 stack is left out."""
        self.pcs: list[int] = []
        self.truncated = False
        self._code: Literal["Q", "I"] = "Q" if word == 8 else "I"
        whole = len(memory) // word * word
        self.words: MutableSequence[int] | memoryview[int] = memoryview(memory)[:whole].cast(self._code)

    def restore(self) -> None:
        """Make the words such that crawls can erase them, and take back what they have erased."""
        whole = len(self._memory) // self._word * self._word
        self.words = array(self._code, self._memory[:whole])

    def places(self) -> Iterator[int]:
        """Every address at which a frame has room."""
        return iter(range(self.base, self.base + (len(self.words) - 1) * self._word, self._word))

    def word(self, address: int) -> int:
        """The word at an address of the stack."""
        return self.words[address - self.base >> self._shift]

    def crawl(self, frame: int, erase: bool) -> int | None:
        """Follow frames to the bottom of the stack: None if it is reached, else how many were passed.

        ``erase``: frame pointers that were passed are forgotten, so that no chain is followed twice.
        """
        words, base, shift, bottom = self.words, self.base, self._shift, self._bottom
        size, last, count = 2 * self._word, len(words) - 1, len(words)
        pcs: list[int] = []
        self.pcs, self.truncated, levels = pcs, False, 0
        while not frame & self._align and levels <= count:
            at = frame - base >> shift
            if at >= last:
                break
            pointer = words[at]
            if len(pcs) < MOST_PCS:
                pcs.append(words[at + 1])
            else:
                self.truncated = True
            if pointer == bottom or bottom - pointer == size:
                return None
            if not base <= pointer < bottom - size:
                break
            if erase:
                words[at] = 0
            frame = pointer
            levels += 1
        return levels

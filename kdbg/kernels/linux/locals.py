"""Variables of the functions on a stack, by a debug file: their types, and their values where they can be told.

Registers of a frame further out follow from call frame information (.debug_frame), as long as every frame inside it has
some: behind assembly the registers that functions preserve are no longer known.

Source: the System V ABIs of x86-64 and AArch64 (DWARF's numbers of registers); arch/x86/include/asm/switch_to.h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.kernels.linux.unwind import INACTIVE, INTERRUPTED

if TYPE_CHECKING:
    from kdbg.kernels.linux.debuginfo import DebugModule
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.tasks import LinuxThread
    from kdbg.records import Frame
    from kdbg.symbols.dwarf.functions import UnitCode
    from kdbg.symbols.dwarf.locations import Located, State
    from kdbg.symbols.model import Type

X86_64 = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
          "r15", "rip")  # fmt: skip
ARM64 = (*(f"x{number}" for number in range(31)), "sp")
STACK = {"x86": 7, "arm64": 31}


@dataclass(frozen=True, slots=True)
class Local:
    """A variable of a frame."""

    name: str
    type: Type
    located: Located
    parameter: bool
    function: str
    """Whose it is: the frame's function, or one that is inlined there."""


class Variables:
    """Variables on the stacks of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.info = kernel.debug_info
        self._arm = kernel.target.image.architecture == "arm64"
        self._stack = STACK["arm64" if self._arm else "x86"]

    def of_stack(
        self, frames: list[Frame], registers: Mapping[str, int], at_once: bool
    ) -> Iterator[tuple[Frame, list[Local]]]:
        """Each frame with its variables. ``registers``: those of the innermost frame, by their names.

        ``at_once``: whether the innermost frame's instruction is one that runs next. Raises `Error` where there is no
        debug file.
        """
        names = ARM64 if self._arm else X86_64
        known = {number: registers[name] for number, name in enumerate(names) if name in registers}
        for at, frame in enumerate(frames):
            exact = (at_once and not at) or frame.note == INTERRUPTED
            address = frame.pc - (not exact)
            following = frames[at + 1].sp if at + 1 < len(frames) else None
            found = self.info.unit(address) if self.kernel.in_kernel(frame.pc) else None
            if found is None:
                yield frame, []
                known = {self._stack: following} if following is not None else {}
                continue
            module, unit = found
            cfa, callers = self._callers(module, address, known)
            if following is not None and cfa != following:  # the unwinder's own tables are the measure
                cfa, callers = following, {self._stack: following}
            yield frame, list(self._variables(module, unit, address, known, cfa))
            known = callers

    def _callers(
        self, module: DebugModule, address: int, known: Mapping[int, int]
    ) -> tuple[int | None, dict[int, int]]:
        """(the frame's CFA, the caller's registers) by .debug_frame."""
        found = module.frames(self.kernel.memory.read).unwind(address - module.slide, known, self._stack)
        return (None, {}) if found is None else (found.cfa, found.registers)

    def _variables(
        self, module: DebugModule, unit: UnitCode, address: int, known: Mapping[int, int], cfa: int | None
    ) -> Iterator[Local]:
        from kdbg.symbols.dwarf.locations import State, locate

        there = address - module.slide
        function = unit.function(there)
        if function is None:
            return
        state: State = State(known, cfa, self.kernel.memory.read, module.slide)
        for variable in unit.variables(there):
            try:
                of = module.types.of(variable.entry)
            except Error:
                continue
            where = locate(variable.entry, function, there, state)
            yield Local(variable.name, of, where, variable.parameter, variable.function)


def saved_registers(kernel: Linux, thread: LinuxThread) -> dict[str, int]:
    """The registers that a task saved when it left its CPU, by name. Raises `ReadError`."""
    if kernel.target.image.architecture == "arm64":
        from kdbg.kernels.linux.tasks import Tasks

        found = kernel.part(Tasks).load(thread.address)
        saved = kernel.at("struct task_struct", thread.address).thread.cpu_context
        kept = {f"x{number}": int(saved[f"x{number}"]) for number in range(19, 29)}
        return {**kept, "x29": found["fp_arm"], "sp": found["sp_arm"], "pc": found["pc_arm"]}
    words = {name: kernel.word(thread.sp + 8 * at) for at, name in enumerate(INACTIVE)}
    return {**words, "rsp": thread.sp + 8 * len(INACTIVE)}

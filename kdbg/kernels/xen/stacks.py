"""The stacks of the CPUs of a Xen host in its hypervisor.

Release builds have no frame pointers: a stack is scanned for what lies behind calls, over the interrupts and NMIs that
came on top, up to the registers of the guest that had called (`kdbg.kernels.xen.guests`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.formats.image import PAGE
from kdbg.formats.xen_host import HYPERVISOR_CS
from kdbg.kernels.stackscan import CALL, Machine, scan
from kdbg.kernels.xen.guests import DOMID_IDLE, STACK
from kdbg.kernels.xen.symbols import MODULE
from kdbg.records import Frame
from kdbg.symbols.table import STT_FUNC, Symbol

if TYPE_CHECKING:
    from kdbg.kernels.xen.hypervisor import Hypervisor

MOST_PARTS = 8
CRASHING = "kexec_crash"
"""Function in which the CPU is that starts the crash kernel."""
IDLE_LOOP = "idle_loop"
INTERRUPTED = "interrupted here"
IN_GUEST = "the hypervisor was entered from {} here"
IDLE = "the CPU was idle"


class Stacks:
    """Follows the stacks of one hypervisor."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._below = hypervisor

    def frames(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU in the hypervisor, the place where it was first; how it got there is the last one's note.

        It has no frame pointers: the stack is scanned for what lies behind calls, from one interrupt to the next.
        """
        machine = Machine(
            64,
            self._below.space.read,
            self._below.is_code,
            self._is_guest,
            self._function,
            self._address,
            resolve=self._resolve,
        )
        pc, sp = registers.get("rip", 0), registers.get("rsp", 0)
        running = self._below.guests.running(registers)
        found = [self._frame(pc, sp, None)]
        for _ in range(MOST_PARTS):
            data, interrupt = self._part(sp, running.place if running is not None else 0)
            found += self._judged(scan(machine, pc, sp, data))
            if interrupt is None:
                return found
            pc, sp, at = interrupt
            found.append(self._frame(pc, at, INTERRUPTED))
        return found

    def representative(self) -> Mapping[str, int]:
        """The registers of the CPU that started the crash kernel, else of the first one; empty where there is none."""
        contexts = self._below.target.image.contexts
        for registers in contexts:
            if any(frame.symbol == CRASHING for frame in self.frames(registers)):
                return registers
        return contexts[0] if contexts else {}

    def stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """As `frames`, and where the hypervisor was entered from."""
        found, running = self.frames(registers), self._below.guests.running(registers)
        if running is None:
            return found
        if running.domain == DOMID_IDLE:
            # Nothing called the loop: what lies above it is left over (reset_stack_and_jump).
            end = next((at for at, frame in enumerate(found, 1) if frame.symbol == IDLE_LOOP), len(found))
            return [*found[: end - 1], replace(found[end - 1], note=IDLE)]
        entered = Frame(running.guest["rip"], running.guest["rsp"], None, 0, note=IN_GUEST.format(running.name))
        return [*found, entered]

    def _part(self, sp: int, last: int) -> tuple[bytes, tuple[int, int, int] | None]:
        """The stack from ``sp`` up to an interrupt of the hypervisor itself, with its (pc, sp, place); or to its end.

        ``last``: where the guest's registers begin.
        """
        end = last if sp < last <= sp + STACK else (sp | STACK - 1) + 1
        pieces: list[bytes] = []
        at = sp & ~7
        try:
            while at < end:
                pieces.append(self._below.space.read(at, min(end, (at | PAGE - 1) + 1) - at))
                at = (at | PAGE - 1) + 1
        except ReadError:
            pass  # the guard page below the main stack, or what the dump lacks
        data = b"".join(pieces)
        words = memoryview(data[: len(data) // 8 * 8]).cast("Q")
        for index in range(len(words) - 4):
            if words[index + 1] & 0xFFFF == HYPERVISOR_CS and words[index + 1] < 1 << 32:
                pc, place, stack = words[index], (sp & ~7) + 8 * index, words[index + 3]
                if self._below.is_code(pc) and (stack > place or stack >> 15 != place >> 15) and not stack & 7:
                    return data[: 8 * index], (pc, stack, place)
        return data, None

    def _resolve(self, address: int) -> int | None:
        """Where a call ends; without names nothing tells whose code it is that a return address lies in."""
        return address if self._below.table is not None else None

    def _judged(self, frames: list[Frame]) -> list[Frame]:
        return frames if self._below.table is not None else [replace(frame, note=CALL) for frame in frames]

    def _is_guest(self, address: int) -> bool:
        return not self._below.holds(address)

    def _function(self, address: int) -> tuple[Symbol, int] | None:
        found = self._below.symbols.nearest(address)
        return found if found is not None and found[0].type == STT_FUNC else None

    def _address(self, name: str) -> int | None:
        symbol = self._below.symbols.find(name)
        return symbol.address if symbol is not None else None

    def _frame(self, pc: int, sp: int, note: str | None) -> Frame:
        found = self._function(pc)
        if found is None:
            return Frame(pc, sp, None, 0, note=note)
        return Frame(pc, sp, found[0].name, found[1], MODULE, note=note)

"""Stacks of the CPUs of a Linux kernel: by its unwind tables (ORC), by frame pointers, or by scanning.

Scanning (`kdbg.kernels.stackscan`) is for what cannot be followed otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kdbg.kernels.stackscan import CALLED, Machine, frames
from kdbg.records import Frame
from kdbg.symbols.table import STT_FUNC, Symbol

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux


def cpu_frames(kernel: Linux, registers: Mapping[str, int]) -> list[Frame]:
    """The frames of a vCPU, the place where it was first."""
    from kdbg.kernels.linux.framepointers import FramePointers
    from kdbg.kernels.linux.orc import Orc
    from kdbg.kernels.linux.unwind import Unwinder, followed

    if kernel.bits == 64 and kernel.in_kernel(registers.get("rip", 0)) and kernel.part(Orc):
        found = kernel.part(Unwinder).registers(registers)
        if followed(found):
            return found
        scanned = _scanned(kernel, registers)
        return (_resumed(kernel, registers, scanned) if len(found) == 1 else []) or scanned
    if kernel.bits == 32 and kernel.in_kernel(registers.get("eip", 0)):
        found = FramePointers(kernel, kernel.part(Unwinder).frame).cpu(registers)
        if len(found) > 1 and followed(found):
            return found
    return _scanned(kernel, registers)


def _resumed(kernel: Linux, registers: Mapping[str, int], scanned: list[Frame]) -> list[Frame]:
    """The frames by ORC from the second one on: for a CPU in a function that has no unwind tables.

    __crash_kexec, where the CPU of a kernel's own dump is, has none (STACK_FRAME_NON_STANDARD). Its caller is the first
    on the stack whose call leads there; rbp is still the caller's.
    """
    from kdbg.kernels.linux.unwind import Unwinder, followed

    if len(scanned) < 2 or scanned[1].note != CALLED:
        return []
    caller = {"rip": scanned[1].pc, "rsp": scanned[1].sp + 8, "rbp": registers.get("rbp", 0)}
    rest = kernel.part(Unwinder).call(caller)
    if not followed(rest):
        return []
    return [scanned[0], replace(rest[0], note=CALLED), *rest[1:]]


def _scanned(kernel: Linux, registers: Mapping[str, int]) -> list[Frame]:
    symbols = kernel.symbols

    def function(address: int) -> tuple[Symbol, int] | None:
        found = symbols.nearest(address)
        return found if found is not None and found[0].type == STT_FUNC else None

    def is_code(address: int) -> bool:
        return _in_text(kernel, address) and (symbols.image is None or function(address) is not None)

    def is_user(address: int) -> bool:
        return not kernel.in_kernel(address)

    def address(name: str) -> int | None:
        symbol = symbols.find(name)
        return symbol.address if symbol is not None else None

    arm = kernel.target.image.architecture == "arm64"
    return frames(Machine(kernel.bits, kernel.memory.read, is_code, is_user, function, address, arm), registers)


def _in_text(kernel: Linux, address: int) -> bool:
    """Whether an address lies in the executable part of the image or in a module."""
    if not kernel.in_kernel(address):
        return False
    return kernel.mapping.is_code(address) or any(m.base <= address < m.base + m.size for m in kernel.module_images)

"""Guests with a kernel that kdbg does not know: what their page tables alone tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdbg.formats.xen_context import IN_KERNEL
from kdbg.kernels.stackscan import Machine, frames
from kdbg.records import Frame
from kdbg.symbols.table import Symbol
from kdbg.vm.modes import NO_EXECUTE

if TYPE_CHECKING:
    from kdbg.dump import Dump


def cpu_frames(target: Dump, registers: Mapping[str, int]) -> list[Frame]:
    """The frames of a vCPU by its own page tables, the place where it was first. Code is what may be executed."""
    root = registers.get("cr3", 0)
    if target.image.paravirtual and target.image.bits == 64 and not in_kernel_mode(registers):
        root = registers.get("user_cr3") or root
    space = target.space_for(root)

    def is_code(address: int) -> bool:
        walk = space.walk(address)
        return walk.page_address is not None and not (space.mode.entry_size == 8 and walk.entry & NO_EXECUTE)

    def nothing(_: int) -> tuple[Symbol, int] | None:
        return None

    return frames(Machine(target.bits, space.read, is_code, lambda _: False, nothing, lambda _: None), registers)


def in_kernel_mode(registers: Mapping[str, int]) -> bool:
    """Whether a paravirtual vCPU was in the kernel (VGCF_in_kernel: its code selector does not tell)."""
    return bool(registers.get("flags", 0) & IN_KERNEL)

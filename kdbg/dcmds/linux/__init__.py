"""Dcmds and walkers for Linux kernels: which module declares which."""

from __future__ import annotations

from collections.abc import Mapping

DCMDS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.linux.status": ("status", "modinfo"),
    "kdbg.dcmds.machine": ("cpuregs", "cpustack", "regs", "$r", "$?", "stack", "$c", "stackregs", "$C"),
}
"""Module -> names of the dcmds in it."""

WALKERS: Mapping[str, tuple[str, ...]] = {}
"""Module -> names of the walkers in it."""

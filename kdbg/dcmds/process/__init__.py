"""Dcmds and walkers for cores of processes: which module declares which."""

from __future__ import annotations

from collections.abc import Mapping

DCMDS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.process.status": ("status", "$?", "objects", "mappings", "$m", "whatis"),
    "kdbg.dcmds.process.registers": ("regs", "$r"),
    "kdbg.dcmds.process.stacks": ("stack", "$c", "$C", "stackregs", "findstack"),
    "kdbg.dcmds.process.threads": ("threads", "$l", "$L"),
    "kdbg.dcmds.triage": ("triage",),
}
"""Module -> names of the dcmds in it."""

WALKERS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.process.threads": ("thread",),
}
"""Module -> names of the walkers in it."""

"""Dcmds and walkers for Linux kernels: which module declares which."""

from __future__ import annotations

from collections.abc import Mapping

DCMDS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.linux.status": ("status", "modinfo"),
    "kdbg.dcmds.linux.threads": ("threadlist", "findstack"),
    "kdbg.dcmds.linux.stacks": ("stacks",),
    "kdbg.dcmds.linux.processes": ("ps", "ptree", "pgrep", "pid2proc"),
    "kdbg.dcmds.linux.messages": ("msgbuf",),
    "kdbg.dcmds.linux.memory": ("pmap", "kmem_cache"),
    "kdbg.dcmds.linux.files": ("pfiles", "fd", "mounts", "vfs"),
    "kdbg.dcmds.linux.locks": ("mutex", "rwsem", "rwlock", "semaphore", "blocked", "wchan", "wchaninfo"),
    "kdbg.dcmds.linux.sockets": ("netstat",),
    "kdbg.dcmds.linux.interrupts": ("evtchns", "interrupts"),
    "kdbg.dcmds.machine": ("cpuregs", "cpustack", "regs", "$r", "$?", "stack", "$c", "stackregs", "$C"),
}
"""Module -> names of the dcmds in it."""

WALKERS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.linux.walkers": ("thread", "proc", "cpu", "module"),
}
"""Module -> names of the walkers in it."""

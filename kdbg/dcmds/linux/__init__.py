"""Dcmds and walkers for Linux kernels: which module declares which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdbg.dcmds.registry import Walker
    from kdbg.target import Target

DCMDS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.linux.status": ("status", "modinfo", "panicinfo", "time"),
    "kdbg.dcmds.linux.cpus": ("cpuinfo",),
    "kdbg.dcmds.linux.threads": ("threadlist", "findstack"),
    "kdbg.dcmds.linux.stacks": ("stacks",),
    "kdbg.dcmds.linux.source": ("line",),
    "kdbg.dcmds.linux.locals": ("locals",),
    "kdbg.dcmds.linux.processes": ("ps", "ptree", "pgrep", "pid2proc"),
    "kdbg.dcmds.linux.messages": ("msgbuf",),
    "kdbg.dcmds.linux.memory": ("pmap",),
    "kdbg.dcmds.linux.whatis": ("whatis",),
    "kdbg.dcmds.linux.translation": ("vtop", "vatopfn", "ptwalk", "ptescan", "pte"),
    "kdbg.dcmds.linux.kernel_memory": ("vmalloc", "percpu"),
    "kdbg.dcmds.linux.kgrep": ("kgrep",),
    "kdbg.dcmds.linux.pages": ("memstat", "page"),
    "kdbg.dcmds.linux.slabs": ("kmem_cache", "kmastat", "kmem_slabs", "kmem_verify"),
    "kdbg.dcmds.linux.files": ("pfiles", "fd", "mounts", "vfs"),
    "kdbg.dcmds.linux.locks": ("mutex", "rwsem", "rwlock", "semaphore", "blocked", "wchan", "wchaninfo"),
    "kdbg.dcmds.linux.trees": ("rbtree", "xarray", "maple"),
    "kdbg.dcmds.linux.workqueues": ("workqueues", "workqueue"),
    "kdbg.dcmds.linux.timers": ("timers", "timer"),
    "kdbg.dcmds.linux.sockets": ("netstat",),
    "kdbg.dcmds.linux.interrupts": ("evtchns", "interrupts"),
    "kdbg.dcmds.linux.hypervisor": ("xenlog",),
    "kdbg.dcmds.linux.stack": ("stack", "$c", "stackregs", "$C"),
    "kdbg.dcmds.machine": ("cpuregs", "cpustack", "regs", "$r", "$?"),
}
"""Module -> names of the dcmds in it."""


def absent(target: Target) -> frozenset[str]:
    """Names of the dcmds that this kernel gives no reason for: it has no hypervisor below it in the dump."""
    return frozenset() if hasattr(target.kernel, "hypervisor") else frozenset({"xenlog"})


WALKERS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.linux.trees": ("list", "rbtree", "xarray", "maple"),
    "kdbg.dcmds.linux.kernel_memory": ("vmap_area", "percpu"),
    "kdbg.dcmds.linux.slab_walkers": (
        "kmem_cache",
        "kmem",
        "freemem",
        "kmem_slab",
        "slab",
        "kmem_slab_partial",
    ),
    "kdbg.dcmds.linux.walkers": ("thread", "proc", "cpu", "module"),
}
"""Module -> names of the walkers in it."""


def find_walker(name: str, target: Target) -> Walker | None:
    """The walker of a slab cache's objects, by the cache's name."""
    from kdbg.dcmds.linux.slab_walkers import cache_walker

    return cache_walker(name, target)


def all_walkers(target: Target) -> list[Walker]:
    """The walkers that are named after caches."""
    from kdbg.dcmds.linux.slab_walkers import cache_walkers

    return cache_walkers(target)

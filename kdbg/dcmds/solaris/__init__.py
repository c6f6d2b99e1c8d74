"""Dcmds and walkers for Solaris and illumos kernels: which module declares which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdbg.dcmds.registry import Walker
    from kdbg.target import Target

DCMDS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.solaris.status": ("status", "time", "panicinfo"),
    "kdbg.dcmds.solaris.cpus": ("cpuinfo", "cpustack", "cpuregs"),
    "kdbg.dcmds.solaris.registers": ("regs", "$r", "$?"),
    "kdbg.dcmds.solaris.stack": ("stack", "$c", "stackregs", "$C", "findstack", "whatthread"),
    "kdbg.dcmds.solaris.stacks": ("stacks",),
    "kdbg.dcmds.solaris.threads": ("thread", "threadlist"),
    "kdbg.dcmds.solaris.processes": ("ps", "ptree", "pgrep", "pid2proc"),
    "kdbg.dcmds.solaris.interrupts": ("evtchns", "interrupts", "softint"),
    "kdbg.dcmds.solaris.messages": ("msgbuf",),
    "kdbg.dcmds.solaris.modules": ("modinfo", "modctl", "objects"),
    "kdbg.dcmds.solaris.whatis": ("whatis",),
    "kdbg.dcmds.solaris.allocations": ("bufctl", "vmem_seg", "kmem_debug"),
    "kdbg.dcmds.solaris.xpv": ("domain",),
    "kdbg.dcmds.solaris.typegraph": ("typegraph", "whattype", "istype", "notype"),
}
"""Module -> names of the dcmds in it."""

_PSM = ("xpv_psm", "xpv_uppc", "apix", "pcplusmp", "uppc")
_OF_MODULES = {"evtchns": ("xpv_psm", "xpv_uppc"), "interrupts": _PSM, "softint": _PSM, "domain": ("xpv",),
               "vcpu": ("xpv",)}  # fmt: skip
"""Dcmds and walkers that are there only where one of these modules is in the kernel, as mdb loads its own."""


def absent(target: Target) -> frozenset[str]:
    """Names of the dcmds and walkers that this kernel gives no reason for."""
    by_name = target.kernel.bootstrap.by_name
    return frozenset(name for name, modules in _OF_MODULES.items() if not any(by_name(one) for one in modules))


WALKERS: Mapping[str, tuple[str, ...]] = {
    "kdbg.dcmds.solaris.xpv": ("domain", "vcpu"),
    "kdbg.dcmds.solaris.walkers": (
        "thread",
        "proc",
        "cpu",
        "modctl",
        "taskq_thread",
        "deathrow",
        "thread_deathrow",
        "lwp_deathrow",
        "wchan",
        "blocked",
    ),
    "kdbg.dcmds.solaris.memory_walkers": (
        "kmem_cache",
        "kmem",
        "freemem",
        "freemem_constructed",
        "bufctl",
        "freectl",
        "freectl_constructed",
        "kmem_slab",
        "kmem_slab_partial",
        "kmem_hash",
        "kmem_cpu_cache",
        "kmem_log",
        "bufctl_history",
        "allocdby",
        "freedby",
        "vmem",
        "vmem_postfix",
        "vmem_seg",
        "vmem_alloc",
        "vmem_free",
        "vmem_span",
        "memseg",
        "allpages",
        "page",
        "seg",
        "list",
        "avl",
        "file",
        "allfile",
        "zone",
        "task",
        "projects",
    ),
}
"""Module -> names of the walkers in it."""


def find_walker(name: str, target: Target) -> Walker | None:
    """The walker of that name that no table has: a kmem cache's, or None."""
    from kdbg.dcmds.solaris.memory_walkers import cache_walker

    return cache_walker(name, target)


def all_walkers(target: Target) -> list[Walker]:
    """The walkers that no table has."""
    from kdbg.dcmds.solaris.memory_walkers import cache_walkers

    return cache_walkers(target)

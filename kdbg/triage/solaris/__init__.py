"""Analysers for Solaris and illumos kernels: the modules that declare them."""

from __future__ import annotations

ANALYSERS: tuple[str, ...] = (
    "kdbg.triage.solaris.locks",
    "kdbg.triage.solaris.cpus",
    "kdbg.triage.solaris.queues",
    "kdbg.triage.solaris.memory",
    "kdbg.triage.solaris.structures",
    "kdbg.triage.solaris.channels",
)

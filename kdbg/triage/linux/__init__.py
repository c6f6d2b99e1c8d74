"""Analysers for Linux kernels: the modules that declare them."""

from __future__ import annotations

ANALYSERS: tuple[str, ...] = (
    "kdbg.triage.linux.locks",
    "kdbg.triage.linux.cpus",
    "kdbg.triage.linux.queues",
    "kdbg.triage.linux.memory",
    "kdbg.triage.linux.structures",
    "kdbg.triage.linux.channels",
)

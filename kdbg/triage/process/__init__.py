"""Analysers for cores of processes: the modules that declare them."""

from __future__ import annotations

ANALYSERS: tuple[str, ...] = ("kdbg.triage.process.crash",)

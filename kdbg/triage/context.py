"""What surrounds a verdict: the CPUs, the part of the log that belongs to it, the map of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kdbg.errors import Error
from kdbg.triage.case import Case
from kdbg.triage.report import CpuState, Finding, LogLine, MemoryMap

LOG_LINES = 40
CELLS = 256
"""Characters of the map of memory."""


def cpu_states(case: Case) -> tuple[CpuState, ...]:
    """The CPUs with their stacks."""
    found = []
    for position, cpu in enumerate(case.cpus):
        try:
            frames = case.named(case.account.cpu_frames(position))
        except Error as error:
            case.target.note(f"stack of CPU {cpu.id}: {error}")
            frames = ()
        doing = cpu.doing or next((frame.function for frame in frames if frame.function), "")
        found.append(replace(cpu, stack=frames, doing=doing))
    return tuple(found)


def log_of_interest(case: Case, findings: Sequence[Finding]) -> tuple[LogLine, ...]:
    """The end of the log, which is where a failure shows; and before it the lines that findings quote."""
    quoted = {fact.text for finding in findings if finding.name.startswith("log.") for fact in finding.evidence}
    lines = [LogLine(one.time, one.level, one.text) for one in case.log]
    early = [line for line in lines[:-LOG_LINES] if line.text in quoted]
    return tuple(early[-LOG_LINES:] + lines[-LOG_LINES:])


def memory_map(case: Case) -> MemoryMap | None:
    """Which stretches of physical memory the dump holds; None for the core of a process, which has none."""
    if case.target.kind != "dump":
        return None
    import numpy as np

    info = case.target.image.describe()
    pfns = case.target.pages.array
    top = max(int(pfns[-1]) + 1 if len(pfns) else 0, (info.memory_size or 0) // 4096)
    if not top:
        return None
    stretch = -(-top // CELLS)
    counts = np.bincount((pfns // np.uint64(stretch)).astype(np.int64), minlength=-(-top // stretch))
    cells = "".join("#" if count >= stretch else "+" if count else "." for count in counts.tolist())
    return MemoryMap(stretch, cells, len(pfns), dict(info.missing_why))

"""What surrounds a verdict: the CPUs, and the part of the log that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kdbg.errors import Error
from kdbg.triage.case import Case
from kdbg.triage.report import CpuState, Finding, LogLine, ThreadName

LOG_LINES = 40
MOST_NAMES = 2000


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


def named_threads(case: Case, findings: Sequence[Finding]) -> tuple[ThreadName, ...]:
    """Whose the threads are that the report has by their addresses, as far as they are in the kernel's list."""
    asked = [address for finding in findings for address in finding.threads]
    asked += [address for lock in case.locks for address in (*lock.owners, *lock.waiters)]
    asked += [cpu.thread for cpu in case.cpus if cpu.thread]
    found = (case.by_address.get(address) for address in dict.fromkeys(asked))
    named = [ThreadName(one.address, one.pid, one.name) for one in found if one is not None and one.name]
    return tuple(named[:MOST_NAMES])


def log_of_interest(case: Case, findings: Sequence[Finding]) -> tuple[LogLine, ...]:
    """The end of the log, which is where a failure shows; and before it the lines that findings quote."""
    quoted = {fact.text for finding in findings if finding.name.startswith("log.") for fact in finding.evidence}
    lines = [LogLine(one.time, one.level, one.text) for one in case.log]
    early = [line for line in lines[:-LOG_LINES] if line.text in quoted]
    return tuple(early[-LOG_LINES:] + lines[-LOG_LINES:])

"""A report as a screenful of text, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime

from kdbg.triage.report import Outcome, Report, StackFrame

WIDTH = 80
FRAMES = 8
FINDINGS = 8
LOG = 4


def render(report: Report) -> str:
    """The report, its most important part first. Bytes from the dump that are no text are escaped by whoever prints."""
    return "\n".join(line for part in _parts(report) for line in part) + "\n"


def _parts(report: Report) -> Iterator[list[str]]:
    yield _head(report)
    yield _verdict(report)
    yield [line for known in report.known for line in _labelled("known", f"{known.name} {known.link or ''}".strip())]
    yield _thread(report)
    yield _findings(report)
    yield _cpus(report)
    yield _log(report)
    yield _foot(report)


def _labelled(label: str, text: str) -> list[str]:
    """Text behind a label, broken where the screen ends."""
    indent = " " * 11
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<11}",
        subsequent_indent=indent,
        break_long_words=True,
        break_on_hyphens=False,
    )
    return lines or [label]


def _head(report: Report) -> list[str]:
    told = report.identity
    facts = [told.kernel or told.format, told.host and f"host {told.host}", f"{told.cpus} CPUs" if told.cpus else None]
    if told.memory_size:
        facts.append(f"{told.memory_size / (1 << 20):.0f} MiB")
    if told.time is not None:
        facts.append(_time(told.time))
    return [*_labelled("dump", told.file), *_labelled("system", ", ".join(fact for fact in facts if fact))]


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"


def _verdict(report: Report) -> list[str]:
    found = report.verdict
    return [
        *_labelled("verdict", f"{found.sentence} ({found.sure.value})"),
        *_labelled("signature", f"{report.signature.digest}  {report.signature.text}"),
    ]


def _thread(report: Report) -> list[str]:
    thread = report.thread
    if thread is None:
        return []
    who = f"{thread.address:x} {thread.name}" if thread.address else ""
    where = f" on CPU {thread.cpu}" if thread.cpu is not None else ""
    return [*_labelled("thread", f"{who}{where} ({thread.how})".strip()), *_stack(thread.stack)]


def _stack(frames: tuple[StackFrame, ...]) -> list[str]:
    lines = [f"           {frame.text}"[:WIDTH] for frame in frames[:FRAMES]]
    if len(frames) > FRAMES:
        lines.append(f"           ... {len(frames) - FRAMES} more")
    return lines


def _findings(report: Report) -> list[str]:
    lines = []
    for finding in report.findings[:FINDINGS]:
        lines += _labelled(finding.severity.value, f"{finding.name}: {finding.summary}")
        if finding.command:
            lines.append(f"           > {finding.command}"[:WIDTH])
    if len(report.findings) > FINDINGS:
        lines.append(f"           ... {len(report.findings) - FINDINGS} more findings")
    return lines


def _cpus(report: Report) -> list[str]:
    busy = [f"{cpu.id} {cpu.name} {cpu.doing}".strip() for cpu in report.cpus if cpu.doing != "idle"]
    idle = len(report.cpus) - len(busy)
    shown = busy[:6] + ([f"... {len(busy) - 6} more"] if len(busy) > 6 else []) + ([f"{idle} idle"] if idle else [])
    return _labelled("CPUs", "; ".join(shown)) if shown else []


def _log(report: Report) -> list[str]:
    lines = [line.text.strip() for line in report.log if line.text.strip()][-LOG:]
    return [f"{'log' if not at else '':<11}{line}"[:WIDTH] for at, line in enumerate(lines)]


def _foot(report: Report) -> list[str]:
    cut = [one for one in report.analyses if one.outcome in (Outcome.CUT_SHORT, Outcome.FAILED)]
    lines = [line for one in cut for line in _labelled(one.outcome.value, f"{one.name}: {one.why}")]
    if report.notes:
        lines += _labelled("notes", f"{len(report.notes)}: {report.notes[0]}")
    return lines

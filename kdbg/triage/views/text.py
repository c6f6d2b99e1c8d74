"""A report as a screenful of text, 80 columns wide; what is in it may go to a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from kdbg.triage.report import Finding, Identity, Outcome, Report, Severity, StackFrame
from kdbg.triage.signature import bare
from kdbg.triage.views.words import clean, file_name, grouped, known_words, line, plural, size, when

WIDTH = 80
INDENT = 11
FRAMES = 6
FINDINGS = 6
CPUS = 6
LOG = 4
MOST_LINES = 4
"""Of one sentence."""


def render(report: Report) -> str:
    """The report, its most important part first."""
    return "\n".join(line for part in _parts(report) for line in part) + "\n"


def _parts(report: Report) -> Iterator[list[str]]:
    yield _head(report.identity)
    yield _labelled("verdict", f"{line(report.verdict.sentence)} ({report.verdict.sure.value})")
    for known in report.known:
        yield _labelled("known", " ".join(known_words(known)))
    yield _labelled("signature", line(f"{report.signature.digest}: {report.signature.text}"))
    yield _thread(report)
    yield _findings(report)
    yield _cpus(report)
    yield _log(report)
    yield _foot(report)


def _labelled(label: str, text: str, most: int = MOST_LINES) -> list[str]:
    """Text behind a label, broken where the screen ends; cut after so many lines."""
    wrapped = textwrap.wrap(text, WIDTH - INDENT, break_on_hyphens=False, max_lines=most, placeholder=" ...")
    return [f"{'' if at else label:<{INDENT}}{one}" for at, one in enumerate(wrapped)]


def _under(text: str) -> str:
    """A line of its own below a label."""
    return _cut(" " * INDENT + text)


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 4] + " ..."


def _head(told: Identity) -> list[str]:
    facts = [told.kernel or told.format, told.host and f"host {told.host}"]
    facts.append(plural(told.cpus, "CPU") if told.cpus else None)
    facts.append(size(told.memory_size) if told.memory_size else None)
    facts.append(when(told.time) if told.time is not None else None)
    facts.append(None if told.complete and not told.damage else "damaged" if told.damage else "not complete")
    named = ", ".join(line(fact) for fact in facts if fact)
    return [*_labelled("dump", file_name(told.file)), *_labelled("system", named)]


def _thread(report: Report) -> list[str]:
    thread = report.thread
    if thread is None:
        return []
    who = f"{thread.address:x} {line(thread.name)}".strip() if thread.address else ""
    where = f" on CPU {thread.cpu}" if thread.cpu is not None else ""
    lines = _labelled("thread", f"{who}{where} ({line(thread.how)})".strip())
    passed = _crash_path(thread.stack, report.signature.frames)
    if passed:
        way = " < ".join(line(frame.function or "") for frame in thread.stack[:passed] if frame.function)
        lines.append(_under(f"({way})"))
    shown = thread.stack[passed : passed + FRAMES]
    lines += [_under(line(frame.text)) for frame in shown]
    left = len(thread.stack) - passed - len(shown)
    return [*lines, _under(f"... {left} more")] if left > 0 else lines


def _crash_path(stack: Sequence[StackFrame], chosen: Sequence[str]) -> int:
    """How many frames stand before the first that the signature has: they are in every stack of such a failure."""
    if chosen:
        for at, frame in enumerate(stack):
            if frame.function and bare(frame.function) == chosen[0]:
                return at
    return 0


def _findings(report: Report) -> list[str]:
    groups = grouped(report.findings)
    # What is merely good to know does not push the rest off the screen.
    weighty = [group for group in groups if group[0].severity is not Severity.NOTE]
    shown = weighty[:FINDINGS] or groups[:FINDINGS]
    lines = [each for group in shown for each in _finding(group, report.verdict.sentence)]
    left = sum(len(group) for group in groups if group not in shown)
    return [*lines, _under(f"... {plural(left, 'finding')} more: --format json or html has all")] if left else lines


def _finding(group: Sequence[Finding], said: str) -> list[str]:
    """``said``: the verdict's sentence, which may be the finding's."""
    first = group[0]
    more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
    told = f": {line(first.summary)}" if first.summary != said else ""
    lines = _labelled(first.severity.value, f"{line(first.name)}{told}{more}", 3)
    return [*lines, _under(f"> {line(first.command)}")] if first.command else lines


def _cpus(report: Report) -> list[str]:
    busy = [line(f"{cpu.id} {cpu.name} {cpu.doing}", 60) for cpu in report.cpus if cpu.doing != "idle"]
    idle = len(report.cpus) - len(busy)
    shown = busy[:CPUS] + ([f"... {len(busy) - CPUS} more"] if len(busy) > CPUS else [])
    shown += [f"{idle} idle"] if idle else []
    return _labelled("CPUs", "; ".join(shown)) if shown else []


def _log(report: Report) -> list[str]:
    lines = [clean(one.text, WIDTH).expandtabs().replace("\n", " ").rstrip() for one in report.log if one.text.strip()]
    return [_cut(f"{'' if at else 'log':<{INDENT}}{one}") for at, one in enumerate(lines[-LOG:])]


def _foot(report: Report) -> list[str]:
    cut = [one for one in report.analyses if one.outcome in (Outcome.CUT_SHORT, Outcome.FAILED)]
    lines = [each for one in cut for each in _labelled(one.outcome.value, line(f"{one.name}: {one.why}"), 2)]
    if report.notes:
        lines += _labelled("notes", f"{len(report.notes)}: {line(report.notes[0])}", 2)
    return lines

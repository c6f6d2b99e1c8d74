"""A report as Markdown (GitHub's and GitLab's), for the summary page of a job.

Text out of a dump is code, in which nothing is a link, an element or somebody's name; or prose in which whatever means
something is escaped (CommonMark 0.31, section 2.4; GitHub's mentions and references besides).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kdbg.triage.report import Finding, Kind, Outcome, Report, Severity
from kdbg.triage.views.words import clean, facts, file_name, grouped, line, typed

FRAMES = 24
FINDINGS = 40
LOG = 20
MARKS = {Severity.ERROR: "🔴", Severity.WARNING: "🟡", Severity.NOTE: "🔵"}
_PUNCTUATION = re.compile(r"([-\\`*_{}\[\]()#+.!|<>~&@:$])")
_TICKS = re.compile("`+")


def render(report: Report) -> str:
    """The report as a page."""
    return "\n".join(part for part in _parts(report) if part)


def prose(text: str) -> str:
    """Text as it is: what would mean something escaped, and ``@`` and ``#`` apart from what follows them."""
    return _PUNCTUATION.sub(r"\\\1", line(text)).replace("\\@", "\\@<!-- -->").replace("\\#", "\\#<!-- -->")


def code(text: str, in_table: bool = False) -> str:
    """Text as code within a line."""
    shown = line(text)
    if not shown:
        return ""
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    blank = " " if "`" in (shown[0], shown[-1]) else ""
    made = f"{ticks}{blank}{shown}{blank}{ticks}"
    return made.replace("|", "\\|") if in_table else made


def block(lines: Iterable[str]) -> str:
    """Lines as a block of code."""
    shown = "\n".join(clean(one).replace("\n", " ") for one in lines)
    ticks = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(shown)), default=0))
    return f"{ticks}text\n{shown}\n{ticks}\n"


def _parts(report: Report) -> Iterator[str]:
    found = report.verdict
    mark = "🟢" if found.kind is Kind.LIVE else "⚪" if found.kind is Kind.UNKNOWN else "🔴"
    yield f"## {mark} {found.kind.value}: {code(file_name(report.identity.file))}\n"
    yield f"**{prose(found.sentence)}** ({found.sure.value})\n"
    yield from _known(report)
    yield f"Signature {code(report.signature.digest)}: {code(report.signature.text)}\n"
    yield _table(("", ""), [(label, code(value, in_table=True)) for label, value in facts(report.identity)])
    yield from _thread(report)
    yield from _findings(report)
    yield from _cpus(report)
    if report.log:
        yield _folded("The log's end", block(one.text for one in report.log[-LOG:]))
    yield from _foot(report)


def _known(report: Report) -> Iterator[str]:
    for known in report.known:
        link = f" {code(typed(known.link))}" if known.link else ""
        word = f": {prose(typed(known.word))}" if known.word else ""
        yield f"> Known issue **{prose(typed(known.name))}**{link}{word}\n"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(one)} |\n" for one in lines)


def _folded(title: str, inner: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{inner}\n</details>\n"


def _thread(report: Report) -> Iterator[str]:
    thread = report.thread
    if thread is None:
        return
    who = f"{code(thread.name)} " if thread.name else ""
    where = f", CPU {thread.cpu}" if thread.cpu is not None else ""
    address = code(f"{thread.address:x}") if thread.address else ""
    yield f"### The thread that matters\n\n{who}{address}{where}: {prose(thread.how)}\n"
    lines = [frame.text + (f"   ({frame.note})" if frame.note else "") for frame in thread.stack[:FRAMES]]
    if len(thread.stack) > FRAMES:
        lines.append(f"... {len(thread.stack) - FRAMES} more")
    yield block(lines) if lines else ""
    if thread.code:
        yield block(f"{'->' if one.current else '  '} {one.address:x}  {one.text}" for one in thread.code)


def _findings(report: Report) -> Iterator[str]:
    if not report.findings:
        return
    groups = grouped(report.findings)
    yield "### Findings\n"
    yield _table(("", "finding", "what", "command"), [_row(group) for group in groups[:FINDINGS]])
    if len(groups) > FINDINGS:
        yield f"... and {len(groups) - FINDINGS} kinds more\n"


def _row(group: list[Finding]) -> tuple[str, ...]:
    first = group[0]
    more = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
    return MARKS[first.severity], code(first.name, True), prose(first.summary) + more, code(first.command or "", True)


def _cpus(report: Report) -> Iterator[str]:
    rows = [(str(cpu.id), code(cpu.name, True), code(cpu.doing, True)) for cpu in report.cpus if cpu.doing != "idle"]
    idle = len(report.cpus) - len(rows)
    if rows:
        yield "### CPUs\n"
        yield _table(("CPU", "thread of", "doing"), rows[:32])
        yield f"{idle} idle\n" if idle else ""


def _foot(report: Report) -> Iterator[str]:
    cut = [one for one in report.analyses if one.outcome in (Outcome.FAILED, Outcome.CUT_SHORT)]
    for one in cut:
        yield f"- {prose(one.name)}: {one.outcome.value}: {prose(one.why)}"
    if report.notes:
        yield _folded(f"Notes ({len(report.notes)})", block(report.notes))

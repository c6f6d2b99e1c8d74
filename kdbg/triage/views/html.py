"""A report as one page of HTML that needs nothing else: no script, no network, a picture of the failure for a person.

Strings out of the dump are escaped by `kdbg.triage.views.elements`, and the page's own policy forbids everything but
its one style sheet, which it names by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from kdbg import __version__
from kdbg.triage.report import (
    Analysis,
    CpuState,
    Evidence,
    Finding,
    KeyThread,
    Kind,
    Known,
    Lock,
    Outcome,
    Report,
    StackFrame,
)
from kdbg.triage.signature import bare
from kdbg.triage.views import lockgraph, memory
from kdbg.triage.views.elements import Markup, join, tag
from kdbg.triage.views.flames import flame_graph
from kdbg.triage.views.style import STYLE
from kdbg.triage.views.words import MOST, base_name, clean, facts, file_name, grouped, line, plural, typed, when

FINDINGS = 400
PLACES = 6
"""Addresses of a kind that a finding shows."""
ALIKE = 3
"""Findings of one name that are shown at once; the others unfold."""
CPUS = 64
GROUPS = 60
LOCKS = 100
FRAMES_OF_CPU = 4
SEGMENTS = frozenset({"cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr", "gdt", "idt"})
"""Registers that are seldom asked for; and those whose names begin so (``cs_base``)."""
SINCE_BOOT = 5e8
"""Seconds; what is more is a date: no machine runs for 15 years, and none of these kernels is older than 1985."""


def render(report: Report) -> str:
    """The report as a page."""
    title = f"{report.verdict.kind.value}: {base_name(report.identity.file)}"
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    parts = [(name, words, part) for name, words, part in _sections(report) if part is not None]
    head = join([
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'),
        tag("title", f"{title} - kdbg"),
        tag("style", Markup(STYLE)),
    ])  # fmt: skip
    body = [_top(report, parts), _verdict(report), tag("div", *_first(report), class_="two")]
    body += [tag("section", part, id=name) for name, _, part in parts]
    page = tag("html", tag("head", head), tag("body", body, _foot(report)), lang="en", dir="ltr")
    return f"<!doctype html>\n{page}\n"


def _sections(report: Report) -> Iterator[tuple[str, str, Markup | None]]:
    """Name, words for the way there, and what stands in it, of what comes below the findings."""
    yield "thread", "Thread", _thread(report)
    yield "cpus", "CPUs", _cpus(report)
    yield "locks", "Locks", _locks(report)
    yield "stacks", "All threads", _stacks(report)
    yield "memory", "Memory", _memory(report)
    yield "log", "Log", _log(report)
    yield "analyses", "Analysers", _analyses(report)


def _top(report: Report, parts: Sequence[tuple[str, str, Markup]]) -> Markup:
    ways = [tag("a", words, href=f"#{name}") for name, words, _ in parts]
    named = tag("h1", tag("code", file_name(report.identity.file)))
    return tag("header", named, tag("nav", ways), class_="top")


def _verdict(report: Report) -> Markup:
    found = report.verdict
    tone = {Kind.LIVE: "good", Kind.UNKNOWN: "odd"}.get(found.kind, "bad")
    return tag(
        "section",
        tag("span", found.kind.value.replace("-", " "), class_="kind"),
        tag("span", found.sure.value, class_="sure"),
        tag("p", clean(found.sentence), class_="sentence"),
        [_known(known) for known in report.known],
        _evidence([fact for fact in found.evidence if not fact.text.endswith(found.sentence)]),
        tag(
            "p",
            "Signature ",
            tag("code", line(report.signature.digest)),
            " ",
            line(report.signature.text),
            class_="signature",
        ),
        class_=f"verdict {tone}",
    )


def _known(known: Known) -> Markup:
    """A known issue. Its link is one only where it leads to the web: the file of known issues is trusted no further."""
    link = typed(known.link or "")
    shown = tag("a", link, href=link, rel="noreferrer noopener") if link.startswith(("https://", "http://")) else link
    told = [tag("p", tag("b", "Known issue: ", typed(known.name)), " ", shown)]
    told += [tag("p", typed(known.word, MOST))] if known.word else []
    return tag("div", told, tag("p", line(known.by), class_="quiet"), class_="known")


def _evidence(evidence: Sequence[Evidence]) -> Markup | None:
    """Facts; the command of each where it is another than that before."""
    if not evidence:
        return None
    rows, before = [], None
    for fact in evidence:
        command = None if fact.command in (None, before) else [" ", tag("code", line(fact.command or ""))]
        rows.append(tag("li", line(fact.text), command))
        before = fact.command or before
    return tag("ul", rows, class_="evidence")


def _first(report: Report) -> list[Markup]:
    """What is seen at once beside each other: the findings, and what the dump is of."""
    rows = [(tag("dt", label), tag("dd", value)) for label, value in facts(report.identity)]
    identity = tag("section", tag("h2", "The dump"), tag("dl", rows))
    groups = grouped(report.findings[:FINDINGS])
    names = lockgraph.names_of_threads(report)
    shown = [_group(group, names) for group in groups] or [tag("p", "Nothing is found to be wrong.", class_="quiet")]
    count = tag("small", str(len(report.findings))) if report.findings else None
    return [tag("section", tag("h2", "Findings", count), shown, id="findings"), identity]


def _group(group: Sequence[Finding], names: Mapping[int, str]) -> Markup:
    first, more = group[:ALIKE], group[ALIKE:]
    rest = None
    if more:
        rest = tag("details", tag("summary", f"{len(more)} more like these"), [_finding(one, names) for one in more])
    return join([[_finding(one, names) for one in first], rest])


def _concerned(finding: Finding, names: Mapping[int, str]) -> Markup | None:
    """The threads, locks and places that a finding is about and its sentence does not name."""
    rows = []
    for word in ("threads", "locks", "addresses"):
        places = [one for one in getattr(finding, word) if f"{one:x}" not in finding.summary]
        shown = [
            tag("span", tag("code", f"{one:x}"), f" {line(names.get(one, ''))}".rstrip()) for one in places[:PLACES]
        ]
        more = [f"and {len(places) - PLACES} more"] if len(places) > PLACES else []
        if places:
            rows.append(
                tag("li", f"{word}: ", [[one, ", "] for one in shown[:-1]], shown[-1], [f" {one}" for one in more])
            )
    return tag("ul", rows, class_="evidence") if rows else None


def _finding(finding: Finding, names: Mapping[int, str]) -> Markup:
    evidence = _evidence([fact for fact in finding.evidence if fact.text not in finding.summary])
    if len(finding.evidence) > ALIKE:
        evidence = tag("details", tag("summary", plural(len(finding.evidence), "fact")), evidence)
    return tag(
        "div",
        tag("p", tag("b", tag("code", line(finding.name))), " ", tag("span", finding.severity.value, class_="level")),
        tag("p", clean(finding.summary)),
        tag("code", line(finding.command), class_="command") if finding.command else None,
        evidence,
        _concerned(finding, names),
        class_=f"finding {finding.severity.value}",
    )


def _thread(report: Report) -> Markup | None:
    thread = report.thread
    if thread is None:
        return None
    who = tag("code", f"{thread.address:x}") if thread.address else None
    facts_of = [
        f"pid {thread.pid}" if thread.pid is not None else None,
        f"CPU {thread.cpu}" if thread.cpu is not None else None,
        line(thread.state) or None,
    ]
    told = tag("p", who, " ", ", ".join(filter(None, facts_of)), tag("span", f" - {line(thread.how)}", class_="quiet"))
    left = [tag("h3", "Stack"), _stack(thread.stack, report.signature.frames)] if thread.stack else None
    columns = tag("div", tag("div", left), tag("div", _code(thread), _registers(thread)), class_="two")
    return join([tag("h2", line(thread.name) or "The thread that matters", tag("small", "the thread that matters")
                     if thread.name else None), told, columns])  # fmt: skip


def _stack(stack: Sequence[StackFrame], chosen: Sequence[str] = (), notes: bool = True) -> Markup:
    """Frames; those before the first that the signature has are only the way of the crash."""
    names = [bare(frame.function) if frame.function else "" for frame in stack]
    here = names.index(chosen[0]) if chosen and chosen[0] in names else -1
    rows = []
    for at, frame in enumerate(stack):
        kind = "path" if at < here else "here" if at == here else None
        module = tag("span", f"{line(frame.module)}`", class_="quiet") if frame.module and frame.function else None
        offset = tag("span", f"+0x{frame.offset:x}", class_="quiet") if frame.offset and frame.function else None
        named = tag("code", module, line(frame.function or frame.text), offset)
        rows.append(
            tag("li", named, tag("small", f" {line(frame.note)}") if frame.note and notes else None, class_=kind)
        )
    return tag("ol", rows, class_="stack")


def _code(thread: KeyThread) -> Markup | None:
    if not thread.code:
        return None
    rows = [
        tag(
            "tr",
            tag("td", tag("code", f"{one.address:x}")),
            tag("td", tag("code", line(one.text))),
            class_="current" if one.current else None,
        )
        for one in thread.code
    ]
    return join([tag("h3", "Code"), tag("div", tag("table", rows, class_="asm"), class_="scroll")])


def _registers(thread: KeyThread) -> Markup | None:
    """The registers that hold numbers of the program at once; segments and descriptors unfold."""
    if not thread.registers:
        return None
    rows: dict[bool, list[Markup]] = {False: [], True: []}
    for name, value in thread.registers.items():
        system = line(name).partition("_")[0] in SEGMENTS
        rows[system].append(tag("li", tag("span", line(name)), tag("code", f"{value:x}")))
    shown, folded = (tag("ul", rows[system], class_="registers mono") for system in (False, True))
    more = tag("details", tag("summary", "segments"), folded) if rows[True] else None
    return join([tag("h3", "Registers"), shown if rows[False] else None, more])


def _cpus(report: Report) -> Markup | None:
    if not report.cpus:
        return None
    failed = report.thread.cpu if report.thread and report.verdict.kind not in (Kind.LIVE, Kind.UNKNOWN) else None
    busy = [cpu for cpu in report.cpus if cpu.doing != "idle" or cpu.id == failed]
    idle = [cpu for cpu in report.cpus if cpu not in busy]
    busy.sort(key=lambda cpu: cpu.id != failed)
    shown, left = busy[:CPUS], len(busy[CPUS:])
    parts = [tag("div", [_cpu(cpu, cpu.id == failed) for cpu in shown], class_="cpus")] if shown else []
    if left:
        parts.append(tag("p", f"{left} more are not shown.", class_="quiet"))
    if idle:
        words = f"{len(idle)} idle: {', '.join(str(cpu.id) for cpu in idle[:CPUS])}{' ...' if idle[CPUS:] else ''}"
        cards = tag("div", [_cpu(cpu, False) for cpu in idle[:CPUS]], class_="cpus")
        parts.append(tag("details", tag("summary", words), cards))
    return join([tag("h2", "CPUs", tag("small", str(len(report.cpus)))), parts])


def _cpu(cpu: CpuState, failed: bool) -> Markup:
    kind = "cpu failed" if failed else "cpu idle" if cpu.doing == "idle" else "cpu"
    who = [tag("span", line(cpu.name), " ")] if cpu.name else []
    if cpu.thread:
        who.append(tag("code", f"{cpu.thread:x}"))
    top = tag("p", tag("b", f"CPU {cpu.id}"), tag("code", line(cpu.doing), class_="doing") if cpu.doing else None)
    first, more = cpu.stack[:FRAMES_OF_CPU], cpu.stack[FRAMES_OF_CPU:]
    stack: list[Markup] = []
    if more:
        stack = [
            _stack(first, notes=False),
            tag("details", tag("summary", f"{len(more)} more"), _stack(more, notes=False)),
        ]
    elif first:
        stack = [_stack(first, notes=False)]
    return tag("div", top, tag("p", who, class_="quiet") if who else None, stack, class_=kind)


def _locks(report: Report) -> Markup | None:
    if not report.locks:
        return None
    names = lockgraph.names_of_threads(report)
    rows = [_lock(lock, names) for lock in report.locks[:LOCKS]]
    heads = tag("tr", [tag("th", head) for head in ("lock", "kind", "held by", "waiting")])
    table = tag("div", tag("table", heads, rows), class_="scroll")
    listed = tag("details", tag("summary", "as a table"), table)
    return join([tag("h2", "Locks", tag("small", str(len(report.locks)))), lockgraph.drawn(report), listed])


def _lock(lock: Lock, names: dict[int, str]) -> Markup:
    def threads(addresses: Sequence[int]) -> list[Markup]:
        shown = [tag("div", tag("code", f"{one:x}"), f" {line(names.get(one, ''))}") for one in addresses[:20]]
        return [*shown, tag("div", f"and {len(addresses) - 20} more")] if len(addresses) > 20 else shown

    name = tag("td", tag("code", f"{lock.address:x}"), f" {line(lock.name)}")
    return tag(
        "tr", name, tag("td", line(lock.kind)), tag("td", threads(lock.owners)), tag("td", threads(lock.waiters))
    )


def _stacks(report: Report) -> Markup | None:
    if not report.stacks:
        return None
    marked = [frame.function or f"0x{frame.pc:x}" for frame in report.thread.stack] if report.thread else []
    count = sum(group.count for group in report.stacks)
    words = f"{plural(count, 'thread')}, {plural(len(report.stacks), 'stack')}"
    rows = [
        tag(
            "tr",
            tag("td", f"{group.count:,}", class_="number"),
            tag("td", line(group.state)),
            tag("td", line(", ".join(group.names), 200)),
            tag("td", tag("code", line(" < ".join(group.stack), 600) or "(no stack)")),
        )
        for group in report.stacks[:GROUPS]
    ]
    heads = tag("tr", [tag("th", head) for head in ("threads", "state", "of", "stack, the innermost first")])
    listed = tag("details", tag("summary", "as a table"), tag("div", tag("table", heads, rows), class_="scroll"))
    return join(
        [tag("h2", "All threads by their stacks", tag("small", words)), flame_graph(report.stacks, marked), listed]
    )


def _memory(report: Report) -> Markup | None:
    if report.memory is None:
        return None
    return join([tag("h2", "Physical memory in the dump"), memory.drawn(report.memory)])


def _log(report: Report) -> Markup | None:
    if not report.log:
        return None
    quoted = {fact.text for finding in report.findings if finding.name.startswith("log.") for fact in finding.evidence}
    lines = []
    for one in report.log:
        time = tag("span", f"[{_time(one.time)}] ", class_="quiet") if one.time is not None else None
        lines.append(tag("div", time, clean(one.text).rstrip("\n"), class_="quoted" if one.text in quoted else None))
    return join([tag("h2", "The log's end"), tag("pre", lines, class_="log")])


def _time(seconds: float) -> str:
    """Since boot, or since 1970: a log has either."""
    return f"{seconds:.6f}" if seconds < SINCE_BOOT else when(seconds)


def _analyses(report: Report) -> Markup | None:
    done = [one for one in report.analyses if one.outcome is Outcome.DONE]
    others = [one for one in report.analyses if one.outcome is not Outcome.DONE]
    parts: list[Markup] = [_table_of(others)] if others else []
    if done:
        parts.append(tag("details", tag("summary", f"{plural(len(done), 'analyser')} done"), _table_of(done)))
    if report.notes:
        listed = tag("ul", [tag("li", line(note)) for note in report.notes], class_="evidence")
        parts += [tag("h3", "What could not be read, or is odd"), listed]
    return join([tag("h2", "What was looked at"), *parts]) if parts else None


def _table_of(analyses: Sequence[Analysis]) -> Markup:
    rows = [
        tag(
            "tr",
            tag("td", line(one.name)),
            tag("td", one.outcome.value, f": {line(one.why)}" if one.why else None),
            tag("td", str(one.findings), class_="number"),
            tag("td", f"{one.seconds:.3f} s", class_="number"),
        )
        for one in analyses
    ]
    heads = [tag("th", "analyser"), tag("th", ""), *(tag("th", one, class_="number") for one in ("findings", "took"))]
    return tag("div", tag("table", tag("tr", heads), rows), class_="scroll")


def _foot(report: Report) -> Markup:
    words = f"kdbg {__version__}, report version {report.schema}. To look further: "
    return tag("footer", words, tag("code", f"kdbg {file_name(report.identity.file)}"))

"""A report as JUnit XML, so that a CI shows it among its tests: a suite for the dump, a case for each analyser.

The case ``verdict`` fails where the system did; an analyser's case fails where it has findings that are errors, is an
error where the analyser itself failed, and is skipped where it could not run or was cut short. What is a known issue
is skipped and says so. Warnings and notes stand in the suite's output. Form: the schema of Ant's JUnit task as Windy
Road wrote it down (JUnit.xsd), the strictest that is in use; Jenkins, GitLab and GitHub's actions read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from kdbg.triage.report import Analysis, Finding, Kind, Outcome, Report, Severity
from kdbg.triage.views import text
from kdbg.triage.views.elements import Markup, join, tag
from kdbg.triage.views.words import base_name, file_name, known_words, line, typed

VERDICT = "verdict"
MOST_TOLD = 1 << 16
"""Characters of what a case says."""
OTHERS = "other findings"
"""Name of the case for findings that no analyser of the report claims."""


def render(report: Report) -> str:
    """The report as a document with one suite."""
    return document([report])


def document(reports: Sequence[Report]) -> str:
    """A document with a suite for each report."""
    suites = [_suite(number, report) for number, report in enumerate(reports)]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tag("testsuites", *suites)}\n'


def _suite(number: int, report: Report) -> Markup:
    cases = _cases(report)
    outcomes = [outcome for _, _, outcome in cases]
    seconds = sum(one.seconds for one in report.analyses)
    return tag(
        "testsuite",
        "\n",
        tag("properties", [tag("property", name=name, value=value) for name, value in _properties(report)]),
        [join(["\n", _case(report, name, took, outcome)]) for name, took, outcome in cases],
        "\n",
        tag("system-out", text.render(report)),
        tag("system-err", "".join(f"{line(note)}\n" for note in report.notes)),
        name=file_name(report.identity.file) or "dump",
        package="kdbg.triage",
        id=number,
        hostname=line(report.identity.host or "") or "localhost",
        timestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        tests=len(cases),
        failures=_count(outcomes, "<failure"),
        errors=_count(outcomes, "<error"),
        skipped=_count(outcomes, "<skipped"),
        time=f"{seconds:.3f}",
    )


def _count(outcomes: Sequence[Markup | None], element: str) -> int:
    return sum(outcome is not None and outcome.startswith(element) for outcome in outcomes)


def _case(report: Report, name: str, seconds: float, outcome: Markup | None) -> Markup:
    folder = f"kdbg.{base_name(report.identity.file)}"
    return tag("testcase", outcome, name=line(name), classname=folder, time=f"{seconds:.3f}")


def _properties(report: Report) -> list[tuple[str, str]]:
    told = report.identity
    found = [
        ("verdict", report.verdict.kind.value),
        ("sure", report.verdict.sure.value),
        ("signature", report.signature.digest),
        ("signature.text", report.signature.text),
        ("format", told.format),
        ("kernel", told.kernel),
        ("release", told.release),
        ("build", told.build),
        *(("known", typed(known.name)) for known in report.known),
    ]
    return [(name, line(value)) for name, value in found if value]


def _cases(report: Report) -> list[tuple[str, float, Markup | None]]:
    """Name, seconds and outcome (None: passed) of each case."""
    cases = [(VERDICT, 0.0, _verdict(report))]
    by_analyser: dict[str, list[Finding]] = {}
    names = {one.name for one in report.analyses}
    for finding in report.findings:
        by_analyser.setdefault(finding.analyser if finding.analyser in names else OTHERS, []).append(finding)
    cases += [(one.name, one.seconds, _outcome(report, one, by_analyser.pop(one.name, []))) for one in report.analyses]
    if by_analyser:
        cases.append((OTHERS, 0.0, _failure(report, by_analyser[OTHERS])))
    return cases


def _verdict(report: Report) -> Markup | None:
    found = report.verdict
    if found.kind in (Kind.LIVE, Kind.UNKNOWN):
        return None
    if report.known:
        return _known(report)
    stack = report.thread.stack if report.thread else ()
    facts = [fact.text for fact in found.evidence] + [frame.text for frame in stack]
    body = "\n".join(map(line, [f"signature {report.signature.digest} {report.signature.text}", *facts]))
    return tag("failure", body, message=line(found.sentence), type=found.kind.value)


def _outcome(report: Report, one: Analysis, findings: Sequence[Finding]) -> Markup | None:
    failure = _failure(report, findings)
    if failure is not None or one.outcome is Outcome.DONE:
        return failure
    if one.outcome is Outcome.FAILED:
        return tag("error", _told(findings), message=line(one.why), type="analyser failed")
    return tag("skipped", message=line(f"{one.outcome.value}: {one.why}"))


def _failure(report: Report, findings: Sequence[Finding]) -> Markup | None:
    bad = [finding for finding in findings if finding.severity is Severity.ERROR]
    if not bad:
        return None
    if report.known:
        return _known(report)
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return tag("failure", _told(findings), message=line(bad[0].summary) + more, type=line(bad[0].name))


def _known(report: Report) -> Markup:
    return tag("skipped", message=f"known issue: {' '.join(known_words(report.known[0])[:2])}")


def _told(findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{finding.severity.value} {line(finding.name)}: {line(finding.summary)}")
        if finding.command:
            lines.append(f"    > {line(finding.command)}")
        lines.extend(f"    {line(fact.text)}" for fact in finding.evidence)
    return "\n".join(lines)[:MOST_TOLD]

"""``kdbg triage``: from dumps to verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, UsageError

if TYPE_CHECKING:
    from kdbg.repl.tools import Given

FAIL_ON = ("new", "error", "warning", "never")
FOUND = 3
"""Exit status where ``--fail-on`` applies."""


def run(words: Sequence[str]) -> int:
    """Run the command; the exit status: 0, 1 where a dump cannot be opened, 2 for wrong usage, 3 for ``--fail-on``."""
    from kdbg.fleet.names import is_many
    from kdbg.repl.fleet import MARK, OPTIONS, harmless
    from kdbg.repl.tools import Given
    from kdbg.triage.known import read_known
    from kdbg.triage.views import FORMATS, view

    again = MARK in words
    given = Given(
        [word for word in words if word != MARK], ("--format", "-o", "--known", "--fail-on", "--budget", *OPTIONS)
    )
    form, fail_on = given.one("--format", "text"), given.one("--fail-on", "never")
    if form not in FORMATS:
        raise UsageError(f"format {form}: {', '.join(FORMATS)}")
    if fail_on not in FAIL_ON:
        raise UsageError(f"--fail-on {fail_on}: {', '.join(FAIL_ON)}")
    known = read_known(given.options["--known"])
    budget = _seconds(given.one("--budget"))
    if any(given.options[name] for name in OPTIONS) or is_many(given.files):
        return _fleet(given, budget, again, str(fail_on))
    report = _triage(given.files, known, budget)
    text = view(form)(report)
    _write(given.one("-o"), harmless(text) if form == "text" else text)
    return FOUND if fails(report, str(fail_on)) else 0


def _fleet(given: Given, budget: float | None, again: bool, fail_on: str) -> int:
    """Many dumps: a line for each, or the number of those in the table."""
    from kdbg.repl.fleet import bad, harmless, run_fleet, summary

    rows = run_fleet(given, given.options["--known"], budget, again)
    table = given.one("--into")
    if table is None:
        _write(given.one("-o"), harmless(summary(rows)))
    else:
        failed = sum(row.outcome != "done" for row in rows)
        print(harmless(f"{table}: {len(rows)} dumps, {failed} of them without a report; kdbg causes {table}"))
    return FOUND if bad(rows, fail_on) else 0


def _seconds(word: str | None) -> float | None:
    if word is None:
        return None
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise UsageError(f"--budget {word}: seconds")
    return value


def _triage(files: Sequence[str], known: Sequence[Any], budget: float | None) -> Any:
    import kdbg

    with kdbg.open(*files) as target:
        return target.triage(known, budget)


def fails(report: Any, fail_on: str) -> bool:
    """Whether a report is as bad as ``--fail-on`` says."""
    from kdbg.triage.report import Kind, Severity

    failed = report.verdict.kind not in (Kind.LIVE, Kind.UNKNOWN)
    bad = failed or any(finding.severity is Severity.ERROR for finding in report.findings)
    if fail_on == "new":
        return bad and not report.known
    if fail_on == "warning":
        return bad or any(finding.severity is Severity.WARNING for finding in report.findings)
    return fail_on == "error" and bad


def _write(path: str | None, text: str) -> None:
    if path is None:
        sys.stdout.write(text)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Error(f"{path}: {error.strerror}") from None

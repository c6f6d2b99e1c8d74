"""``kdbg triage``: from dumps to verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdbg.errors import Error, UsageError

if TYPE_CHECKING:
    from kdbg.repl.tools import Given
    from kdbg.triage.known import Issue
    from kdbg.triage.report import Report

FAIL_ON = ("new", "error", "warning", "never")
PROGRESS = "--progress"
ENDINGS = {
    ".txt": "text",
    ".json": "json",
    ".xml": "junit",
    ".sarif": "sarif",
    ".md": "markdown",
    ".html": "html",
}
"""Of a file's name -> format."""
FOUND = 3
"""Exit status where ``--fail-on`` applies."""


def run(words: Sequence[str]) -> int:
    """Run the command; the exit status: 0, 1 where a dump cannot be opened, 2 for wrong usage, 3 for ``--fail-on``."""
    from kdbg.fleet.names import is_many
    from kdbg.repl.fleet import MARK, OPTIONS
    from kdbg.repl.tools import Given
    from kdbg.triage.known import read_known

    given = Given(words, ("--format", "-o", "--known", "--fail-on", "--budget", *OPTIONS), (MARK, PROGRESS))
    fail_on = given.one("--fail-on", "never")
    if fail_on not in FAIL_ON:
        raise UsageError(f"--fail-on {fail_on}: {', '.join(FAIL_ON)}")
    known = read_known(given.options["--known"])
    budget = _seconds(given.one("--budget"))
    if any(given.options[name] for name in OPTIONS) or is_many(given.files):
        return _fleet(given, budget, MARK in given.flags, str(fail_on))
    wanted = outputs(given)
    report = _triage(given.files, known, budget, PROGRESS in given.flags)
    for form, path in wanted:
        _render(report, form, path)
    return FOUND if fails(report, str(fail_on)) else 0


def outputs(given: Given) -> list[tuple[str, str | None]]:
    """(format, file) of each report that is asked for; None: standard output. Raises `UsageError`.

    A file belongs to the format before it, the only one to the only format wherever it stands; without one, its ending
    tells the format.
    """
    import os

    from kdbg.triage.views import FORMATS

    wanted: list[tuple[str, str | None]] = []
    forms, files = given.options["--format"], given.options["-o"]
    if len(forms) == 1 and len(files) == 1:
        wanted = [(forms[0], files[0])]
    else:
        waiting: str | None = None
        for name, value in given.order:
            if name == "--format":
                wanted += [(waiting, None)] if waiting is not None else []
                waiting = value
            elif name == "-o":
                wanted.append((waiting if waiting is not None else _format_of(value), value))
                waiting = None
        wanted += [(waiting, None)] if waiting is not None else []
    wanted = [(form, None if path == "-" else path) for form, path in wanted] or [("text", None)]
    for form, path in wanted:
        if form not in FORMATS:
            raise UsageError(f"format {form}: {', '.join(FORMATS)}")
        if path is not None and any(os.path.exists(file) and _same(file, path) for file in given.files):
            raise UsageError(f"-o {path}: that is the dump")
    if sum(path is None for _, path in wanted) > 1:
        raise UsageError("one format may go to standard output, the others want -o OUT behind them")
    return wanted


def _same(file: str, path: str) -> bool:
    import os

    return os.path.exists(path) and os.path.samefile(file, path)


def _format_of(path: str) -> str:
    """The format that the ending of a file's name tells."""
    found = next((form for ending, form in ENDINGS.items() if path.lower().endswith(ending)), None)
    if found is None:
        raise UsageError(f"-o {path}: no --format before it, and its ending is none of {', '.join(ENDINGS)}")
    return found


def _fleet(given: Given, budget: float | None, again: bool, fail_on: str) -> int:
    """Many dumps: a line for each, or the number of those in the table."""
    from kdbg.repl.fleet import bad, harmless, run_fleet, summary

    rows = run_fleet(given, given.options["--known"], budget, again)
    table = given.one("--into")
    if table is None:
        write(given.one("-o"), harmless(summary(rows)))
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


def _triage(files: Sequence[str], known: Sequence[Issue], budget: float | None, aloud: bool) -> Report:
    """The report. A terminal gets a sign of life after a second; ``aloud``: what is looked at is said, a line each."""
    import time

    import kdbg
    from kdbg.lang.visible import visible
    from kdbg.repl.progress import Progress
    from kdbg.triage import triage

    start = time.monotonic()
    terminal = sys.stderr if sys.stderr.isatty() and not aloud else None
    progress = Progress(terminal)

    def tell(analyser: str) -> None:
        progress.relabel(f"looks at {visible(analyser)}")
        if aloud:
            sys.stderr.write(f"kdbg: {time.monotonic() - start:.1f} s: {visible(analyser)}\n")
            sys.stderr.flush()

    with progress.watch("opens the dump"), kdbg.open(*files) as target:
        return triage(target, known, budget, tell)


def fails(report: Report, fail_on: str) -> bool:
    """Whether a report is as bad as ``--fail-on`` says."""
    from kdbg.triage.report import Kind, Severity

    failed = report.verdict.kind not in (Kind.LIVE, Kind.UNKNOWN)
    bad = failed or any(finding.severity is Severity.ERROR for finding in report.findings)
    if fail_on == "new":
        return bad and not report.known
    if fail_on == "warning":
        return bad or any(finding.severity is Severity.WARNING for finding in report.findings)
    return fail_on == "error" and bad


def _render(report: Report, form: str, path: str | None) -> None:
    """Write a report. What is made for programs is UTF-8 wherever it goes."""
    from kdbg.triage.views import view

    text = view(form)(report)
    if path is None and form != "text":
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    elif path is None:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    else:
        write(path, text)


def write(path: str | None, text: str) -> None:
    """Write a text to a file, or to standard output. Raises `Error`."""
    if path is None:
        sys.stdout.write(text)
        return
    try:
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise Error(f"{path}: {error.strerror}") from None

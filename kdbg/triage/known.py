"""Known issues: TOML files that say what a failure is called, where it is told of, and how it is recognised.

    [[issue]]
    name = "bcopy of a null pointer in strread"
    link = "https://example.org/issues/17"
    word = "Fixed in snv_112: a race between close and read."
    signature = ["31f0c2..."]           # digests; any of them
    finding = ["kmem.corrupt"]          # names (* and ? as in file names); all of them
    message = 'BAD TRAP.*addr=30'       # a regular expression over the verdict and the log that belongs to it
    kernel = ">=5.10, <6.2"             # versions of the kernel's release

All that an issue says has to fit; an issue that says nothing fits nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from kdbg.errors import UsageError
from kdbg.triage.report import Known, Report

FIELDS = frozenset({"name", "link", "word", "signature", "finding", "message", "kernel"})
CONDITIONS = ("signature", "finding", "message", "kernel")
MOST_SEARCHED = 1 << 12
"""Characters of a message that a pattern is tried on: no kernel writes longer lines."""
SECONDS = 2.0
"""That an issue's pattern may take: a dump's log can be made so that a harmless one takes for ever."""
_RANGE = re.compile(r"(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)*)$")
_BEGINS = re.compile(r"\s*\[\[\s*issue\s*\]\]")
_VERSION = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Issue:
    """A known issue."""

    name: str
    link: str | None = None
    word: str | None = None
    signature: tuple[str, ...] = ()
    finding: tuple[str, ...] = ()
    message: re.Pattern[str] | None = None
    kernel: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def fits(self, report: Report) -> str | None:
        """Why it fits a report: a sentence; None if it does not."""
        reasons = []
        if self.signature:
            if report.signature.digest not in self.signature:
                return None
            reasons.append(f"its signature is {report.signature.digest}")
        if self.finding:
            found = {finding.name for finding in report.findings}
            if not all(any(fnmatchcase(name, pattern) for name in found) for pattern in self.finding):
                return None
            reasons.append(f"it has {', '.join(self.finding)}")
        if self.message:
            hit = next((text for text in _messages(report) if self.message.search(text[:MOST_SEARCHED])), None)
            if hit is None:
                return None
            reasons.append(f'"{hit[:80]}" matches')
        if self.kernel:
            release = _version(report.identity.release or "")
            if release is None or not all(_holds(release, operator, wanted) for operator, wanted in self.kernel):
                return None
            reasons.append(f"the kernel is {report.identity.release}")
        return "; ".join(reasons) or None


def _messages(report: Report) -> Iterator[str]:
    yield report.verdict.sentence
    for line in report.log:
        yield line.text


def _version(text: str) -> tuple[int, ...] | None:
    found = _VERSION.match(text)
    return tuple(map(int, found[0].split("."))) if found else None


def _holds(release: tuple[int, ...], operator: str, wanted: tuple[int, ...]) -> bool:
    """Compare as many parts as are wanted: 6.1.90 is 6.1, and not above it."""
    padded = (*release, *(0 for _ in wanted))[: len(wanted)]
    return {
        "<": padded < wanted,
        "<=": padded <= wanted,
        ">": padded > wanted,
        ">=": padded >= wanted,
        "==": padded == wanted,
        "!=": padded != wanted,
    }[operator]


def read_known(paths: Iterable[str]) -> list[Issue]:
    """The issues in files, and in all ``*.toml`` of directories. Raises `UsageError` that says what is wrong where."""
    found: list[Issue] = []
    for name in paths:
        path = Path(name)
        files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{name}: no *.toml in it")
        for file in files:
            found.extend(_of_file(file))
    return found


def _of_file(path: Path) -> Iterator[Issue]:
    import tomllib

    try:
        text = path.read_bytes().decode()
        told = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: its tables lie too deep in each other") from None
    issues = told.get("issue")
    if not isinstance(issues, list) or not all(isinstance(one, dict) for one in issues):
        raise UsageError(f"{path}: an issue begins with [[issue]]")
    for number, one in enumerate(issues, 1):
        try:
            yield _issue(one)
        except (ValueError, TypeError, re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"{path}: issue {number}{_place(text, number)}: {error}") from None


def _place(text: str, number: int) -> str:
    """The line at which an issue begins, for a sentence; nothing where the file is written in some other way."""
    lines = [at for at, line in enumerate(text.splitlines(), 1) if _BEGINS.match(line)]
    return f" (line {lines[number - 1]})" if len(lines) >= number else ""


def _issue(told: Mapping[str, Any]) -> Issue:
    unknown = sorted(set(told) - FIELDS)
    if unknown:
        raise ValueError(f"no such field: {', '.join(unknown)} (there are {', '.join(sorted(FIELDS))})")
    if not isinstance(told.get("name"), str):
        raise ValueError("it has no name")
    if not any(told.get(condition) for condition in CONDITIONS):
        raise ValueError(f"nothing says when it fits: {', '.join(CONDITIONS)}")
    return Issue(
        told["name"],
        _text(told, "link"),
        _text(told, "word"),
        _texts(told, "signature"),
        _texts(told, "finding"),
        re.compile(message) if (message := _text(told, "message")) else None,
        tuple(_range(part.strip()) for part in (_text(told, "kernel") or "").split(",") if part.strip()),
    )


def _text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _texts(told: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = told.get(name, ())
    values: Sequence[Any] = (value,) if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(one, str) for one in values):
        raise TypeError(f"{name} is no list of texts")
    return tuple(values)


def _range(text: str) -> tuple[str, tuple[int, ...]]:
    found = _RANGE.match(text)
    if found is None:
        raise ValueError(f"kernel: {text} is not like >=5.10")
    return found[1], tuple(map(int, found[2].split(".")))


def known_issues(report: Report, issues: Iterable[Issue]) -> tuple[tuple[Known, ...], tuple[str, ...]]:
    """The issues that fit a report, and notes of those that could not be tried."""
    from kdbg.triage.case import OutOfTime
    from kdbg.triage.running import interrupted_after

    found, notes = [], []
    for issue in issues:
        try:
            with interrupted_after(SECONDS):
                by = issue.fits(report)
        except OutOfTime:
            notes.append(f"known issue {issue.name}: its pattern takes longer than {SECONDS:g} s on this log")
            continue
        if by is not None:
            found.append(Known(issue.name, issue.link, issue.word, by))
    return tuple(found), tuple(notes)

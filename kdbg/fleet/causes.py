"""What a fleet died of: the rows of a table by their signature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from kdbg.fleet.row import DONE, NO_DUMP, Row


@dataclass(frozen=True, slots=True)
class Cause:
    """Dumps with the same signature, or that could not be looked at for the same reason."""

    signature: str | None
    """The digest; None for dumps without one."""
    text: str
    """The signature, or the reason."""
    count: int
    first: float | None
    """When the first of them was taken, as far as that is known: seconds since 1970."""
    last: float | None
    kernels: tuple[str, ...]
    """Releases, the most frequent first."""
    findings: tuple[str, ...]
    known: tuple[str, ...]
    example: str
    """A dump to open: the newest one."""


def causes(rows: Iterable[Row]) -> list[Cause]:
    """The causes, the most frequent first; what is no dump at all is left out."""
    groups: dict[tuple[str | None, str], list[Row]] = {}
    for row in rows:
        if row.outcome == DONE:
            groups.setdefault((row.signature, row.cause or row.kind or ""), []).append(row)
        elif row.outcome != NO_DUMP:
            groups.setdefault((None, f"{row.outcome}: {_reason(row)}"), []).append(row)
    found = [_cause(signature, text, members) for (signature, text), members in groups.items()]
    return sorted(found, key=lambda one: (-one.count, one.signature is None, one.text))


def _reason(row: Row) -> str:
    """The error without the names of the dump's files, so that equal ones are equal."""
    text = row.error or ""
    for name in (row.dump, *row.dump.split(" ")):
        text = text.removeprefix(f"{name}: ")
        if "/" in name:
            text = text.replace(name, "FILE")
    return text


def _cause(signature: str | None, text: str, rows: list[Row]) -> Cause:
    times = [when for row in rows if (when := row.time or row.modified)]
    newest = max(rows, key=lambda row: row.time or row.modified)
    return Cause(
        signature,
        text,
        len(rows),
        min(times, default=None),
        max(times, default=None),
        _frequent(row.release for row in rows if row.release),
        _frequent(name for row in rows for name in row.findings),
        _frequent(name for row in rows for name in row.known),
        newest.dump,
    )


def _frequent(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word, _ in Counter(words).most_common())


def day(seconds: float | None) -> str:
    """The day of a time, in UTC; "" where it is none."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d") if seconds is not None else ""
    except (OverflowError, ValueError, OSError):
        return ""

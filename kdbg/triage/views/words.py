"""Words of a report for people: texts out of a dump made harmless and short, times, sizes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from kdbg.lang.visible import visible
from kdbg.triage.report import Finding, Identity, Known

MOST = 4000
"""Characters of a text that a view shows: a name in a damaged dump may be a megabyte."""
MOST_IN_LINE = 400


class Shown(str):
    """Text that is fit to be shown already: to make it so a second time would take its characters for bytes."""

    __slots__ = ()


def clean(text: str, most: int = MOST) -> Shown:
    """A text with its lines, everything escaped that is not printable, and cut where it is too long for anybody.

    Characters up to U+00FF stand for bytes, as everywhere in kdbg: those that are UTF-8 show as what they mean.
    """
    if isinstance(text, Shown):
        return text
    cut = f" ... ({len(text)} characters)" if len(text) > most else ""
    return Shown(visible(text[:most]) + cut)


def line(text: str, most: int = MOST_IN_LINE) -> Shown:
    """A text as one line without blanks in a row."""
    return Shown(" ".join(clean(text, most).split()))


def typed(text: str, most: int = MOST_IN_LINE) -> Shown:
    """Text that a person or the system wrote, where a character is a character, as one line: the name of a file."""
    return line(text.encode("utf-8", "surrogatepass").decode("latin-1"), most)


def file_name(name: str) -> Shown:
    """The name of a file as the system gave it, as one line; bytes of it that are no UTF-8 show as such."""
    try:
        return line(name.encode("utf-8", "surrogateescape").decode("latin-1"), 1000)
    except UnicodeEncodeError:
        return typed(name, 1000)


def base_name(name: str) -> Shown:
    """The last part of a file's name."""
    return Shown(file_name(name).rstrip("/").rpartition("/")[2] or "dump")


def when(seconds: float) -> str:
    """A time since 1970 as a date."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"


def span(seconds: float) -> str:
    """A time that passed, with its two largest units."""
    if not 0 <= seconds < 1e11:
        return f"{seconds:g} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    left, parts = int(seconds), []
    for size, name in units:
        if left >= size:
            parts.append(f"{left // size} {name}")
        left %= size
    return " ".join(parts[:2]) or f"{seconds:.3g} s"


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 100 or count == int(count) else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def plural(count: int, word: str) -> str:
    """``1 page``, ``2 pages``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def facts(identity: Identity) -> list[tuple[str, Shown]]:
    """What the dump is of: labels and values, those that are known."""
    told = identity
    pages = plural(told.pages, "page") + (f", {told.missing:,} missing" if told.missing else "")
    found = [
        ("System", told.kernel),
        ("Build", told.build if told.build and told.build not in (told.kernel or "") else None),
        ("Host", told.host),
        ("Taken", when(told.time) if told.time is not None else None),
        ("Up for", span(told.uptime) if told.uptime is not None else None),
        ("CPUs", str(told.cpus) if told.cpus else None),
        ("Memory", size(told.memory_size) if told.memory_size else None),
        ("Machine", f"{told.architecture}, {told.bits} bits"),
        ("Format", told.format),
        ("Pages", pages if told.pages else None),
        ("Damage", "; ".join(told.damage) or None),
    ]
    return [(label, line(value)) for label, value in found if value]


def known_words(known: Known) -> list[Shown]:
    """What a known issue is called, where it is told of, and what is said of it: each that is there."""
    return [typed(one) for one in (known.name, known.link, known.word) if one]


def grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """The findings of each name, in the order in which the names first come."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.severity, finding.name), []).append(finding)
    return list(found.values())

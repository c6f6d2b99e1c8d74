"""What is kept of each dump of a fleet: a row of the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdbg.triage.report import Report

DONE, NO_DUMP, ERROR, TOO_LONG, KILLED = "done", "no dump", "error", "too long", "killed"
"""How it ended: ``killed`` is the end of a process that took more memory than allowed, or that something else ended."""

TEXTS = "tuple[str, ...]"
TAKES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "str | None": (str, type(None)),
    "float | None": (int, float, type(None)),
}
"""What a field's type, as it is written, takes of JSON and of parquet."""


@dataclass(frozen=True, slots=True)
class Row:
    """A dump, and what came of it. Field names are those of the table's columns."""

    dump: str
    """The name, as given or found; the files of one dump joined by blanks."""
    size: int
    modified: float
    """Of its (first) file: seconds since 1970; with the size it tells whether a dump is still the same."""
    outcome: str
    error: str | None = None
    seconds: float = 0.0
    kind: str | None = None
    verdict: str | None = None
    sure: str | None = None
    signature: str | None = None
    """The digest."""
    cause: str | None = None
    """The signature's text."""
    kernel: str | None = None
    release: str | None = None
    host: str | None = None
    time: float | None = None
    findings: tuple[str, ...] = ()
    """Names, each once."""
    known: tuple[str, ...] = ()
    report: str | None = None
    """The whole report as JSON."""

    @property
    def key(self) -> tuple[str, int, float]:
        """What tells whether it is done already."""
        return self.dump, self.size, self.modified

    @classmethod
    def of_report(cls, dump: str, size: int, modified: float, seconds: float, report: Report) -> Row:
        """The row of a dump that was looked over."""
        from kdbg.triage.views import view

        told, found = report.identity, report.verdict
        return cls(
            dump,
            size,
            modified,
            DONE,
            seconds=round(seconds, 3),
            kind=found.kind.value,
            verdict=found.sentence,
            sure=found.sure.value,
            signature=report.signature.digest,
            cause=report.signature.text,
            kernel=told.kernel,
            release=told.release,
            host=told.host,
            time=told.time,
            findings=tuple(dict.fromkeys(finding.name for finding in report.findings)),
            known=tuple(one.name for one in report.known),
            report=view("json")(report),
        )

    @classmethod
    def of_plain(cls, told: dict[str, Any]) -> Row:
        """A row out of a mapping, as `plain` gives it. Raises `ValueError` where it is none."""
        if not isinstance(told, dict) or not {"dump", "size", "modified", "outcome"} <= set(told):
            raise ValueError("no row of a fleet")
        chosen: dict[str, Any] = {}
        for field in fields(cls):
            value = told.get(field.name)
            if field.type == TEXTS:
                value = tuple(value or ())
                if not all(isinstance(one, str) for one in value):
                    raise ValueError(f"{field.name} of a row is no list of texts")
            elif field.name in told and not isinstance(value, TAKES[str(field.type)]):
                raise ValueError(f"{field.name} of a row is {value!r:.80}")
            elif field.name not in told:
                continue
            chosen[field.name] = value
        return cls(**chosen)

    def plain(self) -> dict[str, Any]:
        """A mapping that JSON and parquet take."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

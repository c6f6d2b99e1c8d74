"""Lists of a kernel that lead nowhere, whatever the kernel: each is followed to its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kdbg.errors import Error, SymbolNotFound, TypeNotFound
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

MOST = 1_000_000
"""Elements after which a list is taken for a circle."""
MOST_TOLD = 4
Walk = Callable[[Any], Iterator[Any]]
BROKEN = (
    "breaks off", "ends at", "ends there", "loop", "circle", "leads", "comes a second time", "cannot be followed",
    "has invalid",
)  # fmt: skip
"""In a note: a list that was not followed to its end."""
_ADDRESS = re.compile(r"\b[0-9a-f]{8,16}\b")


def list_findings(case: Case, lists: Sequence[tuple[str, str, Walk]]) -> Iterator[Finding]:
    """``list.corrupt`` for each list that cannot be followed: (what, command, the walk along it).

    What breaks off at a page that the dump lacks is none: a note tells of it.
    """
    for what, command, walk in lists:
        before, count, error = len(case.target.notes), 0, None
        try:
            for count, _ in enumerate(walk(case.kernel), 1):
                case.check()
                if count > MOST:
                    break
        except (TypeNotFound, SymbolNotFound):
            continue  # of this kernel it cannot be told
        except Error as stopped:
            error = stopped
        notes = [note for note in case.target.notes[before:] if any(word in note for word in BROKEN)]
        told = [str(error), *notes] if error is not None else notes
        if error is not None and str(error) not in case.target.notes:
            case.target.note(f"the list of {what}: {error}")
        broken = [text for text in told if not _is_lacking(case, text)]
        if count > MOST:
            broken.append(f"it has more than {MOST} elements")
        if broken:
            yield case.finding(
                "list.corrupt",
                f"the list of {what} breaks off after {count}: {broken[0]}",
                command,
                [Evidence(text, command) for text in broken[:MOST_TOLD]],
                addresses=[at] if (at := getattr(error, "address", 0)) else [],
            )


def _is_lacking(case: Case, text: str) -> bool:
    """Whether a text tells of an address that the dump lacks."""
    return any(case.lacks(int(word, 16)) for word in _ADDRESS.findall(text))

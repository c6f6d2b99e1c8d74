"""What is wrong with the dump itself: it lacks memory, or its file is damaged."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

NO_LOSS = ("exclud", "filter", "left out", "no frame behind")
"""In a reason why pages are missing: they were left out on purpose, or the guest has no memory there."""
MOST_SHOWN = 10


@analyser("dump", "whether the dump is whole", finds=("dump.incomplete", "dump.damaged"))
def dump(case: Case) -> Iterator[Finding]:
    """What the format says of its completeness, and what is wrong with its file."""
    info = case.target.info
    lost = {why: count for why, count in info.missing_why.items() if not any(word in why for word in NO_LOSS)}
    if not info.complete or any(lost.values()):
        pages = sum(lost.values()) or info.missing
        facts = [Evidence(f"{count} pages: {why}", "::status") for why, count in lost.items() if count]
        yield case.finding("dump.incomplete", f"the dump lacks {pages} pages that it should hold", "::status", facts)
    if info.damage:
        more = f", and {len(info.damage) - 1} more" if len(info.damage) > 1 else ""
        facts = [Evidence(text, "::status") for text in info.damage[:MOST_SHOWN]]
        yield case.finding("dump.damaged", f"the dump's file is damaged: {info.damage[0]}{more}", "::status", facts)

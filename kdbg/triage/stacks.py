"""Stacks that cannot be followed to their end."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

ENDED = ("invalid", "aligned", "cannot", "broken", "no mapping", "unreadable", "circle")
"""In the note of a frame: the unwinder gave up there."""


@analyser("stacks", "stacks that cannot be followed", finds=("stack.corrupt",), needs=("kernel",), budget=10.0)
def stacks(case: Case) -> Iterator[Finding]:
    """The threads whose stack ends badly."""
    for thread, frames in case.stacks():
        note = frames[-1].note if frames else None
        if note and any(word in note for word in ENDED):
            yield case.finding(
                "stack.corrupt",
                f"the stack of {case.who(thread.address)} cannot be followed: {note}",
                f"{thread.address:x}::findstack -v",
                [Evidence(f"its last good frame is {frames[-2].text}")] if len(frames) > 1 else (),
                threads=[thread.address],
            )

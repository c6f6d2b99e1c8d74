"""Stacks that cannot be followed to their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

if TYPE_CHECKING:
    from kdbg.records import Thread

STACK, PAGE = 1 << 14, 1 << 12
"""How much of a stack is asked for: what kernels give to one, mostly."""
ENDED = ("invalid", "aligned", "cannot", "broken", "no mapping", "unreadable", "circle")
"""In the note of a frame: the unwinder gave up there."""


@analyser("stacks", "stacks that cannot be followed", finds=("stack.corrupt",), needs=("kernel",), budget=10.0)
def stacks(case: Case) -> Iterator[Finding]:
    """The threads whose stack ends badly."""
    for thread, frames in case.stacks():
        note = frames[-1].note if frames else None
        if note and any(word in note for word in ENDED) and not _is_lacking(case, thread):
            yield case.finding(
                "stack.corrupt",
                f"the stack of {case.who(thread.address)} cannot be followed: {note}",
                f"{thread.address:x}::findstack -v",
                [Evidence(f"its last good frame is {frames[-2].text}")] if len(frames) > 1 else (),
                threads=[thread.address],
            )


def _is_lacking(case: Case, thread: Thread) -> bool:
    """Whether the dump lacks a part of a thread's stack."""
    pointer = int(getattr(thread, "sp", 0))
    return any(case.lacks(at) for at in range(pointer, pointer + STACK, PAGE)) if pointer else False

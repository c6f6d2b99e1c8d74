"""``::triage``: what happened, at the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdbg.dcmds.registry import NONE, Call, dcmd


@dcmd(
    "triage",
    "say what happened: verdict, findings, signature",
    address=NONE,
    text=lambda record, view: record.text().rstrip("\n"),
    module="kdbg",
    help=(
        "Looks the dump over: a verdict with its evidence, the thread that matters, what each CPU was doing, what is "
        "found to be wrong with the command that shows it, and a signature that is the same for the same cause "
        "elsewhere. docs/triage.md tells what each finding means. The same from the shell: kdbg triage DUMP."
    ),
    example="::triage",
)
def triage(call: Call) -> Iterator[Any]:
    """The report."""
    target: Any = call.target
    yield target.triage()

"""What a report looks like: each view is a function from a `kdbg.triage.report.Report` to text."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from kdbg.triage.report import Report

FORMATS = {
    "text": "kdbg.triage.views.text",
    "json": "kdbg.triage.views.json",
    "junit": "kdbg.triage.views.junit",
    "sarif": "kdbg.triage.views.sarif",
    "markdown": "kdbg.triage.views.markdown",
    "html": "kdbg.triage.views.html",
}
"""Name -> module, whose ``render(report)`` gives the text."""


def view(name: str) -> Callable[[Report], str]:
    """The function that renders a report in that format."""
    render: Callable[[Report], str] = import_module(FORMATS[name]).render
    return render

"""A report as JSON: its records by the names of their fields, under the schema of `kdbg.triage.schema`."""

from __future__ import annotations

import json
from typing import Any

from kdbg.triage.report import Report
from kdbg.triage.schema import plain


def render(report: Report) -> str:
    """The report as one JSON object, in ASCII: nothing in it acts on a terminal."""
    made: Any = plain(Report, report)
    return json.dumps(made, indent=1, allow_nan=False).replace("\x7f", "\\u007f") + "\n"

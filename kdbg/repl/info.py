"""``kdbg info``: what each file is, without looking for a kernel in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from kdbg.errors import Error, UsageError
from kdbg.repl.tools import Given


def run(words: Sequence[str]) -> int:
    """Describe each file; the exit status. Raises `UsageError`."""
    from kdbg.repl.screen import visible as clean

    given = Given(words, ("--format", "--base"), ("--raw",))
    form = given.one("--format", "text")
    if form not in ("text", "json"):
        raise UsageError(f"format {form}: text or json")
    base = _base(given)
    failed = 0
    for file in given.files:
        try:
            told = _facts(file, base)
        except Error as error:
            sys.stderr.write(clean(f"kdbg: {error}") + "\n")
            told, failed = _refusal(file, error), 1
            if form == "text":
                continue
        if form == "json":
            import json

            print(json.dumps(told, indent=1))
        else:
            print("\n".join(clean(line) for line in _lines(told)))
    return failed


def _base(given: Given) -> int | None:
    """Where the memory that files are said to be begins; None: they are what their bytes say."""
    from kdbg.repl.arguments import ArgumentError, physical

    text = given.one("--base")
    if text is None:
        return 0 if "--raw" in given.flags else None
    try:
        return physical("base", text)
    except ArgumentError as error:
        raise UsageError(str(error)) from None


def _facts(file: str, base: int | None) -> dict[str, Any]:
    """`Info` of a file by the names of its fields, and what would make the dump serve better. Raises `Error`."""
    from dataclasses import asdict

    from kdbg.formats import open_file, open_memory
    from kdbg.repl.opening import opening

    with opening(file) as tell:
        image = open_file(file, tell) if base is None else open_memory(file, base, tell)
        told = asdict(image.describe())
    if image.advice:
        told["advice"] = list(image.advice)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _refusal(file: str, error: Error) -> dict[str, Any]:
    """The same of a file that is no dump: what it is all the same, or looks like, and what formats expected."""
    told: dict[str, Any] = {"file": file, "format": None, "error": error.reason or str(error)}
    told |= {name: getattr(error, name) for name in ("known", "looks", "refusals") if getattr(error, name, None)}
    return told


def _lines(told: dict[str, Any]) -> list[str]:
    """Label and value of each thing that is known; sizes and times for people."""
    lines = []
    for name, value in told.items():
        if value in (None, [], {}, "") or (name, value) == ("cpus", 0):
            continue
        shown: dict[str, Any] = value if isinstance(value, dict) else {"": value}
        for inner, one in shown.items():
            if one in (None, "", []):
                continue
            label = f"{name} {inner}".strip().replace("_", " ")
            lines.append(f"{label:<28} {_shown(name, inner, one)}")
    return lines


def _shown(name: str, inner: str, value: Any) -> str:
    if name == "memory_size":
        return f"{value} ({value / (1 << 20):.1f} MiB)"
    if name == "time":
        from kdbg.dcmds.machine import moment

        return moment(value)
    if inner == "base":
        return f"{value:x}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)

"""Recorded sessions of a real mdb, played again: `tests/golden/language/README.md`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "language"
ROOT = Path(__file__).parents[2]
MARKER = "@@step-{}@@"


def sessions() -> list[Any]:
    with (HERE / "sessions.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def play(session: dict[str, Any]) -> tuple[list[str], int]:
    """Outputs of all steps, and the exit status."""
    typed = []
    for number, step in enumerate(session["steps"]):
        text = step["in"]
        typed.append(text if text.endswith("\n") or not text else text + "\n")
        typed.append(f"\n!echo {MARKER.format(number)}\n")
    typed.pop()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C", "TZ": "UTC", "TERM": "dumb",
                   "SHELL": "/bin/sh", "HOME": "/nonexistent"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "kdbg.cli", *session["args"]], cwd=HERE, env=environment, check=False, timeout=60,
        input="".join(typed).encode("latin-1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    rest, outputs = done.stdout.decode("latin-1"), []
    for number in range(len(session["steps"]) - 1):
        output, _, rest = rest.partition(MARKER.format(number) + "\n")
        outputs.append(output)
    return [*outputs, rest], done.returncode


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session["id"])
def test_a_recorded_session(session):
    outputs, status = play(session)
    head = session.get("head")
    for step, output in zip(session["steps"], outputs, strict=True):
        shown = "".join(output.splitlines(keepends=True)[:head]) if head else output
        assert shown == step["out"], step["in"]
    assert status == session.get("exit", 0)

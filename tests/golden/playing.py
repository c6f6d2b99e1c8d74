"""Play a recorded session of mdb's: its steps on standard input, told apart by lines that a shell escape prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARKER = "@@step-{}@@"


def play(session: dict[str, Any], folder: Path) -> tuple[list[str], int]:
    """Outputs of all steps, and the exit status, of a session that runs in a folder."""
    typed = []
    for number, step in enumerate(session["steps"]):
        text = step["in"]
        typed.append(text if text.endswith("\n") or not text else text + "\n")
        typed.append(f"\n!echo {MARKER.format(number)}\n")
    typed.pop()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LC_ALL": "C", "TZ": "UTC", "TERM": "dumb",
                   "SHELL": "/bin/sh", "HOME": "/nonexistent"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "kdbg.cli", *session["args"]], cwd=folder, env=environment, check=False, timeout=60,
        input="".join(typed).encode("latin-1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    rest, outputs = done.stdout.decode("latin-1"), []
    for number in range(len(session["steps"]) - 1):
        output, _, rest = rest.partition(MARKER.format(number) + "\n")
        outputs.append(output)
    return [*outputs, rest], done.returncode


def check(session: dict[str, Any], folder: Path) -> None:
    """Play a session and hold every step that has a recorded answer against it."""
    outputs, status = play(session, folder)
    head = session.get("head")
    for step, output in zip(session["steps"], outputs, strict=True):
        shown = "".join(output.splitlines(keepends=True)[:head]) if head else output
        assert shown == step.get("out", shown), step["in"]
    assert status == session.get("exit", 0)

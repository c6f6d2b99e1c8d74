"""The fuzz target of every parser, a minute each (`make test-all`), in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.dumps import KINDS

SECONDS = 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_of_each_target(kind: str) -> None:
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root.parent)))}
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.targets", kind, str(SECONDS)],
        capture_output=True, text=True, timeout=5 * SECONDS, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

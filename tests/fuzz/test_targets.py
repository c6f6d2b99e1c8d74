"""The fuzz target of every parser, a minute each (`make test-all`), in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.dumps import KINDS, probe
from fuzz.mutations import watchdog
from fuzz.targets.__main__ import CORPUS

SECONDS = 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_of_each_target(kind: str, tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root.parent)))}
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.targets", kind, str(SECONDS)],
        capture_output=True, text=True, timeout=5 * SECONDS, env=environment, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name[:20]}")
def test_what_was_answered_wrongly_once(path: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(path.read_bytes())
    with watchdog():
        probe(dump)

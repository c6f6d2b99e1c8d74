"""Recorded sessions of a real mdb on the sample dumps, played again: `tests/golden/kernel/README.md`."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from tests.golden.playing import check

HERE = Path(__file__).parent / "kernel"


def sessions() -> list[Any]:
    found = []
    for path in sorted(HERE.glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            found += [json.loads(line) for line in stream]
    return found


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session["id"])
def test_a_recorded_session(session, unpacked):
    check(session, unpacked(session["args"][-1]).parent)

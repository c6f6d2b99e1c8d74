"""Recorded sessions of a real mdb, played again: `tests/golden/language/README.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.playing import check

HERE = Path(__file__).parent / "language"


def sessions() -> list[Any]:
    with (HERE / "sessions.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session["id"])
def test_a_recorded_session(session):
    check(session, HERE)

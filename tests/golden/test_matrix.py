"""What every dcmd and walker answers on small dumps is what is recorded: `tests/golden/record.py`."""

from __future__ import annotations

import pytest

from tests.golden.record import DUMPS, HERE, answers


@pytest.mark.parametrize("name", DUMPS)
def test_answers_are_the_recorded_ones(name, tmp_path):
    assert answers(name, tmp_path).splitlines() == (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()

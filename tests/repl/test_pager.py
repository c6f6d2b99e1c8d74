"""The pager's keys."""

from __future__ import annotations

import pytest

from kdbg.repl.pager import Pager
from kdbg.repl.screen import Stopped, terminal_size


def press(*keys: str) -> tuple[int | None, str]:
    waiting, written = list(keys), []
    answer = Pager(lambda: waiting.pop(0), written.append)()
    assert not waiting
    return answer, "".join(written)


def test_space_is_a_page_and_enter_a_line() -> None:
    assert press(" ")[0] == terminal_size().lines - 1
    assert press("\r")[0] == 1
    assert press("c")[0] is None


def test_other_keys_are_passed_over() -> None:
    assert press("x", "?", "\r")[0] == 1


@pytest.mark.parametrize("key", ["q", "Q", "\x03", "\x04", ""])
def test_q_stops(key: str) -> None:
    with pytest.raises(Stopped):
        press(key)


def test_the_question_is_wiped_out() -> None:
    question, carriage, blank = press(" ")[1].partition("\r")
    assert question.startswith("-- more --")
    assert (carriage + blank).strip(" \r") == ""
    assert len(blank) == len(question) + 1

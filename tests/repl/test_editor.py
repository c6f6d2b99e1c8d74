"""The line editor, on prompt-toolkit's own pipe and screen."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from kdbg.repl.editor import Editor
from kdbg.repl.prompt import Prompt
from kdbg.repl.terminal import TerminalSession
from kdbg.target import Nothing

Type = Callable[[str], Prompt]


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keyboard:
        yield keyboard


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keyboard: PipeInput) -> Type:
    """Type keys at a fresh prompt until it is left; the prompt, its screen a text stream."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def type_(keys: str) -> Prompt:
        session = TerminalSession(Nothing(""))
        session.screen.stream = io.StringIO()
        session.errors.stream = session.screen.stream
        prompt = Prompt(session, Editor(keyboard, DummyOutput()).read_line)
        keyboard.send_text(keys)
        prompt.loop()
        return prompt

    return type_


def written(prompt: Prompt) -> str:
    stream = prompt.session.screen.stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_a_line_is_run(typing: Type) -> None:
    assert written(typing("1+1=D\r$q\r")) == "                2               \n\n"


def test_ctrl_d_leaves(typing: Type) -> None:
    assert written(typing("\x04")) == ""


def test_ctrl_c_drops_the_line(typing: Type) -> None:
    assert written(typing("::echo a\x03::echo b\r\x04")) == "b \n"


def test_an_error_is_told_and_the_session_goes_on(typing: Type) -> None:
    told = written(typing("::pirnt\r::echo on\r\x04"))
    assert told == "kdbg: invalid command '::pirnt': unknown dcmd name\ndid you mean ::print?\non \n"


def test_pasted_lines_run_one_after_the_other(typing: Type) -> None:
    assert written(typing("\x1b[200~::echo a\n::echo b\x1b[201~\r\x04")) == "a \nb \n"


def test_an_empty_line_does_nothing(typing: Type) -> None:
    assert written(typing("\r\r\x04")) == ""


def test_a_bare_expression_repeats_the_last_command_as_in_mdb(typing: Type) -> None:
    assert written(typing("1=D\r7\r\x04")).split() == ["1", "7"]


def test_characters_beyond_ascii_are_bytes(typing: Type) -> None:
    assert written(typing("::echo ö\r\x04")) == "ö \n"


def test_ignoreeof(typing: Type) -> None:
    assert written(typing("::set -o ignoreeof\r\x04::echo here\r$q\r")) == "kdbg: $q leaves\nhere \n\n"


def test_a_mistake_of_ours_is_one_line(typing: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TerminalSession, "run", lambda self, source: 1 // 0)
    told = written(typing("1\r\x04"))
    assert "internal error" in told
    assert told.count("\n") == 1


def test_what_is_found_odd_on_the_way_is_told_once(typing: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: TerminalSession, source: object) -> bool:
        for number in range(3 if not self.target.notes else 0):
            self.target.note(f"module {number} is damaged \x1b[2J")
        return True

    monkeypatch.setattr(TerminalSession, "run", run)
    assert written(typing("1\r1\r\x04")) == "note: module 0 is damaged \\033[2J (and 2 more)\n"

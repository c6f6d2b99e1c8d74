"""What reaches the terminal."""

from __future__ import annotations

import io
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.repl.screen import ErrorScreen, Screen, Stopped, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2J", r"\033[2J"),
        ("a\rb\x08c\x00\x7f", r"a\015b\010c\000\177"),
        ("\x9b31m", r"\23331m"),
        ("gr\xc3\xb6\xc3\x9fe", "größe"),
        ("\xe2\x80\xae", r"\342\200\256"),
        ("\xc2\x9b", r"\302\233"),
        ("\xe2\x80\x8b\xef\xbb\xbf", r"\342\200\213\357\273\277"),
        ("\xff\xfe", r"\377\376"),
        ("\u202e", r"\342\200\256"),
        ("ok \u2713", "ok ✓"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_without_unicode_all_but_ascii_is_escaped() -> None:
    assert visible("gr\xc3\xb6n", unicode=False) == r"gr\303\266n"


@given(st.text())
def test_nothing_but_newline_and_tab_can_act(text: str) -> None:
    for char in visible(text):
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@given(st.binary())
def test_any_bytes_of_a_dump_are_harmless(data: bytes) -> None:
    assert all(char in "\n\t" or char.isprintable() for char in visible(data.decode("latin-1")))


def _screen(lines: int, *answers: int | None) -> tuple[Screen, io.StringIO, list[str]]:
    stream = io.StringIO()
    asked: list[str] = []
    replies = list(answers)

    def more() -> int | None:
        asked.append(stream.getvalue())
        if not replies:
            raise Stopped
        return replies.pop(0)

    return Screen(stream, more, size=lambda: os.terminal_size((10, lines))), stream, asked


def test_a_page_ends_before_the_line_that_does_not_fit() -> None:
    screen, stream, asked = _screen(4, 3, None)
    screen.begin(paging=True)
    for number in range(20):
        screen.emit(f"{number}\n")
    assert [text.count("\n") for text in asked] == [3, 6]
    assert stream.getvalue().count("\n") == 20


def test_long_lines_take_several_rows() -> None:
    screen, _, asked = _screen(4, None)
    screen.begin(paging=True)
    screen.emit("x" * 25 + "\n")
    screen.emit("next\n")
    assert len(asked) == 1


def test_colours_take_no_room() -> None:
    screen, _, asked = _screen(4)
    screen.begin(paging=True)
    screen.emit_own("\033[1mheading\033[0m\n" * 3)
    assert not asked


def test_after_q_nothing_more_of_that_command_is_shown() -> None:
    screen, stream, _ = _screen(3)
    screen.begin(paging=True)
    screen.emit("1\n2\n")
    screen.emit("2\n")
    with pytest.raises(Stopped):
        screen.emit("3\n")
    screen.emit("4\n")
    screen.end()
    screen.begin(paging=True)
    screen.emit("next command\n")
    assert stream.getvalue().endswith("2\nnext command\n")


def test_without_paging_nobody_is_asked() -> None:
    screen, _, asked = _screen(2)
    screen.begin(paging=False)
    for _ in range(50):
        screen.emit("x\n")
    assert not asked


def test_errors_come_behind_what_was_written_before_and_are_harmless_too() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out)
    errors = ErrorScreen(screen, err)
    errors.emit("kdbg: bad \x1b[31m\n")
    assert err.getvalue() == "kdbg: bad \\033[31m\n"
    assert errors.seen == ["kdbg: bad \x1b[31m\n"]

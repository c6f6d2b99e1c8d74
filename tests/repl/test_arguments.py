"""The command line: mdb's letters with mdb's meaning, long options of our own."""

from __future__ import annotations

import pytest

from kdbg.repl.arguments import USAGE, ArgumentError, parse
from kdbg.repl.tools import MODES


def test_letters_and_files_may_be_mixed():
    made = parse(["a", "-fw", "b", "-s10", "-e", "1=K", "+o", "pager", "--", "-c"])
    assert made.files == ["a", "b", "-c"]
    assert made.flags == {"f", "w"}
    assert made.settings.distance == 10
    assert made.texts == ["1=K"]
    assert "pager" not in made.settings.flags


def test_long_options():
    made = parse(["--format=json", "--script", "x", "--safe", "--strict", "file"])
    assert (made.format, made.script, made.files) == ("json", "x", ["file"])
    assert "safe" in made
    assert "strict" in made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-s", "x"], "expected integer following -s"),
        (["-z"], "illegal option -- z"),
        (["-L"], "option requires an argument -- L"),
        (["-L", "a;b"], "module path cannot contain semicolons"),
        (["+x"], "illegal option -- +x"),
        (["-o", "nosuch"], "invalid debugger option -- nosuch"),
        (["--nosuch"], "illegal option -- nosuch"),
        (["--format", "xml"], "invalid argument for option format -- xml"),
        (["-P", "x" * 36], "prompt may not exceed 35 characters"),
    ],
)
def test_the_first_thing_that_is_wrong_is_said(words, said):
    with pytest.raises(ArgumentError) as caught:
        parse(words)
    assert str(caught.value) == said


def test_the_usage_fits_the_window_and_names_all_modes():
    assert max(map(len, USAGE.splitlines())) <= 80
    assert [mode for mode in MODES if mode not in USAGE] == []

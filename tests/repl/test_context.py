"""What stands at the cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.repl.context import Context, Place, at_cursor


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("", Place.EXPRESSION, ""),
        ("thr", Place.EXPRESSION, "thr"),
        ("1+thr", Place.EXPRESSION, "thr"),
        ("genunix`thr", Place.EXPRESSION, "genunix`thr"),
        ("*cpu", Place.EXPRESSION, "cpu"),
        ("*/i/cpu", Place.EXPRESSION, "cpu"),
        ("a==b", Place.EXPRESSION, "b"),
        ("a!=b", Place.EXPRESSION, "b"),
        ("ff", Place.EXPRESSION, "ff"),
        ("1f", Place.EXPRESSION, ""),
        ("<thr", Place.VARIABLE, "thr"),
        ("1>va", Place.VARIABLE, "va"),
        ("::pr", Place.DCMD, "pr"),
        ("0::", Place.DCMD, ""),
        ("::walk thread | ::fi", Place.DCMD, "fi"),
        ("::walk thread;::fi", Place.DCMD, "fi"),
        ("cpu/K", Place.FORMAT, "K"),
        ("1=", Place.FORMAT, ""),
        ("1=K | ::e", Place.DCMD, "e"),
        ("!ls", Place.NOTHING, ""),
        ("::ps ! gre", Place.NOTHING, ""),
        ("// cpu", Place.NOTHING, ""),
        ("// cpu\ncp", Place.EXPRESSION, "cp"),
        ("'ab", Place.NOTHING, ""),
        ('::echo "ab', Place.NOTHING, ""),
        ("::map 'thr", Place.EXPRESSION, "thr"),
        ("::eval '::pri", Place.DCMD, "pri"),
        ("::print $[thr", Place.EXPRESSION, "thr"),
    ],
)
def test_place(text: str, place: Place, word: str) -> None:
    found = at_cursor(text)
    assert (found.place, found.word) == (place, word)


def test_words_behind_a_command() -> None:
    assert at_cursor("1; cpu0::print -a struct cpu cpu_th") == Context(
        Place.ARGUMENT, "cpu_th", "print", ("-a", "struct", "cpu"), "cpu0"
    )


def test_quoted_words_are_words() -> None:
    assert at_cursor("::printf '%s %d\\n' \"a b\"  x").words == ("%s %d\\n", "a b")


def test_an_old_command_is_one() -> None:
    assert at_cursor("$c 1").dcmd == "$c"
    assert at_cursor("$<<mac").dcmd == "$<<"


@given(st.text(alphabet="ab1:$<>/\\?@=!|;'\"[]* \n`.", max_size=30))
def test_any_text_has_a_context(text: str) -> None:
    assert set(at_cursor(text).word) <= set(text)


def test_quotes_behind_a_word_are_no_part_of_it() -> None:
    assert at_cursor("::print 1''").word == "1"

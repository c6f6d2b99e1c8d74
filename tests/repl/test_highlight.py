"""Colours of a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.formatted_text import fragment_list_to_text

from kdbg.repl.highlight import LanguageLexer

LEXER = LanguageLexer(lambda name: name in ("print", "walk", "$c"))


def styles(text: str) -> list[tuple[str, str]]:
    return [(piece[0].removeprefix("class:"), piece[1]) for piece in LEXER.pieces(text) if piece[1].strip()]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("::print -a x", [("dcmd", "::print"), ("option", "-a"), ("", "x")]),
        ("::nosuch x", [("unknown", "::nosuch"), ("", "x")]),
        ("::nosuc", [("dcmd", "::nosuc")]),
        ("cpu/2K", [("symbol", "cpu"), ("operator", "/"), ("format", "2K")]),
        ("0t10=D", [("number", "0t10"), ("operator", "="), ("format", "D")]),
        ("<a", [("variable", "<a")]),
        ("::walk x | ::print", [("dcmd", "::walk"), ("", "x"), ("operator", "|"), ("dcmd", "::print")]),
        ("::walk x ! less", [("dcmd", "::walk"), ("", "x"), ("shell", "! less")]),
        ("// word", [("comment", "// word")]),
        ("$c", [("dcmd", "$c")]),
    ],
)
def test_colours(text: str, wanted: list[tuple[str, str]]) -> None:
    assert styles(text) == wanted


@given(st.text(max_size=40))
def test_no_character_is_lost(text: str) -> None:
    assert fragment_list_to_text(LEXER.pieces(text)) == text

"""Extended regular expressions against what the C library says of them."""

from __future__ import annotations

import pytest

from kdbg.dcmds.ere import PatternError, compile_ere


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a.c", "xabcx", True),
        ("^abc$", "abc", True),
        ("^abc$", "abc\n", False),
        ("a|b", "xb", True),
        ("(ab)+c", "ababc", True),
        ("a{2,3}", "aa", True),
        ("a{2}", "a", False),
        ("[^a-c]", "abc", False),
        ("[]x]", "]", True),
        ("[a-]", "-", True),
        (r"a\.c", "abc", False),
        (r"\d", "d", True),
        ("a**", "b", True),
        ("a+?", "b", True),
        ("[[:digit:]]+", "x7", True),
        ("[[:space:]]", "a b", True),
        ("a&&[b]", "a&&b", True),
        ("(?x)", "x", None),
    ],
)
def test_what_matches(pattern: str, text: str, found: bool | None) -> None:
    if found is None:
        with pytest.raises(PatternError):
            compile_ere(pattern)
    else:
        assert bool(compile_ere(pattern).search(text)) is found


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", "parentheses not balanced"),
        ("a)", "parentheses not balanced"),
        ("[a", "brackets ([ ]) not balanced"),
        ("a{1", "braces not balanced"),
        ("a{x}", "invalid repetition count(s)"),
        ("*", "repetition-operator operand invalid"),
        ("a|*", "repetition-operator operand invalid"),
        ("[[:nope:]]", "invalid character class"),
        ("[z-a]", "invalid character range"),
    ],
)
def test_what_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        compile_ere(pattern)
    assert str(caught.value) == message

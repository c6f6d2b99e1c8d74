"""Expressions: numbers in all notations, operators with their precedence, what cannot be evaluated."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.lang.programs import DATA, Program, raw
from tests.lang.typed import piped


def value(text: str, *before: str) -> str:
    """The value of an expression in hexadecimal."""
    answer = piped("".join(f"{line}\n" for line in (*before, f"{text}=J")))
    return answer.removesuffix("\n").rpartition("\n")[2].strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", "10"), ("0t10", "a"), ("0i101", "5"), ("0o17", "f"), ("0x1F", "1f"), ("0T10", "a"),
        ("ff", "ff"), ("FFFFFFFFFFFFFFFF", "ffffffffffffffff"), ("0t1.5", "3ff8000000000000"),
        ("'a'", "61"), ("'ab'", "6162"), ("''", "0"), (r"'\n'", "a"), (r"'\101'", "41"),
        ("'abcdefgh'", "6162636465666768"),
    ],
)  # fmt: skip
def test_numbers_and_characters(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", "7"), ("(1+2)*3", "9"), ("10-1-1", "e"), ("7%2", "3"), ("7%%2", "1"), ("5#4", "8"), ("8#4", "8"),
        ("1|2^3&1", "3"), ("1<<4", "10"), ("1<<0t64", "1"), ("-1>>0t60", "f"), ("1==1", "1"), ("1!=1", "0"),
        ("-1", "ffffffffffffffff"), ("~0", "ffffffffffffffff"), ("#0", "1"), ("#5", "0"), ("-7%2", "fffffffffffffffd"),
        ("2*3%%4", "6"), ("1+1==2", "1"), ("6&3==3", "0"), ("-1+1", "0"), ("ffffffffffffffff+2", "1"),
    ],
)  # fmt: skip
def test_operators(text, expected):
    assert value(text) == expected


def test_the_default_radix_is_for_numbers_without_a_prefix():
    assert value("10", "0t8$d") == "8"
    assert value("0x10", "0t8$d") == "10"


def test_dot_and_its_neighbours(tmp_path: Path):
    target = raw(tmp_path, bytes(range(64)))
    answer = piped("8/X\n+=J\n8/2X\n^=J\n18/X\n&=J\n", target)
    assert [line.strip() for line in answer.splitlines() if ":" not in line] == ["c", "0", "18"]


def test_memory_is_read_by_star_and_cast(tmp_path: Path):
    target = raw(tmp_path, struct.pack("<QQ", 8, 0x8877665544332211))
    shown = [line.strip() for line in piped("*8=J\n**0=J\n*/c/8=J\n*/2/8=J\n*/i/8=J\n%/l/8=J\n", target).splitlines()]
    assert shown == ["8877665544332211", "8877665544332211", "11", "2211", "44332211", "8877665544332211"]


def test_symbols_and_their_scopes(tmp_path: Path):
    target = Program().open(tmp_path)
    shown = [line.strip() for line in piped("table=J\nprog`table=J\nprog.c`hidden=J\n", target).splitlines()]
    assert shown == [f"{DATA:x}", f"{DATA:x}", f"{DATA + 8:x}"]


def test_a_word_of_hexadecimal_digits_may_be_a_symbol(tmp_path: Path):
    target = Program(symbols=[("add", DATA, 4, 1, 1)]).open(tmp_path)
    shown = [line.strip() for line in piped("add=J\nADD=J\n", target).splitlines()]
    assert shown == [f"{DATA:x}", "add"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1%0", 'attempted to divide by zero on line 1 of (stdin) near "="'),
        ("1%%0", 'attempted to divide by zero on line 1 of (stdin) near "0"'),
        ("8000000000000000%-1", 'divide overflow on line 1 of (stdin) near "="'),
        ("10000000000000000", "specified value exceeds maximum immediate value"),
        ("0t8$d;9", "digit '9' is invalid in current base"),
        ("'123456789'", "character constant may not exceed 8 bytes"),
        ("nosuch", "failed to dereference symbol: no process active"),
        ("<nosuch", "variable 'nosuch' is not defined on line 1 of (stdin) near \"<nosuch\""),
        ("*/z/1", "invalid cast -- */z/"),
        ("0t1a", 'syntax error on line 1 of (stdin) near "a"'),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(text, said):
    assert piped(f"{text}=J\n").splitlines()[-1] == f"kdbg: {said}"


@pytest.mark.parametrize(("depth", "near"), [(97, ")"), (98, "1"), (99, "("), (5000, "(")])
def test_deep_parentheses(depth, near):
    assert value("(" * 96 + "1" + ")" * 96) == "1"
    text = "(" * depth + "1" + ")" * depth
    assert piped(f"{text}=J\n") == f'kdbg: yacc stack overflow on line 1 of (stdin) near "{near}"\n'

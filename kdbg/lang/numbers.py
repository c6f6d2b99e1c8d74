"""Digits to numbers: 64 bits, in a base from 2 to 16."""

from __future__ import annotations

import struct

from kdbg.errors import ParseError
from kdbg.lang.formats_numbers import MASK

BASES = {"i": 2, "o": 8, "t": 10, "x": 16}
"""Letters behind a 0 and the base that they mean."""

_DIGITS = {char: value for value, char in enumerate("0123456789abcdefghijklmnopqrstuvwxyz")}
_LETTERS = ord("A") - 10
"""What mdb takes off a character that is no digit and no small letter, so that some come out negative."""

_TOO_LARGE = "specified value exceeds maximum immediate value"


def convert(digits: str, base: int) -> int:
    """The value of digits in a base; 0 of none. Raises `ParseError` at a digit that is none, or one too many."""
    if base == 16 and len(digits) < 17 and digits.isalnum() and digits[1:2] not in "xX":
        try:
            return int(digits, 16)
        except ValueError:
            pass
    value = 0
    for position, digit in enumerate(digits):
        if value > MASK // base:
            raise ParseError(_TOO_LARGE)
        one = _DIGITS.get(digit, ord(digit) - _LETTERS)
        if one >= base or (one < 0 and position == 0):
            raise ParseError(f"digit '{digit}' is invalid in current base")
        value = value * base + one
        if value > MASK or one < 0:
            raise ParseError(_TOO_LARGE)
    return value


def to_number(text: str, radix: int) -> int:
    """A number in the default radix or with its prefix, perhaps signed. Raises `ParseError`, as in an expression."""
    base = BASES.get(text[1:2].lower()) if text[:1] == "0" and len(text) > 2 else None
    if base is not None:
        radix, text = base, text[2:]
    negative = text[:1] == "-"
    value = convert(text[1:] if text[:1] in ("-", "+") else text, radix)
    return -value & MASK if negative else value


def double(whole: str, fraction: str) -> int:
    """The bits of the IEEE double that ``0tWHOLE.FRACTION`` means: its digits as one number, divided by tens."""
    value = float(convert(whole, 10))
    for digit in fraction:
        value = value * 10 + ord(digit) - ord("0")
    for _ in fraction:
        value /= 10
    return int.from_bytes(struct.pack("<d", value), "little")

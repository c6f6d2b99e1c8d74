"""The letters of format lists: what each one reads, how wide it is, how it shows.

The table is the documentation: `::formats` prints it. Letters whose text follows from a number of fixed size are rows;
the others (characters, strings, instructions, movements) name the function of `kdbg.lang.formats` that does them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdbg.lang.formats_numbers import calendar, digits, double, signed, single

if TYPE_CHECKING:
    from kdbg.lang.session import Session

Show = Callable[[int, "Session"], str]
"""A number (unsigned, as read) -> its text."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter of the format table."""

    char: str
    help: str
    size: int = 0
    """Bytes that one repetition reads; 0: none, or as many as the thing is long."""
    width: int = 0
    """Columns of the field; the text stands at its left."""
    show: Show | None = None
    """For letters that show a number."""
    kind: str = "number"
    """number, or the name of what does it."""
    writes: bool = False
    """Whether the letter writes when it stands first."""
    grows: bool = False
    """Whether a text that fills the field gets one more column."""
    leaks: bool = False
    """Whether a failed read leaves line wrapping on (`autowrap` of ``::set``): so it is in mdb for letters that
    it prints from a format string, not for those that have a function of their own."""


def _hexadecimal(value: int, session: Session) -> str:
    return f"{value:x}"


def _unsigned(value: int, session: Session) -> str:
    return str(value)


def _octal(value: int, session: Session) -> str:
    return f"0{value:o}" if value else "0"


def _plain_octal(value: int, session: Session) -> str:
    return f"{value:o}"


def _decimal(bits: int) -> Show:
    return lambda value, session: str(signed(value, bits))


def _signed_octal(bits: int) -> Show:
    # The zero goes before the sign: -1 shows as 0-1.
    return lambda value, session: f"0{signed(value, bits):o}" if value else "0"


def _plain_signed_octal(value: int, session: Session) -> str:
    return f"{signed(value, 64):o}"


def _radix(value: int, session: Session) -> str:
    return digits(value, session.radix)


def _swapped(size: int) -> Show:
    return lambda value, session: f"{int.from_bytes(value.to_bytes(size, 'little'), 'big'):x}"


def _pointer(value: int, session: Session) -> str:
    return session.label(value)


def _binary(value: int, session: Session) -> str:
    return f"{value:b}"


def _single(value: int, session: Session) -> str:
    return single(value)


def _double(value: int, session: Session) -> str:
    return double(value)


def _time(bits: int) -> Show:
    return lambda value, session: calendar(signed(value, bits), session.radix)


def _rows() -> list[Letter]:
    byte, short, word, long = 1, 2, 4, 8
    number = [
        Letter("B", "hexadecimal byte", byte, 8, _hexadecimal),
        Letter("b", "octal byte", byte, 8, _octal),
        Letter("V", "unsigned byte", byte, 8, _unsigned),
        Letter("v", "signed byte", byte, 8, _decimal(8), writes=True),
        Letter("x", "hexadecimal short", short, 8, _hexadecimal),
        Letter("o", "octal short", short, 8, _octal),
        Letter("q", "signed octal short", short, 8, _signed_octal(16)),
        Letter("u", "unsigned short", short, 8, _unsigned),
        Letter("d", "signed short", short, 8, _decimal(16)),
        Letter("w", "short in the default radix", short, 8, _radix, writes=True),
        Letter("h", "hexadecimal short, bytes swapped", short, 8, _swapped(2)),
        Letter("X", "hexadecimal int", word, 16, _hexadecimal),
        Letter("O", "octal int", word, 16, _octal),
        Letter("Q", "signed octal int", word, 16, _signed_octal(32)),
        Letter("U", "unsigned int", word, 16, _unsigned),
        Letter("D", "signed int", word, 16, _decimal(32)),
        Letter("W", "int in the default radix", word, 16, _radix, writes=True),
        Letter("H", "hexadecimal int, bytes swapped", word, 16, _swapped(4)),
        Letter("J", "hexadecimal long long", long, 16, _hexadecimal, grows=True),
        Letter("K", "hexadecimal pointer", long, 16, _hexadecimal, grows=True),
        Letter("Z", "hexadecimal long long", long, 16, _hexadecimal, writes=True, grows=True),
        Letter("G", "octal long long", long, 23, _plain_octal),
        Letter("g", "signed octal long long", long, 24, _plain_signed_octal),
        Letter("E", "unsigned long long", long, 21, _unsigned),
        Letter("e", "signed long long", long, 21, _decimal(64)),
        Letter("P", "pointer as symbol and offset", long, 19, _pointer),
        Letter("p", "pointer as symbol and offset", long, 19, _pointer),
        Letter("R", "binary long long", long, 64, _binary, grows=True),
        Letter("f", "float", word, 0, _single),
        Letter("F", "double", long, 0, _double),
        Letter("Y", "time as date, 32 bits", word, 24, _time(32)),
        Letter("y", "time as date, 64 bits", long, 24, _time(64)),
    ]
    other = [
        Letter("+", "move dot up by the count", kind="up"),
        Letter("-", "move dot down by the count", kind="down"),
        Letter("^", "move dot back by the last step times the count", kind="back"),
        Letter("C", "character in C notation", 1, kind="escaped characters"),
        Letter("I", "address, word and instruction", kind="dotted instruction"),
        Letter("L", "search for an int", 4, kind="match"),
        Letter("M", "search for a long long", 8, kind="match"),
        Letter("N", "newline", kind="newline"),
        Letter("S", "string in C notation", kind="escaped string"),
        Letter("T", "blanks to a tab stop", kind="tab"),
        Letter("a", "dot as symbol and offset", kind="dot"),
        Letter("c", "character", 1, kind="character"),
        Letter("i", "instruction", kind="instruction"),
        Letter("j", "binary long long with its bits named", 8, kind="bits"),
        Letter("l", "search for a short", 2, kind="match"),
        Letter("n", "newline", kind="newline"),
        Letter("r", "blanks", kind="blanks"),
        Letter("s", "string", kind="string"),
        Letter("t", "blanks to a tab stop", kind="tab"),
        Letter("z", "value as long as its type", kind="write", writes=True),
    ]
    leaky = "BDEFGOPQUVWXbcdegopquwx"
    rows = [replace(letter, leaks=letter.char in leaky) for letter in number + other]
    return sorted(rows, key=lambda letter: letter.char)


LETTERS: dict[str, Letter] = {letter.char: letter for letter in _rows()}
"""Every letter, in the order of the character set."""


NARROW: dict[str, Letter] = {
    "K": replace(LETTERS["K"], size=4, grows=False, leaks=True),
    "P": replace(LETTERS["P"], size=4),
    "p": replace(LETTERS["p"], size=4),
}
"""The letters that show pointers, where pointers have 32 bits."""

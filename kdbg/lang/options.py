"""Options of dcmds: ``-abc``, ``-n 5``, ``-n5``; parsed as mdb parses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import Option, Options, Type, Word
from kdbg.errors import UsageError
from kdbg.lang.errors import ParseError
from kdbg.lang.variables import MASK

if TYPE_CHECKING:
    from kdbg.lang.session import Session

_BASES = {"i": 2, "o": 8, "t": 10, "x": 16}
_DIGITS = {char: value for value, char in enumerate("0123456789abcdefghijklmnopqrstuvwxyz")}


def to_number(text: str, radix: int) -> int:
    """A number in the default radix or with its prefix. Raises `ParseError`, as in an expression."""
    sign = 1
    if text[:1] == "0" and (base := _BASES.get(text[1:2].lower())) is not None and len(text) > 2:
        radix, text = base, text[2:]
    if text[:1] in ("-", "+"):
        sign = -1 if text[0] == "-" else 1
        text = text[1:]
    value = 0
    for at, digit in enumerate(text):
        one = _DIGITS.get(digit.lower())
        if one is None:  # mdb takes any other character for a digit by its code, and so for one below 0
            one = ord(digit) - ord("A") + 10
        if value > MASK // radix:
            raise ParseError("specified value exceeds maximum immediate value")
        if one >= radix or (at == 0 and one < 0):
            raise ParseError(f"digit '{digit}' is invalid in current base")
        value *= radix
        if value > MASK - (one & MASK):
            raise ParseError("specified value exceeds maximum immediate value")
        value = value + one & MASK
    return (sign * value) & MASK


def parse_options(
    session: Session, declared: Sequence[Option], words: Sequence[Word], lenient: bool = False
) -> tuple[Options, list[Word]]:
    """Split the words behind a command into options and the rest. Raises `UsageError`.

    ``lenient``: an unknown option is told, and the word that it is in begins the rest.
    """
    by_letter = {option.letter: option for option in declared}
    given: dict[str, object] = {}
    i = 0
    while i < len(words):
        word = words[i]
        if not isinstance(word, str) or len(word) < 2 or word[0] != "-" or word.startswith("--"):
            break
        i += 1
        at = 1
        while at < len(word):
            letter = word[at]
            at += 1
            option = by_letter.get(letter)
            if option is None:
                if not lenient:
                    raise UsageError(f"illegal option -- {letter}")
                session.warn(f"illegal option -- {letter}")
                return Options(declared, given), list(words[i - 1 :])
            if option.type is Type.FLAG:
                given[letter] = True
                given.update(dict.fromkeys(option.clears, False))
                continue
            argument: Word
            if at < len(word):
                argument = word[at:]
            elif i < len(words):
                argument = words[i]
                i += 1
            else:
                raise UsageError(f"option requires an argument -- {letter}")
            given[letter] = _convert(session, option, argument)
            break
    return Options(declared, given), list(words[i:])


def _convert(session: Session, option: Option, argument: Word) -> object:
    if option.type is Type.WORD:
        if not isinstance(argument, str):
            raise UsageError(f"string argument required for -{option.letter}")
        return argument
    if not isinstance(argument, str):
        return argument
    return to_number(argument, 10 if option.type is Type.DECIMAL else session.radix)

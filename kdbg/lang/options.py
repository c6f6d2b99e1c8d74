"""Options of dcmds: ``-abc``, ``-n 5``, ``-n5``; parsed as mdb parses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdbg.dcmds.registry import Option, Options, Type, Word
from kdbg.errors import UsageError
from kdbg.lang.numbers import to_number

if TYPE_CHECKING:
    from kdbg.lang.session import Session


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

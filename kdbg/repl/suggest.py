"""A kinder word at the prompt when a name is not known: what may have been meant.

The messages stay the language's; these lines come behind them, at the terminal only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kdbg.repl.vocabulary import Vocabulary

_DCMD = re.compile(r"invalid command '(::|\$|:)?(.+?)': unknown dcmd name")
_WALKER = re.compile(r"unknown walk name")
_WALK = re.compile(r"::walk\s+([^\s|;!]+)")
_SYMBOL = re.compile(r"failed to dereference symbol: unknown symbol name")
_NAME = re.compile(r"(?<![\w:`$<>])[A-Za-z_.][\w.`]*")
_SYMBOL_OF = re.compile(r"symbol '(.+?)' not found")
_TYPE = re.compile(r"(?:failed to look up type|couldn't find type) (.+?): (?:No type|unknown)")
_MEMBER = re.compile(r"(?:failed to find member|couldn't find member) (\S+) of (?:type )?(.+?): no such member")


def suggestion(line: str, messages: str, vocabulary: Vocabulary) -> str | None:
    """A line like ``did you mean ::threadlist?`` for the messages that a line of input has brought, or None."""
    for pattern, propose in _RULES:
        found = pattern.search(messages)
        if found is not None:
            names = propose(found, line, vocabulary)
            return f"did you mean {_choice(names)}?" if names else None
    return None


def _choice(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _dcmds(found: re.Match[str], line: str, vocabulary: Vocabulary) -> list[str]:
    return [name if name[0] in "$:" else f"::{name}" for name in vocabulary.near_dcmds(found[2])]


def _walkers(found: re.Match[str], line: str, vocabulary: Vocabulary) -> list[str]:
    for name in _WALK.findall(line):
        if name not in vocabulary.walkers():
            return vocabulary.near_walkers(name)
    return []


def _symbol(found: re.Match[str], line: str, vocabulary: Vocabulary) -> list[str]:
    return vocabulary.near_symbols(found[1])


def _symbols(found: re.Match[str], line: str, vocabulary: Vocabulary) -> list[str]:
    """The message at a terminal does not name it: the first name of the line that is near to a symbol and is none."""
    for name in _NAME.findall(line):
        if name != "." and not vocabulary.has_symbol(name):
            near = vocabulary.near_symbols(name)
            if near:
                return near
    return []


def _types(found: re.Match[str], line: str, vocabulary: Vocabulary) -> list[str]:
    return vocabulary.near_types(found[1])


def _members(found: re.Match[str], line: str, vocabulary: Vocabulary) -> list[str]:
    return vocabulary.near_members(found[2], found[1])


_RULES: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str], str, Vocabulary], list[str]]]] = (
    (_DCMD, _dcmds),
    (_WALKER, _walkers),
    (_MEMBER, _members),
    (_SYMBOL, _symbols),
    (_SYMBOL_OF, _symbol),
    (_TYPE, _types),
)

"""What stands at the cursor: the part of an unfinished line that a person is typing.

A coarse reading of the language's states (kdbg.lang.lexer), which never fails and looks at nothing but the text.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field


class Place(enum.Enum):
    """Where the cursor stands."""

    EXPRESSION = "expression"
    """In an expression: the word is the beginning of a symbol."""
    VARIABLE = "variable"
    """Behind ``<`` or ``>``."""
    DCMD = "dcmd"
    """Behind ``::``."""
    ARGUMENT = "argument"
    """Among the words behind a command."""
    FORMAT = "format"
    """In a list of format letters."""
    NOTHING = "nothing"
    """In a comment, a string or a command of the shell."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is being typed."""

    place: Place
    word: str = ""
    """What stands of it already, up to the cursor."""
    dcmd: str = ""
    """For ARGUMENT: the command. For FORMAT: the character that opened the list."""
    words: tuple[str, ...] = field(default=())
    """For ARGUMENT: the words before this one."""
    address: str = ""
    """For ARGUMENT: the expression before the command."""


_SYMBOL = re.compile(r"[a-zA-Z_.][\w.`]*")
_LAST_SYMBOL = re.compile(r"(?:^|[^\w.`])([a-zA-Z_.][\w.`]*)$")
_LAST_VARIABLE = re.compile(r"[<>](\w*)$")
_CAST = re.compile(r"[*%>]/[a-zA-Z0-9]/")
_OLD = re.compile(r"\$<<|\$[<>]|[$:][?%@A-Z^_`a-z]")


def at_cursor(text: str) -> Context:
    """What stands at the end of a text."""
    at = start = 0
    while at < len(text):
        char = text[at]
        if char in ";|\n":
            at = start = at + 1
        elif char == "'":
            at = _closing(text, at)
            if at < 0:
                return Context(Place.NOTHING)
        elif (cast := _CAST.match(text, at)) is not None:
            at = cast.end()
        elif text.startswith("//", at):
            at = start = text.find("\n", at) + 1
            if not start:
                return Context(Place.NOTHING)
        elif text.startswith("::", at):
            name = _SYMBOL.match(text, at + 2)
            end = name.end() if name else at + 2
            if end == len(text):
                return Context(Place.DCMD, text[at + 2 :])
            at, found = _arguments(text, end, text[at + 2 : end], text[start:at])
            if found is not None:
                return found
            start = at
        elif (old := _OLD.match(text, at)) is not None and not text.startswith("$[", at):
            at, found = _arguments(text, old.end(), old[0], text[start:at])
            if found is not None:
                return found
            start = at
        elif char == "!" and not text.startswith("!=", at):
            end = _first(text, at, ";\n")
            if end < 0:
                return Context(Place.NOTHING)
            at = start = end
        elif text.startswith(("==", "!="), at):
            at += 2
        elif char in "/\\?@=":
            end = _first(text, at + 1, ";|!\n")
            if end < 0:
                return Context(Place.FORMAT, text[at + 1 :], char)
            at = start = end
        else:
            at += 1
    return _expression(text[start:])


def _expression(text: str) -> Context:
    variable = _LAST_VARIABLE.search(text)
    if variable is not None:
        return Context(Place.VARIABLE, variable[1])
    symbol = _LAST_SYMBOL.search(text)
    return Context(Place.EXPRESSION, symbol[1] if symbol else "")


def _first(text: str, at: int, characters: str) -> int:
    """The first place of any of the characters, or -1."""
    return min((place for place in (text.find(char, at) for char in characters) if place >= 0), default=-1)


def _closing(text: str, at: int) -> int:
    """Behind the quote that closes the one here, or -1."""
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != "\n":
        if text[at] == quote:
            return at + 1
        at += 2 if text[at] == "\\" and quote == '"' else 1
    return -1


def _arguments(text: str, at: int, dcmd: str, address: str) -> tuple[int, Context | None]:
    """Read the words behind a command: the place behind them, and what stands at the cursor if it stands there."""
    words: list[str] = []
    word = ""
    begun = False
    while at < len(text):
        char = text[at]
        if char in ";|!\n":
            return at, None
        if char in " \t":
            if begun:
                words.append(word)
            word, begun = "", False
            at += 1
        elif char in "'\"":
            end = _closing(text, at)
            if end < 0:
                inner = text[at + 1 :]
                if dcmd in ("eval", "map", "grep", "set") and char in "'\"":
                    return at, at_cursor(inner)
                return at, Context(Place.NOTHING)
            word, begun, at = word + text[at + 1 : end - 1], True, end
        elif text.startswith("$[", at):
            end = text.find("]", at)
            if end < 0:
                return at, _expression(text[at + 2 :])
            word, begun, at = word + text[at : end + 1], True, end + 1
        else:
            word, begun, at = word + char, True, at + 1
    return at, Context(Place.ARGUMENT, word, dcmd, tuple(words), address.strip())

"""POSIX extended regular expressions, as commands take them, in terms of Python's.

Whether a text matches is the same in both; what is refused, and in which words, follows the C library of Solaris.
"""

from __future__ import annotations

import re

from kdbg.errors import CommandError

CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\n\\r\\f\\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
MOST_REPEATS = 255
"""RE_DUP_MAX."""


class PatternError(CommandError):
    """A pattern that is not a regular expression."""


def compile_ere(pattern: str) -> re.Pattern[str]:
    """The pattern as one of Python's. Raises `PatternError`."""
    return re.compile(_Translator(pattern).text(), re.DOTALL)


class _Translator:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._parts: list[str] = []
        self._open: list[int] = []
        """Where in ``_parts`` the groups that are open begin."""
        self._operand: int | None = None
        """Where in ``_parts`` what a repetition would repeat begins."""

    def text(self) -> str:
        while self._at < len(self._pattern):
            self._next()
        if self._open:
            raise PatternError("parentheses not balanced")
        return "".join(self._parts)

    def _next(self) -> None:
        char = self._pattern[self._at]
        self._at += 1
        if char == "(":
            self._open.append(len(self._parts))
            self._anchor("(")
        elif char == ")":
            if not self._open:
                raise PatternError("parentheses not balanced")
            self._parts.append(")")
            self._operand = self._open.pop()
        elif char in "|^$":
            self._anchor({"$": r"\Z"}.get(char, char))
        elif char in "*+?":
            self._repeat(char)
        elif char == "{":
            self._repeat(self._braces())
        elif char == "[":
            self._atom(self._brackets())
        elif char == ".":
            self._atom(".")
        elif char == "\\":
            if self._at >= len(self._pattern):
                raise PatternError("trailing backslash in pattern")
            self._atom(re.escape(self._pattern[self._at]))
            self._at += 1
        else:
            self._atom(re.escape(char))

    def _anchor(self, text: str) -> None:
        self._parts.append(text)
        self._operand = None

    def _atom(self, text: str) -> None:
        self._operand = len(self._parts)
        self._parts.append(text)

    def _repeat(self, text: str) -> None:
        if self._operand is None:
            raise PatternError("repetition-operator operand invalid")
        # a group of its own, since what is repeated may be a repetition already
        self._parts[self._operand :] = ["(?:" + "".join(self._parts[self._operand :]) + text + ")"]

    def _braces(self) -> str:
        end = self._pattern.find("}", self._at)
        if end < 0:
            raise PatternError("braces not balanced")
        inside, self._at = self._pattern[self._at : end], end + 1
        if not re.fullmatch(r"\d+(,\d*)?", inside):
            raise PatternError("invalid repetition count(s)")
        first, comma, last = inside.partition(",")
        if int(first) > MOST_REPEATS or (last and not int(first) <= int(last) <= MOST_REPEATS):
            raise PatternError("invalid repetition count(s)")
        return "{" + first + comma + last + "}"

    def _brackets(self) -> str:
        at, pattern = self._at, self._pattern
        parts = ["["]
        if pattern[at : at + 1] == "^":
            parts.append("^")
            at += 1
        first = True
        while first or pattern[at : at + 1] != "]":
            first = False
            if at >= len(pattern):
                raise PatternError("brackets ([ ]) not balanced")
            if pattern[at : at + 2] in ("[:", "[.", "[="):
                kind = pattern[at + 1]
                end = pattern.find(f"{kind}]", at + 2)
                if end < 0:
                    raise PatternError("brackets ([ ]) not balanced")
                name = pattern[at + 2 : end]
                if kind == ":":
                    if name not in CLASSES:
                        raise PatternError("invalid character class")
                    parts.append(CLASSES[name])
                else:
                    if len(name) != 1:
                        raise PatternError("invalid collating element")
                    parts.append(re.escape(name))
                at = end + 2
                continue
            if pattern[at + 1 : at + 2] == "-" and pattern[at + 2 : at + 3] not in ("]", ""):
                low, high = pattern[at], pattern[at + 2]
                if low > high:
                    raise PatternError("invalid character range")
                parts.append(f"{_literal(low)}-{_literal(high)}")
                at += 3
                continue
            parts.append(_literal(pattern[at]))
            at += 1
        self._at = at + 1
        return "".join(parts) + "]"


def _literal(char: str) -> str:
    return "\\" + char if char in "\\]^-[&~|" else char

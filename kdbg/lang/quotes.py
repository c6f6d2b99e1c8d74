r"""Quotes and escapes: what mdb's lexer takes for one token, and what it makes of it.

In ``'...'`` a backslash before a quote may or may not keep it from closing; the longest token wins. In ``"..."`` it
always does.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\([abfnrtv\"\\]|[0-7]{1,3}|\Z)")
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}
_NAMES = {"\0": r"\0", "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
          '"': r"\"", "\\": r"\\"}  # fmt: skip

_SPECIAL = frozenset(" \t\n;!|\"'$")


def _resolve(found: re.Match[str]) -> str:
    name = found[1]
    if not name:
        return ""
    return _PLAIN[name] if name in _PLAIN else chr(int(name, 8) & 0xFF)


def unescape(text: str) -> str:
    """Resolve the escapes of C; a backslash before anything else stays, one at the end goes. A NUL ends the text."""
    return resolve(text).partition("\0")[0]


def resolve(text: str) -> str:
    """Resolve the escapes of C, NULs among them."""
    return _ESCAPE.sub(_resolve, text) if "\\" in text else text


def escape(text: str) -> str:
    """Show a text with the escapes of C."""
    return "".join(_NAMES.get(char) or (char if " " <= char <= "~" else f"\\{ord(char):03o}") for char in text)


def longest_character_sequence(text: str, at: int) -> tuple[int, bool | None, int]:
    """The longest token that begins with the single quote at ``at``.

    Returns its end, whether a quote closes it (if not, it goes to the end of the line; None: the text ends before, and
    the quote stands alone), and how far was looked.
    """
    best = at + 1
    for i in range(at + 1, len(text)):
        char = text[i]
        if char == "\n":
            return i, False, i + 1
        if char == "'":
            best = i + 1
            if text[i - 1] != "\\" or i - 1 == at:
                return best, True, best
    return best, True if best > at + 1 else None, len(text)


def longest_word(text: str, at: int) -> tuple[int, int]:
    """The longest argument that begins at ``at``: plain characters and quoted parts glued together.

    Returns its end (``at`` if there is none) and how far was looked. All readings are followed at once.
    """
    outside, single, double, escaped = True, False, False, False
    best, i = at, at
    while i < len(text) and (outside or single or double or escaped):
        char = text[i]
        i += 1
        before = text[i - 2] if i - 2 >= at else ""
        plain = outside and char not in _SPECIAL
        opens_single, opens_double = outside and char == "'", outside and char == '"'
        if char == "\n":
            outside = single = double = escaped = False
            break
        closes_single = single and char == "'"
        stays_single = single and (char != "'" or before == "\\")
        closes_double = double and char == '"'
        stays_double = (double and char not in '"\\') or escaped
        starts_escape = double and char == "\\"
        outside = plain or closes_single or closes_double
        single = opens_single or stays_single
        double = opens_double or stays_double
        escaped = starts_escape
        if outside:
            best = i
    return best, i


def unquote(word: str) -> tuple[str, str]:
    """Take the quotes off an argument; escapes act within double quotes only.

    Returns the text and the quote that is unmatched, if one is.
    """
    if "'" not in word and '"' not in word:
        return word, ""
    out: list[str] = []
    at = 0
    while (start := _next_quote(word, at, "'\"")) >= 0:
        out.append(word[at:start])
        quote = word[start]
        end = _next_quote(word, start + 1, quote) if quote == '"' else word.find(quote, start + 1)
        if end < 0:
            return "", quote
        inside = word[start + 1 : end]
        out.append(unescape(inside) if quote == '"' else inside)
        at = end + 1
    out.append(word[at:])
    return "".join(out), ""


def _next_quote(text: str, at: int, quotes: str) -> int:
    """Position of the next quote that no backslash precedes, or -1."""
    previous = ""
    for i in range(at, len(text)):
        if previous != "\\" and text[i] in quotes:
            return i
        previous = text[i]
    return -1

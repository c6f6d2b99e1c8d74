"""Colours of a line of the language while it is typed."""

from __future__ import annotations

import re
from collections.abc import Callable

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

COLOURS = Style.from_dict(
    {
        "dcmd": "ansicyan",
        "unknown": "ansired",
        "option": "ansigreen",
        "string": "ansiyellow",
        "number": "",
        "symbol": "",
        "variable": "ansimagenta",
        "operator": "bold",
        "format": "ansigreen",
        "shell": "ansiyellow",
        "comment": "ansibrightblack",
        "prompt": "bold",
        "bottom-toolbar": "noreverse fg:ansibrightblack",
        "bottom-toolbar.text": "",
        "completion-menu.completion": "bg:ansibrightblack fg:ansiwhite",
        "completion-menu.completion.current": "noreverse bg:ansicyan fg:ansiblack",
    }
)
PLAIN = Style.from_dict(
    {
        "bottom-toolbar": "noreverse",
        "completion-menu.completion.current": "reverse",
    }
)
"""Without colours."""

_STATEMENT = re.compile(
    r"""(?P<comment>//[^\n]*)
      | (?P<string>'[^'\n]*'?)
      | (?P<cast>[*%>]/[a-zA-Z0-9]/)
      | (?P<dcmd>::[a-zA-Z_.][\w.`]*|\$<<|\$[<>]|[$:](?!\[)[?%@A-Z^_`a-z])
      | (?P<shell>!(?!=)[^;\n]*)
      | (?P<relation>==|!=|<<|>>|%%)
      | (?P<verb>[/\\?@=])
      | (?P<variable>[<>]\w+)
      | (?P<number>0[itxo][0-9a-fA-F]+|[0-9][0-9a-fA-F]*)
      | (?P<symbol>[a-zA-Z_.][\w.`]*)
      | (?P<operator>[-+*%^&|\#~()\[\],;])""",
    re.VERBOSE,
)
_ARGUMENTS = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?)
      | (?P<shell>![^;\n]*)
      | (?P<end>[;|\n])
      | (?P<option>(?<=\s)[-+][A-Za-z]\S*)
      | (?P<word>[^\s;|!'"]+)""",
    re.VERBOSE,
)
_FORMAT = re.compile(
    r"""(?P<string>"[^"\n]*"?) | (?P<shell>![^;\n]*) | (?P<end>[;|\n]) | (?P<format>[^\s;|!"]+)""", re.VERBOSE
)


class LanguageLexer(Lexer):
    """Colours lines. ``known``: whether a dcmd of that name exists; it must answer at once."""

    def __init__(self, known: Callable[[str], bool] = lambda name: True) -> None:
        self._known = known

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return a function from a line's number to its coloured pieces."""
        lines = document.lines
        return lambda number: self.pieces(lines[number]) if number < len(lines) else []

    def pieces(self, text: str) -> StyleAndTextTuples:
        """A line in coloured pieces."""
        out: StyleAndTextTuples = []
        pattern, at = _STATEMENT, 0
        while at < len(text):
            found = pattern.match(text, at)
            if found is None or not found[0]:
                out.append(("", text[at]))
                at += 1
                continue
            kind, piece = found.lastgroup or "", found[0]
            at = found.end()
            style = kind
            if kind == "dcmd":
                name = piece[2:] if piece.startswith("::") else piece
                # while the name is being typed it may still become one
                style = "dcmd" if self._known(name) or at == len(text) else "unknown"
                pattern = _ARGUMENTS
            elif kind == "verb":
                style, pattern = "operator", _FORMAT
            elif kind == "end":
                style, pattern = "operator", _STATEMENT
            elif kind in ("cast", "relation"):
                style = "operator"
            elif kind == "word":
                style = ""
            out.append((f"class:{style}" if style else "", piece))
        return out

r"""The lexer: characters to tokens.

The language is lexed by state, as mdb's is: START for statements, FORMAT behind ``/ \ ? @ =``, ARGUMENTS behind a
command, SHELL behind ``!``, EXPRESSION inside ``$[ ]``. The longest match wins. A token is its `kind` (a character, or
one of the names below), `value` and `text`; commands, variables and numbers are looked up here, so that what is unknown
is told where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kdbg.errors import CommandError, ParseError, SymbolNotFound
from kdbg.lang.numbers import convert, double
from kdbg.lang.quotes import escape, longest_character_sequence, longest_word, resolve, unescape, unquote

if TYPE_CHECKING:
    from kdbg.lang.session import Session
    from kdbg.lang.source import Source

END = ""
NUMBER, SYMBOL, VARIABLE, STRING, CHARACTER, COMMAND, DEREFERENCE = (
    "number", "symbol", "variable", "string", "character", "command", "dereference",
)  # fmt: skip
OPEN, CLOSE = "$[", "]"

START, FORMAT, ARGUMENTS, SHELL, EXPRESSION = range(5)

_SYMBOL = re.compile(r"[a-zA-Z_.][0-9a-zA-Z_.`]*")
_HEX = re.compile(r"[0-9a-fA-F]+")
_PREFIXED = {
    "i": (2, re.compile(r"[01]*")),
    "o": (8, re.compile(r"[0-7]*")),
    "t": (10, re.compile(r"[0-9]*")),
    "x": (16, re.compile(r"[0-9a-fA-F]*")),
}
_FRACTION = re.compile(r"\.([0-9]*)")
_LIST_LETTER = re.compile(r"[ \t]*([vwzWZlLM]?)")
_PLAIN_WORD = re.compile(r"[^ \t\n;!|\"'$]+")
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*')
_SHELL_TEXT = re.compile(r"[^;\n]+")
_DECIMAL = re.compile(r"[0-9]+")
_CAST = re.compile(r"/(?:([a-zA-Z0-9])(/?))?")
_OLD_COMMAND = re.compile(r"[?%@A-Z^_`a-z]")

_SIZES = {"c": 1, "1": 1, "s": 2, "2": 2, "i": 4, "4": 4, "l": 8, "8": 8}
_DOUBLES = {"=": "==", "%": "%%", "<": "<<", ">": ">>"}


class Char(str):
    """A character of a format list, or the cast letter of an assignment: what mdb passes as a character."""

    __slots__ = ()


class Lexer:
    """Tokens from a source, for one level of nesting (mdb's frame)."""

    def __init__(self, session: Session, source: Source) -> None:
        self.session = session
        self.source = source
        self.state = START
        self._outer = START
        self.kind = END
        self.value: Any = None
        self.text = ""
        self.extra: list[Char] = []
        """What the lexer itself adds to the arguments of the command to come."""

    # errors

    def error(self, message: str, lost: bool = True) -> ParseError:
        """A syntax error at the token at hand, with where it is."""
        if "\n" in message:
            return ParseError(message.rstrip("\n"))
        source = self.source
        where = "" if self.session.at_terminal(source) else f" on line {source.lineno} of {source.name}"
        return ParseError(f'{message}{where} near "{escape(self.text)}"')

    # tokens

    def next(self) -> str:
        """Read the next token; its kind, `END` at the end of the source."""
        source = self.source
        while True:
            text, at = source.text, source.position
            if at >= len(text):
                if not source.fill():
                    return self._set(END, "", None)
                continue
            char = text[at]
            if char in " \t" and self.state != SHELL:
                source.position = at + 1
                continue
            break
        if char == "\0":
            source.position = at + 1
            return self._set(END, "", None)
        state = self.state
        if state in (START, EXPRESSION):
            handler = _HANDLERS.get(char)
            if handler is not None:
                return handler(self, text, at)
            return self._take(char, text, at, 1)
        if state == ARGUMENTS:
            return self._argument(char, text, at)
        if state == FORMAT:
            return self._format(char, text, at)
        return self._shell(char, text, at)

    def _set(self, kind: str, text: str, value: object) -> str:
        self.kind, self.text, self.value = kind, text, value
        return kind

    def _take(self, kind: str, text: str, at: int, length: int, value: object = None, read: int = 0) -> str:
        """Accept ``length`` characters; ``read`` (if more) have been looked at on the way."""
        self._accept(at + length, at + read)
        self.kind, self.text, self.value = kind, text[at : at + length], value
        return kind

    def _accept(self, end: int, read: int) -> None:
        source = self.source
        read = min(read, len(source.text))
        # Of several characters read too far mdb can give back the last one only, on a pipe or file.
        source.position = read - 1 if source.one_back and read > end + 1 else end

    def _newline(self, text: str, at: int, length: int) -> str:
        """Accept a newline, or a comment up to it."""
        self.source.lineno += 1
        self.source.position = at + length
        self.state = START
        return self._set("\n", text[at : at + length], None)

    def _comment(self, text: str, at: int) -> int:
        """Length of a comment that begins here, or 0; negative where the text ends before it does."""
        if not text.startswith("//", at):
            return 0
        end = text.find("\n", at) + 1
        return end - at if end else at - len(text)

    def _after_slashes(self, text: str, at: int, length: int, kind: str, state: int) -> str:
        """A comment; or, if the text ends before it does, the slash alone: the lexer has looked at all the rest."""
        if length > 0:
            return self._newline(text, at, length)
        self.state = state
        return self._take(kind, text, at, 1, Char("/"), read=-length)

    # START and EXPRESSION

    def _end(self, text: str, at: int) -> str:
        char = text[at]
        if self.state == EXPRESSION:
            self._take(char, text, at, 1)
            if char == "\n":
                self.source.lineno += 1
            raise self.error("syntax error: $[ unmatched")
        if char == "\n":
            return self._newline(text, at, 1)
        return self._take(";", text, at, 1)

    def _bang(self, text: str, at: int) -> str:
        if text.startswith("!=", at):
            return self._take("!=", text, at, 2)
        if self.state == EXPRESSION:
            self._take("!", text, at, 1)
            raise self.error("syntax error: $[ unmatched")
        self.state = SHELL
        return self._take("!", text, at, 1)

    def _equal(self, text: str, at: int) -> str:
        if text.startswith("==", at):
            return self._take("==", text, at, 2)
        if self.state == START:
            self.state = FORMAT
        return self._take("=", text, at, 1)

    def _verb(self, text: str, at: int) -> str:
        r"""``/ \ ? @``: a format list, a list of values, or a comment."""
        char = text[at]
        if self.state == EXPRESSION:
            return self._take(char, text, at, 1)
        if char == "/" and (length := self._comment(text, at)):
            return self._after_slashes(text, at, length, "/", FORMAT)
        if char == "@":
            self.state = FORMAT
            return self._take(char, text, at, 1)
        found = _LIST_LETTER.match(text, at + 1)
        assert found is not None
        if found[1]:
            self.extra.append(Char(found[1]))
            self.state = ARGUMENTS
            return self._take(char, text, at, found.end() - at)
        self.state = FORMAT
        return self._take(char, text, at, 1, read=found.end() + 1 - at)

    def _close(self, text: str, at: int) -> str:
        if self.state == EXPRESSION:
            self.state = self._outer
        return self._take("]", text, at, 1)

    def _colon(self, text: str, at: int) -> str:
        if self.state == EXPRESSION:
            return self._take(":", text, at, 1)
        if text.startswith("::", at):
            found = _SYMBOL.match(text, at + 2)
            if found is None:
                return self._take(":", text, at, 1, read=3)
            return self._command(text, at, found.end() - at, found[0])
        return self._old_command(text, at)

    def _dollar(self, text: str, at: int) -> str:
        if self.state == EXPRESSION:
            return self._take("$", text, at, 1)
        for name in ("$<<", "$<", "$>"):
            if text.startswith(name, at):
                return self._command(text, at, len(name), name)
        return self._old_command(text, at)

    def _old_command(self, text: str, at: int) -> str:
        if at + 1 < len(text) and _OLD_COMMAND.match(text, at + 1):
            return self._command(text, at, 2, text[at : at + 2])
        return self._take(text[at], text, at, 1)

    def _command(self, text: str, at: int, length: int, name: str) -> str:
        self._take(COMMAND, text, at, length)
        try:
            self.value = self.session.find_dcmd(name)
        except CommandError as error:
            raise ParseError(f"invalid command '{self.text}': {error.reason or error}") from None
        self.state = ARGUMENTS
        return COMMAND

    def _greater(self, text: str, at: int) -> str:
        if text.startswith(">>", at):
            return self._take(">>", text, at, 2)
        if self.state == EXPRESSION:
            return self._take(">", text, at, 1)
        length, read = 1, 1
        found = _CAST.match(text, at + 1)
        if found is not None:
            if found[1] and found[2]:
                self.extra.append(Char(found[1]))
                length = 4
            else:
                read = found.end() + 1 - at
        self._take(COMMAND, text, at, length, self.session.find_dcmd(">"), read)
        self.state = ARGUMENTS
        return COMMAND

    def _less(self, text: str, at: int) -> str:
        if text.startswith("<<", at):
            return self._take("<<", text, at, 2)
        found = _SYMBOL.match(text, at + 1)
        end = found.end() if found else at + 2 if text[at + 1 : at + 2].isdigit() else at + 1
        if end == at + 1:
            return self._take("<", text, at, 1)
        name = text[at + 1 : end]
        self._take(VARIABLE, text, at, end - at)
        variable = self.session.variables.get(name)
        if variable is None:
            raise self.error(f"variable '{name}' is not defined")
        self.value = variable
        return VARIABLE

    def _star(self, text: str, at: int) -> str:
        return self._dereference("*", text, at)

    def _percent(self, text: str, at: int) -> str:
        if text.startswith("%%", at):
            return self._take("%%", text, at, 2)
        return self._dereference("%", text, at)

    def _dereference(self, char: str, text: str, at: int) -> str:
        found = _CAST.match(text, at + 1)
        if found is None:
            return self._take(char, text, at, 1)
        if not (found[1] and found[2]):
            return self._take(char, text, at, 1, read=found.end() + 1 - at)
        self._take(DEREFERENCE, text, at, 4)
        size = _SIZES.get(found[1])
        if size is None:
            raise self.error(f"invalid cast -- {self.text}\n")
        self.value = (char, size)
        return DEREFERENCE

    def _quote(self, text: str, at: int) -> str:
        end, closed, read = longest_character_sequence(text, at)
        if closed is None:
            return self._take("'", text, at, 1, read=read - at)
        if not closed:
            self._take("'", text, at, end - at)
            raise self.error("syntax error: ' unmatched")
        self._take(NUMBER, text, at, end - at, read=read - at)
        self.text = self.text[:-1] if end > at + 2 else self.text
        characters = resolve(text[at + 1 : end - 1])
        if len(characters) > 8:
            raise self.error("character constant may not exceed 8 bytes\n")
        self.value = int.from_bytes(characters.encode("latin-1"), "big")
        return NUMBER

    def _double_quote(self, text: str, at: int) -> str:
        found = _STRING.match(text, at)
        assert found is not None
        end = found.end()
        if text.startswith('"', end):
            self._take(STRING, text, at, end + 1 - at, unescape(text[at + 1 : end]))
            return STRING
        if text.startswith("\n", end):
            self._take('"', text, at, end - at)
            raise self.error('syntax error: " unmatched')
        return self._take('"', text, at, 1, read=end + 2 - at)

    def _digit(self, text: str, at: int) -> str:
        if text[at] == "0":
            prefixed = _PREFIXED.get(text[at + 1 : at + 2].lower())
            if prefixed is not None:
                return self._prefixed(text, at, *prefixed)
        found = _HEX.match(text, at)
        assert found is not None
        self._take(NUMBER, text, at, found.end() - at)
        self.value = convert(self.text, self.session.radix)
        return NUMBER

    def _prefixed(self, text: str, at: int, base: int, digits: re.Pattern[str]) -> str:
        found = digits.match(text, at + 2)
        assert found is not None
        if not found[0]:
            return self._take(NUMBER, text, at, 1, 0, read=3)
        fraction = _FRACTION.match(text, found.end()) if base == 10 else None
        if fraction is not None and fraction[1]:
            self._take(NUMBER, text, at, fraction.end() - at)
            self.value = double(found[0], fraction[1])
            return NUMBER
        read = found.end() + 1 - at if fraction is None else fraction.end() + 1 - at
        self._take(NUMBER, text, at, found.end() - at, read=read)
        self.value = convert(found[0], base)
        return NUMBER

    def _letter(self, text: str, at: int) -> str:
        found = _SYMBOL.match(text, at)
        assert found is not None
        word = found[0]
        digits = _HEX.match(text, at)
        if digits is not None and digits.end() == found.end():
            self._take(NUMBER, text, at, len(word))
            try:
                self.value = self.session.lookup(word).address
            except SymbolNotFound:
                self.value = convert(word, self.session.radix)
            return NUMBER
        return self._take(SYMBOL, text, at, len(word), word)

    # the other states

    def _argument(self, char: str, text: str, at: int) -> str:
        length = self._comment(text, at) if char == "/" else 0
        if length > 0:
            return self._newline(text, at, length)
        found = _PLAIN_WORD.match(text, at)
        if found is not None and (found.end() >= len(text) or text[found.end()] not in "\"'"):
            word = found[0]
            return self._take(STRING, text, at, len(word), word, read=-length)
        if found is not None or char in "\"'":
            return self._quoted_word(char, text, at)
        return self._delimiter(char, text, at)

    def _quoted_word(self, char: str, text: str, at: int) -> str:
        end, read = longest_word(text, at)
        if char == '"' and (string := _STRING.match(text, at)) is not None:
            if text.startswith("\n", string.end()) and string.end() > end:
                return self._double_quote(text, at)
            if end == at:
                return self._double_quote(text, at)
        if end == at:
            return self._take("'", text, at, 1, read=read - at)
        self._take(STRING, text, at, end - at, read=read - at)
        word, unmatched = unquote(self.text)
        if unmatched:
            raise self.error(f"syntax error: {unmatched} unmatched")
        self.value = word
        return STRING

    def _format(self, char: str, text: str, at: int) -> str:
        if char.isdigit() and char.isascii():
            found = _DECIMAL.match(text, at)
            assert found is not None
            self._take(NUMBER, text, at, found.end() - at)
            self.value = convert(self.text, 10)
            return NUMBER
        if char == "/" and (length := self._comment(text, at)):
            return self._after_slashes(text, at, length, CHARACTER, FORMAT)
        if char == '"':
            return self._double_quote(text, at)
        if char in "\n;!|'$":
            return self._delimiter(char, text, at)
        return self._take(CHARACTER, text, at, 1, Char(char))

    def _delimiter(self, char: str, text: str, at: int) -> str:
        """What ends a list of arguments or formats, or cannot stand in one."""
        if char == "\n":
            return self._newline(text, at, 1)
        if char == "$" and text.startswith("$[", at):
            self._outer, self.state = self.state, EXPRESSION
            return self._take(OPEN, text, at, 2)
        if char in ";|":
            self.state = START
        elif char == "!":
            self.state = SHELL
        return self._take(char, text, at, 1)

    def _shell(self, char: str, text: str, at: int) -> str:
        if char == "\n":
            return self._newline(text, at, 1)
        if char == ";":
            self.state = START
            return self._take(";", text, at, 1)
        found = _SHELL_TEXT.match(text, at)
        assert found is not None
        string = _STRING.match(text, at)
        if string is not None and string.end() >= found.end() and text[string.end() : string.end() + 1] in ('"', "\n"):
            return self._double_quote(text, at)
        self._take(STRING, text, at, len(found[0]), found[0])
        self.state = START
        return STRING


Handler = Callable[[Lexer, str, int], str]


def _handlers() -> dict[str, Handler]:
    table: dict[str, Handler] = {}
    for chars, handler in (
        ("0123456789", Lexer._digit),
        ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.", Lexer._letter),
        ("\n;", Lexer._end),
        ("!", Lexer._bang),
        ("=", Lexer._equal),
        ("/\\?@", Lexer._verb),
        ("]", Lexer._close),
        (":", Lexer._colon),
        ("$", Lexer._dollar),
        (">", Lexer._greater),
        ("<", Lexer._less),
        ("*", Lexer._star),
        ("%", Lexer._percent),
        ("'", Lexer._quote),
        ('"', Lexer._double_quote),
    ):
        table.update(dict.fromkeys(chars, handler))
    return table


_HANDLERS = _handlers()

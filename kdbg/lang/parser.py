r"""The grammar: tokens to statements, which run as they are read.

    statement  := [E [, E] | , E] [pipeline] [! shell] end   |   ! shell end   |   end
    pipeline   := command { | command }
    command    := (/ \ ? @ =) {format}   |   ::name {argument}   |   $
    E          := numbers, symbols, variables, . + ^ & ( ), unary - ~ # * %, binary | ^ & == != << >> + - * % # %%

mdb's grammar acts while it parses: variables, symbols and memory are read as soon as an operand is complete, and a
token is looked at only where the grammar needs one to decide. Where an error is found, and what is lost behind it,
follows from that; hence this parser evaluates as it goes and peeks as late as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kdbg.errors import ParseError, ReadError, SymbolNotFound
from kdbg.lang import lexer as lex
from kdbg.lang.formats_numbers import MASK
from kdbg.lang.lexer import Lexer
from kdbg.lang.pipeline import Command
from kdbg.target import Space

if TYPE_CHECKING:
    from kdbg.dcmds.registry import Word
    from kdbg.lang.session import Session
    from kdbg.lang.source import Source

SIGN = 1 << 63

STACK = 100
"""States that the stack of mdb's parser holds: what is nested deeper is refused as there."""

_HIGHEST = 8
_PRECEDENCE = {
    "|": 1, "^": 2, "&": 3, "==": 4, "!=": 4, "<<": 5, ">>": 5, "+": 6, "-": 6, "*": 7, "%": 7, "#": 7, "%%": _HIGHEST,
}  # fmt: skip

_VERBS = frozenset("/\\?@=")
_COMMANDS = _VERBS | {lex.COMMAND, "$"}
_ENDS = frozenset(";\n")


def _signed(value: int) -> int:
    return value - (1 << 64) if value & SIGN else value


def _quotient(left: int, right: int) -> int:
    """Signed division that rounds towards zero."""
    a, b = _signed(left), _signed(right)
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


_SIMPLE: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
}


class Parser:
    """Parses and runs the statements of one source."""

    def __init__(self, session: Session, source: Source) -> None:
        self.session = session
        self.lexer = Lexer(session, source)
        self._ahead: str | None = None
        self._depth = 0
        """States that stand on the stack below what is parsed next: the start, the statements before, and so on."""

    # tokens

    def _peek(self) -> str:
        if self._ahead is None:
            self._ahead = self.lexer.next()
        return self._ahead

    def _advance(self) -> str:
        kind = self._peek()
        self._ahead = None
        return kind

    def _unexpected(self) -> ParseError:
        return self.lexer.error("syntax error")

    def recover(self) -> None:
        """Throw away what is lost after an error."""
        self._ahead = None
        self.lexer.extra.clear()
        self.lexer.state = lex.START
        self.lexer.source.skip_statement()

    # statements

    def statement(self) -> bool:
        """Parse and run one statement; False at the end of the source. Raises `ParseError`."""
        self._ahead = None
        self._depth = 2
        kind = self._peek()
        if kind == lex.END:
            return False
        if kind in _ENDS:
            self._repeat_last()
        elif kind == "!":
            self._shell_statement()
        elif kind in _COMMANDS:
            self._commands(self.session.dot, 1, explicit=False, loop=False)
        elif kind == ",":
            self._advance()
            self._depth = 3
            self._after_count(None, self.expression())
        else:
            self._addressed(self.expression())
        return True

    def _addressed(self, address: int) -> None:
        self._depth = 3
        kind = self._peek()
        if kind == ",":
            self._advance()
            self._depth = 4
            self._after_count(address, self.expression())
        elif kind in _COMMANDS:
            self._commands(address, 1, explicit=True, loop=False)
        elif kind in _ENDS:
            self._bare(address)
        else:
            raise self._unexpected()

    def _after_count(self, address: int | None, count: int) -> None:
        session = self.session
        self._depth += 1
        if self._peek() in _COMMANDS:
            start = session.dot if address is None else address
            self._commands(start, count, explicit=address is not None, loop=True)
            return
        with self._shell_pipe():
            start = session.next_dot(",") if address is None else address
            self._run(session.take_last(), start, count, explicit=address is not None, loop=True)

    def _bare(self, address: int) -> None:
        """``E``: in a string it sets dot, in a pipe it is a value, else the last command runs again."""
        session = self.session
        if self.lexer.source.is_string:
            session.dot = address
            session.increment = 0
        elif session.pipe is not None:
            session.pipe.value(address)
            session.dot = address
        else:
            self._run(session.take_last(), address, 1, explicit=True, loop=False)

    def _repeat_last(self) -> None:
        session = self.session
        if session.settings.repeat_last and not self.lexer.source.is_string:
            self._run(session.take_last(), session.next_dot("\\n"), 1, explicit=False, loop=False)

    def _shell_statement(self) -> None:
        self._advance()
        if self._advance() != lex.STRING:
            raise self._unexpected()
        text = str(self.lexer.value)
        self._end()
        if self.lexer.source.is_pipe:
            raise self._unexpected()
        self.session.shell(text)

    def _commands(self, address: int, count: int, explicit: bool, loop: bool) -> None:
        commands = [self._command()]
        self._depth += 2
        while self._peek() == "|":
            self._advance()
            if self._peek() not in _COMMANDS:
                raise self._unexpected()
            commands.append(self._command())
        with self._shell_pipe():
            self._run(commands, address, count, explicit, loop)

    def _run(self, commands: list[Command], address: int, count: int, explicit: bool, loop: bool) -> None:
        if self.lexer.source.is_pipe:
            raise self._unexpected()
        self.session.call(commands, address, count, explicit, loop)

    def _end(self) -> None:
        if self._advance() not in _ENDS:
            raise self._unexpected()

    @contextmanager
    def _shell_pipe(self) -> Iterator[None]:
        """Read ``! shell`` (if it stands here) and the end of the statement; what runs within writes to that shell."""
        if self._peek() != "!":
            self._end()
            yield
            return
        self._advance()
        if self._advance() != lex.STRING:
            raise self._unexpected()
        with self.session.shell_pipe(str(self.lexer.value)):
            # mdb begins to count the lines anew when it pushes the shell's pipe on its stack of outputs.
            self.lexer.source.lineno = 1
            self._end()
            yield

    # commands

    def _command(self) -> Command:
        kind = self._advance()
        if kind == lex.COMMAND:
            dcmd = self.lexer.value
            words = self._list(_ARGUMENT)
        elif kind == "$":
            dcmd, words = self.session.find_dcmd("$?"), []
        else:
            words = self._list(_FORMAT)
            dcmd = self.session.find_dcmd(kind)
        return Command(dcmd, words)

    def _list(self, kinds: frozenset[str]) -> list[Word]:
        lexer = self.lexer
        words: list[Word] = list(lexer.extra)
        lexer.extra.clear()
        while True:
            kind = self._peek()
            if kind in kinds:
                words.append(lexer.value)
                self._ahead = None
            elif kind == lex.OPEN:
                self._ahead = None
                words.append(self.expression(0, self._depth + 3))
                if self._advance() != lex.CLOSE:
                    raise self._unexpected()
            else:
                return words

    # expressions

    def expression(self, level: int = 0, depth: int | None = None) -> int:
        """Parse and evaluate an expression of operators that bind tighter than ``level``: 0 to 2**64 - 1.

        ``depth``: states on the stack before it.
        """
        if depth is None:
            depth = self._depth
        left = self._operand(depth)
        while level < _HIGHEST:
            kind = self._peek()
            precedence = _PRECEDENCE.get(kind, 0)
            if precedence <= level:
                break
            self._ahead = None
            self._check(depth + 1)
            right = self.expression(precedence, depth + 2)
            simple = _SIMPLE.get(kind)
            left = simple(left, right) & MASK if simple is not None else self._divide(kind, left, right)
        return left

    def _divide(self, kind: str, left: int, right: int) -> int:
        if right == 0:
            raise self.lexer.error("attempted to divide by zero")
        if kind == "%%":
            return left % right
        if kind == "#":
            left = (left + right - 1) & MASK
        if left == SIGN and right == MASK:
            if kind == "%":
                raise self.lexer.error("divide overflow")
            return left
        quotient = _quotient(left, right)
        return (quotient * right if kind == "#" else quotient) & MASK

    def _check(self, depth: int) -> None:
        """Refuse a token for whose state there is no room."""
        if depth >= STACK:
            raise self.lexer.error("yacc stack overflow")

    def _operand(self, depth: int) -> int:
        kind = self._advance()
        lexer = self.lexer
        action = None if kind == lex.NUMBER else _OPERANDS.get(kind)
        if action is None and kind != lex.NUMBER:
            raise self._unexpected()
        self._check(depth)
        return int(lexer.value) if action is None else action(self, depth)

    def _symbol(self, depth: int) -> int:
        name = str(self.lexer.value)
        if name == ".":
            return self.session.dot
        module, separator, bare = name.rpartition("`")
        try:
            return self.session.lookup(bare, module if separator else None).address
        except SymbolNotFound as error:
            raise ParseError(f"failed to dereference symbol: {error.reason}") from None

    def _variable(self, depth: int) -> int:
        return int(self.lexer.value.get())

    def _parenthesis(self, depth: int) -> int:
        value = self.expression(0, depth + 1)
        if self._advance() != ")":
            raise self._unexpected()
        self._check(depth + 2)
        return value

    def _unary(self, depth: int) -> int:
        return self.expression(_HIGHEST, depth + 1)

    def _core(self, depth: int) -> int:
        return self._fetch(Space.VIRTUAL, 8, depth)

    def _object(self, depth: int) -> int:
        return self._fetch(Space.OBJECT, 8, depth)

    def _cast(self, depth: int) -> int:
        char, size = self.lexer.value
        return self._fetch(Space.VIRTUAL if char == "*" else Space.OBJECT, size, depth)

    def _fetch(self, space: Space, size: int, depth: int) -> int:
        address = self._unary(depth)
        try:
            return int.from_bytes(self.session.target.read(address, size, space), "little")
        except ReadError as error:
            raise ParseError(f"failed to read from address {address:x}: {error.reason}") from None


_ARGUMENT = frozenset({lex.STRING})
_FORMAT = frozenset({lex.STRING, lex.NUMBER, lex.CHARACTER})

_OPERANDS: dict[str, Callable[[Parser, int], int]] = {
    lex.SYMBOL: Parser._symbol,
    lex.VARIABLE: Parser._variable,
    lex.DEREFERENCE: Parser._cast,
    "(": Parser._parenthesis,
    "*": Parser._core,
    "%": Parser._object,
    "-": lambda parser, depth: -parser._unary(depth) & MASK,
    "~": lambda parser, depth: ~parser._unary(depth) & MASK,
    "#": lambda parser, depth: int(not parser._unary(depth)),
    "+": lambda parser, depth: parser.session.next_dot("+"),
    "^": lambda parser, depth: parser.session.previous_dot("^"),
    "&": lambda parser, depth: parser.session.address,
}

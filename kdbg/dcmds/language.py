"""Dcmds of the language itself: what takes text, values and pipes about."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.registry import NONE, Call, View, Walk, WalkError, Word, dcmd
from kdbg.errors import CommandError, UsageError
from kdbg.lang.errors import Abort
from kdbg.lang.formats_numbers import digits, prefixed
from kdbg.lang.variables import bad_character
from kdbg.records import Address


@dcmd(
    "echo", "write words", address=NONE, synopsis="args ...", words=None, example="::echo hello",
    help="Writes its words with a blank behind each. A number is written as $[expression].",
    hint=False,
)  # fmt: skip
def echo(call: Call) -> None:
    """Each word and a blank, then a newline."""
    out = call.session.out
    for word in call.words:
        text = word if isinstance(word, str) else digits(word, call.session.radix)
        out.field(text)
        out.field(" ")
    out.newline()


def _evaluate(call: Call) -> None:
    if len(call.words) != 1 or not isinstance(call.words[0], str):
        raise UsageError("")
    if not call.session.execute(call.words[0]):
        raise Abort("")


def _number(record: Address, view: View) -> str:
    return digits(record.address, view.session.radix)


def _prefixed(record: Address, view: View) -> str:
    return prefixed(record.address, view.session.radix)


@dcmd(
    "map", "show the value of an expression for each address", synopsis="expr", words=None, text=_number,
    help=(
        "Runs a text of the language for each address, with dot set to it, and shows or passes on the value "
        "that dot has then."
    ),
    hint=False,
    example="::walk thread | ::map .+8",
)  # fmt: skip
def map_(call: Call) -> Iterator[Address]:
    """The value of dot after the expression."""
    _evaluate(call)
    yield Address(call.session.dot)


@dcmd(
    "grep", "pass on the addresses for which an expression is not 0", synopsis="expr", words=None, text=_number,
    help=(
        "Runs a text of the language for each address, with dot set to it, and shows or passes on the "
        "addresses for which dot is not 0 then."
    ),
    hint=False,
    example="::walk proc | ::grep '*.!=0'",
)  # fmt: skip
def grep(call: Call) -> Iterator[Address]:
    """The address, if the expression is not 0."""
    _evaluate(call)
    if call.session.dot:
        yield Address(call.address)


@dcmd(
    "eval", "run a text of the language", plain_usage=True, synopsis="command", words=None,
    help="Runs one word as text of the language; put it in quotes. In a pipe it runs once for each address.",
    hint=False,
    example="::walk thread | ::eval '.=K'",
)  # fmt: skip
def eval_(call: Call) -> None:
    """Run the text."""
    _evaluate(call)


@dcmd(
    "head",
    "pass on the first addresses of a pipe",
    plain_usage=True,
    synopsis="-num|-n num",
    words=None,
    help="Takes what a pipe brings and passes on, or shows, the first ones: 10, or as many as told, in decimal.",
    text=lambda record, view: f"{record.address:x}",
    example="::walk thread | ::head -3",
)
def head(call: Call) -> Iterator[Address] | None:
    """The first addresses."""
    if not call.piped_in:
        raise UsageError("")
    first = list(call.batch)[: limit(call.words)]
    call.taken = True
    if call.piped_out and call.session.pipe is not None:
        call.session.pipe.replace(first)
        return None
    return (Address(address) for address in first)


def limit(words: list[Word]) -> int:
    """How many ``::head`` is to pass on. Raises `UsageError`."""
    if not words:
        return 10
    text = ""
    if len(words) == 1 and isinstance(words[0], str) and words[0].startswith("-"):
        text = words[0][1:]
    elif len(words) == 2 and words[0] == "-n" and isinstance(words[1], str):
        text = words[1]
    else:
        raise UsageError("")
    if text and not (text.isascii() and text.isdigit()):
        raise UsageError("")
    return int(text or "0")


@dcmd(
    "walk", "walk a data structure", synopsis="name [variable]", words=None, text=_prefixed,
    help=(
        "Visits the elements of a data structure and shows or passes on the address of each; from the given "
        "address on where the walker can begin there. The variable, if one is named, follows the walk in the "
        "commands to the right. ::walkers lists what can be walked."
    ),
    hint=False,
    example="::walk proc | ::print proc_t p_user.u_comm",
)  # fmt: skip
def walk(call: Call) -> Iterator[Address]:
    """The addresses that a walker yields."""
    if not 1 <= len(call.words) <= 2 or any(not isinstance(word, str) for word in call.words):
        raise UsageError("")
    session = call.session
    if len(call.words) == 2:
        bind(call, str(call.words[1]))
    try:
        walker = session.find_walker(str(call.words[0]))
        yield from map(Address, walker.run(Walk(session, walker.name, call.address_given, walker.argument)))
    except WalkError as error:
        if str(error):
            session.warn(str(error))
        raise CommandError("failed to perform walk: failed to initialize walk") from None
    except CommandError as error:
        raise CommandError(f"failed to perform walk: {error}") from None


def bind(call: Call, name: str, value: int = 0) -> None:
    """Have a variable hold each address for the commands behind the pipe; a new one has ``value``. Raises `Abort`."""
    session = call.session
    variable = session.variables.get(name)
    if variable is None:
        bad = bad_character(name)
        if bad is not None:
            raise Abort(f"'{bad}' may not be used in a variable name")
        variable = session.variables.define(name, value)
    elif variable.read_only:
        raise Abort(f"variable {name} is read-only")
    if session.pipe is not None:
        session.pipe.bind(variable)

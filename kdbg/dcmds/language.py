"""Dcmds of the language itself: what takes text, values and pipes about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Walk, WalkError, dcmd
from kdbg.errors import CommandError, Error, UsageError
from kdbg.lang.errors import Abort, Silent
from kdbg.lang.formats_numbers import digits, prefixed
from kdbg.records import Address


@dcmd("echo", "write words", address=NONE, synopsis="args ...", words=None, example="::echo hello")
def echo(call: Call) -> None:
    """Each word and a blank, then a newline."""
    out = call.session.out
    for word in call.words:
        out.write(f"{word if isinstance(word, str) else prefixed(word, call.session.radix)} ")
    out.newline()


def _evaluate(call: Call) -> None:
    if len(call.words) != 1 or not isinstance(call.words[0], str):
        raise UsageError("")
    if not call.session.execute(call.words[0]):
        raise Abort("failed to eval")


@dcmd("map", "show the value of an expression for each address", address=OPTIONAL, synopsis="expr", words=None)
def map_(call: Call) -> Iterator[Address]:
    """The value of dot after the expression."""
    _evaluate(call)
    yield Address(call.session.dot)


@dcmd("grep", "pass on the addresses for which an expression is not 0", address=OPTIONAL, synopsis="expr", words=None)
def grep(call: Call) -> Iterator[Address]:
    """The address, if the expression is not 0."""
    _evaluate(call)
    if call.session.dot:
        yield Address(call.address)


@dcmd("eval", "run a text of the language", address=NONE, synopsis="command", words=None)
def eval_(call: Call) -> None:
    """Run the text."""
    _evaluate(call)


@dcmd("walk", "walk a data structure", address=OPTIONAL, synopsis="name [variable]", words=None)
def walk(call: Call) -> Iterator[Address]:
    """The addresses that a walker yields."""
    if not 1 <= len(call.words) <= 2:
        raise UsageError("")
    session = call.session
    try:
        walker = session.find_walker(str(call.words[0]))
    except CommandError as error:
        raise CommandError(f"failed to perform walk: {error}") from None
    if len(call.words) == 2:
        variable = session.variables.get(str(call.words[1])) or session.variables.define(str(call.words[1]))
        if session.pipe is not None:
            session.pipe.bind(variable)
    walking = Walk(session, walker.name, call.address_given, walker.argument)
    try:
        for address in walker.run(walking):
            yield Address(address)
    except WalkError as error:
        if str(error):
            session.warn(str(error))
        raise CommandError("failed to perform walk: unable to initialize walk") from None

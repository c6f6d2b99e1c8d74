"""Dcmds that show and change what the session remembers: variables, radix, widths, settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import Call, View, dcmd, flag
from kdbg.errors import CommandError, UsageError
from kdbg.lang.errors import Quit
from kdbg.lang.formats_numbers import digits, prefixed
from kdbg.lang.lexer import Char
from kdbg.lang.output import BUFFER
from kdbg.lang.variables import NAME_LIMIT, Variable, bad_character

SMALLEST_RADIX, LARGEST_RADIX = 2, 16
_CASTS = {"c": 0xFF, "s": 0xFFFF, "i": 0xFFFFFFFF, "l": 0xFFFFFFFFFFFFFFFF}


@dataclass(frozen=True, slots=True)
class VariableValue:
    """A variable of the language."""

    name: str
    value: int


@dcmd(
    "quit,$q,$Q,$%",
    "leave the debugger",
    plain_usage=True,
    words=None,
    example="::quit",
    help="Ends the session. The end of the input does, too.",
    hint=False,
)
def quit_(call: Call) -> None:
    """Leave."""
    raise Quit


def _equation(record: VariableValue, view: View) -> str:
    return f"{record.name} = {digits(record.value, view.session.radix)}"


def _assignment(record: VariableValue, view: View) -> str:
    return f"{prefixed(record.value, view.session.radix)}>{record.name}"


@dcmd(
    "vars",
    "list the variables",
    plain_usage=True,
    synopsis="[-npt]",
    options=[
        flag("n", "only those that are not 0"),
        flag("p", "as assignments, to be read in again"),
        flag("t", "only those that ::typeset -t has marked"),
    ],
    text=_equation,
    example="::vars -n",
    help=(
        "Shows the variables with their values in the default radix. Those with names of one character belong "
        "to the debugger."
    ),
    hint=False,
)
def vars_(call: Call) -> Iterator[VariableValue] | None:
    """The variables in the order of mdb's table."""
    found = (
        VariableValue(variable.name, variable.get())
        for variable in call.session.variables
        if (not call.options.t or variable.tagged) and (not call.options.n or variable.get())
    )
    if not call.options.p:
        return found
    for record in found:
        call.session.out.line(_assignment(record, call.session.view))
    return None


@dcmd(
    "$v", "list the variables that are not 0", plain_usage=True, text=_equation,
    help="Shows what ::vars -n shows: variables that hold something, in the default radix.",
    hint=False,
    example="$v",
)  # fmt: skip
def nonzero(call: Call) -> Iterator[VariableValue]:
    """The variables that are not 0."""
    for variable in call.session.variables:
        if variable.get():
            yield VariableValue(variable.name, variable.get())


@dcmd(
    ">", "assign to a variable", plain_usage=True, synopsis="variable-name", words=None,
    help=(
        "Keeps dot, or the value before it, in a variable; <name is its value later. A cast keeps the low "
        "bytes only: /c/ 1, /s/ 2, /i/ 4, /l/ 8."
    ),
    hint=False,
    example="cpu0_disp>here",
)  # fmt: skip
def assign(call: Call) -> None:
    """Give dot, or the address, to a variable; a cast keeps its low bytes only."""
    session = call.session
    words = list(call.words)
    value = session.dot
    if len(words) == 2:
        if not isinstance(words[0], Char):
            raise CommandError("improper arguments following '>' operator")
        mask = _CASTS.get(words[0])
        if mask is None:
            raise CommandError(f"{words[0]} is not a valid // modifier")
        value = call.address & mask
        words.pop(0)
    if len(words) != 1 or not isinstance(words[0], str) or isinstance(words[0], Char):
        raise CommandError("expected single variable name following '>'")
    name = words[0]
    if len(name) > NAME_LIMIT:
        raise CommandError(f"variable names may not exceed {NAME_LIMIT} characters")
    _check_name(name)
    variable = session.variables.get(name)
    if variable is None:
        session.variables.define(name, value)
    else:
        _store(call, variable, value)
    session.increment = 0


def _check_name(name: str) -> None:
    bad = bad_character(name)
    if bad is not None:
        raise CommandError(f"'{bad}' may not be used in a variable name")


def _store(call: Call, variable: Variable, value: int) -> None:
    if variable.read_only:
        call.session.warn(f"cannot modify read-only variable '{variable.name}'")
    else:
        variable.set(value)


@dcmd(
    "typeset", "make or mark variables", plain_usage=True, synopsis="[+/-t] var ...", words=None, text=_equation,
    help=(
        "Makes variables where there are none yet, with the value of the address if one is given. -t marks "
        "them for ::vars -t, +t takes the mark back."
    ),
    hint=False,
    example="::typeset -t mark",
)  # fmt: skip
def typeset(call: Call) -> Iterator[VariableValue] | None:
    """Make variables, of the value of the address or 0; ``-t`` marks, ``+t`` unmarks them."""
    words = list(call.words)
    if not words:
        return (VariableValue(variable.name, variable.get()) for variable in call.session.variables)
    tag = None
    if isinstance(words[0], str) and words[0][:1] in ("-", "+"):
        if words[0][1:2] != "t":
            raise UsageError("")
        tag = words.pop(0)[0] == "-"  # type: ignore[index]
    for name in words:
        if isinstance(name, str):
            _typeset_one(call, name, tag)
    return None


def _typeset_one(call: Call, name: str, tag: bool | None) -> None:
    session = call.session
    if name[:1] in ("-", "+"):
        session.warn(f"ignored bad option -- {name}")
        return
    _check_name(name)
    variable = session.variables.get(name)
    if variable is None:
        variable = session.variables.define(name, call.address_given or 0)
    elif call.explicit:
        _store(call, variable, call.address)
    if tag is not None:
        variable.tagged = tag


@dcmd(
    "unset", "forget variables", plain_usage=True, synopsis="[name ...]", words=None,
    help="Forgets variables. Those of the debugger itself cannot be forgotten.",
    hint=False,
    example="::unset mark",
)  # fmt: skip
def unset(call: Call) -> None:
    """Forget variables."""
    for number, name in enumerate(call.words, 1):
        if not isinstance(name, str):
            raise UsageError(f"bad option: arg {number} is not a string")
    for name in call.words:
        variable = call.session.variables.get(str(name))
        if variable is None:
            call.session.warn(f"variable '{name}' not defined")
        elif variable.persistent:
            call.session.warn(f"cannot remove persistent variable '{name}'")
        else:
            call.session.variables.remove(variable.name)


@dcmd(
    "$d", "show or set the default radix", plain_usage=True, example="0t10$d",
    help=(
        "With an address between 2 and 16: numbers without a prefix are read, and shown by many commands, in "
        "that base."
    ),
    hint=False,
)  # fmt: skip
def radix(call: Call) -> None:
    """Set the radix to the address, if one is given, and show it."""
    session = call.session
    if call.explicit:
        if not SMALLEST_RADIX <= call.address <= LARGEST_RADIX:
            raise CommandError(f"expected radix from {SMALLEST_RADIX} to {LARGEST_RADIX}")
        session.radix = call.address
    session.out.line(f"radix = {session.radix} base ten")


def distance_text(distance: int, base: int) -> str:
    """The symbol matching distance with the mode that it means."""
    return f"{digits(distance, base)} ({'absolute' if distance else 'smart'} mode)"


@dcmd(
    "$s", "show or set how far from a symbol an address may lie to be named by it", plain_usage=True,
    help=(
        "With an address: names are used for addresses up to so far behind a symbol. 0: only within the size "
        "of a symbol."
    ),
    hint=False,
    example="100$s",
)  # fmt: skip
def symbol_distance(call: Call) -> None:
    """Set the distance to the address, if one is given, and show it."""
    session = call.session
    if call.explicit:
        session.settings.distance = call.address
    session.out.line(f"symbol matching distance = {distance_text(session.settings.distance, session.radix)}")


@dcmd(
    "$w", "show or set the width of a line", plain_usage=True,
    help="With an address: lists of formats begin a new line after so many columns.",
    hint=False,
    example="0t132$w",
)  # fmt: skip
def width(call: Call) -> None:
    """Set the columns of a line to the address, if one is given, and show them."""
    out = call.session.out
    if call.explicit:
        out.columns = min(call.address, BUFFER) or 80
    out.line(f"output page width = {out.columns}")


@dcmd(
    "$P", "set the prompt", plain_usage=True, synopsis="[prompt]", words=None,
    help="Sets what is shown before each line that is read; nothing without a word.",
    hint=False,
    example='$P "kdbg> "',
)  # fmt: skip
def prompt(call: Call) -> None:
    """Set the prompt, to nothing without a word."""
    if len(call.words) > 1 or any(not isinstance(word, str) for word in call.words):
        raise UsageError("")
    call.session.settings.set_prompt(str(call.words[0]) if call.words else "", call.session.warn)

"""How a dcmd or a walker is declared.

    @dcmd("threadlist", "list the kernel's threads", options=[flag("t", "without those of task queues")],
          table=THREADS, example="::threadlist -t")
    def threadlist(call: Call) -> Iterator[Thread]:
        for thread in call.kernel.threads(start=call.address_given):
            if not (call.options.t and thread.taskq):
                yield thread

A dcmd yields records. Text is a view of them: a `Table` of columns, or a function from one record to its text. The
engine (kdbg.lang) does all else: parses options, prints usage and headings, loops over addresses, feeds pipes, writes
JSON.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kdbg.errors import CommandError

if TYPE_CHECKING:
    from kdbg.lang.session import Session
    from kdbg.target import Target

Word = str | int
"""An argument of a dcmd: a word, or a number given as ``$[expression]``."""


class Need(enum.Enum):
    """Whether a dcmd takes an address before the ``::``."""

    NONE = "none"
    """An address is wrong usage."""
    OPTIONAL = "optional"
    REQUIRED = "required"
    """Checked before the options are looked at."""
    REQUIRED_AFTER_OPTIONS = "required after options"
    """Checked when the options have been found good: mdb's dcmds differ in this."""


NONE, OPTIONAL, REQUIRED, REQUIRED_AFTER_OPTIONS = Need


class Type(enum.Enum):
    """What follows an option."""

    FLAG = "flag"
    WORD = "word"
    """Text, as given."""
    NUMBER = "number"
    """A number in the default radix."""
    DECIMAL = "decimal"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a dcmd."""

    letter: str
    help: str
    type: Type = Type.FLAG
    metavar: str = ""
    clears: str = ""
    """Letters of flags that this one undoes."""


def flag(letter: str, help: str, clears: str = "") -> Option:  # noqa: A002
    """Return an option without an argument."""
    return Option(letter, help, clears=clears)


def word(letter: str, metavar: str, help: str) -> Option:  # noqa: A002
    """Return an option followed by a word."""
    return Option(letter, help, Type.WORD, metavar)


def number(letter: str, metavar: str, help: str) -> Option:  # noqa: A002
    """Return an option followed by a number in the default radix."""
    return Option(letter, help, Type.NUMBER, metavar)


class Options:
    """Options as given, by letter: True or False for flags, the value or None for others."""

    def __init__(self, declared: Sequence[Option], given: dict[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {o.letter: False if o.type is Type.FLAG else None for o in declared}
        self._values.update(given or {})

    def __getattr__(self, letter: str) -> Any:
        try:
            return self._values[letter]
        except KeyError:
            raise AttributeError(letter) from None

    def __getitem__(self, letter: str) -> Any:
        return self._values[letter]

    def given(self) -> dict[str, Any]:
        """Those that are given."""
        return {letter: value for letter, value in self._values.items() if value is not False and value is not None}

    def any(self, letters: str) -> bool:
        """Whether one of these is given."""
        return any(self._values[letter] not in (False, None) for letter in letters)


class View:
    """What a text view may ask of its surroundings; the engine hands it to `Table` and to text functions."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.target = session.target

    @property
    def pointer_width(self) -> int:
        """Digits of a pointer: 16 or 8."""
        return self.target.bits // 4

    def label(self, address: int) -> str:
        """``symbol+0x10``, or the number with 0x; 0 for 0: mdb's ``%a``."""
        return self.session.label(address)


Cell = Callable[[Any, View], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. ``width`` None: a pointer's."""

    heading: str
    cell: Cell
    width: int | None = None
    left: bool = False
    field: str = ""
    """The record's field that it shows, where it is one."""
    address: bool = False
    """Whether that is an address."""

    def fit(self, text: str, view: View) -> str:
        """Pad a cell or a heading; the longer ones stick out as they do in mdb."""
        width = view.pointer_width if self.width is None else self.width
        return text.ljust(width) if self.left else text.rjust(width)


def pointer(heading: str, name: str, left: bool = False) -> Column:
    """Return a column of addresses: hexadecimal without 0x, as wide as a pointer."""
    return Column(heading, lambda record, _: _hexadecimal(getattr(record, name)), None, left, name, True)


def padded_pointer(heading: str, name: str) -> Column:
    """Return a column of addresses filled with zeros to a pointer's width."""
    return Column(
        heading,
        lambda record, view: _hexadecimal(getattr(record, name)).rjust(view.pointer_width, "0"),
        field=name,
        address=True,
    )


def hexadecimal(heading: str, name: str, width: int, left: bool = False) -> Column:
    """Return a column of hexadecimal numbers without 0x."""
    return Column(heading, lambda record, _: _hexadecimal(getattr(record, name)), width, left)


def decimal(heading: str, name: str, width: int, left: bool = False) -> Column:
    """Return a column of decimal numbers."""
    return Column(heading, lambda record, _: _text(getattr(record, name)), width, left)


def text(heading: str, name: str, width: int, left: bool = True) -> Column:
    """Return a column of texts."""
    return Column(heading, lambda record, _: _text(getattr(record, name)), width, left)


def label(heading: str, name: str, width: int, left: bool = True) -> Column:
    """Return a column of addresses shown as symbol and offset."""
    return Column(heading, lambda record, view: view.label(getattr(record, name)), width, left, name, True)


def _hexadecimal(value: int | None) -> str:
    return "-" if value is None else f"{value:x}"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns joined by ``gap``; the last one is not padded if ``ragged``.

    What is no plain table overrides `heading` and `row`: None shows nothing.
    """

    columns: Sequence[Column] = ()
    gap: str = " "
    ragged: bool = True
    indent: str = ""

    def heading(self, view: View) -> str | None:
        """The line of headings."""
        return self._line([column.heading for column in self.columns], view)

    def row(self, record: Any, view: View) -> str | None:
        """The line of one record."""
        return self._line([column.cell(record, view) for column in self.columns], view)

    def _line(self, cells: list[str], view: View) -> str:
        fitted = [column.fit(cell, view) for column, cell in zip(self.columns, cells, strict=True)]
        if self.ragged and self.columns and self.columns[-1].left:
            fitted[-1] = cells[-1]
        return self.indent + self.gap.join(fitted)


@dataclass(slots=True)
class Call:
    """One call of a dcmd: for one address, in a loop over addresses where a pipe or a count makes one."""

    session: Session
    name: str
    address: int
    """Dot where none was given."""
    explicit: bool
    """Whether an address was given (by hand, by a pipe, by a count)."""
    options: Options
    words: list[Word]
    """What stands behind the options."""
    first: bool = True
    """Whether it is the first of a loop: headings are shown."""
    loop: bool = False
    piped_in: bool = False
    piped_out: bool = False
    batch: Sequence[int] = ()
    """All the addresses that the pipe brings at once, this one included: for dcmds that take them together."""
    count: int = 1
    kept: dict[str, Any] = field(default_factory=dict)
    """What the dcmd wants to find again in the next call of the same loop."""
    taken: bool = False
    """Whether it has taken all of ``batch``: there is no call for the others then."""
    failed: bool = False
    """Whether the command is to count as failed although it goes on."""

    @property
    def target(self) -> Target:
        """The dump, object or file that is looked at."""
        return self.session.target

    @property
    def kernel(self) -> Any:
        """The kernel found in the dump. Raises `CommandError` where none is known."""
        return self.session.target.require_kernel()

    @property
    def address_given(self) -> int | None:
        """The address if one was given, else None."""
        return self.address if self.explicit else None

    def warn(self, message: str) -> None:
        """Say what went wrong, and go on: ``kdbg: message`` on standard error. `fail` counts it as a failure."""
        self.session.warn(message)

    def fail(self, message: str = "") -> None:
        """Say what went wrong, if anything is to be said, and count the command as failed."""
        self.failed = True
        if message:
            self.session.warn(message)


Record = Any
Run = Callable[[Call], Iterable[Record] | None]
"""What a dcmd does: its records. A None among them is no record: it has the heading shown, as an error may follow."""
TextView = Callable[[Any, View], str | None]
"""One record -> its text without the last newline; None to show nothing."""


@dataclass(frozen=True, slots=True)
class Dcmd:
    """A dcmd as declared."""

    name: str
    summary: str
    run: Run
    address: Need = OPTIONAL
    synopsis: str = ""
    """Options and words as the usage line shows them."""
    options: tuple[Option, ...] = ()
    words: int | None = 0
    """How many words may follow; None: any number."""
    missing: str = ""
    """What is said before the usage where there is no address; most dcmds say nothing."""
    plain_usage: bool = False
    """Whether the usage line keeps the address to itself although one may be given."""
    strict_usage: bool = False
    """Whether the usage line asks for an address although the dcmd goes without."""
    lenient: bool = False
    """Whether an option that it has not is told and then taken for a word, as some of mdb's dcmds do."""
    table: Table | Callable[[Call], Table] | None = None
    text: TextView | None = None
    heading: Callable[[Call, View], str] | None = None
    """Heading for a dcmd with a text function; shown before the first record."""
    pipe: Callable[[Any], int | None] | None = None
    """What a record becomes in a pipe; its ``address`` if not given."""
    needs: tuple[str, ...] = ()
    """Capabilities of the target: "kernel", "symbols", "types", "vcpus" ...; checked before the call."""
    help: str = ""
    """More than the summary: paragraphs, in our own words."""
    hint: bool | None = None
    """Whether wrong usage is followed by a word on ``::help``; None: where there is help. mdb's own dcmds differ."""
    example: str = ""
    module: str = ""
    """Name of the group that it belongs to: mdb's module."""


F = TypeVar("F", bound=Callable[..., Any])


def dcmd(name: str, summary: str, **details: Any) -> Callable[[F], F]:
    """Declare the function as a dcmd; aliases go by commas: ``"stack,$c"``. The descriptors hang on the function."""

    def declare(function: F) -> F:
        options = tuple(details.pop("options", ()))
        docstring = details.pop("help", "")
        declared = [Dcmd(one, summary, function, options=options, help=docstring, **details) for one in name.split(",")]
        function.__dict__.setdefault("dcmds", []).extend(declared)
        return function

    return declare


@dataclass(slots=True)
class Walk:
    """One walk: from ``start``, or over everything where it is None."""

    session: Session
    name: str
    start: int | None
    argument: Any = None
    """What the walker's declaration carries: most walkers are rows of a table."""

    @property
    def target(self) -> Target:
        """The dump."""
        return self.session.target

    @property
    def kernel(self) -> Any:
        """The kernel found in the dump."""
        return self.session.target.require_kernel()

    def warn(self, message: str) -> None:
        """Say what went wrong in a step."""
        self.session.warn(message)


class WalkError(CommandError):
    """A walk that cannot begin: its text is shown, then that the walk could not be initialised.

    An error in a later step is told by `Walk.warn`, and the walk ends.
    """


@dataclass(frozen=True, slots=True)
class Walker:
    """A walker as declared."""

    name: str
    summary: str
    run: Callable[[Walk], Iterator[int]]
    argument: Any = None
    module: str = ""


def walker(name: str, summary: str, **details: Any) -> Callable[[F], F]:
    """Declare the function as a walker."""

    def declare(function: F) -> F:
        function.__dict__.setdefault("walkers", []).append(Walker(name, summary, function, **details))
        return function

    return declare

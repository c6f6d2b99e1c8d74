r"""Formats: what ``/ \ ? @ =`` show of memory, or of a number.

The language hands over a parsed list; this module walks it, letter by letter, keeps dot and the increment, and prints
to the session's output, which wraps and indents (a margin of 16 columns).

A list is a sequence of items: a letter (`kdbg.lang.lexer.Char`), an ``int`` (the count of the next letter) or a plain
``str`` (text to print; for ``l L M`` and ``v w z W Z`` an expression to evaluate). Entry points, called once for each
repetition of a command, with dot set to where it begins:

- `show_memory`: ``/ \ ? @``: letters, also none at all, or a search or a write where such a letter begins the list;
- `show_value`: ``=``.

They leave ``session.increment`` (bytes from dot to behind the last thing) and dot as the language has it, and return a
`Status`: `DONE`, `FAILED` (the repetition goes on) or `ENDED` (it does not).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, ReadError, SymbolNotFound
from kdbg.lang.formats_letters import LETTERS, NARROW, Letter
from kdbg.lang.formats_numbers import MASK, bit_chart, carets, escaped
from kdbg.lang.lexer import Char
from kdbg.target import Space

if TYPE_CHECKING:
    from kdbg.lang.output import Output
    from kdbg.lang.session import Session

STRING_CHUNK = 1024
"""Bytes that a string is read by."""
CHARACTER_CHUNK = 1 << 16
NUMBER_CHUNK = 4096
MARGIN = 16
"""Columns of a label; later lines are indented so far."""
WRITERS = frozenset("vwzWZ")
SEARCHERS = frozenset("lLM")

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Status(enum.Enum):
    """How a repetition ended."""

    DONE = 0
    FAILED = 1
    ENDED = 2


Item = int | str
DEFAULT: tuple[Item, ...] = (Char("X"), Char("^"), "= ", Char("i"))
"""What an empty list stands for, as in adb: a word, and the instruction there."""


@dataclass(slots=True)
class Source:
    """Where a list reads from."""

    read: Callable[[int, int], bytes]
    """Exactly so many bytes from an address. Raises `ReadError`."""
    some: Callable[[int, int], bytes]
    """As many as there are, up to so many. Raises `ReadError` where not one can be read."""
    code: Callable[[int, int], bytes]
    """As ``some``, for instructions."""
    moves: bool = True
    """Whether what is read depends on the address."""


@dataclass(slots=True)
class Run:
    """A list on its way."""

    session: Session
    out: Output
    source: Source
    step: int
    """What the last letter moved: ``^`` goes back by it."""
    leaked: bool = False
    """Whether a letter that failed has left the breaking of lines on (`Letter.leaks`)."""

    def failed(self, error: ReadError) -> None:
        """Tell of a failed read."""
        self.session.warn(f"failed to read data from target: {error.reason}")


def memory_source(session: Session, space: Space) -> Source:
    """The target."""
    target = session.target

    def some(address: int, size: int) -> bytes:
        return target.read_some(address, size, space)

    return Source(lambda address, size: target.read(address, size, space), some, some)


def value_source(value: int) -> Source:
    """A number's own eight bytes, wherever one reads: every letter of ``=`` shows the low ones."""
    data = (value & MASK).to_bytes(8, "little")
    padded = data.ljust(64, b"\0")

    def take(address: int, size: int) -> bytes:
        return data[:size]

    return Source(take, take, lambda address, size: padded[:size], moves=False)


def show_memory(session: Session, space: Space, items: Sequence[Item], header: bool = True) -> Status:
    """Show memory from dot on by a list of letters, search in it or write to it.

    ``header``: whether the label is shown: for the first repetition, and not into a pipe.
    """
    if items and isinstance(items[0], Char):
        if items[0] in WRITERS:
            from kdbg.lang.formats_write import write_values

            return write_values(session, space, items[0], items[1:])
        if items[0] in SEARCHERS:
            from kdbg.lang.formats_write import search

            return search(session, space, items[0], items[1:])
    address = session.dot
    if header:
        _label(session, space, items, address)
    run = Run(session, session.out, memory_source(session, space), session.increment)
    session.out.indent(True)
    end = _walk(run, items or DEFAULT, address)
    session.increment = end - address & MASK
    session.out.indent(False)
    return Status.DONE


def show_value(session: Session, items: Sequence[Item]) -> Status:
    """Show dot itself by a list of letters. Raises `CommandError` where there are none."""
    if not items:
        raise CommandError("expected one or more format characters following '='")
    dot = session.dot
    run = Run(session, session.out, value_source(dot), session.increment)
    session.out.indent(True)
    count = 1
    for item in items:
        if isinstance(item, int):
            count = item
            continue
        if isinstance(item, Char):
            moved = run_letter(run, item, dot, count)
            if item in "+-":
                dot = moved
        else:
            session.out.write(item)
        count = 1
    session.out.indent(False)
    session.dot = dot
    session.increment = 0
    return Status.DONE


def _label(session: Session, space: Space, items: Sequence[Item], address: int) -> None:
    """Print the address before a list; on a line of its own the symbol that begins there, if one does."""
    out = session.out
    start = [item if isinstance(item, Char) else "" for item in items[:2]]
    if start == ["a", "i"]:
        out.field(f"{session.label(address)}:", MARGIN, left=True)
        out.newline()
    elif start == ["i", "a"]:
        out.field(f"{session.label(address)}:", MARGIN, left=True)
    else:
        if session.symbolic and space in (Space.VIRTUAL, Space.OBJECT):
            try:
                symbol, offset = session.target.nearest(address, session.distance)
            except SymbolNotFound:
                pass
            else:
                if offset == 0:
                    out.write(f"{session.target.qualified(symbol)}:\n")
        out.field(f"{session.label(address)}:", MARGIN, left=True)
        _align(out)


def _align(out: Output) -> None:
    """Go on at the next multiple of the label's width, unless already there."""
    if out.column % MARGIN:
        out.tab(MARGIN)


def _walk(run: Run, items: Sequence[Item], address: int) -> int:
    """Do all letters from an address on; return the address behind the last."""
    count = 1
    for item in items:
        if isinstance(item, int):
            count = item
            continue
        if isinstance(item, Char):
            end = run_letter(run, item, address, count)
            run.step = end - address & MASK
            address = end
        else:
            run.out.write(item)
        count = 1
    return address


def run_letter(run: Run, char: str, address: int, count: int) -> int:
    """Do one letter ``count`` times from an address; return the address behind it."""
    letter = LETTERS.get(char)
    if char in NARROW and run.session.target.bits == 32:
        letter = NARROW[char]
    action = _ACTIONS.get(letter.kind) if letter is not None else None
    if letter is None or action is None:
        run.session.warn(f"invalid format character -- '{char}'")
        return address
    if letter.kind == "bits":
        return action(run, letter, address, count) & MASK
    out = run.out
    wrapped, out.wrap = out.wrap, True
    out.room(0)
    address = action(run, letter, address, count) & MASK
    if not run.leaked:
        out.wrap = wrapped
    return address


def _numbers(run: Run, letter: Letter, address: int, count: int) -> int:
    show, size, width, out = letter.show, letter.size, letter.width, run.out
    assert show is not None
    session, read = run.session, run.source.read
    code = _CODES[size]
    batch = 1
    while count > 0:
        try:
            data = read(address, size * batch)
        except ReadError as error:
            if batch > 1:
                batch = 1
                continue
            run.failed(error)
            run.leaked = run.leaked or letter.leaks
            return address
        values = struct.unpack_from(f"<{len(data) // size}{code}", data)
        for value in values:
            text = show(value, session)
            out.field(text, width + 1 if letter.grows and len(text) == width else width, left=True)
        session.last_value = _swapped(values[-1], size) if letter.char in "hH" else values[-1]
        address = address + len(data) & MASK
        count -= len(values)
        if run.source.moves:
            # Several at a time, but none beyond a page's end: so a failed read has shown all that comes before it.
            batch = max(1, min(count, (NUMBER_CHUNK - address % NUMBER_CHUNK) // size))
    return address


def _swapped(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "little"), "big")


def _character(run: Run, letter: Letter, address: int, count: int) -> int:
    for _ in range(count):
        try:
            data = run.source.read(address, 1)
        except ReadError as error:
            run.failed(error)
            run.leaked = True
            return address
        if data == b"\n":
            run.out.newline()
        elif data != b"\0":
            run.out.field(data.decode("latin-1"))
        run.session.last_value = data[0]
        address += 1
    return address


def _escaped_characters(run: Run, letter: Letter, address: int, count: int) -> int:
    """As many as can be read; no complaint about the rest."""
    convert = carets if run.session.adb else escaped
    left = count
    while left > 0:
        wanted = min(left, CHARACTER_CHUNK)
        try:
            data = run.source.some(address, wanted)
        except ReadError:
            break
        run.out.write(convert(data))
        address += len(data)
        left -= wanted
        if len(data) < wanted:
            break
    return address


def _strings(run: Run, letter: Letter, address: int, count: int, convert: Callable[[bytes], str]) -> int:
    out = run.out
    out.indent(False)
    while count > 0:
        count -= 1
        more = True
        while more:
            try:
                data = run.source.some(address, STRING_CHUNK)
            except ReadError as error:
                run.failed(error)
                out.indent(True)
                return address
            end = data.find(b"\0")
            more = end < 0 and len(data) == STRING_CHUNK
            piece = data[:end] if end >= 0 else data[: STRING_CHUNK - 1]
            out.write(convert(piece))
            address += len(piece)
        if count:
            out.write("\\0")
        address += 1
    out.indent(True)
    return address


def _string(run: Run, letter: Letter, address: int, count: int) -> int:
    return _strings(run, letter, address, count, lambda data: data.decode("latin-1"))


def _escaped_string(run: Run, letter: Letter, address: int, count: int) -> int:
    return _strings(run, letter, address, count, escaped)


def _instruction(run: Run, letter: Letter, address: int, count: int) -> int:
    from kdbg.disasm import disassemble

    for _ in range(count):
        found = disassemble(run.session, run.source.code, address)
        if found is None:
            return address
        run.out.field(found.text)
        run.out.newline()
        address = found.end
    return address


def _dotted_instruction(run: Run, letter: Letter, address: int, count: int) -> int:
    from kdbg.disasm import disassemble

    out = run.out
    out.indent(False)
    for _ in range(count):
        try:
            word = int.from_bytes(run.source.read(address, 4), "little")
        except ReadError as error:
            run.failed(error)
            break
        found = disassemble(run.session, run.source.code, address)
        if found is None:
            break
        for piece in (f"{address:x}", " ", f"{word:x}", ": ", found.text):
            out.field(piece)
        out.newline()
        address = found.end
    out.indent(True)
    return address


def _dot(run: Run, letter: Letter, address: int, count: int) -> int:
    session, out = run.session, run.out
    out.indent(False)
    text = f"{session.label(address)}:" if session.symbolic else f"{address:#x}:" if address else "0:"
    for _ in range(count):
        out.field(text, MARGIN, left=True)
        _align(out)
    out.indent(True)
    session.last_value = address
    return address


def _bits(run: Run, letter: Letter, address: int, count: int) -> int:
    for _ in range(count):
        try:
            value = int.from_bytes(run.source.read(address, 8), "little")
        except ReadError as error:
            run.failed(error)
            break
        run.session.last_value = value
        address += 8
        for line in bit_chart(value):
            run.out.field(line)
            run.out.newline()
    return address


def _newline(run: Run, letter: Letter, address: int, count: int) -> int:
    for _ in range(count):
        run.out.newline()
    return address


def _blanks(run: Run, letter: Letter, address: int, count: int) -> int:
    run.out.blanks(count)
    return address


def _tab(run: Run, letter: Letter, address: int, count: int) -> int:
    run.out.tab(min(count, run.out.columns - 1))
    return address


_Action = Callable[[Run, Letter, int, int], int]
_ACTIONS: dict[str, _Action] = {
    "number": _numbers,
    "character": _character,
    "escaped characters": _escaped_characters,
    "string": _string,
    "escaped string": _escaped_string,
    "instruction": _instruction,
    "dotted instruction": _dotted_instruction,
    "dot": _dot,
    "bits": _bits,
    "newline": _newline,
    "blanks": _blanks,
    "tab": _tab,
    "up": lambda run, letter, address, count: address + count,
    "down": lambda run, letter, address, count: address - count,
    "back": lambda run, letter, address, count: address - run.step * count,
}

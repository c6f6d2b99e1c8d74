"""What the language writes: lines, with columns, margins and pipes.

Modelled on mdb's i/o buffers: text is kept until its line ends, so that a message on the error stream comes before the
unfinished line. Characters stand for bytes (Latin-1), whatever they mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Protocol

from kdbg.lang.errors import OutputLost

BUFFER = 1024
"""Characters after which an unfinished line is written all the same, and its columns counted from 0 again."""

_WORDS = re.compile(r", |[^\s,]+|\s|,")
_BREAKS = re.compile(r"([\t\n])")


class Sink(Protocol):
    """Where finished lines go."""

    def emit(self, text: str) -> None:
        """Take a piece of output: mostly a line with its newline."""
        ...


def to_bytes(text: str) -> bytes:
    """The bytes that a text of the language stands for."""
    return text.encode("latin-1", "replace")


class FileSink:
    """A file descriptor; ``before``: the sink whose text must be out first."""

    def __init__(self, descriptor: int, before: FileSink | None = None) -> None:
        self.descriptor = descriptor
        self._before = before
        self._waiting: list[str] = []
        self._size = 0
        self.encode: Callable[[str], bytes] = to_bytes
        """What makes bytes of text: whoever knows that a terminal reads them puts something more careful here."""
        self.log: Callable[[str], None] | None = None
        """What gets all that is written, too."""

    def emit(self, text: str) -> None:
        """Take a line; it is written by and by, or at once on a stream that has another before it."""
        if self.log is not None:
            self.log(text)
        self._waiting.append(text)
        self._size += len(text)
        if self._before is not None:
            self._before.flush()
            self.flush()
        elif self._size > 1 << 15:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises `BrokenPipeError` where nobody reads, `OutputLost` where it cannot be written.

        Messages that cannot be written are lost: there is nowhere to say so.
        """
        if not self._waiting:
            return
        data = self.encode("".join(self._waiting))
        self._waiting.clear()
        self._size = 0
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._before is None:
                raise OutputLost(error.strerror or str(error)) from None


class ListSink:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def emit(self, text: str) -> None:
        """Keep a piece."""
        self.pieces.append(text)

    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


class Output:
    """A stream of text with a notion of columns."""

    margin = 16
    """Columns that indented lines begin with."""

    def __init__(self, sink: Sink, columns: int = 80, wrappable: bool = True) -> None:
        self.sink = sink
        self.columns = columns
        self.tabstop = 8
        self.wrappable = wrappable
        """Whether long lines may be broken at all: not in pipes."""
        self.wrap = False
        """Whether they are: ``autowrap`` of ``::set``, or a format list."""
        self.indented = False
        self._line = ""

    @property
    def column(self) -> int:
        """Where the next character goes."""
        return len(self._line)

    @property
    def wrapping(self) -> bool:
        """Whether lines are broken at the last column."""
        return self.wrap and self.wrappable

    def write(self, text: str) -> None:
        """Write text; newlines and tabs in it are acted upon."""
        if text.endswith("\n") and not self._line and not self.wrap and not self.indented:
            body = text[:-1]
            if "\n" not in body and "\t" not in body and len(body) < BUFFER:
                self.sink.emit(text)
                return
        for piece in _BREAKS.split(text):
            if piece == "\n":
                self.newline()
            elif piece == "\t":
                self.tab()
            elif piece:
                self._put(piece)

    def line(self, text: str) -> None:
        """Write text and end the line."""
        self.write(text + "\n")

    def _put(self, text: str) -> None:
        if self.wrapping:
            self._put_wrapped(text)
            return
        room = BUFFER - len(self._line)
        while len(text) > room:
            self._line += text[:room]
            text = text[room:]
            self._flush_unfinished()
            room = BUFFER - len(self._line)
        self._line += text

    def _put_wrapped(self, text: str) -> None:
        while text:
            if len(self._line) > self.columns:
                self.newline()
            room = self.columns - len(self._line)
            if room < 0:  # the indentation alone is wider than the line: then lines have no end
                room = len(text)
            self._line += text[:room]
            text = text[room:]
            if text:
                self.newline()

    def _flush_unfinished(self) -> None:
        self.sink.emit(self._line)
        self._line = " " * self.margin if self.indented else ""

    def newline(self) -> None:
        """End the line."""
        self.sink.emit(self._line + "\n")
        self._line = " " * self.margin if self.indented else ""

    def end_line(self) -> None:
        """End the line if something stands on it; a mere indentation is dropped."""
        self._unindent()
        if self._line:
            self.newline()
        elif self.indented:
            self._line = " " * self.margin

    def blanks(self, count: int) -> None:
        """Write blanks; a line that they would fill ends instead, where lines are broken."""
        if not self.wrapping or len(self._line) + count < self.columns:
            self._put(" " * count)
        else:
            self.newline()

    def tab(self, stop: int | None = None) -> None:
        """Write blanks to the next multiple of the tab stop, or a newline where that lies beyond the last column."""
        stop = self.tabstop if stop is None else stop
        if not stop:
            return
        target = (len(self._line) + stop) // stop * stop
        if target < (self.columns if self.wrappable else BUFFER):
            self._put(" " * (target - len(self._line)))
        else:
            self.newline()

    def room(self, width: int) -> None:
        """Begin a new line if something of that width does not fit on this one and lines are broken."""
        if (
            self.wrapping
            and self._line
            and width + len(self._line) > self.columns
            and not (self.indented and len(self._line) == self.margin)
        ):
            self.newline()

    def words(self, text: str) -> None:
        """Write text whose words go whole to the next line where they do not fit."""
        for word in _WORDS.findall(text):
            self.room(len(word))
            self.write(word)

    def field(self, text: str, width: int = 0, left: bool = False) -> None:
        """Write a field as mdb's ``%-16s``: whole on the next line if it does not fit, padding never opens a line."""
        self.room(max(width, len(text)))
        if not left and len(text) < width:
            self._put(" " * (width - len(text)))
        self.write(text)
        if left and len(text) < width:
            self.blanks(width - len(text))

    def indent(self, on: bool = True) -> None:
        """Switch the indentation of lines on or off; an empty line is indented at once, a mere indentation goes."""
        self.indented = on
        if on:
            if not self._line:
                self._line = " " * self.margin
        else:
            self._unindent()

    def _unindent(self) -> None:
        if self._line and len(self._line) == self.margin and self._line.isspace():
            self._line = ""

    def set_margin(self, margin: int) -> None:
        """Set the columns that indented lines begin with."""
        self._unindent()
        self.margin = min(margin, self.columns - 1)
        if self.indented and not self._line:
            self._line = " " * self.margin

    def indent_by(self, columns: int) -> None:
        """Indent lines by so much more."""
        if self.indented:
            self.set_margin(self.margin + columns)
        else:
            self.set_margin(columns)
            self.indent()

    def unindent_by(self, columns: int) -> None:
        """Undo `indent_by`."""
        if not self.indented:
            return
        if self.margin <= columns:
            self.indent(False)
            self.set_margin(type(self).margin)
        else:
            self.set_margin(self.margin - columns)

    def raw(self, text: str) -> None:
        """Write text as it is, behind what stands on the line."""
        if self._line:
            self._flush_unfinished()
        if text:
            self.sink.emit(text)

    def discard(self) -> None:
        """Forget the unfinished line and all indentation."""
        self._line = ""
        self.indented = False
        self.margin = type(self).margin

r"""What reaches the terminal: text made harmless, in pages, with the progress display out of its way.

The dump is hostile and its strings go everywhere. Here is the one door to the terminal: newline and tab pass, all other
control characters are shown as ``\ooo``. On a pipe nothing of this happens: there the text is mdb's, to the byte.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Protocol

from kdbg.lang.visible import visible as visible

_COLOUR = re.compile(r"\033\[[0-9;]*m")


def for_terminal(text: str) -> bytes:
    """Text of the language as bytes that a terminal may be given."""
    return visible(text, is_unicode(sys.stdout)).encode("utf-8", "replace")


def is_unicode(stream: object) -> bool:
    """Whether the stream's terminal takes UTF-8."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"


class Stopped(KeyboardInterrupt):
    """The person has seen enough of a command's output. No code on the way catches it."""


class Stream(Protocol):
    """A text stream with a descriptor."""

    def write(self, text: str, /) -> object: ...  # noqa: D102
    def flush(self) -> None: ...  # noqa: D102


class Screen:
    """The terminal as a sink of lines (`kdbg.lang.output.Sink`).

    ``more``: called when a page is full; the number of further lines that may come before it is called again, None: all
    of them. It raises `Stopped`. ``clear``: called before anything is written.
    """

    def __init__(
        self,
        stream: Stream | None = None,
        more: Callable[[], int | None] | None = None,
        clear: Callable[[], None] = lambda: None,
        size: Callable[[], os.terminal_size] = lambda: terminal_size(),
    ) -> None:
        self.stream: Stream = stream if stream is not None else sys.stdout
        self.unicode = is_unicode(self.stream)
        self.log: Callable[[str], None] | None = None
        """What gets all that is written, too, as it was."""
        self.paging = False
        """Whether to stop when the page is full; the prompt says so for each command."""
        self._more = more
        self.clear = clear
        self._size = size
        self._left: int | None = None
        self._page_begun = False
        self._stopped = False

    def begin(self, paging: bool) -> None:
        """A command begins: with a new page."""
        self.paging = paging and self._more is not None
        self._left = self._size().lines - 1
        self._page_begun = False
        self._stopped = False

    def end(self) -> None:
        """A command is done: everything is written."""
        self._stopped = False
        self.paging = False
        self.flush()

    def emit(self, text: str) -> None:
        """Write a piece of output, mostly a line. Raises `Stopped`."""
        if self.log is not None:
            self.log(text)
        self._put(visible(text, self.unicode))

    def emit_own(self, text: str) -> None:
        """Write lines of our own making, colours in them. Raises `Stopped`."""
        for line in text.splitlines(keepends=True):
            self._put(line)

    def _put(self, text: str) -> None:
        if self._stopped:
            return
        if self.paging and self._left is not None:
            self._page(text)
        self.clear()
        self.stream.write(text)

    def _page(self, text: str) -> None:
        """Count the rows that a line will take; ask before one that does not fit."""
        columns = max(self._size().columns, 1)
        width = len(_COLOUR.sub("", text).rstrip("\n").expandtabs())
        rows = max(1, -(-width // columns)) if text.endswith("\n") else 0
        assert self._left is not None
        if rows > self._left and self._page_begun and self._more is not None:
            self.flush()
            try:
                self._left = self._more()
                self._page_begun = False
            except Stopped:
                self._stopped = True
                raise
        self._page_begun = True
        if self._left is not None:
            self._left -= rows

    def flush(self) -> None:
        """Write what waits."""
        self.stream.flush()


class ErrorScreen:
    """The error stream at a terminal: what standard output holds back goes before it."""

    def __init__(self, screen: Screen, stream: Stream | None = None) -> None:
        self._screen = screen
        self.stream: Stream = stream if stream is not None else sys.stderr
        self.seen: list[str] = []
        """What was written since the command began: the prompt looks there for names that are not known."""
        self.log: Callable[[str], None] | None = None

    def emit(self, text: str) -> None:
        """Write a piece of a message."""
        if self.log is not None:
            self.log(text)
        self._screen.flush()
        self._screen.clear()
        self.seen.append(text)
        self.stream.write(visible(text, self._screen.unicode))
        self.stream.flush()


def terminal_size() -> os.terminal_size:
    """Columns and lines of the terminal, 80 and 24 where it does not tell."""
    for descriptor in (1, 0, 2):
        try:
            size = os.get_terminal_size(descriptor)
        except OSError:
            continue
        return os.terminal_size((size.columns or 80, size.lines or 24))
    return os.terminal_size((80, 24))

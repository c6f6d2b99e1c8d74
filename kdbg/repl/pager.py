"""The pager: stops when the screen is full, and otherwise keeps out of the way.

A line of its own at the bottom says what to press; it is wiped out before the output goes on. Nothing is kept back:
output appears as it comes, and what has scrolled by is the terminal's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from kdbg.repl.screen import Stopped, terminal_size

QUESTION = "-- more --  space: page, enter: line, c: all, q: quit "
SHORT = "-- more -- "


class Pager:
    """Asks at the end of each page."""

    def __init__(self, read_key: Callable[[], str] | None = None, write: Callable[[str], object] | None = None) -> None:
        self._read_key = read_key or read_key_from_terminal
        self._write = write or _write

    def __call__(self) -> int | None:
        """Ask; how many more lines may be shown, None: all. Raises `Stopped`."""
        size = terminal_size()
        question = QUESTION if len(QUESTION) < size.columns else SHORT if len(SHORT) < size.columns else ":"
        self._write(question)
        try:
            return self._answer()
        finally:
            self._write("\r" + " " * len(question) + "\r")

    def _answer(self) -> int | None:
        while True:
            key = self._read_key()
            if key in (" ", "f"):
                return max(terminal_size().lines - 1, 1)
            if key in ("\r", "\n", "n", "N", "j"):
                return 1
            if key in ("c", "C", "G"):
                return None
            if key in ("q", "Q", "a", "A", "", "\x03", "\x04", "\x1c", "\x1b"):
                raise Stopped


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def read_key_from_terminal() -> str:
    """One key as it is pressed, without an echo; "" at the end of input."""
    with _raw(0), _resizing():
        data = os.read(0, 1)
        if data == b"\x1b":
            data += _rest_of_sequence()
    if data in (b"\x1b[6~", b"\x1b[B", b"\x1bOB"):  # page down, arrow down
        return " " if data == b"\x1b[6~" else "\r"
    if len(data) > 1:
        return "?"
    return data.decode("latin-1")


def _rest_of_sequence() -> bytes:
    import select

    rest = b""
    while len(rest) < 8 and select.select([0], [], [], 0.02)[0]:
        rest += os.read(0, 1)
    return rest


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    import termios

    before = termios.tcgetattr(descriptor)
    after = termios.tcgetattr(descriptor)
    after[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    after[6][termios.VMIN], after[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, after)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _resizing() -> Iterator[None]:
    """Have a change of the window's size do nothing."""

    def nothing(number: int, frame: FrameType | None) -> None:
        return None

    before = signal.signal(signal.SIGWINCH, nothing)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)

"""A session with a person at the other end: where its output goes, and whose the terminal is."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kdbg.lang.session import Session
from kdbg.lang.source import StringSource
from kdbg.repl.pager import Pager
from kdbg.repl.progress import Progress
from kdbg.repl.screen import ErrorScreen, Screen
from kdbg.target import Target


def is_terminal() -> bool:
    """Whether a person sits at both ends: standard input and standard output are a terminal."""
    return sys.stdin is not None and sys.stdout is not None and sys.stdin.isatty() and sys.stdout.isatty()


def is_dumb() -> bool:
    """Whether the terminal can show text and nothing else."""
    return os.environ.get("TERM", "dumb").lower() in ("", "dumb", "unknown")


def has_colour() -> bool:
    """Whether colours are wanted (https://no-color.org) and there are some."""
    return not os.environ.get("NO_COLOR") and not is_dumb()


class TypedSource(StringSource):
    """Lines that a person has typed."""

    is_string = False
    terminal = True
    """Messages do not say where a mistake stands: the person sees it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "(stdin)")


class TerminalSession(Session):
    """The language at a terminal."""

    def __init__(self, target: Target | None = None) -> None:
        plain = is_dumb()
        self.progress = Progress(None if plain or not sys.stderr.isatty() else sys.stderr)
        self.screen = Screen(more=None if plain else self._more, clear=self.progress.clear)
        self.errors = ErrorScreen(self.screen)
        self._pager = Pager()
        self._child_has_terminal = False
        super().__init__(target, self.screen, self.errors)

    def _more(self) -> int | None:
        with self.progress.suspended():
            return self._pager()

    def flush(self) -> None:
        """Write what waits to be written."""
        self.screen.flush()

    def start_log(self) -> None:
        """Have the log get what is read and written from here on."""
        super().start_log()
        if self.log is not None:
            self.screen.log = self.errors.log = self.log.written

    # Ctrl-C

    def on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C was pressed: stop what is running, unless a child has the terminal: then that is the child's to do."""
        if not self._child_has_terminal:
            raise KeyboardInterrupt

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Have Ctrl-C raise `KeyboardInterrupt` here, at once."""
        before = signal.signal(signal.SIGINT, self.on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    # children

    def shell(self, text: str) -> None:
        """Run a command of the shell; the terminal is its own as long as it runs."""
        with self.progress.suspended(), self._lent():
            super().shell(text)

    @contextmanager
    def shell_pipe(self, text: str) -> Iterator[None]:
        """Have everything that is written within go to a command of the shell.

        Ctrl-C stops what writes; then the child is waited for, however often the keys are pressed.
        """
        with self.progress.suspended():
            try:
                with super().shell_pipe(text):
                    try:
                        yield
                    finally:
                        self._child_has_terminal = True
            finally:
                self._child_has_terminal = False

    @contextmanager
    def _lent(self) -> Iterator[None]:
        self._child_has_terminal = True
        try:
            yield
        finally:
            self._child_has_terminal = False

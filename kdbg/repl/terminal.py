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
from kdbg.repl.screen import ErrorScreen, Screen, for_terminal
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
        self.echoes_nothing = False
        self._child_has_terminal = self._told_child = False
        super().__init__(target, self.screen, self.errors)
        self.encode_for_shell = for_terminal

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
        self._told_child = True

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Have Ctrl-C raise `KeyboardInterrupt` here, at once."""
        before = signal.signal(signal.SIGINT, self.on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    # whose the terminal is

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Have the terminal echo nothing: what is typed ahead while a command runs is shown by the next prompt."""
        self.echoes_nothing = is_terminal()
        self._echo(False)
        try:
            yield
        finally:
            self._echo(True)

    def _echo(self, on: bool) -> None:
        if not self.echoes_nothing:
            return
        import termios

        try:
            modes = termios.tcgetattr(0)
            modes[3] = modes[3] | termios.ECHO if on else modes[3] & ~termios.ECHO
            termios.tcsetattr(0, termios.TCSADRAIN, modes)
        except termios.error:
            self.echoes_nothing = False

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
            self._echo(True)
            try:
                with super().shell_pipe(text):
                    try:
                        yield
                    finally:
                        self._lend()
            finally:
                self._take_back()

    @contextmanager
    def _lent(self) -> Iterator[None]:
        self._lend()
        try:
            yield
        finally:
            self._take_back()

    def _lend(self) -> None:
        self._child_has_terminal = True
        self._echo(True)

    def _take_back(self) -> None:
        """The child is gone; a line that an interrupt has left unfinished is ended."""
        self._child_has_terminal = False
        self._echo(False)
        if self._told_child:
            self._told_child = False
            self.screen.stream.write("\n")

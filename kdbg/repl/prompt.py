"""The prompt: a thin skin over `Session`. Lines in, the session's answers out.

`interact` is the way in. On a terminal that can do more than show text it is prompt-toolkit's (`kdbg.repl.editor`), on
a dumb one a plain loop without escape codes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from kdbg.errors import Error
from kdbg.lang.errors import Quit
from kdbg.repl import helptext, startup
from kdbg.repl.names import make_in_background
from kdbg.repl.screen import Stopped, terminal_size, visible
from kdbg.repl.suggest import suggestion
from kdbg.repl.terminal import TerminalSession, TypedSource, has_colour, is_dumb
from kdbg.repl.vocabulary import Vocabulary

AFTER = 0.3
"""Seconds after which names for completion are made ready: the prompt comes first."""


class Prompt:
    """Reads a line, runs it, shows what it says; until the person leaves."""

    def __init__(self, session: TerminalSession, read: Callable[[Prompt], str] | None = None) -> None:
        self.session = session
        self.vocabulary = Vocabulary(session)
        self.style = helptext.Style(has_colour())
        self._columns = 0
        self.read = read if read is not None else read_plain
        """Reads a line. Raises `EOFError` at the end."""
        self._noted = 0
        self.name, self.kernel = startup.in_short(session.target)

    @property
    def text(self) -> str:
        """The prompt itself."""
        return self.session.settings.prompt

    def greet(self, rc: bool) -> None:
        """Say what is looked at, and run the person's own commands. Raises `Quit`."""
        self._fit()
        for line in startup.greeting(self.session.target, terminal_size().columns):
            self.session.screen.emit(line + "\n")
        self._noted = len(self.session.target.notes)
        if rc:
            startup.run_rc(self.session)
        self.session.flush()

    def loop(self) -> None:
        """Go on until the person leaves."""
        while True:
            try:
                self.session.flush()
                line = self.read(self)
            except KeyboardInterrupt:
                continue
            except EOFError:
                if "ignoreeof" not in self.session.settings.flags:
                    return
                self.session.warn("$q leaves")
                continue
            if not self.run(line):
                return

    def run(self, line: str) -> bool:
        """Run a line; False if the person wants to leave."""
        session, screen = self.session, self.session.screen
        self._fit()
        if session.log is not None:
            session.log.typed(line + "\n", self.text)
        session.errors.seen.clear()
        screen.begin(paging="pager" in session.settings.flags)
        try:
            with self.vocabulary.lock, session.interruptible():
                with session.progress.watch(visible(line.strip())):
                    self._answer(line)
                self._be_kind(line)
                self._tell_notes()
        except Quit:
            return False
        except Stopped:
            session.out.discard()
        except KeyboardInterrupt:
            session.out.discard()
            screen.clear()
            screen.stream.write("^C\n" if session.echoes_nothing else "\n")
        except Exception as error:
            session.internal_error(line.strip()[:40], error)
        finally:
            screen.end()
        return True

    def _answer(self, line: str) -> None:
        help_page = helptext.answer(line, self.vocabulary, terminal_size().columns, self.style)
        if help_page is not None:
            self.session.screen.emit_own(help_page)
            return
        try:
            self.session.run(TypedSource(line))
        except Error as error:
            self.session.warn(str(error))

    def _be_kind(self, line: str) -> None:
        """Say what may have been meant by a name that is not known."""
        if self.session.errors.seen:
            word = suggestion(line, "".join(self.session.errors.seen), self.vocabulary)
            if word is not None:
                self.session.screen.emit(f"{word}\n")

    def _tell_notes(self) -> None:
        """Say what was found odd or missing on the way, once: the first of it, and how much there is."""
        notes = self.session.target.notes[self._noted :]
        self._noted += len(notes)
        if notes:
            more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
            self.session.screen.emit(f"note: {notes[0]}{more}\n")

    def _fit(self) -> None:
        """Have lines as wide as the window, when that has changed."""
        columns = terminal_size().columns
        if columns != self._columns:
            self._columns = self.session.out.columns = columns


def read_plain(prompt: Prompt) -> str:
    """A line from a dumb terminal. Raises `EOFError`."""
    sys.stdout.write(visible(prompt.text))
    sys.stdout.flush()
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        raise
    if not line:
        sys.stdout.write("\n")
        raise EOFError
    return line.rstrip("\n").encode("utf-8", "surrogateescape").decode("latin-1")


def interact(session: TerminalSession, rc: bool = True) -> int:
    """Talk with the person at the terminal until they leave; the exit status.

    ``rc``: whether to run ``~/.kdbgrc`` first.
    """
    try:
        with session.progress.watch("looking for the kernel"), session.interruptible():
            startup.what_it_is(session.target)
        prompt = Prompt(session)
        prompt.greet(rc)
    except Quit:
        return 0
    except KeyboardInterrupt:
        return 130
    if not is_dumb():
        from kdbg.repl.editor import Editor

        prompt.read = Editor().read_line
        make_in_background(prompt.vocabulary.indexes(), AFTER)
        with session.silent():
            prompt.loop()
    else:
        prompt.loop()
    session.flush()
    return 0

"""The line editor: prompt-toolkit with the language's completion, colours and history, and a bottom line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.shortcuts import CompleteStyle

from kdbg.repl.completion import Described, LanguageCompleter
from kdbg.repl.highlight import COLOURS, PLAIN, LanguageLexer
from kdbg.repl.history import LineHistory, history_path
from kdbg.repl.screen import visible
from kdbg.repl.terminal import has_colour

if TYPE_CHECKING:
    from kdbg.repl.prompt import Prompt

SMALLEST = 6
"""Lines of a window that has room for the bottom line."""
MENU = 8
"""Lines that are kept free for a menu."""


class Editor:
    """Reads lines. ``input`` and ``output`` are for tests."""

    def __init__(self, input: Input | None = None, output: Output | None = None) -> None:  # noqa: A002
        self._input, self._output = input, output
        self._session: PromptSession[str] | None = None
        self._prompt: Prompt | None = None
        self._bottom: tuple[str, str] = ("", "")

    def read_line(self, prompt: Prompt) -> str:
        """A line that the person has typed, characters for bytes. Raises `EOFError`, `KeyboardInterrupt`."""
        if self._session is None or self._prompt is not prompt:
            self._prompt, self._session = prompt, self._make(prompt)
        self._bottom = self._about(prompt)
        line = self._session.prompt([("class:prompt", visible(prompt.text))])
        return line.encode("utf-8", "surrogateescape").decode("latin-1")

    def _make(self, prompt: Prompt) -> PromptSession[str]:
        coloured = has_colour()
        vocabulary = prompt.vocabulary
        known = vocabulary.dcmds()
        session: PromptSession[str] = PromptSession(
            completer=LanguageCompleter(vocabulary),
            complete_in_thread=True,
            complete_while_typing=False,
            complete_style=CompleteStyle.MULTI_COLUMN,
            enable_history_search=True,
            enable_suspend=True,
            history=LineHistory(history_path()),
            lexer=LanguageLexer(lambda name: name in known or name in vocabulary.session.loaded),
            style=COLOURS if coloured else PLAIN,
            include_default_pygments_style=False,
            color_depth=None if coloured else ColorDepth.DEPTH_1_BIT,
            bottom_toolbar=self._bottom_line,
            input=self._input,
            output=self._output,
        )
        session.app.renderer.cpr_not_supported_callback = None
        session.app.before_render += self._make_room
        return session

    def _make_room(self, app: Any) -> None:
        """Do without the bottom line, and with a smaller menu, in a tiny window; choose how completions are shown."""
        assert self._session is not None
        completing = app.current_buffer.complete_state
        found = completing.completions if completing is not None else []
        described = bool(found) and isinstance(found[0], Described)
        self._session.complete_style = CompleteStyle.COLUMN if described else CompleteStyle.MULTI_COLUMN
        lines = app.output.get_size().rows
        self._session.bottom_toolbar = self._bottom_line if lines >= SMALLEST else None
        self._session.reserve_space_for_menu = max(0, min(MENU, lines - 3))

    # the bottom line

    @staticmethod
    def _about(prompt: Prompt) -> tuple[str, str]:
        """What is looked at, and where dot stands."""
        session = prompt.session
        try:
            with prompt.vocabulary.lock:
                symbol = session.symbol_text(session.dot)
        except Exception:  # the line is there to help, never to be in the way
            symbol = None
        what = "  ".join(part for part in (prompt.name, prompt.kernel) if part)
        dot = f". = {session.dot:x}" + (f"  {visible(symbol)}" if symbol else "")
        return what, dot

    def _bottom_line(self) -> StyleAndTextTuples:
        what, dot = self._bottom
        width = get_app().output.get_size().columns
        room = width - len(dot) - 4
        if room < 8:
            return [("", f" {dot}"[: width - 1])]
        if len(what) > room:
            what = what[: room - 1] + "~"
        return [("", f" {what}{' ' * (width - len(what) - len(dot) - 2)}{dot} ")]

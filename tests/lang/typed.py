"""The language fed as from a pipe: statements on lines, with what mdb loses and counts there."""

from __future__ import annotations

from kdbg.lang.errors import Quit
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.lang.source import StringSource
from kdbg.nothing import NoProcess
from kdbg.target import Target


class Piped(StringSource):
    """A text that behaves as standard input does when it is a pipe."""

    is_string = False
    one_back = True

    def __init__(self, text: str) -> None:
        super().__init__(text, "(stdin)")
        self._rest = text


def piped(text: str, target: Target | None = None, session: Session | None = None) -> str:
    """What the language answers, output and errors in order."""
    sink = ListSink()
    made = session or Session(target or NoProcess(), sink, sink)
    try:
        made.run(Piped(text))
    except Quit:
        sink.emit("<left>")
    return sink.text()

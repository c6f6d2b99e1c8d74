"""Sessions without a terminal: standard input, a string, a script."""

from __future__ import annotations

from kdbg.lang.errors import Quit
from kdbg.lang.session import Session
from kdbg.lang.source import Source, StandardInput, StringSource
from kdbg.target import Nothing, Target


def open_target(words: list[str]) -> Target:
    """Open the files of the command line."""
    if not words:
        return Nothing("")
    with open(words[0], "rb") as stream:
        head = stream.read(4)
    if head == b"\x7fELF":
        from kdbg.objectfile import ObjectFile

        return ObjectFile(words[0])
    from kdbg.rawfile import RawFile

    return RawFile(words[0])


def run(words: list[str]) -> int:
    """Run a session as the command line says; the exit status."""
    text = None
    if "-e" in words:
        at = words.index("-e")
        text = words[at + 1]
        del words[at : at + 2]
    session = Session(open_target([word for word in words if not word.startswith("-")]))
    source: Source = StringSource(text) if text is not None else StandardInput(0, session.flush)
    try:
        session.run(source)
    except Quit:
        pass
    finally:
        session.flush()
    return 0

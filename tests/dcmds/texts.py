"""What a command prints, errors among its lines."""

from __future__ import annotations

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.target import Target


def said(target: Target, *commands: str) -> str:
    """Output and errors of the commands, in a session of their own."""
    sink = ListSink()
    session = Session(target, out=sink, errors=sink)
    for command in commands:
        session.execute(command)
    session.out.end_line()
    return sink.text()

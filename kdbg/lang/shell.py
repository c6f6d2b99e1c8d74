"""Commands of the shell: ``!command`` and ``... ! command``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kdbg.errors import ParseError
from kdbg.lang.output import FileSink, Output

if TYPE_CHECKING:
    from kdbg.lang.session import Session


def run_shell(session: Session, text: str) -> None:
    """Run a command of the shell, or say why not."""
    try:
        _prepare(session)
    except ParseError as error:
        session.complain(error)
        return
    os.waitpid(_spawn(text), 0)


@contextmanager
def shell_pipe(session: Session, text: str) -> Iterator[None]:
    """Have everything that is written within go to a command of the shell. Raises `ParseError`."""
    _prepare(session)
    reader, writer = os.pipe()
    pid = _spawn(text, [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writer)])
    os.close(reader)
    sink = FileSink(writer)
    sink.encode = session.encode_for_shell
    structured = session.structured
    before = structured.redirect(sink) if structured is not None else None
    outer = session.out
    session.out = Output(sink if structured is None else structured, outer.columns, wrappable=False)
    try:
        yield
        session.out.end_line()
        sink.flush()
    except BrokenPipeError:
        pass
    finally:
        session.out = outer
        if structured is not None and before is not None:
            structured.redirect(before)
        os.close(writer)
        os.waitpid(pid, 0)


def _prepare(session: Session) -> None:
    if session.settings.safe:
        raise ParseError("the shell is not run: --safe")
    session.flush()
    if session.source is not None:
        session.source.before_child()


def _spawn(text: str, actions: list[tuple[int, int, int] | tuple[int, int]] | None = None) -> int:
    path = os.environ.get("SHELL") or "/bin/sh"
    words: list[str | bytes] = [os.path.basename(path), "-c", text.encode("latin-1", "replace")]
    return os.posix_spawn(path, words, os.environ, file_actions=actions or [])

"""Sessions without a terminal: standard input, a string, a script; the exit status is mdb's, or ``--strict``'s."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from kdbg.errors import Error
from kdbg.lang.errors import OK, Quit
from kdbg.lang.session import Session
from kdbg.lang.source import FileSource, Source, StandardInput, StringSource
from kdbg.repl.arguments import Arguments
from kdbg.repl.opening import OpenError
from kdbg.target import Target

S = TypeVar("S", bound=Session)


def make_session(arguments: Arguments, kind: Callable[[Target], S]) -> S:
    """Open the target and make the session that the command line asks for. Raises as `open_target`."""
    from kdbg.repl.opening import open_target

    session = kind(open_target(arguments))
    if os.isatty(1) or os.isatty(2):
        from kdbg.repl.screen import for_terminal

        session.careful_with(os.isatty, for_terminal)
    session.settings = arguments.settings
    session.target.without_commands = "nomods" in session.settings.flags or "m" in arguments
    session.target.without_types = "noctf" in session.settings.flags
    session.settings.safe = "safe" in arguments
    session.settings.target_flags = set(session.settings.flags)
    session.apply_settings()
    for warning in arguments.warnings:
        session.warn(warning)
    if session.target.kind == "dump":
        _say_as_asked(session, arguments)
    if arguments.disassembler is not None:
        _select_disassembler(session, arguments.disassembler)
    if arguments.format != "text":
        session.structure(arguments.format)
    return session


def _say_as_asked(session: Session, arguments: Arguments) -> None:
    """What mdb says of a kernel even on a pipe where it is asked to: the modules' names, and memory as adb told it."""
    target: Any = session.target
    if "M" in arguments:
        names = " ".join(module.name for module in target.modules())
        session.out.line(f"Preloading module symbols: [ {names} ]")
    if session.adb:
        try:
            symbol = target.lookup("physmem")
            pages = int.from_bytes(target.read(symbol.address, target.bits // 8), "little")
        except Error:
            return
        session.out.line(f"physmem {pages:x}")


def _select_disassembler(session: Session, mode: str) -> None:
    from kdbg.disasm import MODES

    if mode in MODES:
        session.disassembler = mode
    else:
        session.warn(f"invalid disassembler mode -- {mode}")


def run(session: Session, arguments: Arguments) -> int:
    """Run the session to its end; the exit status."""
    if "explain" in arguments:
        return _explain(session, arguments)
    try:
        status = _run_texts(session, arguments.texts) if arguments.texts else _run_input(session, arguments.script)
    except Quit:
        status = int(bool(arguments.texts) and session.status != OK)
    finally:
        session.flush()
    if "strict" in arguments and session.failures:
        status = status or 1
    return status


def _explain(session: Session, arguments: Arguments) -> int:
    """Print the Python of what would be run; the exit status."""
    from kdbg.lang.explain import program

    text = "\n".join(arguments.texts)
    if not arguments.texts:
        try:
            text = open(arguments.script or 0, encoding="latin-1").read()  # noqa: SIM115
        except OSError as error:
            raise OpenError(f"failed to open {arguments.script}: {error.strerror}") from None
    try:
        sys.stdout.write(program(session, text))
    except Error as error:
        session.complain(error)
        return 1
    return 0


def _run_texts(session: Session, texts: list[str]) -> int:
    parsed = True
    for text in texts:
        parsed = session.run(StringSource(text))
    return int(not parsed or session.status != OK)


def _run_input(session: Session, script: str | None) -> int:
    source: Source
    if script is None:
        source = StandardInput(0, session.flush)
    else:
        try:
            source = FileSource(script)
        except OSError as error:
            raise OpenError(f"failed to open {script}: {error.strerror}") from None
    session.run(source)
    return 0

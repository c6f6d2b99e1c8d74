"""The command line: ``kdbg [options] [file ...]``, ``kdbg info file``. Each way imports what it needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from kdbg.lang.errors import OutputLost

if TYPE_CHECKING:
    from kdbg.repl.arguments import Arguments

FAILED, WRONG_USAGE = 1, 2
"""Exit statuses: the target cannot be opened, or a command failed under ``-e`` or ``--strict``; wrong usage."""

MODES = ("info", "slim", "convert", "triage", "causes")
"""Commands of their own where they are the first word; ``./info`` is a file."""


def main(words: list[str] | None = None) -> int:
    """Run kdbg; the exit status."""
    words = sys.argv[1:] if words is None else words
    _fill_standard_streams()
    try:
        if words and words[0] in MODES:
            from kdbg.repl.tools import run

            return run(words[0], words[1:])
        return _session(words)
    except OutputLost as error:
        _say(str(error))
        return FAILED
    except BrokenPipeError:
        # Nobody reads any more: that is no error, and the interpreter is not to try again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except KeyboardInterrupt:
        return 128 + 2
    except Exception as error:
        _say(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
        return FAILED


def _fill_standard_streams() -> None:
    """Open the null device for each closed standard stream, lest the next file (the dump) take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _say(text: str, prefix: str = "kdbg: ") -> None:
    from kdbg.repl.screen import visible

    sys.stderr.write(visible(f"{prefix}{text}".encode("utf-8", "surrogateescape").decode("latin-1")) + "\n")


def _session(words: list[str]) -> int:
    from kdbg.lang.session import Session
    from kdbg.repl.arguments import USAGE, ArgumentError, parse
    from kdbg.repl.batch import make_session, run
    from kdbg.repl.opening import OpenError

    try:
        arguments = parse(words)
        if "help" in arguments:
            sys.stdout.write(USAGE)
            return 0
        if "version" in arguments:
            from kdbg import __version__

            sys.stdout.write(f"kdbg {__version__}\n")
            return 0
        if _wants_prompt(arguments):
            return _interactive(arguments)
        session = make_session(arguments, Session)
        with session.target:
            return run(session, arguments)
    except ArgumentError as error:
        _say(str(error))
        if error.usage:
            sys.stderr.write(USAGE)
        return WRONG_USAGE
    except OpenError as error:
        if error.before:
            sys.stderr.write(f"{error.before}\n")
        _say(str(error))
        for line in error.after.splitlines():
            _say(line, "")
        return FAILED


def _wants_prompt(arguments: Arguments) -> bool:
    return not arguments.texts and arguments.script is None and sys.stdin.isatty() and sys.stdout.isatty()


def _interactive(arguments: Arguments) -> int:
    from kdbg.repl.batch import make_session
    from kdbg.repl.prompt import interact
    from kdbg.repl.terminal import TerminalSession

    session = make_session(arguments, TerminalSession)
    with session.target:
        return interact(session, "S" not in arguments and "safe" not in arguments)


if __name__ == "__main__":
    sys.exit(main())

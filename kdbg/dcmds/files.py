"""Files beside the target: ``::cat``, ``::log``."""

from __future__ import annotations

from kdbg.dcmds.registry import NONE, Call, dcmd, flag
from kdbg.errors import UsageError
from kdbg.lang.errors import Abort, Silent
from kdbg.lang.log import Log
from kdbg.lang.options import parse_options
from kdbg.lang.source import file_name

CHUNK = 65536


@dcmd(
    "cat", "show files", address=NONE, synopsis="[file ...]", words=None, example="::cat notes.txt",
    help="Shows files of this machine, not of the dump.",
    hint=False,
)  # fmt: skip
def cat(call: Call) -> None:
    """Write the contents of files."""
    session = call.session
    if session.settings.safe:
        raise Abort("files are not read: --safe")
    for word in call.words:
        if not isinstance(word, str):
            call.fail("expected string argument")
            continue
        try:
            with open(file_name(word), "rb") as stream:
                while chunk := stream.read(CHUNK):
                    session.out.raw(chunk.decode("latin-1"))
        except OSError as error:
            call.fail(f"failed to open {word}: {error.strerror}")


_FLAGS = (flag("d", "stop logging"), flag("e", "log to the file, or go on with the last one"))


@dcmd(
    "log", "log the session to a file", address=NONE, synopsis="[-d | [-e] file]", words=None,
    help=(
        "Appends what is typed and what is answered to a file. -d stops that, -e goes on, nothing tells how "
        "it stands."
    ),
    hint=False,
    example="::log session.txt",
)  # fmt: skip
def log(call: Call) -> None:
    """Show, start or stop the log."""
    options, words = parse_options(call.session, _FLAGS, call.words)
    if len(words) > 1 or (options.d and (options.e or words)) or any(not isinstance(word, str) for word in words):
        raise UsageError("")
    session = call.session
    if session.depth != 1:
        raise Abort("log may not be manipulated in this context")
    if not call.words:
        _show(call)
    elif options.d:
        _stop(call)
    else:
        _start(call, str(words[0]) if words else None)


def _show(call: Call) -> None:
    session = call.session
    if session.log is None:
        session.out.line(f"{session.program}: no log is active")
        return
    state = "enabled" if session.log.enabled else "disabled"
    session.out.line(f'{session.program}: logging to "{session.log.name}" is currently {state}')


def _stop(call: Call) -> None:
    session = call.session
    if session.log is None or not session.log.enabled:
        session.warn("logging is already disabled")
    else:
        session.tell_log()
        session.log.enabled = False


def _start(call: Call, name: str | None) -> None:
    session = call.session
    if session.settings.safe:
        raise Abort("no log is written: --safe")
    if name is not None:
        if session.log is not None:
            session.log.close()
            session.log = None
        try:
            session.log = Log(name, file_name(name))
        except OSError as error:
            session.warn(f"failed to open {name}: {error.strerror}")
            raise Silent from None
    if session.log is None:
        session.warn("no log file has been selected")
        raise Silent
    session.start_log()
    session.out.line(f'{session.program}: logging to "{"<NULL>" if name is None else name}"')


@dcmd(
    "$>", "log the session to a file, or stop", address=NONE, synopsis="[file]", words=None,
    help="Begins to log to a file as ::log does; without a word it stops.",
    hint=False,
    example="$>session.txt",
)  # fmt: skip
def old_log(call: Call) -> None:
    """``::log`` with a file, ``::log -d`` without."""
    if not call.words:
        call.words = ["-d"]
    log(call)

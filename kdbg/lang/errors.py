"""How a statement of the language can end, other than well.

Exceptions that pass between the floors of the language; the root of what a person may see is `kdbg.errors.Error`.
"""

from __future__ import annotations

from kdbg.errors import CommandError

OK, FAILED, USAGE, ABORTED = range(4)
"""How a command ended. USAGE and ABORTED end the loop and the pipeline that it stands in."""


class Abort(CommandError):
    """A command that failed and takes the loop or pipeline around it along; without a text: said already."""


class Silent(CommandError):
    """A command that failed and has said why already."""

    def __init__(self) -> None:
        super().__init__("")


class PipeBroken(Exception):
    """What a command wrote into a pipe is not one expression a line (said already): nothing behind the pipe runs."""


class OutputLost(BrokenPipeError):
    """Standard output takes no more, for another reason than that nobody reads it: the disk is full."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"failed to write to standard output: {reason}")


class Quit(Exception):
    """The person wants to leave the debugger."""

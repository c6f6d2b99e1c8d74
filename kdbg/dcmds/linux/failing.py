"""What goes wrong in the structures of a Linux kernel, as a command says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, Error, SymbolNotFound, TypeNotFound

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

DEBUG_FILES = "the dump has no types of the kernel: its debug file brings them (--symbols PATH)"


@contextlib.contextmanager
def about(topic: str, kernel: Linux, kind: type[CommandError] = CommandError) -> Iterator[None]:
    """Say of errors inside what they are about, and what to try. Raises ``kind`` for every `Error`."""
    try:
        yield
    except CommandError:
        raise
    except Error as error:
        raise kind(f"{topic}: {error}{_hint(kernel, error)}") from None


def _hint(kernel: Linux, error: Error) -> str:
    """What is not found may be told by debug files, where types are known by their form alone."""
    from kdbg.kernels.linux.probe import found_by_form

    missing = isinstance(error, TypeNotFound | SymbolNotFound)
    return f"; {DEBUG_FILES}" if missing and found_by_form(kernel) else ""

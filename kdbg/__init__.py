"""kdbg: a post-mortem crash dump debugger.

From Python::

    import kdbg

    with kdbg.open("core.domu") as target:
        print(target.info.kernel)
        for thread in target.threads():
            print(f"{thread.address:x}", thread.name, thread.state)
        for record in target.run("::evtchns"):
            print(record.type, record.evtchn, record.handlers)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.errors import (
    CommandError,
    Error,
    FormatError,
    Missing,
    ReadError,
    StructureError,
    SymbolNotFound,
    TypeNotFound,
    Unmapped,
    UsageError,
)

if TYPE_CHECKING:
    from os import PathLike

    from kdbg.dump import Dump
    from kdbg.processcore import ProcessTarget

__version__ = "0.1.0"

__all__ = [
    "CommandError",
    "Error",
    "FormatError",
    "Missing",
    "ReadError",
    "StructureError",
    "SymbolNotFound",
    "TypeNotFound",
    "Unmapped",
    "UsageError",
    "open",
]


def open(path: str | PathLike[str], *more: str | PathLike[str]) -> Dump | ProcessTarget:  # noqa: A001
    """Open a dump by what its bytes say: a machine's, or the core of a process. Raises `FormatError`.

    ``more``: further files of the same dump: a namelist and its core in either order (``open("unix.0", "vmcore.0")``),
    the files of a split set, the program and the libraries of a process.

    The file is mapped, never written to. If somebody cuts it short while it is open, the system ends the process
    (SIGBUS) at the next read behind the new end: copy a dump that is still being written. Threads may share a dump: its
    commands take turns.
    """
    import os

    from kdbg.formats import open_files
    from kdbg.formats.image import Image

    found, beside = open_files([os.fspath(name) for name in (path, *more)])
    if isinstance(found, Image):
        from kdbg.dump import Dump

        return Dump(found.source.name, found, beside)
    from kdbg.processcore import ProcessTarget

    return ProcessTarget(found.source.name, found, beside)

"""kdbg: a post-mortem crash dump debugger.

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


def open(path: str | PathLike[str], *more: str | PathLike[str]) -> Dump:  # noqa: A001
    """Open a dump by what its bytes say. Raises `FormatError`.

    ``more``: further files of the same dump: ``open("unix.0", "vmcore.0")``, a namelist and its core in either order.
    """
    import os

    from kdbg.dump import Dump
    from kdbg.formats import NotADump, open_image

    names = [os.fspath(name) for name in (path, *more)]
    for at in range(len(names) - 1, -1, -1):  # the dump is the last one that is a dump; the others are beside it
        try:
            return Dump(names[at], open_image(names[at]), names[:at] + names[at + 1 :])
        except NotADump:
            if at == 0:
                raise
    raise AssertionError("the loop returns or raises")

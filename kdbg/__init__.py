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
    from collections.abc import Callable, Sequence
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


def open(  # noqa: A001
    path: str | PathLike[str],
    *more: str | PathLike[str],
    root: int | None = None,
    raw: bool = False,
    base: int = 0,
    tell: Callable[[str], None] | None = None,
    symbols: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    debuginfod: bool = False,
    cache: bool = True,
) -> Dump | ProcessTarget:
    """Open a dump by what its bytes say: a machine's, or the core of a process. Raises `FormatError`.

    ``more``: further files of the same dump: a namelist and its core in either order (``open("unix.0", "vmcore.0")``),
    the files of a split set, the program and the libraries of a process. ``root``: physical address of the kernel's top
    page table, where the dump tells none or a wrong one; in memory that tells nothing it is looked for. ``raw``: take
    the file for physical memory as it is (``dd`` of /dev/mem, .vmem) from the address ``base`` on. ``tell``: is called
    with a line now and then where opening takes long. ``symbols``: files with debug information (a vmlinux, modules) or
    folders of them; ``debuginfod``: whether servers may be asked for them (DEBUGINFOD_URLS). Files of another kernel
    are refused: `Error`. ``cache``: whether what is worked out of a kernel is kept on disk (`kdbg.diskcache`).

    The file is mapped, never written to. If somebody cuts it short while it is open, the system ends the process
    (SIGBUS) at the next read behind the new end: copy a dump that is still being written. Threads may share a dump: its
    commands take turns.
    """
    import os

    from kdbg.formats import open_files, open_memory
    from kdbg.formats.image import Image

    names = [os.fspath(name) for name in (path, *more)]
    tell = tell or (lambda _: None)
    found, beside = (open_memory(names[0], base, tell), names[1:]) if raw else open_files(names, tell)
    if isinstance(found, Image):
        from kdbg.dump import Dump

        dump = Dump(found.source.name, found, beside, root, tell, cache)
        files = [symbols] if isinstance(symbols, str | os.PathLike) else symbols
        if files or debuginfod:
            dump.use_symbols([os.fspath(name) for name in files], debuginfod)
        return dump
    from kdbg.processcore import ProcessTarget

    return ProcessTarget(found.source.name, found, beside)

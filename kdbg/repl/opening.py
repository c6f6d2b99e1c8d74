"""From the files of a command line to a target."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from kdbg.errors import Error, FormatError
from kdbg.repl.arguments import ArgumentError, Arguments
from kdbg.target import Target

ELF_MAGIC = b"\x7fELF"
ET_CORE = 4
HEAD = 64
FIRMWARE = 0xC0
"""High byte from which on segments of firmware lie: those of real mode's vectors, with which a PC's memory begins."""

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""gzip, bzip2, xz, zstd: a dump may be inside."""
_MAGICS = (
    b"\xed\xeb\x0f\xf0", b"\xee\xeb\x0f\xf0",  # Xen 3.0.4
    b"\xed\xc8\xfe\xde", b"\xde\xfe\xc8\xed",  # illumos
    b"KDUMP   ", b"DISKDUMP", b"makedumpfile",  # Linux
    b"EMiL", b"AVML",
    *_PACKED,
    # what is known and refused with the command that converts it (kdbg.formats.known)
    b"QEVM", b"LibvirtQemud", b"\xd0\xbe\xd2\xbe", b"\xd1\xba\xd1\xba", b"\xd2\xbe\xd2\xbe", b"\xd3\xbe\xd3\xbe",
    b"\x7fVirtualBox", b"PAGEDU", b"MDMP\x93\xa7", b"hibr", b"HIBR", b"\xed\x23\x8f\x61\x73\x01",
    b"\xcd\x23\x8f\x61\x73\x01", b"\xa8\x19\x01\x73\x61\x8f", b"sadump\0\0", b"minidump FreeBSD/", b"LinuxGuestRecord",
    b"Xen saved domain", b"XenSavedDomain", b"libvirt-xml\n", b"\xff" * 8 + b"XenF", b"xc_migration",
)  # fmt: skip
"""What dumps begin with. A first look only: it spares plain files the declarations of all formats, which decide."""


class OpenError(Exception):
    """A target that cannot be opened: the whole message without the program's name; the exit status is 1.

    ``before``: a line that comes first, ``after``: lines that come last, as they are.
    """

    def __init__(self, text: str, before: str = "", after: str = "") -> None:
        super().__init__(text)
        self.before, self.after = before, after


def open_target(arguments: Arguments) -> Target:
    """Open the files that the command line names. Raises `OpenError`, `ArgumentError`."""
    _check(arguments)
    files = _operands(arguments.files)
    if not files:
        return _nothing(arguments)
    if "f" in arguments:
        return _raw(files, arguments)
    files = _numbered(files)
    if _is_memory(arguments):
        return _open_dump(files, arguments, raw=True)
    if _elsewhere(files[0]):
        return _remote(files, arguments)
    if os.path.isdir(files[0]):
        return _folder(files[0])
    head = _head(files[0], "open")
    wants_elf = "u" in arguments or ("k" in arguments and len(files) == 1)
    if wants_elf and not head.startswith(ELF_MAGIC):
        raise OpenError(f"{files[0]} is not an ELF file")
    for name in files[1:2]:
        if name != "-" and not _elsewhere(name) and not os.path.exists(name):
            raise OpenError(f"failed to access {name}: No such file or directory")
    if len(files) == 3 and files[2].rpartition("/")[2].startswith("vmdump."):
        files.pop()  # the same dump, packed: `mdb *.0` names all three
    dump = _dump(files, head, arguments)
    if dump is not None:
        return dump
    if arguments.root is not None:
        return _open_dump(files, arguments, raw=True)
    if head.startswith(ELF_MAGIC):
        return _object(files[0], arguments)
    return _raw(files, arguments)


@contextmanager
def opening(name: str) -> Iterator[Callable[[str], None]]:
    """While a file is opened: a sign of life at a terminal after a second. Gives what takes a line on how far it is."""
    if not os.isatty(2):
        yield lambda _: None
        return
    import sys

    from kdbg.repl.progress import Progress
    from kdbg.repl.screen import visible

    progress = Progress(sys.stderr)
    with progress.watch(visible(f"opening {name}")):
        yield lambda line: progress.label(visible(line))


def may_be_dump(head: bytes) -> bool:
    """Whether a file with that beginning is to be shown to the formats."""
    if head.startswith(ELF_MAGIC):
        order: Literal["little", "big"] = "big" if head[5:6] == b"\x02" else "little"
        return int.from_bytes(head[16:18], order) == ET_CORE
    return head.startswith(_MAGICS) or (len(head) == HEAD and all(segment >= FIRMWARE for segment in head[3:16:4]))


def _is_memory(arguments: Arguments) -> bool:
    """Whether the person says that the file is physical memory as it is."""
    return "raw" in arguments or arguments.base is not None


def _check(arguments: Arguments) -> None:
    """Refuse what has no meaning here, as mdb refuses it."""
    kernel = "K" in arguments or "U" in arguments
    if kernel and (arguments.pid is not None or any(flag in arguments for flag in "fkuI")):
        raise ArgumentError("neither -f, -k, -p, -u, nor -I may be used with -K", usage=True)
    if kernel:
        raise OpenError("-F must also be supplied to start kmdb from non-console tty")
    if arguments.pid is None:
        return
    if arguments.kind == "k":
        raise ArgumentError("-p and -k options are mutually exclusive")
    if arguments.files:
        raise ArgumentError("-p may not be used with other arguments")
    raise OpenError(f"cannot attach to {arguments.pid}: no such process")


def _operands(files: list[str]) -> list[str]:
    """The files without the dashes before them."""
    first = next((i for i, name in enumerate(files) if name != "-"), len(files))
    return files[first:]


def _numbered(files: list[str]) -> list[str]:
    """The pair of files that a lone number means."""
    name = files[0]
    if len(files) != 1 or not (name.isascii() and name.isdigit()) or os.path.exists(name):
        return files
    namelist, core, packed = f"unix.{name}", f"vmcore.{name}", f"vmdump.{name}"
    if os.path.exists(core):
        return [namelist, core] if os.path.exists(namelist) else [core]
    if os.path.exists(packed):
        return [packed]
    return [namelist, core]


def _elsewhere(name: str) -> bool:
    """Whether a name is a URL, and not that of a file all the same."""
    return "://" in name and not os.path.exists(name)


def _remote(files: list[str], arguments: Arguments) -> Target:
    """The dump behind a URL: nothing else is opened from there."""
    from kdbg.formats import NotADump

    try:
        return _open_dump(files, arguments)
    except NotADump as error:
        raise OpenError(f"{error}; what is no dump is opened from a disk only") from None


def _folder(name: str) -> Target:
    """A folder, as mdb has it; one that holds crash dumps is refused with what to type."""
    from kdbg.nothing import Folder
    from kdbg.repl.crashes import what_to_type

    told = what_to_type(name)
    if told:
        raise OpenError(told[0], after="\n".join(told[1:]))
    return Folder(name)


def _head(name: str, verb: str) -> bytes:
    if _elsewhere(name):
        return b""
    try:
        if stat.S_ISFIFO(os.stat(name).st_mode):
            raise OpenError(f"failed to {verb} {name}: a pipe, which has no middle to go to")
        with open(name, "rb") as stream:
            return stream.read(HEAD)
    except OSError as error:
        raise OpenError(f"failed to {verb} {name}: {error.strerror}") from None


def _nothing(arguments: Arguments) -> Target:
    from kdbg.nothing import NoFile, NoProcess

    return NoFile() if "f" in arguments else NoProcess()


def _raw(files: list[str], arguments: Arguments) -> Target:
    from kdbg.rawfile import RawFile

    for name in files[:2]:
        _head(name, "open")
    try:
        return RawFile(files[0], files[1] if len(files) > 1 else None, _writable(arguments))
    except OSError as error:
        raise OpenError(f"failed to open {error.filename or files[0]}: {error.strerror}") from None


def _object(name: str, arguments: Arguments) -> Target:
    from kdbg.objectfile import ObjectFile

    try:
        return ObjectFile(name, _writable(arguments))
    except OSError as error:
        raise OpenError(f"failed to open {name}: {error.strerror}") from None
    except FormatError:
        return _raw([name], arguments)


def _writable(arguments: Arguments) -> bool:
    return "w" in arguments and "safe" not in arguments


def _dump(files: list[str], head: bytes, arguments: Arguments) -> Target | None:
    """The dump that the files are, or None. Raises `OpenError` where one is damaged beyond use."""
    heads = [head, *(_head(name, "open") for name in files[1:] if name != "-")]
    if not any(map(may_be_dump, heads)):
        return None
    from kdbg.formats import NotADump

    packed = head.startswith(_PACKED)
    try:
        return _open_dump(files, arguments)
    except NotADump as error:
        if error.known and not packed:
            raise OpenError(f"{error} (-f shows its bytes)") from None
        return None


def _open_dump(files: list[str], arguments: Arguments, raw: bool = False) -> Target:
    """The dump; ``raw``: physical memory as it is. Raises `NotADump`, `OpenError`."""
    import kdbg
    from kdbg.formats import NotADump

    try:
        with opening(files[0]) as tell:
            dump = kdbg.open(
                *files,
                root=arguments.root,
                raw=raw,
                base=arguments.base or 0,
                tell=tell,
                symbols=arguments.symbols,
                debuginfod="debuginfod" in arguments,
                cache="no-cache" not in arguments and "safe" not in arguments,
            )
    except NotADump:
        raise
    except Error as error:
        raise OpenError(str(error)) from None
    if "w" in arguments:
        raise OpenError("failed to initialize target: Exec format error", before="invalid open flags")
    return dump

"""A directory of crash dumps: what lies in it, and what to type to open one.

savecore of illumos numbers its files (``unix.N``, ``vmcore.N``, ``vmdump.N``) and keeps the next number in ``bounds``
(savecore(8)); kdump of Linux makes a directory for each dump, with a ``vmcore`` or ``dump.*`` in it (kdump.conf(5)).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

MOST_ENTRIES = 2000
"""Of a directory that are looked at."""
MOST_SHOWN = 20
_NUMBERED = re.compile(r"(unix|vmcore|vmdump)\.(\d+)")
_OF_KDUMP = re.compile(r"vmcore(\.flat)?(\.(gz|bz2|xz|zst))?|dump\.\d+")


@dataclass(frozen=True, slots=True)
class Crash:
    """A dump in a directory."""

    command: str
    files: tuple[str, ...]
    size: int
    time: float
    """When its last file was written."""


def what_to_type(folder: str) -> list[str]:
    """Lines for a person: what the folder is, then a dump each, the newest first; empty if it holds none."""
    found = sorted(_numbered(folder), key=lambda crash: crash.time, reverse=True)
    found += sorted(_of_kdump(folder), key=lambda crash: crash.time, reverse=True)
    if not found:
        return []
    count = f"{len(found)} crash dumps" if len(found) > 1 else "a crash dump"
    lines = [f"{folder}: a directory with {count}; to open one, the newest first:"]
    width = max(len(crash.command) for crash in found[:MOST_SHOWN])
    lines.extend(
        f"    {crash.command:<{width}}   {', '.join(crash.files)}: {_size(crash.size)}, {_day(crash.time)}"
        for crash in found[:MOST_SHOWN]
    )
    if len(found) > MOST_SHOWN:
        lines.append(f"    and {len(found) - MOST_SHOWN} more")
    following = _bounds(folder)
    if following is not None:
        lines.append(f"bounds: the next dump will be number {following}")
    return lines


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, MOST_ENTRIES))
    except OSError:
        return []


def _numbered(folder: str) -> Iterator[Crash]:
    sets: dict[int, list[os.DirEntry[str]]] = {}
    for entry in _entries(folder):
        match = _NUMBERED.fullmatch(entry.name)
        if match and entry.is_file():
            sets.setdefault(int(match[2]), []).append(entry)
    for number, files in sets.items():
        names = {entry.name.partition(".")[0] for entry in files}
        if names & {"vmcore", "vmdump"}:
            core = f"vmcore.{number}" if "vmcore" in names else f"vmdump.{number}"
            both = "vmcore" in names and "unix" in names
            words = [f"unix.{number}", core] if both else [core]
            here = os.path.abspath(folder) == os.getcwd()
            command = f"kdbg {number}" if here else "kdbg " + " ".join(_quoted(os.path.join(folder, w)) for w in words)
            yield _crash(command, files)


def _of_kdump(folder: str) -> Iterator[Crash]:
    """Dumps of Linux: in the folder, or in a folder of their own in it."""
    folders = [folder, *(entry.path for entry in _entries(folder) if entry.is_dir(follow_symlinks=False))]
    for one in folders:
        for entry in _entries(one):
            if _OF_KDUMP.fullmatch(entry.name) and entry.is_file():
                yield _crash(f"kdbg {_quoted(entry.path)}", [entry])


def _crash(command: str, files: list[os.DirEntry[str]]) -> Crash:
    told = []
    for entry in files:
        with contextlib.suppress(OSError):  # gone meanwhile
            told.append(entry.stat())
    names = tuple(sorted(entry.name for entry in files))
    return Crash(command, names, sum(one.st_size for one in told), max((one.st_mtime for one in told), default=0.0))


def _bounds(folder: str) -> int | None:
    try:
        with open(os.path.join(folder, "bounds"), "rb") as file:
            text = file.read(16).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB" if size >= 1 << 20 else f"{size} bytes"


def _day(time: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")

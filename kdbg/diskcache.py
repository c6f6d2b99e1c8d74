"""What was worked out of a kernel's own tables, kept on disk by build id: the second look at a kernel is faster.

Everything in there can be worked out again: it may be deleted at any time. It lies in the user's folder for such
things, never beside a dump. What is read from it is believed only after its head, its sum and its size fit, and is
then looked at by whoever asked as what a stranger may have written. Files are written whole or not at all.

``KDBG_CACHE``: the folder; ``off``: none. Also ``--no-cache``, ``--safe``, ``kdbg.open(..., cache=False)``.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
import zlib
from contextlib import suppress

VARIABLE, OFF = "KDBG_CACHE", ("", "0", "no", "off")
MOST_BYTES = 256 << 20
"""Of all files together; the oldest go first."""
MOST_FILES = 512
LARGEST = 64 << 20
"""Bytes of one file."""
MAGIC = b"kdbg-1\n\0"
_HEAD = struct.Struct("<8sIQ")
"""Magic, sum of what follows (CRC-32, with the name), its bytes."""
_NAME = re.compile(r"[a-z]+-[0-9a-f]{8,128}(-[0-9a-f]+)*")


def usual_folder() -> str | None:
    """Where the cache lies: as `VARIABLE` says, else where the system keeps such things; None where it is off."""
    told = os.environ.get(VARIABLE)
    if told is not None:
        return None if told.lower() in OFF else told
    home = os.path.expanduser("~")
    if home == "~":
        return None
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "kdbg")
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local"), "kdbg", "Cache")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "kdbg")


class DiskCache:
    """The cache in a folder; one without a folder keeps nothing. Whatever goes wrong with the disk is no error."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder

    def get(self, name: str) -> bytes | None:
        """What is kept under a name (``kind-buildid``), or None."""
        if self.folder is None or not _NAME.fullmatch(name):
            return None
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                told = os.fstat(file.fileno())
                if not stat.S_ISREG(told.st_mode) or told.st_size > LARGEST or not _mine(told):
                    return None
                head, data = file.read(_HEAD.size), file.read(LARGEST)
        except OSError:
            return None
        if len(head) < _HEAD.size:
            return None
        magic, total, size = _HEAD.unpack(head)
        return data if (magic, total, size) == (MAGIC, _sum(name, data), len(data)) else None

    def put(self, name: str, data: bytes) -> None:
        """Keep something under a name."""
        if self.folder is None or not _NAME.fullmatch(name) or len(data) + _HEAD.size > LARGEST:
            return
        unfinished = os.path.join(self.folder, f".{name}.{os.getpid()}")
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            self._make_room(len(data) + _HEAD.size)
            number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(number, "wb") as file:
                file.write(_HEAD.pack(MAGIC, _sum(name, data), len(data)))
                file.write(data)
            os.replace(unfinished, os.path.join(self.folder, name))
        except OSError:
            with suppress(OSError):
                os.unlink(unfinished)

    def _make_room(self, size: int) -> None:
        """Delete the oldest files until another one fits. Raises `OSError`."""
        assert self.folder is not None
        with os.scandir(self.folder) as entries:
            found = [(entry.stat(follow_symlinks=False), entry.path) for entry in entries if _ours(entry.name)]
        found.sort(key=lambda one: one[0].st_mtime)
        total = sum(told.st_size for told, _ in found)
        while found and (total + size > MOST_BYTES or len(found) >= MOST_FILES):
            told, path = found.pop(0)
            total -= told.st_size
            os.unlink(path)


def _ours(name: str) -> bool:
    """Whether a file is one of the cache's, finished or not."""
    return _NAME.fullmatch(name.lstrip(".").partition(".")[0]) is not None


def _mine(told: os.stat_result) -> bool:
    """Whether a file is the user's own."""
    return not hasattr(os, "getuid") or told.st_uid == os.getuid()


def _sum(name: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(name.encode()))

"""A file that must be there in one piece and is not: written once to a temporary one, which goes with the process."""

from __future__ import annotations

import os
from collections.abc import Iterable

from kdbg.errors import FormatError
from kdbg.formats.source import Source

SPARE = 1 << 30
"""Bytes that are left free on the disk."""


def spool(name: str, pieces: Iterable[bytes], most: int, too_much: str) -> Source:
    """The bytes as a file of its own, which has no name any more. Raises `FormatError`, ``too_much`` after ``most``.

    Where the pieces end with a `FormatError`, what came before is kept; the source's ``cut_off`` says so.
    """
    import tempfile

    room = _room()
    with tempfile.NamedTemporaryFile(prefix="kdbg-", delete=False) as plain:
        try:
            written, cut_off = 0, False
            try:
                for piece in pieces:
                    if written + len(piece) > most:
                        written = most + 1
                        raise FormatError(name, too_much)
                    if written + len(piece) > room:
                        written = most + 1
                        text = f"{tempfile.gettempdir()} has no room for it (TMPDIR names another directory)"
                        raise FormatError(name, text)
                    plain.write(piece)
                    written += len(piece)
            except FormatError:
                if not written or written > most:
                    raise
                cut_off = True
            plain.flush()
            made = Source(plain.name)
        except OSError as error:
            raise FormatError(name, f"{tempfile.gettempdir()}: {error.strerror}") from None
        finally:
            os.unlink(plain.name)
    made.name, made.cut_off = name, cut_off
    return made


def _room() -> int:
    """Bytes that the temporary file may have."""
    import shutil
    import tempfile

    return max(0, shutil.disk_usage(tempfile.gettempdir()).free - SPARE)

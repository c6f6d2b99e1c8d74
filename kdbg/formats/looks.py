"""What the bytes of a file that is no known dump look like, and what to try next."""

from __future__ import annotations

from kdbg.formats.image import PAGE
from kdbg.formats.source import Source

HEAD = 4096
SAMPLES = 64
"""Places of a file, a page each, that are looked at where its beginning is empty."""
NEXT = "if it is physical memory as it is, open it with --raw (kdbg.open(path, raw=True)); any file as bytes with -f"


def looks_like(source: Source) -> str:
    """What the file looks like, in a sentence without its name."""
    head = bytes(source.read(0, min(HEAD, source.size)))
    if not head:
        return "the file is empty: was the dump cut off, or the disk full when it was written?"
    if any(head):
        return _of(head) + _next(source, head)
    at = _first_page_with_something(source)
    if at is None:
        where = (
            f"all 0, as far as it was looked at ({min(SAMPLES, -(-source.size // PAGE))} pages of {source.size} bytes)"
        )
        return f"its bytes are {where}: an image that was never filled, or memory as it is? {NEXT}"
    return f"its beginning is all 0, and there is something at {at:#x}: memory as it is, or a disk? {NEXT}"


def _of(head: bytes) -> str:
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
    if printable > 0.95 * len(head):
        line = head.split(b"\n")[0][:60].decode("latin-1").strip()
        return f"it looks like text, which begins {line!r}: a log or a script, not a dump"
    return f"it looks like binary data; the first bytes are {head[:16].hex(' ')}"


def _next(source: Source, head: bytes) -> str:
    """What to do with bytes that may be memory."""
    if b"\0" not in head and not any(byte >= 127 for byte in head):
        return ""
    return f"; {NEXT}" if source.size >= PAGE else ""


def _first_page_with_something(source: Source) -> int | None:
    step = max(PAGE, source.size // SAMPLES & -PAGE)
    for at in range(0, source.size, step):
        if any(source.read(at, min(PAGE, source.size - at))):
            return at
    return None

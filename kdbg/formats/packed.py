"""Dumps inside gzip, bzip2, xz or zstd: unpacked once, into a temporary file that goes with the process.

These formats have no way to a place in the middle but through all that lies before. The beginning is unpacked first:
where it is none of a dump that is known, the rest is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdbg.errors import FormatError
from kdbg.formats.compression import MissingCodec, zstd_module
from kdbg.formats.source import Source
from kdbg.formats.spool import spool

Tell = Callable[[str], None]
MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
COMMANDS = {"gzip": "gzip -dk", "bzip2": "bzip2 -dk", "xz": "xz -dk", "zstd": "zstd -dk"}
CHUNK = 1 << 20
TOLD = 64 << 20
"""Bytes that come out from one line on it to the next."""
HEAD = 1 << 16
GROWTH, SMALL = 1024, 512 << 20
"""How many times its size a file may unpack to without being taken for a bomb; as much as `SMALL` always."""


def kind_of(source: Source) -> str | None:
    """Name of the compression, by the file's first bytes; None if it is none of these."""
    head = bytes(source.read(0, min(6, source.size)))
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)


def head_of(source: Source, kind: str) -> bytes:
    """The first bytes that come out. Raises `FormatError`."""
    found = b""
    for piece in _pieces(source, kind, HEAD):  # no more: what is damaged behind it does no harm here
        found += piece
        if len(found) >= HEAD:
            break
    return found[:HEAD]


def unpack(source: Source, kind: str, tell: Tell = lambda _: None) -> Source:
    """All of it as a file of its own, which is gone when it is closed. Raises `FormatError`.

    ``tell`` is called now and then with a line on how far it is.

    What a damaged or cut file gives before its end is kept; the source's ``cut_off`` says so.
    """
    most = max(SMALL, GROWTH * source.size)
    text = f"unpacks to more than {most} bytes, which is a bomb: `{COMMANDS[kind]}` unpacks it all the same"
    return spool(source.name, _told(_pieces(source, kind), source, kind, tell), most, text)


def _told(pieces: Iterator[bytes], source: Source, kind: str, tell: Tell) -> Iterator[bytes]:
    made = said = 0
    for piece in pieces:
        made += len(piece)
        if made - said >= TOLD:
            said = made
            tell(f"unpacking {source.name} ({kind}, {source.size >> 20} MB): {made >> 20} MB")
        yield piece


def advice(name: str, kind: str, size: int, plain: int, seconds: float) -> str:
    """What was done, how long it took, and what spares it next time, in a sentence."""
    text = f"the dump is inside {kind} and was unpacked to be read ({size} bytes to {plain} in {seconds:.1f} s)"
    return f"{text}: `{COMMANDS[kind]} {name}` spares that next time"


def _pieces(source: Source, kind: str, most: int = CHUNK) -> Iterator[bytes]:
    """Plain bytes, up to ``most`` at a time: members or frames one after the other. Raises `FormatError`."""
    at, inflater, waiting, begun = 0, _inflater(kind), b"", True
    while True:
        if inflater.eof:
            waiting, inflater, begun = inflater.unused_data, _inflater(kind), False
        if not begun and not waiting.strip(b"\0"):
            waiting = b""  # padding between members
        if not waiting and inflater.needs_input:
            if at >= source.size:
                if begun:
                    raise FormatError(source.name, f"cut off: its {kind} data ends too early", at)
                return
            waiting = bytes(source.read(at, min(CHUNK, source.size - at)))
            at += len(waiting)
            continue
        begun = True
        try:
            piece = inflater.decompress(waiting, most)
        except Exception as error:  # each codec has an error of its own, without a root in common
            raise FormatError(source.name, f"damaged: its {kind} data: {error}", at) from None
        waiting = b""
        if piece:
            yield piece


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        import zlib

        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, most)


def _inflater(kind: str) -> Any:
    if kind == "gzip":
        return _Gzip()
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    if kind == "xz":
        import lzma

        return lzma.LZMADecompressor(memlimit=1 << 30)
    try:
        return zstd_module().ZstdDecompressor()
    except MissingCodec as error:
        raise FormatError("zstd", error.reason) from None

"""Decompressing single pages, and the packages that do it: LZO's and snappy's are those of the ``kdump`` extra.

For pages of 4096 bytes the making of a decompressor's state costs as much as the decompressing: libdeflate
(``deflate``) has none to make, ``zstandard`` keeps its own from page to page. A page of zlib takes 6 us through
``deflate``, 7 through ISA-L (``isal``), 12 through the standard library, which serves where ``deflate`` is not there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from kdbg.errors import Error

Decompress = Callable[[bytes | memoryview, int], bytes]
"""(data, expected size) -> the plain bytes, never many more. Raises `ValueError` where the data is damaged."""


class MissingCodec(Error):
    """A compression whose package is not installed."""

    def __init__(self, name: str, package: str) -> None:
        super().__init__(f"{name} data needs the package {package}: pip install {package}")
        self.reason = f"{name} data needs the package {package}"


def _zlib() -> Decompress:
    try:
        from deflate import DeflateError, zlib_decompress
    except ImportError:
        return _standard_zlib

    def decompress(data: bytes | memoryview, size: int) -> bytes:
        try:
            return bytes(zlib_decompress(data, size))
        except DeflateError:  # it says nothing of what is wrong, and refuses what is not exactly one page
            return _standard_zlib(data, size)

    return decompress


def _standard_zlib(data: bytes | memoryview, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise ValueError(f"zlib: {error}") from None


def _lzo() -> Decompress:
    try:
        from lzallright import LZOCompressor
    except ImportError:
        raise MissingCodec("LZO", "lzallright") from None

    def decompress(data: bytes | memoryview, size: int) -> bytes:
        try:
            return bytes(LZOCompressor.decompress(bytes(data), size))
        except Exception as error:  # its errors have no root that is documented
            raise ValueError(f"LZO: {error}") from None

    return decompress


def _snappy() -> Decompress:
    try:
        import cramjam
    except ImportError:
        raise MissingCodec("snappy", "cramjam") from None

    def decompress(data: bytes | memoryview, size: int) -> bytes:
        try:
            if cramjam.snappy.decompress_raw_len(data) > size:
                raise ValueError("snappy: more than a page")
            return bytes(cramjam.snappy.decompress_raw(data))
        except cramjam.DecompressionError as error:
            raise ValueError(f"snappy: {error}") from None

    return decompress


def zstd_module() -> Any:
    """The standard library's zstd where it has one, else the package that stands in for it. Raises `MissingCodec`."""
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise MissingCodec("zstd", "backports.zstd") from None
    return zstd


def _zstd() -> Decompress:
    try:
        from zstandard import ZstdDecompressor, ZstdError, frame_content_size
    except ImportError:
        return _standard_zstd()
    kept = ZstdDecompressor()

    def decompress(data: bytes | memoryview, size: int) -> bytes:
        try:
            if frame_content_size(data) > size:  # it would be believed
                raise ValueError("zstd: more than a page")
            return bytes(kept.decompress(data, max_output_size=size))
        except ZstdError as error:
            raise ValueError(f"zstd: {error}") from None

    return decompress


def _standard_zstd() -> Decompress:
    zstd = zstd_module()

    def decompress(data: bytes | memoryview, size: int) -> bytes:
        try:
            return bytes(zstd.ZstdDecompressor().decompress(data, size))
        except (zstd.ZstdError, EOFError) as error:
            raise ValueError(f"zstd: {error}") from None

    return decompress


def compressor(name: str) -> Callable[[bytes], bytes]:
    """What compresses pages: "zlib" or "zstd", quickly rather than well. Raises `MissingCodec`."""
    if name == "zlib":
        try:
            from deflate import zlib_compress
        except ImportError:
            return lambda data: zlib.compress(data, 1)
        return lambda data: bytes(zlib_compress(data, 1))
    try:
        from zstandard import ZstdCompressor
    except ImportError:
        zstd = zstd_module()
        return lambda data: bytes(zstd.compress(data, 3))
    kept = ZstdCompressor(level=3)
    return lambda data: bytes(kept.compress(data))


CODECS: dict[str, Callable[[], Decompress]] = {
    "zlib": _zlib,
    "lzo": _lzo,
    "snappy": _snappy,
    "zstd": _zstd,
}
"""Name -> what makes the decompressor; raises `MissingCodec`."""

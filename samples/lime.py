"""LiME and AVML: memory in ranges behind headers, as it is or in snappy's framing format.

Facts: LiME's doc (lime_mem_range_header), AVML's image.rs (version 2: the same header, frames, their length behind),
snappy's framing_format.txt (chunks, the masked CRC-32C of the plain bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

LIME, AVML = 0x4C694D45, 0x4C4D5641
CHUNK = 1 << 16
IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"


def lime(ranges: Sequence[tuple[int, bytes]]) -> bytes:
    """A LiME dump of (physical address, bytes)."""
    return b"".join(struct.pack("<IIQQQ", LIME, 1, at, at + len(data) - 1, 0) + data for at, data in ranges)


def avml(ranges: Sequence[tuple[int, bytes]], stored: bool = False) -> bytes:
    """An AVML dump; ``stored``: chunks that snappy did not shrink."""
    out = b""
    for at, data in ranges:
        packed = frames(data, stored)
        out += struct.pack("<IIQQQ", AVML, 2, at, at + len(data) - 1, 0) + packed + struct.pack("<Q", len(packed))
    return out


def frames(data: bytes, stored: bool = False) -> bytes:
    """Bytes in snappy's framing format."""
    import cramjam

    out = IDENTIFIER
    for at in range(0, len(data), CHUNK):
        plain = data[at : at + CHUNK]
        body = struct.pack("<I", checksum(plain)) + (plain if stored else bytes(cramjam.snappy.compress_raw(plain)))
        out += bytes([int(stored)]) + len(body).to_bytes(3, "little") + body
    return out


@cache
def _table() -> list[int]:
    rows = list(range(256))
    for _ in range(8):
        rows = [row >> 1 ^ (0x82F63B78 if row & 1 else 0) for row in rows]
    return rows


def checksum(data: bytes) -> int:
    """CRC-32C, rotated and moved as the framing format wants it."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF

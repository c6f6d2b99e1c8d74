"""LZJB: the compression of illumos crash dumps, a page at a time.

A byte of eight bits tells of each of the following eight items whether it is a literal byte (0) or a copy (1): two
bytes, six bits of length less three and ten of distance back.

Source: the format as <sys/dumphdr.h>'s users (usr/src/uts/common/os/compress.c) write it.
"""

from __future__ import annotations

SHORTEST_COPY = 3
DISTANCE_BITS = 10
DISTANCE_MASK = (1 << DISTANCE_BITS) - 1


def decompress(data: bytes | memoryview, size: int) -> bytes:
    """Decompress to exactly ``size`` bytes. Raises `ValueError` where the data ends before or points before its start.

    Data that is not shorter than ``size`` was stored as it is: it did not shrink.
    """
    if len(data) >= size:
        return bytes(data[:size])
    out = bytearray()
    source = bytes(data)
    at, end = 0, len(source)
    while len(out) < size:
        if at >= end:
            raise ValueError(f"lzjb data of {end} bytes ends after {len(out)} of {size}")
        flags = source[at]
        at += 1
        if not flags:  # eight literals: most of what does not repeat
            out += source[at : at + 8]
            at += 8
            continue
        for bit in range(8):
            if len(out) >= size:
                break
            if not flags >> bit & 1:
                out += source[at : at + 1]
                at += 1
                continue
            word = int.from_bytes(source[at : at + 2], "big")
            at += 2
            length = (word >> DISTANCE_BITS) + SHORTEST_COPY
            distance = word & DISTANCE_MASK
            start = len(out) - distance
            if start < 0 or not distance:
                raise ValueError(f"lzjb copy from {distance} bytes back at {len(out)}")
            if distance >= length:
                out += out[start : start + length]
            else:
                pattern = bytes(out[start:])
                out += (pattern * (length // distance + 1))[:length]
    return bytes(out[:size])

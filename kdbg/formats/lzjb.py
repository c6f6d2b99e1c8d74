"""LZJB: the compression of illumos crash dumps, a page at a time.

A byte of eight bits tells of each of the following eight items whether it is a literal byte (0) or a copy (1): two
bytes, six bits of length less three and ten of distance back.

`decompress` is compiled (``_lzjb.c``) where the installation had a compiler, else `decompress_pure`: the same answers,
the same errors, about fifty times slower.

Source: the format as <sys/dumphdr.h>'s users (usr/src/uts/common/os/compress.c) write it.
"""

from __future__ import annotations

SHORTEST_COPY = 3
DISTANCE_BITS = 10
DISTANCE_MASK = (1 << DISTANCE_BITS) - 1

__all__ = ("decompress", "decompress_pure")


def decompress_pure(data: bytes | memoryview, size: int) -> bytes:
    """Decompress to exactly ``size`` bytes. Raises `ValueError` where the data ends before or points before its start.

    Data that is not shorter than ``size`` was stored as it is: it did not shrink.
    """
    if size < 0:
        raise ValueError(f"lzjb data of {len(data)} bytes cannot give {size}")
    if len(data) >= size:
        return bytes(data[:size])
    out = bytearray()
    source = bytes(data)
    at, end = 0, len(source)
    while len(out) < size:
        if at >= end:
            raise ValueError(_ends(end, len(out), size))
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
                if at >= end:
                    raise ValueError(_ends(end, len(out), size))
                out.append(source[at])
                at += 1
                continue
            if at + 2 > end:
                raise ValueError(_ends(end, len(out), size))
            word = source[at] << 8 | source[at + 1]
            at += 2
            length = (word >> DISTANCE_BITS) + SHORTEST_COPY
            distance = word & DISTANCE_MASK
            start = len(out) - distance
            if start < 0 or not distance:
                raise ValueError(f"lzjb copy from {distance} bytes back at {len(out)}")
            if distance >= length:
                out += out[start : start + length]
            else:  # a copy that reads what it writes repeats it
                out += (bytes(out[start:]) * (length // distance + 1))[:length]
    return bytes(out[:size])


def _ends(held: int, written: int, size: int) -> str:
    return f"lzjb data of {held} bytes ends after {written} of {size}"


try:
    from kdbg.formats._lzjb import decompress
except ImportError:
    decompress = decompress_pure

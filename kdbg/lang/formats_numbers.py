"""Numbers, times and characters as the format letters show them: pure functions to text.

Characters are bytes: text holds one character (Latin-1) for each.
"""

from __future__ import annotations

import struct

DIGITS = "0123456789abcdef"
MASK = (1 << 64) - 1

_PREFIX = {2: ("0i", 1), 8: ("0o", 7), 10: ("0t", 9), 16: ("0x", 9)}
"""Per base: its prefix, and the largest number that goes without one."""

_ESCAPES = {0: "\\0", 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_ESCAPED = tuple(_ESCAPES.get(b, chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in range(256))
_CARETS = tuple("^?" if b == 127 else f"^{chr(b + 64)}" if b < 32 else chr(b) for b in range(128)) * 2

_WEEKLESS_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LAST_YEAR = (1 << 31) - 1 + 1900
"""The C library keeps years in an int that counts from 1900."""


def digits(value: int, base: int) -> str:
    """``value`` in ``base`` (2 to 16) without prefix; a minus sign before a negative one."""
    if base == 16:
        return f"{value:x}"
    if base == 10:
        return str(value)
    if base == 8:
        return f"{value:o}"
    if base == 2:
        return f"{value:b}"
    rest, out = abs(value), ""
    while rest or not out:
        rest, digit = divmod(rest, base)
        out = DIGITS[digit] + out
    return f"-{out}" if value < 0 else out


def prefixed(value: int, base: int) -> str:
    """An unsigned ``value`` in ``base``, with the base's prefix unless it is a single digit: ``0x10``, ``9``."""
    prefix, limit = _PREFIX.get(base, ("", MASK))
    return prefix + digits(value, base) if value > limit else digits(value, base)


def offset(value: int, base: int) -> str:
    """A symbol's offset as labels show it: ``+0x10``, ``+3``; a negative one with its sign before the prefix."""
    prefix, limit = _PREFIX.get(base, ("", MASK))
    shown = digits(abs(value), base)
    if value < 0 or value > limit:
        shown = prefix + shown
    return ("-" if value < 0 else "+") + shown


def signed(value: int, bits: int) -> int:
    """An unsigned number of ``bits`` bits read as two's complement."""
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def real(value: float, precision: int) -> str:
    """A floating point number always with sign and exponent: ``+1.0000000e+00``, ``-Infinity``, ``+NaN``."""
    if value != value:
        negative = struct.pack("<d", value)[7] & 0x80
        return "-NaN" if negative else "+NaN"
    if value in (float("inf"), float("-inf")):
        return "+Infinity" if value > 0 else "-Infinity"
    return f"{value:+.{precision}e}"


def single(raw: int) -> str:
    """The IEEE single with these 32 bits."""
    if raw & 0x7F800000 == 0x7F800000 and raw & 0x7FFFFF:
        return "-NaN" if raw >> 31 else "+NaN"
    value: float = struct.unpack("<f", struct.pack("<I", raw))[0]
    return real(value, 7)


def double(raw: int) -> str:
    """The IEEE double with these 64 bits."""
    if raw & 0x7FF0000000000000 == 0x7FF0000000000000 and raw & 0xFFFFFFFFFFFFF:
        return "-NaN" if raw >> 63 else "+NaN"
    value: float = struct.unpack("<d", struct.pack("<Q", raw))[0]
    return real(value, 16)


def calendar(seconds: int, base: int) -> str:
    """Seconds since 1970 as ``2001 Sep  9 01:46:40`` (UTC), a number in ``base`` where the C library gives up.

    Four characters of the year are shown, whatever it is.
    """
    days, rest = divmod(seconds, 86400)
    year, month, day = _civil(days)
    if not -(1 << 31) + 1900 <= year <= _LAST_YEAR:
        return digits(seconds, base)
    hour, rest = divmod(rest, 3600)
    clock = f"{hour:02d}:{rest // 60:02d}:{rest % 60:02d}"
    # The year is cut out of a line of fixed layout that ends with a newline.
    shown = f"{year}\n"[:4]
    return f"{shown} {_WEEKLESS_MONTHS[month - 1]} {day:2d} {clock}"


def _civil(days: int) -> tuple[int, int, int]:
    """Days since 1970-01-01 -> year, month, day of the proleptic Gregorian calendar."""
    days += 719468
    era, day_of_era = divmod(days, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def escaped(data: bytes) -> str:
    r"""Bytes in C's notation: ``a\n\0\377``."""
    return "".join([_ESCAPED[b] for b in data])


def carets(data: bytes) -> str:
    """Bytes in adb's notation: ``^J`` for a control character, the top bit dropped."""
    return "".join([_CARETS[b] for b in data])


def bit_chart(value: int) -> list[str]:
    """The lines of format ``j``: the number in binary, and below it a branch for each set bit, the lowest first."""
    shown = f"{value:b}"
    lines = [shown]
    top = len(shown) - 1
    set_bits = [bit for bit in range(len(shown)) if value >> bit & 1]
    if not set_bits:
        return lines
    bars = "".join("|" if c == "1" else " " for c in shown)
    lines.append(bars[: top - set_bits[0] + 1])
    for bit in set_bits:
        gap = " " if bit < 10 <= top else ""
        lines.append(f"{bars[: top - bit]}+{'-' * (bit + 2)} bit {bit} {gap}mask 0x{1 << bit:0{top // 4 + 1}x}")
    return lines

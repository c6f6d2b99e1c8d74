"""Texts of single values, as ::print shows them."""

from __future__ import annotations

from kdbg.lang.formats_numbers import MASK, prefixed
from kdbg.symbols.model import Encoding


def is_char(encoding: Encoding) -> bool:
    """Whether it is C's signed char: shown as a character."""
    return encoding.char and encoding.signed and encoding.bits == 8 and not encoding.float_format


def printable(text: bytes) -> bool:
    """Whether all bytes are printable ASCII."""
    return not text or (min(text) >= 32 and max(text) < 127)


def decimal(value: int, bits: int) -> str:
    """``0t10``, ``9``, ``-0t3``; signed of so many bits, 0: as it is."""
    if bits and value >> (bits - 1) & 1:
        value -= 1 << bits
    return f"-0t{-value}" if value < 0 else prefixed(value, 10)


def internet(data: bytes) -> str:
    """An IPv4 address, its bytes in network order."""
    return ".".join(str(byte) for byte in data)


def internet6(data: bytes) -> str:
    """An IPv6 address; one that holds an IPv4 address shows it with dots."""
    import ipaddress

    head, tail = data[:12], internet(data[12:])
    if head == bytes(10) + b"\xff\xff":
        return f"::ffff:{tail}"
    if head == bytes(12) and data[12:] > b"\0\0\0\1":
        return f"::{tail}"
    return str(ipaddress.IPv6Address(data))


def extended(data: bytes) -> str:
    """The x87's 80-bit number at the start of 16 bytes, with 17 digits."""
    mantissa = int.from_bytes(data[:8], "little")
    exponent = int.from_bytes(data[8:10], "little")
    sign = "-" if exponent >> 15 else "+"
    exponent &= 0x7FFF
    if exponent == 0x7FFF:
        return f"{sign}NaN" if mantissa << 1 & MASK else f"{sign}Infinity"
    if not mantissa:
        return f"{sign}0.{'0' * 16}e+00"
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 80
        number, _, power = f"{Decimal(mantissa) * Decimal(2) ** (max(exponent, 1) - 16383 - 63):.16e}".partition("e")
    return f"{sign}{number}e{power[0]}{power[1:]:0>2}"

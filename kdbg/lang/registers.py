"""Registers as variables: with the parts of the general ones, in mdb's order (its table of kernel registers, amd64)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdbg.errors import Error

if TYPE_CHECKING:
    from kdbg.target import Target

_WIDE = ("rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "rbx", "rbp", "r10", "r11", "r12", "r13", "r14", "r15")
_LETTERED = frozenset("abcd")

_ORDER = ("savfp", "savpc", *_WIDE, "ds", "es", "fs", "gs", "trapno", "err", "rip", "cs", "rflags", "rsp", "ss",
          "fsbase", "gsbase", "kgsbase", "cr2", "cr3")  # fmt: skip


def parts(name: str) -> list[tuple[str, int, int]]:
    """The parts of a 64-bit register: name, bits to shift right, bits to keep."""
    if name == "rflags":
        return [("eflags", 0, 32)]
    if name[1:].isdigit():
        return [(f"{name}d", 0, 32), (f"{name}w", 0, 16), (f"{name}l", 0, 8)]
    short = name[1:]
    shown = [(f"e{short}", 0, 32), (short, 0, 16)]
    if short[0] in _LETTERED and short[1] == "x":
        return [*shown, (f"{short[0]}h", 8, 8), (f"{short[0]}l", 0, 8)]
    return [*shown, (f"{short}l", 0, 8)]


def with_parts(registers: Mapping[str, int]) -> dict[str, int]:
    """The registers in order, each 64-bit one followed by its parts; others behind them as they come."""
    found: dict[str, int] = {}
    for name in (*(name for name in _ORDER if name in registers), *registers):
        if name in found:
            continue
        value = found[name] = registers[name]
        if name in _WIDE or name in ("rflags", "rsp"):
            for part, shift, bits in parts(name):
                found.setdefault(part, value >> shift & (1 << bits) - 1)
    return found


ELF_MAGIC = 0x464C457F


def kernel_sizes(target: Target) -> dict[str, int]:
    """The one-letter variables of a Solaris kernel, from the variables in which it keeps its bounds; none of others.

    ``b`` and ``d``: address and size of its data, ``t``: size of its text, ``m``: the magic number of ELF, ``e``: where
    it begins, which illumos' own dumps do not tell.
    """
    bounds = {}
    try:
        for name in ("s_text", "e_text", "s_data", "e_data"):
            address = target.lookup(name).address
            bounds[name] = int.from_bytes(target.read(address, target.bits // 8), "little")
        image = getattr(target, "image", None)
        entry = 0 if image is None or image.format.startswith("illumos") else target.lookup("_start").address
    except Error:
        return {}
    return {
        "b": bounds["s_data"],
        "d": bounds["e_data"] - bounds["s_data"],
        "t": bounds["e_text"] - bounds["s_text"],
        "m": ELF_MAGIC,
        "e": entry,
    }

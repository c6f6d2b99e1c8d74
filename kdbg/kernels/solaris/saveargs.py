"""Where a function keeps the arguments that came in registers (amd64), and how many a caller pushed (i386).

The kernel is built with saved arguments: after ``push %rbp; mov %rsp,%rbp`` a function stores its argument registers
just below the frame pointer, by ``mov`` at fixed places or by pushes. The stores are looked for instruction by
instruction, in any order. Facts: libsaveargs (what it recognises), the amd64 ABI (order of the registers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.symbols.model import Kind

if TYPE_CHECKING:
    from kdbg.symbols.model import Type

REGISTERS = 6
"""Arguments that come in registers: rdi, rsi, rdx, rcx, r8, r9."""
SEARCHED = 256
"""Bytes of a function in which the stores are looked for."""
SMALL = 16
"""A structure of so many bytes or fewer travels in registers itself, and spoils the count."""

_PUSHES_OF_RBP = (b"\x55", b"\xcc")
_MOVES_TO_RBP = (b"\x48\x89\xe5", b"\x48\x8b\xec")
_STORES = [bytes.fromhex(one) for one in ("48897df8", "488975f0", "488955e8", "48894de0", "4c8945d8", "4c894dd0")]
_PUSHES = [bytes.fromhex(one) for one in ("57", "56", "52", "51", "4150", "4151")]
_STORES_AFTER_RESULT = [bytes.fromhex(one) for one in ("488975f8", "488955f0", "48894de8", "4c8945e0", "4c894dd8")]
"""Where the first register holds the place of a structure to return: rsi and the following, stored from the top."""

_PLAIN = {0x55: 1, 0x50: 1, 0x51: 1, 0x52: 1, 0x53: 1, 0x56: 1, 0x57: 1, 0xCC: 1, 0x90: 1, 0xC3: 1, 0xC9: 1, 0x58: 1,
          0x59: 1, 0x5A: 1, 0x5B: 1, 0x5D: 1, 0x5E: 1, 0x5F: 1, 0xE8: 5, 0xE9: 5, 0xEB: 2}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saved:
    """How a function saves its arguments."""

    registers: int
    """How many come in registers and are shown."""
    total: int
    skipped: int
    """Words between the frame pointer and the first of them: 1 where the place of the result is stored first."""
    done: int
    """Offset in the function after which all are stored."""


def signature(of: Type) -> tuple[int, bool] | None:
    """(number of arguments, whether the first register holds the place of the result); None if they cannot be told."""
    function = of.resolved
    if function.kind is not Kind.FUNCTION:
        return None
    arguments = function.arguments
    for argument in arguments[:5]:
        kind = argument.resolved.kind
        if kind in (Kind.STRUCT, Kind.UNION) and argument.size <= SMALL:
            return None
    result = function.reference
    hidden = result is not None and result.resolved.kind in (Kind.STRUCT, Kind.UNION) and result.size > SMALL
    return (len(arguments), hidden) if arguments else None


def saved_arguments(code: bytes, count: int, hidden: bool) -> Saved | None:
    """How the function that begins with ``code`` saves ``count`` arguments; None if it does not save them all."""
    start = int(hidden)
    last = min(start + count, REGISTERS)
    shown = last - start
    if shown == 0:
        return None
    for patterns, skipped in (
        (_STORES[start:last], start),
        (_PUSHES[start:last], 0),
        (_STORES_AFTER_RESULT[:shown] if hidden else [], 0),
    ):
        if patterns and all(pattern in code for pattern in patterns):
            done = _all_found(code, patterns)
            if done is not None:
                return Saved(shown, count, skipped, done)
    return None


def _all_found(code: bytes, patterns: list[bytes]) -> int | None:
    """Offset behind the instruction with which all patterns have been seen after the frame was set up."""
    pushed = framed = False
    wanted = set(patterns)
    for offset, instruction in _instructions(code):
        if not pushed:
            pushed = instruction in _PUSHES_OF_RBP
        elif not framed:
            framed = instruction in _MOVES_TO_RBP
        else:
            wanted.discard(instruction)
            if not wanted:
                return offset + len(instruction)
    return None


def _instructions(code: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each whole instruction; capstone is asked only behind what prologues are made of."""
    at = 0
    while at < len(code):
        size = _simple_size(code, at)
        if not size:
            break
        if at + size > len(code):
            return
        yield at, code[at : at + size]
        at += size
    if at < len(code):
        import capstone

        decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        for offset, size, _, _ in decoder.disasm_lite(code[at:], at):
            yield offset, code[offset : offset + size]


def _simple_size(code: bytes, at: int) -> int:
    """Size of the few instructions that prologues consist of; 0 for any other."""
    first = code[at]
    if first in _PLAIN:
        return _PLAIN[first]
    if at + 2 >= len(code):
        return 0
    second, third = code[at + 1], code[at + 2]
    if first == 0x41 and (0x50 <= second <= 0x5F):
        return 2
    if first in (0x48, 0x49, 0x4C, 0x4D) and second in (0x89, 0x8B, 0x31, 0x33, 0x85, 0x01, 0x29):
        return _with_operand(third, 3)
    if first == 0x48 and second == 0x83:
        return _with_operand(third, 4)
    if first == 0x48 and second == 0x81:
        return _with_operand(third, 7)
    return 0


def _with_operand(modrm: int, size: int) -> int:
    """Size with the displacement that the ModRM byte tells; 0 where there is a SIB byte or a bare address."""
    mode, register = modrm >> 6, modrm & 7
    if mode == 3:
        return size
    if register == 4 or (mode == 0 and register == 5):
        return 0
    return size + (0, 1, 4)[mode]


def pushed_arguments(code: bytes) -> int:
    """How many words the caller drops from the stack at a return address (i386): ``add $n,%esp`` or ``pop %ecx``."""
    if code[:2] == b"\x83\xc4" and len(code) > 2:
        return code[2] // 4
    if code[:2] == b"\x81\xc4" and len(code) > 5:
        return int.from_bytes(code[2:6], "little") // 4
    return len(code[:2]) - len(code[:2].lstrip(b"\x59"))

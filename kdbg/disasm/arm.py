"""AArch64 machine code to text, by capstone.

mdb has no such mode: the syntax is ARM's; where branches lead is told as in the other modes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

SIZE = 4
"""Bytes of every instruction."""
_TARGET = re.compile(r"#(0x[0-9a-f]+)$")
_BRANCHES = ("b", "bl", "cbz", "cbnz", "tbz", "tbnz", "adr", "adrp")


def decode_arm(fetch: Callable[[int], int], address: int, label: Callable[[int], str]) -> tuple[str | None, int]:
    """Text and length; None where it is no instruction. Raises what ``fetch`` raises."""
    import capstone

    decoder = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
    data = bytes(fetch(at) for at in range(SIZE))
    for _, _, name, operands in decoder.disasm_lite(data, address, 1):
        text = f"{name:<6} {operands.replace(', ', ',')}"
        target = _TARGET.search(operands) if name.split(".")[0] in _BRANCHES else None
        return (text if target is None else f"{text}\t<{label(int(target[1], 16))}>"), SIZE
    return None, SIZE

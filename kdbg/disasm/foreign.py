"""What our own decoder does not know: vector instructions with VEX and EVEX prefixes, by capstone."""

from __future__ import annotations

from collections.abc import Callable


def decode_foreign(fetch: Callable[[int], int], address: int, bits: int) -> tuple[str | None, int]:
    """Text in mdb's shape and length; None and the bytes looked at where it is no instruction. Raises what ``fetch`` does."""
    import capstone

    mode = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[bits]
    decoder = capstone.Cs(capstone.CS_ARCH_X86, mode)
    decoder.syntax = capstone.CS_OPT_SYNTAX_ATT
    data = bytes(fetch(at) for at in range(15))
    for _, size, name, operands in decoder.disasm_lite(data, address, 1):
        return f"{name:<6} {operands.replace(', ', ',')}", size
    return None, {0xC5: 3, 0xC4: 4, 0x62: 5}.get(data[0], 5)

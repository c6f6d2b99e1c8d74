"""What our own decoder does not know: vector instructions with VEX and EVEX prefixes, by capstone."""

from __future__ import annotations

import re
from collections.abc import Callable

from kdbg.disasm.operands import LONGEST
from kdbg.errors import ReadError

_PREFIX_BYTES = {0xC5: 3, 0xC4: 4, 0x62: 5}
"""Bytes of prefix and opcode: what is passed over where there is no instruction."""
_DECIMAL = re.compile(r"(?<![\w%])(\d+)(?=\(|,|$)")
_FROM_HERE = re.compile(r"(-?)(0x[0-9a-f]+)\(%rip\)")


def decode_foreign(
    fetch: Callable[[int], int], address: int, bits: int, label: Callable[[int], str]
) -> tuple[str | None, int]:
    """Text in mdb's shape, and length; None and the bytes passed over where it is no instruction.

    Raises what ``fetch`` raises.
    """
    import capstone

    mode = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[bits]
    decoder = capstone.Cs(capstone.CS_ARCH_X86, mode)
    decoder.syntax = capstone.CS_OPT_SYNTAX_ATT
    data, failure = bytearray(), None
    for at in range(LONGEST):
        try:
            data.append(fetch(at))
        except ReadError as error:
            failure = error
            break
    for _, size, name, operands in decoder.disasm_lite(bytes(data), address, 1):
        return _tidy(name, operands, address + size, label), size
    if failure is not None:
        raise failure
    return None, _PREFIX_BYTES.get(data[0], 5)


def _tidy(name: str, operands: str, after: int, label: Callable[[int], str]) -> str:
    text = _DECIMAL.sub(lambda found: f"{int(found[1]):#x}", operands.replace(", ", ",").replace(" {", "{"))
    target = _FROM_HERE.search(text)
    if target is None:
        return f"{name:<6} {text}"
    distance = int(target[1] + target[2], 16)
    text = text.replace(target[0], f"{distance:+#x}(%rip)")
    return f"{name:<6} {text}\t<{label(after + distance & (1 << 64) - 1)}>"

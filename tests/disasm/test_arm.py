"""AArch64 machine code to text."""

from __future__ import annotations

import pytest

from kdbg.disasm.arm import decode_arm


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (0xA9BE7BFD, "stp    x29,x30,[sp,#-0x20]!"),
        (0xD65F03C0, "ret    "),
        (0x94000002, "bl     #0x1008\t<@1008>"),
        (0x54000040, "b.eq   #0x1008\t<@1008>"),
        (0xFFFFFFFF, None),
    ],
)
def test_an_instruction(code, shown):
    data = code.to_bytes(4, "little")
    assert decode_arm(lambda at: data[at], 0x1000, lambda address: f"@{address:x}") == (shown, 4)

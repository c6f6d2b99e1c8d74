"""The registers of the thread that the dump is about."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.registers import Registers, registers_text
from kdbg.dcmds.registry import NONE, Call, dcmd


@dcmd(
    "regs,$r,$?",
    "show the registers of the thread that the dump is about",
    address=NONE,
    needs=("kernel",),
    module="kernel",
    text=registers_text,
    example="::regs",
    help="Of the thread that panicked where one did, else of the first CPU in the dump.",
    hint=False,
)
def regs(call: Call) -> Iterator[Registers]:
    """Of the panic where there was one, else of the first vCPU."""
    yield Registers(call.target.registers())

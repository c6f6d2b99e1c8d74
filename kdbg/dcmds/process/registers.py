"""Registers of a process's threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdbg.dcmds.registers import Registers, flag_lines
from kdbg.dcmds.registry import OPTIONAL, Call, View, dcmd
from kdbg.errors import CommandError, Error

MODULE = "process"


def registers_text(record: Registers, view: View) -> str:
    """In mdb's form for processes of x86; else three in a line."""
    found = record.registers
    if "rip" in found:
        return "\n".join(_text64(found, view))
    if "eip" in found:
        return "\n".join(_text32(found, view))
    cells = [f"%{name:<6} = 0x{value:0{view.pointer_width}x}" for name, value in found.items()]
    return "\n".join(" ".join(cells[at : at + 3]) for at in range(0, len(cells), 3))


def _named(address: int, view: View) -> str:
    return view.session.symbol_text(address) or ""


_ROWS = (("rax", "r8"), ("rbx", "r9"), ("rcx", "r10"), ("rdx", "r11"), ("rsi", "r12"), ("rdi", "r13"), ("", "r14"),
         ("", "r15"))  # fmt: skip


def _text64(found: Mapping[str, int], view: View) -> Iterator[str]:
    def get(name: str) -> int:
        return found.get(name, 0)

    for left, right in _ROWS:
        first = f"%{left:<3} = 0x{get(left):016x}" if left else " " * 25
        yield f"{first}\t%{right:<3} = 0x{get(right):016x}"
    yield ""
    for row in (("cs", "fs", "gs"), ("ds", "es", "ss")):
        yield "\t".join(f"%{name} = 0x{get(name) & 0xFFFF:04x}" for name in row)
    yield ""
    yield f"%rip = 0x{get('rip'):016x} {_named(get('rip'), view)}"
    yield f"%rbp = 0x{get('rbp'):016x}"
    yield f"%rsp = 0x{get('rsp'):016x}"
    yield ""
    yield f"%rflags = 0x{get('rflags') & 0xFFFFFFFF:08x}"
    yield from flag_lines(get("rflags"))
    yield ""
    yield f"%gsbase = 0x{get('gsbase'):016x}"
    yield f"%fsbase = 0x{get('fsbase'):016x}"
    yield f"%trapno = 0x{get('trapno'):x}"
    yield f"   %err = 0x{get('err'):x}"


_ROWS32 = (("cs", "eax"), ("ds", "ebx"), ("ss", "ecx"), ("es", "edx"), ("fs", "esi"), ("gs", "edi"))


def _text32(found: Mapping[str, int], view: View) -> Iterator[str]:
    def get(name: str) -> int:
        return found.get(name, 0)

    for left, right in _ROWS32:
        yield f"%{left} = 0x{get(left) & 0xFFFF:04x}\t\t%{right} = 0x{get(right):08x} {_named(get(right), view)}"
    yield ""
    yield f" %eip = 0x{get('eip'):08x} {_named(get('eip'), view)}"
    yield f" %ebp = 0x{get('ebp'):08x}"
    yield f"%kesp = 0x{get('kesp'):08x}"
    yield ""
    yield f"%eflags = 0x{get('eflags'):08x}"
    yield from flag_lines(get("eflags"))
    yield ""
    yield f"   %esp = 0x{get('esp'):08x}"
    yield f"%trapno = 0x{get('trapno'):x}"
    yield f"   %err = 0x{get('err'):x}"


@dcmd("regs,$r", "show the registers of a thread", address=OPTIONAL, needs=("process",), module=MODULE,
      text=registers_text, help="Without an address (a thread's id), of the thread that the core is about.",
      example="::regs")  # fmt: skip
def registers(call: Call) -> Iterator[Registers]:
    """The registers of a thread."""
    target: Any = call.target
    try:
        yield Registers(target.lwp(call.address if call.explicit else None).registers)
    except Error as error:
        raise CommandError(f"failed to get current register set: {error}") from None

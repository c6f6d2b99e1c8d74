"""Registers as records, and as mdb shows those of x86 machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kdbg.dcmds.registry import View

FLAGS = {"of": 11, "df": 10, "if": 9, "tf": 8, "sf": 7, "zf": 6, "af": 4, "pf": 2, "cf": 0}
"""Bits of the flags register (Intel SDM volume 1, 3.4.3), in the order in which they are shown."""
FLAG_FIELDS = {"id": 21, "vip": 20, "vif": 19, "ac": 18, "vm": 17, "rf": 16, "nt": 14}

_ROWS64 = (("rax", "r9"), ("rbx", "r10"), ("rcx", "r11"), ("rdx", "r12"), ("rsi", "r13"), ("rdi", "r14"), ("r8", "r15"))
_ROWS32 = (("cs", "eax"), ("ds", "ebx"), ("ss", "ecx"), ("es", "edx"), ("fs", "esi"), ("gs", "edi"))


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers by name."""

    registers: Mapping[str, int]
    cpu: int | None = None


def registers_text(record: Registers, view: View) -> str:
    """The registers in mdb's form for the width of the kernel."""
    return "\n".join(_text64(record.registers, view) if "rip" in record.registers else _text32(record.registers, view))


def _symbol(address: int, view: View) -> str:
    return view.session.symbol_text(address) or ""


def _text64(found: Mapping[str, int], view: View) -> Iterator[str]:
    def get(name: str) -> int:
        return found.get(name, 0)

    for left, right in _ROWS64:
        one = f"%{left:<3} = 0x{get(left):016x} {_symbol(get(left), view):>15}"
        yield f"{one} %{right:<3} = 0x{get(right):016x} {_symbol(get(right), view)}"
    yield ""
    yield f"%rip = 0x{get('rip'):016x} {_symbol(get('rip'), view)}"
    yield f"%rbp = 0x{get('rbp'):016x}"
    yield f"%rsp = 0x{get('rsp'):016x}"
    yield f"%rflags = 0x{get('rflags') & 0xFFFFFFFF:08x}"
    yield from flag_lines(get("rflags"))
    yield ""
    yield f"%cs = 0x{get('cs'):04x}\t%ds = 0x{get('ds'):04x}\t%es = 0x{get('es'):04x}\t%fs = 0x{get('fs') & 0xFFFF:04x}"
    yield f"%gs = 0x{get('gs') & 0xFFFF:04x}\t%gsbase = 0x{get('gsbase'):x}\t%kgsbase = 0x{get('kgsbase'):x}"
    yield f"%trapno = 0x{get('trapno'):x}\t%err = 0x{get('err'):x}\t%cr2 = 0x{get('cr2'):x}\t%cr3 = 0x{get('cr3'):x}"


def _text32(found: Mapping[str, int], view: View) -> Iterator[str]:
    def get(name: str) -> int:
        return found.get(name, 0)

    for left, right in _ROWS32:
        yield f"%{left} = 0x{get(left):04x}\t\t%{right} = 0x{get(right):08x} {_symbol(get(right), view)}"
    yield ""
    yield f"%eip = 0x{get('eip'):08x} {_symbol(get('eip'), view)}"
    yield f"%ebp = 0x{get('ebp'):08x}"
    yield f"%esp = 0x{get('esp'):08x}"
    yield ""
    yield f"%eflags = 0x{get('eflags'):08x}"
    yield from flag_lines(get("eflags"))
    yield ""
    yield f"  %uesp = 0x{get('uesp'):08x}"
    yield f"%trapno = 0x{get('trapno'):x}"
    yield f"   %err = 0x{get('err'):x}"


def flag_lines(flags: int) -> Iterator[str]:
    """The flags register in two lines."""
    fields = " ".join(f"{name}={flags >> bit & 1}" for name, bit in FLAG_FIELDS.items())
    yield f"  {fields} iopl=0x{flags >> 12 & 3:x}"
    yield f"  status=<{','.join(name.upper() if flags >> bit & 1 else name for name, bit in FLAGS.items())}>"

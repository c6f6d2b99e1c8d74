"""Registers of the thread that the dump is about.

Facts: <sys/panic.h> (panic_data_t, panic_nv_t), <sys/privregs.h> (struct regs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.kernels.contexts import general_registers
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

PANICBUF_VERSIONS = (1, 2)
PANICBUF_SIZE = 8192


@dataclass(frozen=True, slots=True)
class Panic:
    """What the kernel wrote down when it panicked (panicbuf)."""

    message: str
    registers: tuple[tuple[str, int], ...]
    """In the order in which they were written."""


def panic(kernel: Solaris) -> Panic | None:
    """The panic buffer, if there was a panic: a version, pairs of names and values, and the message at its offset."""
    try:
        address = kernel.symbol("panicbuf").address
        layout = Layout(kernel.type("panic_data_t"), {"version": "pd_version", "message": "pd_msgoff"})
        pair = Layout(kernel.type("panic_nv_t"), {"name": "pnv_name", "value": "pnv_value"})
        start = kernel.type("panic_data_t").member("pd_nvdata").offset
        data = kernel.memory.read(address, PANICBUF_SIZE)
    except Error:
        return None
    told = layout.unpack(data)
    if told["version"] not in PANICBUF_VERSIONS or not start <= told["message"] < len(data):
        return None
    found = [pair.unpack(data[at : at + pair.size]) for at in range(start, told["message"] - pair.size + 1, pair.size)]
    registers = tuple((str(one["name"]), int(one["value"])) for one in found)
    message = data[told["message"] :].partition(b"\0")[0].decode("latin-1")
    return Panic(message, registers)


_COMMON = ("ds", "es", "fs", "gs", "cs", "ss", "trapno", "err", "savfp", "savpc")
_GENERAL = {
    64: ("rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "rbx", "rbp", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
         "rsp"),
    32: ("edi", "esi", "ebp", "esp", "ebx", "edx", "ecx", "eax", "eip", "uesp"),
}  # fmt: skip
"""Registers in struct regs; the member of each is its name behind ``r_``."""


def representative_registers(kernel: Solaris) -> dict[str, int]:
    """The registers of the thread that the dump is about: of the panic, of the trap that led to it, or of vCPU 0."""
    told = panic(kernel)
    if told is not None:
        return {name: value for name, value in told.registers if name}
    trap = _trap_registers(kernel)
    if trap is not None:
        return trap
    contexts = kernel.target.image.contexts
    return general_registers(contexts[0]) if contexts else {}


def _trap_registers(kernel: Solaris) -> dict[str, int] | None:
    """The registers to which ``panic_reg`` points, where it does."""
    members = {name: f"r_{name}" for name in (*_GENERAL[kernel.bits], *_COMMON)}
    members |= {"rflags": "r_rfl"} if kernel.bits == 64 else {"eflags": "r_efl"}
    try:
        address = kernel.word_at("panic_reg")
        if not address:
            return None
        found = Layout(kernel.type("struct regs"), members).read(kernel.memory.read, address)
    except Error:
        return None
    mask = (1 << kernel.bits) - 1
    return {name: value & mask for name, value in found.items()}

"""The ELF notes of Linux dumps: CPUs' registers, QEMU's CPU states, VMCOREINFO.

Facts: <linux/elfcore.h> and the kernels' asm/ptrace.h, asm/user_64.h, asm/user_32.h (elf_prstatus, user_regs_struct);
QEMU's target/i386/arch_dump.c (QEMUCPUState, version 1); Documentation/admin-guide/kdump/vmcoreinfo.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

EM_386, EM_X86_64, EM_AARCH64 = 3, 62, 183
_X86_64 = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs rflags rsp ss "
    "fs_base gs_base ds es fs gs"
)
_I386 = "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss"
_ARM64 = " ".join(f"x{number}" for number in range(31)) + " sp pc pstate"
STATUS = {EM_X86_64: (336, 32, 112, 8, _X86_64), EM_386: (144, 24, 72, 4, _I386), EM_AARCH64: (392, 32, 112, 8, _ARM64)}
"""Machine -> (size of elf_prstatus, offset of pr_pid, of pr_reg, bytes of a register, their names)."""


def note(owner: str, kind: int, data: bytes) -> bytes:
    """A note: sizes, type, name with its 0, descriptor; both padded to 4."""
    name = owner.encode() + b"\0"
    return struct.pack("<3I", len(name), len(data), kind) + b"".join(p + bytes(-len(p) % 4) for p in (name, data))


def status(machine: int, registers: Mapping[str, int], pid: int = 0) -> bytes:
    """NT_PRSTATUS of one CPU."""
    size, pid_at, at, width, names = STATUS[machine]
    data = bytearray(size)
    struct.pack_into("<i", data, pid_at, pid)
    for number, name in enumerate(names.split()):
        data[at + number * width : at + (number + 1) * width] = registers.get(name, 0).to_bytes(width, "little")
    return note("CORE", 1, bytes(data))


def qemu_state(registers: Mapping[str, int]) -> bytes:
    """QEMU's note of one CPU: general registers, ten segments, control registers, the kernel's GS base."""
    data = struct.pack("<II", 1, 440)
    general = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags"
    data += struct.pack("<18Q", *(registers.get(name, 0) for name in general.split()))
    for name in "cs ds es fs gs ss ldt tr gdt idt".split():
        data += struct.pack("<4IQ", registers.get(name, 0), 0xFFFF, 0, 0, registers.get(f"{name}_base", 0))
    data += struct.pack("<5Q", *(registers.get(f"cr{number}", 0) for number in range(5)))
    return note("QEMU", 0, data + struct.pack("<Q", registers.get("kernel_gs_base", 0)))


def vmcoreinfo(values: Mapping[str, str]) -> bytes:
    """The text of VMCOREINFO."""
    return "".join(f"{key}={value}\n" for key, value in values.items()).encode()


def notes(machine: int, cpus: list[dict[str, int]], values: Mapping[str, str] | None = None,
          qemu: bool = False) -> bytes:  # fmt: skip
    """All notes of a dump, in QEMU's order."""
    found = b"".join(status(machine, registers, number + 1) for number, registers in enumerate(cpus))
    if qemu:
        found += b"".join(qemu_state(registers) for registers in cpus)
    return found + (note("VMCOREINFO", 0, vmcoreinfo(values)) if values else b"")

"""The frame that a signal pushes: how it is recognised, and the registers that were interrupted.

The kernel makes the handler return to a few instructions that call sigreturn; the stack pointer there tells where the
context lies. Sources: Linux' arch/x86/include/uapi/asm/sigcontext.h, asm/ucontext.h, arch/arm64's; glibc's and
libgcc's ways to recognise the instructions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from kdbg.errors import ReadError
from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64

Read = Callable[[int, int], bytes]

RETURN_64 = b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"
"""mov $15,%rax; syscall (__NR_rt_sigreturn)."""
RETURN_32_INFO = b"\xb8\xad\x00\x00\x00\xcd\x80"
"""mov $173,%eax; int $0x80 (__NR_rt_sigreturn)."""
RETURN_32 = b"\x58\xb8\x77\x00\x00\x00\xcd\x80"
"""pop %eax; mov $119,%eax; int $0x80 (__NR_sigreturn)."""
RETURN_ARM = b"\x68\x11\x80\xd2\x01\x00\x00\xd4"
"""mov x8,#139; svc #0 (__NR_rt_sigreturn)."""

CONTEXT_64 = "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip".split()
CONTEXT_32 = "gs fs es ds edi esi ebp esp ebx edx ecx eax trapno err eip".split()


def signal_frame(machine: int, read: Read, pc: int, sp: int, numbers: Sequence[str]) -> dict[int, int] | None:
    """The registers that a signal interrupted, by their place in ``numbers``; None where pc returns from no signal."""
    try:
        if machine == EM_X86_64 and read(pc, len(RETURN_64)) == RETURN_64:
            values = dict(zip(CONTEXT_64, struct.unpack("<17Q", read(sp + 40, 136)), strict=True))
        elif machine == EM_386 and read(pc, len(RETURN_32_INFO)) == RETURN_32_INFO:
            context = int.from_bytes(read(sp + 8, 4), "little")
            values = dict(zip(CONTEXT_32, struct.unpack("<15I", read(context + 20, 60)), strict=True))
        elif machine == EM_386 and read(pc, len(RETURN_32)) == RETURN_32:
            values = dict(zip(CONTEXT_32, struct.unpack("<15I", read(sp + 4, 60)), strict=True))
        elif machine == EM_AARCH64 and read(pc, len(RETURN_ARM)) == RETURN_ARM:
            # siginfo_t (128), ucontext: flags, link, stack (24), sigmask (128), and the context aligned to 16
            names = [*(f"x{number}" for number in range(31)), "sp", "pc"]
            values = dict(zip(names, struct.unpack("<33Q", read(sp + 128 + 176 + 8, 264)), strict=True))
        else:
            return None
    except ReadError:
        return None
    return {at: values[name] for at, name in enumerate(numbers) if name in values}

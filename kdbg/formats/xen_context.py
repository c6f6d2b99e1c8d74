"""``vcpu_guest_context``: the registers of a Xen domain's vCPU, in its two forms.

Source: Xen's public headers (arch-x86/xen.h, xen-x86_64.h, xen-x86_32.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

UserRegisters64 = Struct(
    *[name / Int64ul for name in "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi".split()],
    "error_code" / Int32ul,
    "entry_vector" / Int32ul,
    "rip" / Int64ul,
    "cs" / Int16ul,
    Padding(2),
    "saved_upcall_mask" / Int8ul,
    Padding(3),
    "rflags" / Int64ul,
    "rsp" / Int64ul,
    *[field for name in "ss es ds fs gs".split() for field in (name / Int16ul, Padding(6))],
)

Context64 = Struct(
    "fpu" / Bytes(512),
    "flags" / Int64ul,
    "user" / UserRegisters64,
    "traps" / Bytes(256 * 16),
    "ldt_base" / Int64ul,
    "ldt_entries" / Int64ul,
    "gdt_frames" / Array(16, Int64ul),
    "gdt_entries" / Int64ul,
    "kernel_ss" / Int64ul,
    "kernel_sp" / Int64ul,
    "control" / Array(8, Int64ul),
    "debug" / Array(8, Int64ul),
    "event_callback" / Int64ul,
    "failsafe_callback" / Int64ul,
    "syscall_callback" / Int64ul,
    "vm_assist" / Int64ul,
    "fs_base" / Int64ul,
    "gs_base_kernel" / Int64ul,
    "gs_base_user" / Int64ul,
)

UserRegisters32 = Struct(
    *[name / Int32ul for name in "ebx ecx edx esi edi ebp eax".split()],
    "error_code" / Int16ul,
    "entry_vector" / Int16ul,
    "eip" / Int32ul,
    "cs" / Int16ul,
    "saved_upcall_mask" / Int8ul,
    Padding(1),
    "eflags" / Int32ul,
    "esp" / Int32ul,
    *[field for name in "ss es ds fs gs".split() for field in (name / Int16ul, Padding(2))],
)

Context32 = Struct(
    "fpu" / Bytes(512),
    "flags" / Int32ul,
    "user" / UserRegisters32,
    "traps" / Bytes(256 * 8),
    "ldt_base" / Int32ul,
    "ldt_entries" / Int32ul,
    "gdt_frames" / Array(16, Int32ul),
    "gdt_entries" / Int32ul,
    "kernel_ss" / Int32ul,
    "kernel_sp" / Int32ul,
    "control" / Array(8, Int32ul),
    "debug" / Array(8, Int32ul),
    "event_callback_cs" / Int32ul,
    "event_callback" / Int32ul,
    "failsafe_callback_cs" / Int32ul,
    "failsafe_callback" / Int32ul,
    "vm_assist" / Int32ul,
)

SIZE64, SIZE32 = 5168, 2800
CONTEXTS = {64: Context64, 32: Context32}
CR3_AT = {64: (0x1378 + 3 * 8, 8), 32: (0xA9C + 3 * 4, 4)}
"""Where control register 3 lies in a context, and its width."""

IN_KERNEL = 1 << 2
"""VGCF_in_kernel: bit of ``flags`` that tells a PV vCPU in kernel mode."""


def frame_of_cr3(cr3: int, bits: int) -> int:
    """Machine frame of the top page table of a PV vCPU: a 32-bit guest's cr3 holds it rotated (xen_cr3_to_pfn)."""
    return cr3 >> 12 if bits == 64 else (cr3 >> 12 | cr3 << 20) & 0xFFFFFFFF


def registers(context: Any, paravirtual: bool) -> Mapping[str, int]:
    """Registers of a parsed context by name.

    Control registers as they are in it: of a PV vCPU cr3 is the kernel's page table, ``user_cr3`` that of user mode
    (slot 1).
    """
    found = {name: value for name, value in context.user.items() if not name.startswith("_")}
    control = context.control
    found.update(cr0=control[0], cr2=control[2], cr3=control[3], cr4=control[4])
    if paravirtual:
        found["user_cr3"] = control[1]
        found["kernel_sp"] = context.kernel_sp
    found.update((f"dr{at}", context.debug[at]) for at in (0, 1, 2, 3, 6, 7))
    if "fs_base" in context:
        found.update(fs_base=context.fs_base, gs_base=context.gs_base_kernel, gs_base_user=context.gs_base_user)
    found["flags"] = context.flags
    return found

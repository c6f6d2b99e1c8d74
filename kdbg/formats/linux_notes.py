"""What the notes of a Linux dump tell: the CPUs' registers and VMCOREINFO.

The same notes lie in ELF dumps and behind the sub header of makedumpfile's. Sources: <linux/elfcore.h> and the kernels'
asm/ptrace.h (elf_prstatus, user_regs_struct), QEMU's target/i386/arch_dump.c (QEMUCPUState), the kernel's
Documentation/admin-guide/kdump/vmcoreinfo.rst; Xen's asm-x86/elf.h (crash_xen_core_t).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64, Note

NT_PRSTATUS, NT_PRPSINFO = 1, 3
NT_PSINFO, NT_AUXV, NT_FILE = 13, 6, 0x46494C45
XEN_CRASH_INFO, XEN_CRASH_REGS = 0x1000001, 0x1000002
"""Xen's public/elfnote.h: one note of the host, and one behind each CPU's NT_PRSTATUS."""

X86_64_REGISTERS = [
    *"r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs rflags rsp ss".split(),
    *"fs_base gs_base ds es fs gs".split(),
]
I386_REGISTERS = "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss".split()
ARM64_REGISTERS = [*(f"x{number}" for number in range(31)), "sp", "pc", "pstate"]

PRSTATUS = {
    EM_X86_64: (112, "<%dQ", X86_64_REGISTERS),
    EM_386: (72, "<%dI", I386_REGISTERS),
    EM_AARCH64: (112, "<%dQ", ARM64_REGISTERS),
}
"""Machine -> (offset of pr_reg in elf_prstatus, form, names)."""
PID_AT = {EM_X86_64: 32, EM_386: 24, EM_AARCH64: 32}

ERASE_INFO = "ERASEINFO"
"""Owner of the note that names what was erased (makedumpfile's elf_info.h)."""
MOST_ERASE_INFO = 16 << 20

QEMU_GENERAL = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags".split()
QEMU_SEGMENTS = "cs ds es fs gs ss ldt tr gdt idt".split()
QEMU_CONTROL = "cr0 cr1 cr2 cr3 cr4".split()
QEMU_SIZE = 440


@dataclass(slots=True)
class XenNotes:
    """What the hypervisor of a whole host wrote (`kdbg.formats.xen_host`)."""

    info: bytes = b""
    """Descriptor of XEN_ELFNOTE_CRASH_INFO."""
    vmcoreinfo: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class LinuxNotes:
    """What was found."""

    contexts: list[dict[str, int]] = field(default_factory=list)
    """Registers of each CPU, by name; those of QEMU's note too, where it is there."""
    vmcoreinfo: Mapping[str, str] = field(default_factory=dict)
    erase_info: bytes = b""
    notes: list[Note] = field(default_factory=list)
    """All of them, as they lie in the file."""
    qemu: bool = False
    process: bool = False
    """Whether there are notes that only a process's core has."""
    xen: XenNotes = field(default_factory=lambda: XenNotes())


def read_notes(notes: Iterable[Note], machine: int) -> LinuxNotes:
    """Sort the notes of a dump."""
    found, states = LinuxNotes(), []
    for note in notes:
        found.notes.append(note)
        if note.owner == "VMCOREINFO":
            found.vmcoreinfo = parse_vmcoreinfo(bytes(note.data))
        elif note.owner == "VMCOREINFO_XEN":
            found.xen.vmcoreinfo = parse_vmcoreinfo(bytes(note.data))
        elif note.owner == "Xen" and note.type == XEN_CRASH_INFO:
            found.xen.info = bytes(note.data)
        elif note.owner == "Xen" and note.type == XEN_CRASH_REGS and found.contexts:
            found.contexts[-1].update(xen_control(bytes(note.data), machine))
        elif note.owner == ERASE_INFO:
            found.erase_info = bytes(note.data[:MOST_ERASE_INFO])
        elif note.owner == "QEMU" and len(note.data) >= QEMU_SIZE:
            found.qemu = True
            states.append(qemu_state(bytes(note.data)))
        elif note.type == NT_PRSTATUS and machine in PRSTATUS:
            found.contexts.append(prstatus(bytes(note.data), machine))
        elif note.owner == "CORE" and note.type in (NT_PRPSINFO, NT_PSINFO, NT_FILE, NT_AUXV):
            found.process = True
    for at, state in enumerate(states):
        if at < len(found.contexts):
            wide = machine == EM_X86_64
            known = found.contexts[at]
            known.update({name: value for name, value in state.items() if wide or name not in QEMU_GENERAL})
        else:
            found.contexts.append(state)
    return found


def prstatus(data: bytes, machine: int) -> dict[str, int]:
    """Registers in an elf_prstatus; those that its size does not reach are left out."""
    at, form, names = PRSTATUS[machine]
    width = 4 if machine == EM_386 else 8
    count = min(len(names), max(0, len(data) - at) // width)
    registers = dict(zip(names, struct.unpack_from(form % count, data, at) if count else (), strict=False))
    if machine == EM_AARCH64 and "x30" in registers:
        registers["lr"] = registers["x30"]
    if len(data) >= PID_AT[machine] + 4:
        registers["pid"] = struct.unpack_from("<i", data, PID_AT[machine])[0]
    return registers


def qemu_state(data: bytes) -> dict[str, int]:
    """Registers in QEMU's own note: control registers, segment bases and the table addresses besides."""
    registers = dict(zip(QEMU_GENERAL, struct.unpack_from("<18Q", data, 8), strict=True))
    for at, name in enumerate(QEMU_SEGMENTS):
        selector, limit, flags, _, base = struct.unpack_from("<4IQ", data, 152 + 24 * at)
        registers |= {name: selector, f"{name}_base": base, f"{name}_limit": limit, f"{name}_flags": flags}
    registers |= dict(zip(QEMU_CONTROL, struct.unpack_from("<5Q", data, 392), strict=True))
    registers["kernel_gs_base"] = struct.unpack_from("<Q", data, 432)[0]
    del registers["cr1"]
    return registers


XEN_CONTROL = ("cr0", "cr2", "cr3", "cr4")


def xen_control(data: bytes, machine: int) -> dict[str, int]:
    """Control registers in a Xen host's note of one CPU (crash_xen_core_t of x86)."""
    width = 4 if machine == EM_386 else 8
    values = memoryview(data[: len(data) // width * width]).cast("I" if width == 4 else "Q")
    return dict(zip(XEN_CONTROL, values.tolist(), strict=False)) if machine in (EM_386, EM_X86_64) else {}


_KEY = re.compile(r"[A-Za-z_][\w.()-]*")
MOST_VMCOREINFO = 1 << 20
"""Bytes of VMCOREINFO that are looked at; the kernel's own has a page or two."""


def parse_vmcoreinfo(data: bytes) -> dict[str, str]:
    """KEY=VALUE lines of VMCOREINFO, as text; whatever is not such a line is passed over."""
    found = {}
    for line in data[:MOST_VMCOREINFO].partition(b"\0")[0].decode("latin-1").splitlines():
        key, equals, value = line.partition("=")
        if equals and _KEY.fullmatch(key):
            found[key] = value
    return found

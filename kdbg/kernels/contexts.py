"""Registers of a vCPU context as a kernel names those that it saved itself.

Source of the names: struct regs of illumos' <sys/privregs.h>, which mdb shows.
"""

from __future__ import annotations

from collections.abc import Mapping


def general_registers(context: Mapping[str, int]) -> dict[str, int]:
    """The general registers of a vCPU context, named as the kernel names them in struct regs."""
    left_out = ("cr0", "cr2", "cr3", "cr4", "user_cr3", "kernel_sp", "flags", "saved_upcall_mask", "fs_base", "gs_base",
                "gs_base_user", "error_code", "entry_vector")  # fmt: skip
    found = {name: value for name, value in context.items() if name not in left_out and not name.startswith("dr")}
    found["trapno"], found["err"] = context.get("entry_vector", 0), context.get("error_code", 0)
    pc, fp = ("rip", "rbp") if "rip" in context else ("eip", "ebp")
    found["savpc"], found["savfp"] = context.get(pc, 0), context.get(fp, 0)
    return found


def context_registers(context: Mapping[str, int]) -> dict[str, int]:
    """All registers of a vCPU context, named as the kernel names them: control registers and bases too."""
    found = general_registers(context)
    found["cr2"], found["cr3"] = context.get("cr2", 0), context.get("cr3", 0)
    found["gsbase"], found["kgsbase"] = context.get("gs_base", 0), context.get("gs_base_user", 0)
    return found

"""Which page tables a vCPU uses: its paging mode and root, from its control registers.

Sources: Intel SDM volume 3, 4.1.1 (CR0.PG, CR4.PAE, CR4.PSE, CR4.LA57); Xen's arch-x86/xen-x86_32.h (extended cr3).
"""

from __future__ import annotations

from collections.abc import Mapping

from kdbg.formats.image import Image
from kdbg.formats.xen_context import frame_of_cr3
from kdbg.vm.modes import PAE, PRESENT, UNPAGED, X86_32, X86_32_PSE, X86_64, X86_64_LA57, PagingMode
from kdbg.vm.space import AddressSpace

CR0_PAGING = 1 << 31
CR4_PSE, CR4_PAE, CR4_LA57 = 1 << 4, 1 << 5, 1 << 12
ADDRESS_BITS = (1 << 52) - 1

PDPTE_RESERVED = 0x186
"""Bits that must be 0 in a present PAE PDPTE: 1-2 and 7-8 (SDM table 4-8: 5-6 too; emulators set 5, accessed)."""

_GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15", "fs_base", "gs_base", "gs_base_user")  # fmt: skip


def space_of(image: Image, registers: Mapping[str, int], cr3: int) -> AddressSpace:
    """The address space that a vCPU with these registers reaches by a cr3 value, as the register holds it."""
    if image.paravirtual:
        return _paravirtual_space(image, cr3)
    mode = paging_mode(image, registers, cr3)
    return AddressSpace(image, mode, cr3 & mode.root_mask & ADDRESS_BITS)


def paging_mode(image: Image, registers: Mapping[str, int], cr3: int) -> PagingMode:
    """The paging mode of a fully virtualised or native vCPU.

    EFER and the segment descriptors are not in a core: whether PAE tables have three or four levels is concluded from
    the registers' width and from the tables themselves.
    """
    if not registers.get("cr0", CR0_PAGING) & CR0_PAGING:
        return UNPAGED
    cr4 = registers.get("cr4", CR4_PAE)
    if not cr4 & CR4_PAE:
        return X86_32_PSE if cr4 & CR4_PSE else X86_32
    if any(registers.get(name, 0) >> 32 for name in _GENERAL) or not _looks_like_pae(image, cr3):
        return X86_64_LA57 if cr4 & CR4_LA57 else X86_64
    return PAE


def _looks_like_pae(image: Image, cr3: int) -> bool:
    """Whether the four entries at cr3 are such as PAE's top table may hold, and not those of a four-level table."""
    page = image.page((cr3 & ADDRESS_BITS) >> 12)
    if page is None:
        return False
    start = cr3 & 0xFE0
    entries = page[start : start + 32].cast("Q").tolist()
    present = [entry for entry in entries if entry & PRESENT]
    return bool(present) and not any(entry & PDPTE_RESERVED for entry in present)


def _paravirtual_space(image: Image, cr3: int) -> AddressSpace:
    """A 32-bit guest's cr3 holds the frame rotated, unless its kernel is too old for it and it is below 4 GB."""
    if image.bits == 64:
        return AddressSpace(image, X86_64, cr3 & ADDRESS_BITS & ~0xFFF)
    frame = frame_of_cr3(cr3, 32)
    if image.page(frame) is not None:
        return AddressSpace(image, PAE, frame << 12)
    return AddressSpace(image, PAE, cr3 & PAE.root_mask)


def guest_bits(image: Image) -> int:
    """Width of the guest: what the format tells, or, fully virtualised, what the first paged vCPU's tables tell."""
    if image.paravirtual:
        return image.bits
    for registers in image.contexts:
        if "cr3" in registers and registers.get("cr0", CR0_PAGING) & CR0_PAGING:
            return 32 if paging_mode(image, registers, registers["cr3"]).canonical_bits == 32 else 64
    return image.bits

"""Where a Linux kernel's own page tables lie by its own word: for dumps whose contexts have no control registers.

Sources: VMCOREINFO (kernel/vmcore_info.c, arch_crash_save_vmcoreinfo of each machine); asm/page_64_types.h.
"""

from __future__ import annotations

from collections.abc import Mapping

from kdbg.formats.image import Image
from kdbg.vm.modes import PAE, X86_32_PSE, X86_64, X86_64_LA57, arm64
from kdbg.vm.space import AddressSpace

START_KERNEL_MAP = 0xFFFFFFFF80000000
"""__START_KERNEL_map of x86-64 (asm/page_64_types.h): from here on the kernel image is mapped, phys_base behind 0."""
PAGE_OFFSET_32 = 0xC0000000
TOP_TABLES = ("SYMBOL(init_top_pgt)", "SYMBOL(init_level4_pgt)", "SYMBOL(swapper_pg_dir)")
"""What the kernel's top table is called: the last is a macro for the first (4.13 on) or the second on x86-64."""


def told_space(image: Image, vmcoreinfo: Mapping[str, str]) -> AddressSpace | None:
    """The kernel's address space by VMCOREINFO alone, for dumps whose contexts have no control registers; else None."""
    try:
        if image.architecture == "arm64":
            return _arm64_space(image, vmcoreinfo)
        top = int(next(vmcoreinfo[key] for key in TOP_TABLES if key in vmcoreinfo), 16)
        if image.bits == 64:
            mode = X86_64_LA57 if vmcoreinfo.get("NUMBER(pgtable_l5_enabled)") == "1" else X86_64
            root = top - START_KERNEL_MAP + int(vmcoreinfo.get("NUMBER(phys_base)", "0"))
            if image.paravirtual:  # of a domain 0; page tables hold machine frames
                frame = image.pfn_to_mfn(root >> 12)
                return None if frame is None else AddressSpace(image, mode, frame << 12)
            return AddressSpace(image, mode, root)
        mode = PAE if vmcoreinfo.get("CONFIG_X86_PAE") == "y" else X86_32_PSE
        return AddressSpace(image, mode, top - PAGE_OFFSET_32)
    except (KeyError, ValueError, StopIteration):
        return None


def _arm64_space(image: Image, vmcoreinfo: Mapping[str, str]) -> AddressSpace:
    granule = int(vmcoreinfo["PAGESIZE"]).bit_length() - 1
    bits = 64 - int(vmcoreinfo["NUMBER(TCR_EL1_T1SZ)"], 0) if "NUMBER(TCR_EL1_T1SZ)" in vmcoreinfo else 0
    bits = bits or int(vmcoreinfo["NUMBER(VA_BITS)"], 0)
    if granule not in (12, 14, 16) or not granule + 3 < bits <= 52:
        raise ValueError(f"granule of {granule} bits, addresses of {bits}")
    root = int(vmcoreinfo["SYMBOL(swapper_pg_dir)"], 16) - int(vmcoreinfo["NUMBER(kimage_voffset)"], 0)
    return AddressSpace(image, arm64(granule, bits), root)

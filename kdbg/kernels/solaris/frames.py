"""The kernel's own list of machine frames, for cores whose frame table is not in pfn order.

Source: ``mfn_list`` and ``mfn_count`` of i86xpv's unix (<sys/hypervisor.h>): the machine frame of each pfn, all ones
where it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.errors import Error

if TYPE_CHECKING:
    from kdbg.formats.xen import XenImage
    from kdbg.kernels.solaris.kernel import Solaris

SAMPLES = 64
"""Entries of the two lists that are held against each other before the table is believed to be in pfn order."""


def number_pages(kernel: Solaris, image: XenImage) -> None:
    """Number the core's pages by the kernel's list, unless the frame table agrees with it as it stands."""
    try:
        at, count = kernel.word_at("mfn_list"), kernel.word_at("mfn_count")
        if _agree(kernel, image, at, count):
            return
        word = kernel.bits // 8
        # a list longer than this cannot be that of the domain: it would have more holes than pages
        count = min(count, 16 * image.tables.page_count + (1 << 16))
        listed = memoryview(kernel.memory.read(at, count * word)).cast("Q" if word == 8 else "I")
    except Error as error:
        kernel.target.note(f"frame numbers: the kernel's list of machine frames cannot be read ({error})")
        return
    image.number_pages(listed)


def _agree(kernel: Solaris, image: XenImage, at: int, count: int) -> bool:
    """Whether the frame table, taken in pfn order, says the same as the kernel's list where both are asked."""
    word, pages = kernel.bits // 8, image.tables.page_count
    if not count:
        return True
    none = (1 << kernel.bits) - 1
    for pfn in range(0, min(count, pages), max(1, pages // SAMPLES)):
        listed = kernel.word(at + pfn * word)
        if (None if listed == none else listed) != image.pfn_to_mfn(pfn):
            return False
    return True

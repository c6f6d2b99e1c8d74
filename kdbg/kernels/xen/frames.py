"""The guest's own list of machine frames by pfn, for cores that hold none: old ones whose index is in no order.

Linux keeps it where ``xen_p2m_addr`` says (arch/x86/xen/p2m.c); every kernel is given one at its start, by the
start_info page (public/xen.h, struct start_info: ``mfn_list``, ``nr_pages``), and most go on to use it.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.formats.image import PAGE

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.formats.xen import XenImage
    from kdbg.vm.space import AddressSpace

MAGIC = b"xen-3.0-x86_"
"""Of the start_info page: "xen-3.0-x86_64", "xen-3.0-x86_32p"."""
START_INFO = {64: ("<Q", 32, 104), 32: ("<I", 32, 68)}
"""Width -> (form of a word, offset of nr_pages, offset of mfn_list)."""
IMAGE_SHARE = 0.9
"""The share of the core's frames that a list must name to be believed."""


def number_pages(target: Dump, image: XenImage) -> None:
    """Number the core's pages by the guest's list, unless its index agrees with that as it stands."""
    for what, address, count in _lists(target, image):
        try:
            listed = _read(target, image, address, count)
        except ReadError as error:
            target.note(f"frame numbers: {what} cannot be read: {error}")
            continue
        named = set(listed)
        frames = image.tables.mfns.words[:] if image.tables.mfns is not None else ()
        found = sum(frame in named for frame in frames)
        if found < IMAGE_SHARE * len(frames):
            target.note(f"frame numbers: {what} names {found} of the core's {len(frames)} frames: not believed")
            continue
        if list(frames[: len(listed)]) != listed[: len(frames)]:
            image.number_pages(memoryview(struct.pack(f"<{len(listed)}Q", *listed)).cast("Q"))
        return
    target.note("frame numbers: no list of the guest's was found; pages are numbered as they lie in the file")


def _lists(target: Dump, image: XenImage) -> Iterator[tuple[str, int, int]]:
    """(what it is, virtual address, number of entries) of the lists that there may be."""
    kernel: Any = target.kernel
    if kernel is not None and kernel.family == "linux":
        try:
            at = kernel.word(kernel.image_symbol("xen_p2m_addr").address)
            yield "Linux' xen_p2m_addr", at, kernel.word(kernel.image_symbol("xen_max_p2m_pfn").address)
        except Error:
            pass
    form, count_at, list_at = START_INFO[image.bits]
    for frame in image.tables.mfns.words if image.tables.mfns is not None else ():
        page = image.page(frame)
        if page is not None and page[: len(MAGIC)] == MAGIC:
            (address,), (count,) = struct.unpack_from(form, page, list_at), struct.unpack_from(form, page, count_at)
            yield f"the start_info page in machine frame {frame:x}", address, count


def read_up_to(space: AddressSpace, address: int, size: int) -> bytes:
    """Up to ``size`` bytes, a page at a time, to where nothing can be read."""
    pieces: list[bytes] = []
    end = address + size
    with contextlib.suppress(ReadError):
        while address < end:
            step = min(end - address, PAGE - address % PAGE)
            pieces.append(space.read(address, step))
            address += step
    return b"".join(pieces)


def _read(target: Dump, image: XenImage, address: int, count: int) -> list[int]:
    """The entries of a list, up to where it is no longer mapped. Raises `ReadError` where it is not at all."""
    word = image.bits // 8
    # A list longer than this cannot be the domain's: it would have more holes than pages.
    size = min(count, 16 * image.tables.page_count + (1 << 16)) * word
    first = target.space.read(address, min(PAGE, size))
    data = memoryview(first + read_up_to(target.space, address + len(first), size - len(first)))
    return data[: len(data) // word * word].cast("Q" if word == 8 else "I").tolist()

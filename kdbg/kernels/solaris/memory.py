"""Pages, memory segments and the segments of address spaces.

Sources: <vm/page.h>, <sys/memlist.h>, <vm/seg.h>, <vm/as.h>; struct memseg of <vm/page.h>.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.solaris.lists import Guard, StoppedError, avl_elements, prefixed
from kdbg.symbols.layouts import Layout
from kdbg.target import FileMapping

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_SEGMENTS = 1 << 16
MOST_PAGES = 1 << 28
"""Pages after which a chain is taken for a loop: 1 TB."""


@dataclass(frozen=True, slots=True)
class Memseg:
    """A struct memseg: the page structures of a range of memory."""

    address: int
    pages: int
    epages: int
    first: int
    """pfn."""
    end: int
    next: int


@dataclass(frozen=True, slots=True)
class Seg:
    """A struct seg: a range of an address space."""

    address: int
    base: int
    size: int


class Pages:
    """Layouts of this topic, and the memory segments, read once."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.read = kernel.memory.read
        members = {"pages": "pages", "epages": "epages", "first": "pages_base", "end": "pages_end", "next": "next"}
        self.memseg = Layout(kernel.type("struct memseg"), members)

    @property
    def page(self) -> Layout:
        """The links of a page structure."""
        return Layout(self.kernel.type("page_t"), {"hash": "p_hash", "next": "p_vpnext", "vnode": "p_vnode"})

    @property
    def page_size(self) -> int:
        """Bytes of a page_t."""
        return self.kernel.type("page_t").size


def memsegs(kernel: Solaris) -> Iterator[Memseg]:
    """The memory segments in the order of their list. Raises `StoppedError`."""
    part = kernel.part(Pages)
    try:
        at = kernel.word_at("memsegs")
    except Error as error:
        raise StoppedError("symbol 'memsegs' not found", False, 0, error.reason) from None
    guard = Guard("memseg", MOST_SEGMENTS)
    while at:
        try:
            found = Memseg(address=at, **part.memseg.read(part.read, at))
        except ReadError as error:
            raise StoppedError(f"failed to read struct memseg at {at:x}", True, at, error.reason) from None
        guard(at)
        yield found
        at = found.next


def all_pages(kernel: Solaris) -> Iterator[int]:
    """The page structures of all memory segments. Raises `StoppedError`."""
    size = kernel.part(Pages).page_size
    read = kernel.memory.read
    block = 128
    for segment in memsegs(kernel):
        left, at = min(segment.end - segment.first, MOST_PAGES), segment.pages
        while left > 0:
            count = min(left, block)
            try:
                read(at, count * size)
            except ReadError as error:
                raise StoppedError(f"can't read page_t's at {prefixed(at)}", True, at, error.reason) from None
            yield from range(at, at + count * size, size)
            left -= count
            at += count * size


def pages(kernel: Solaris) -> Iterator[int]:
    """The page structures that have a name (vnode and offset), by the hash table. Raises `StoppedError`."""
    try:
        table, size = kernel.word_at("page_hash"), int(kernel.variable("page_hashsz"))
    except Error as error:
        raise StoppedError("page_hash, page_hashsz not found or invalid", False, 0, error.reason) from None
    if not table or size <= 0:
        raise StoppedError("page_hash, page_hashsz not found or invalid", False, 0, "no mapping for address")
    layout, read, word = kernel.part(Pages).page, kernel.memory.read, kernel.bits // 8
    told = 0
    for number in range(size):
        try:
            at = kernel.word(table + number * word)
        except ReadError as error:
            text = f"unable to read from {prefixed(table + number * word)}"
            raise StoppedError(text, True, table, error.reason) from None
        # The last bucket ends the walk with its first page: that is how the walk counts its buckets.
        last = number == size - 1
        guard = Guard("page_t")
        while at:
            following = _page(read, layout, at)["hash"]
            told += 1
            if told > MOST_PAGES:
                raise StoppedError("more pages than there can be", True, at)
            yield guard(at)
            at = 0 if last else following


def vnode_pages(kernel: Solaris, vnode: int) -> Iterator[int]:
    """The page structures of a vnode, round its ring. Raises `StoppedError`."""
    try:
        at = first = int(kernel.load("vnode_t", vnode).v_pages)
    except ReadError as error:
        raise StoppedError(f"unable to read vnode_t at {prefixed(vnode)}", False, vnode, error.reason) from None
    layout, read, guard = kernel.part(Pages).page, kernel.memory.read, Guard("page_t")
    while at:
        following = _page(read, layout, at)["next"]
        yield guard(at)
        if following == first:
            return
        at = following


def _page(read, layout: Layout, at: int) -> dict[str, int]:  # type: ignore[no-untyped-def]
    try:
        return layout.read(read, at)
    except ReadError as error:
        raise StoppedError(f"unable to read page_t at {prefixed(at)}", True, at, error.reason) from None


def segments(kernel: Solaris, space: int) -> Iterator[int]:
    """Addresses of the segments of the address space whose struct as lies at an address. Raises `StoppedError`."""
    at = kernel.type("struct as").member("a_segtree").offset
    return avl_elements(kernel, space + at & (1 << kernel.bits) - 1)


def seg(kernel: Solaris, address: int) -> Seg:
    """The segment at an address. Raises `ReadError`."""
    layout = kernel.part(_seg_layout)
    return Seg(address=address, **layout.read(kernel.memory.read, address))


def _seg_layout(kernel: Solaris) -> Layout:
    return Layout(kernel.type("struct seg"), {"base": "s_base", "size": "s_size"})


def kernel_mappings(kernel: Solaris) -> list[FileMapping]:
    """The segments of the kernel's own address space, named by the variables that they are. Raises `StoppedError`."""
    found = []
    for address in segments(kernel, kernel.symbol("kas").address):
        one = seg(kernel, address)
        found.append(FileMapping(one.base, one.size, _name_of(kernel, address)))
    return found


def _name_of(kernel: Solaris, address: int) -> str:
    try:
        symbol, offset = kernel.target.nearest(address)
    except SymbolNotFound:
        return f"{address:x}"
    return symbol.name if offset == 0 else f"{symbol.name}+{offset:#x}"

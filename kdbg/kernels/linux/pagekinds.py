"""What the pages of a Linux kernel are used for, by their struct pages: all at once, or one.

Sources: include/linux/page-flags.h (enum pageflags, page types, PAGE_MAPPING_ANON), include/linux/mm_types.h,
mm/page_alloc.c (a free block of 2**order pages is marked at its first one, which keeps the order in ``private``);
kernel/vmcore_info.c (PAGE_BUDDY_MAPCOUNT_VALUE ...).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, TypeNotFound
from kdbg.kernels.linux.pages import Chunk, PageMap, told_offset
from kdbg.kernels.linux.slab_forms import SlabMark, page_flags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.kernels.linux.kernel import Linux

KINDS = ("unread", "kernel", "reserved", "slab", "page table", "hugetlb", "anon", "shmem", "page cache", "offline",
         "free", "free on CPU lists", "no memory")  # fmt: skip
"""Names of the kinds by their numbers."""
(UNREAD, KERNEL, RESERVED, SLAB, TABLE, HUGETLB, ANON, SHMEM, CACHE, OFFLINE, FREE, FREE_CPU, NO_MEMORY) = range(
    len(KINDS)
)
MAPPING_ANON, MAPPING_FLAGS = 1, 3
NO_TYPE = 0xFFFFFFFF
MOST_ORDER = 20
MOST_NODES = 1 << 10
TRIED_PROCESSES = 50


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many pages are used for one thing."""

    kind: str
    pages: int


@dataclass(frozen=True, slots=True)
class PageRecord:
    """A page of memory as the kernel's books have it."""

    address: int
    """Of its struct page."""
    pfn: int
    virtual: int
    """In the direct map."""
    kind: str
    flags: tuple[str, ...]
    references: int
    mapped: int
    """How many page tables map it; of a typed page (slab, page table ...) 0."""
    head: int
    """Of the compound page that it is a part of: address of the first struct page; else its own."""
    mapping: int
    """Address of the address_space or anon_vma, 0 for none."""
    index: int
    """Its place in the file, in pages."""


class PageKinds:
    """Tells what pages are used for. Raises `Error` where struct page is not understood."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.pages = kernel.part(PageMap)
        self.mark = kernel.part(SlabMark)
        self.flags = [(name, 1 << bit) for name, bit in _flags(kernel)]
        self._bits = dict(self.flags)
        of = self.pages.offset
        self._flags_at, self._head_at, self._mapping_at = of("flags"), self.pages.head_offset, of("mapping")
        self._count_at, self._references_at, self._private_at = of("_mapcount"), of("_refcount"), of("private")
        try:
            self._index_at: int | None = of("index")
        except TypeNotFound:
            self._index_at = None
        told = kernel.vmcoreinfo
        self._told = told.of_kind("NUMBER", 10) if told is not None else {}
        self._types = self._page_types()
        self._nodes = list(_nodes(kernel))

    def _page_types(self) -> dict[int, int]:
        """Value of ``page_type`` (which lies where ``_mapcount`` does) -> kind."""
        found = {}
        for name, kind in (("BUDDY", FREE), ("OFFLINE", OFFLINE), ("HUGETLB", HUGETLB), ("SLAB", SLAB)):
            value = self._told.get(f"PAGE_{name}_MAPCOUNT_VALUE")
            if value is not None:
                found[value & NO_TYPE] = kind
        try:
            types = dict(self.kernel.type("enum pagetype").enumerators)
        except TypeNotFound:
            value = self._type_of_tables()
            return found | ({value: TABLE} if value is not None and value not in found else {})
        named = {"PGTY_buddy": FREE, "PGTY_offline": OFFLINE, "PGTY_table": TABLE, "PGTY_hugetlb": HUGETLB}
        return found | {types[name] << 24 & NO_TYPE: kind for name, kind in named.items() if name in types}

    def _type_of_tables(self) -> int | None:
        """The type of page tables in kernels that do not name it (a macro): that of a process's lowest table."""
        from kdbg.kernels.linux.areas import space_of_mm
        from kdbg.kernels.linux.tasks import Tasks

        part, image = self.kernel.part(Tasks), self.kernel.target.image
        for count, task in enumerate(part.leaders()):
            try:
                mm = part.load(task)["mm"]
                if mm:
                    walk = space_of_mm(self.kernel, mm).walk(self.kernel.at("struct mm_struct", mm).start_code)
                    step = walk.steps[-1]
                    pfn = image.mfn_to_pfn(step.frame) if image.paravirtual else step.frame
                    page = self.pages.page_of(pfn) if step.level == 0 and pfn is not None else None
                    if page is not None:
                        value = int.from_bytes(self.kernel.memory.read(page + self._count_at, 4), "little")
                        return value if value & 0xF0000000 == 0xF0000000 and value != NO_TYPE else None
            except (Error, IndexError):
                pass
            if count > TRIED_PROCESSES:
                break
        return None

    # many

    def counts(self) -> list[KindCount]:
        """Pages by kind, in the order of `KINDS`; what is no memory is left out."""
        import numpy as np

        total = np.zeros(len(KINDS), np.int64)
        for chunk in self.pages.chunks():
            total += np.bincount(self.kinds(chunk), minlength=len(KINDS))
        return [KindCount(name, int(count)) for name, count in zip(KINDS, total, strict=True) if name != "no memory"]

    def kinds(self, chunk: Chunk) -> NDArray[np.uint8]:
        """The kind of each frame of a chunk."""
        import numpy as np

        words = chunk.words
        flags, heads = self._column(words, self._flags_at), self._column(words, self._head_at)
        mapping = self._column(words, self._mapping_at)
        types, references = self._half(words, self._count_at), self._half(words, self._references_at)
        found = np.full(len(words), KERNEL, np.uint8)
        found[(references == 0)] = FREE_CPU
        mapped, low = mapping > 4096, mapping & MAPPING_FLAGS
        lru = flags & self._bits.get("PG_lru", 0) != 0
        backed = flags & self._bits.get("PG_swapbacked", 0) != 0
        found[mapped & (low == 0) & ~backed & (references != 0)] = CACHE
        found[mapped & (low == 0) & backed & (references != 0)] = SHMEM
        found[mapped & (low & MAPPING_ANON != 0) & (lru | backed)] = ANON
        found[flags & self._bits.get("PG_reserved", 0) != 0] = RESERVED
        for value, kind in self._types.items():
            found[types == value] = kind
        marks = self._half(words, self.mark.offset)
        found[marks & self.mark.mask == self.mark.value] = SLAB
        self._spread(chunk, found, heads)
        self._spread_free(found, self._column(words, self._private_at))
        found[~chunk.there] = UNREAD
        found[~self._is_memory(chunk)] = NO_MEMORY
        return found

    def _spread(self, chunk: Chunk, found: NDArray[np.uint8], heads: Any) -> None:
        """Give the pages of compound ones the kind of their first."""
        import numpy as np

        tails = np.flatnonzero(heads & 1)
        if not len(tails):
            return
        own = np.uint64(chunk.address) + tails.astype(np.uint64) * np.uint64(self.pages.size)
        first = self.pages.heads(own, heads[tails].astype(np.uint64))
        inside = (first >= chunk.address) & (first < chunk.address + len(found) * self.pages.size)
        at = (first[inside] - np.uint64(chunk.address)) // np.uint64(self.pages.size)
        found[tails[inside]] = found[at.astype(np.int64)]
        for head in np.unique(first[~inside]).tolist():  # a page of 1G begins in another chunk
            record = self.page(head)
            kind = KINDS.index(record.kind) if record is not None else KERNEL
            found[tails[~inside][first[~inside] == np.uint64(head)]] = kind

    @staticmethod
    def _spread_free(found: NDArray[np.uint8], orders: Any) -> None:
        """Mark all pages of free blocks."""
        import numpy as np

        begins = np.flatnonzero((found == FREE) & (orders <= MOST_ORDER))
        ends = np.minimum(begins + (1 << orders[begins].astype(np.int64)), len(found))
        count = len(found) + 1
        steps = np.bincount(begins, minlength=count) - np.bincount(ends, minlength=count)
        found[np.cumsum(steps[:-1]) > 0] = FREE

    def _is_memory(self, chunk: Chunk) -> NDArray[np.bool_]:
        """Which frames lie in a node of the machine."""
        import numpy as np

        if not self._nodes:
            return np.ones(len(chunk.there), bool)
        pfns, found = np.arange(chunk.first, chunk.first + len(chunk.there)), np.zeros(len(chunk.there), bool)
        for start, end in self._nodes:
            found |= (pfns >= start) & (pfns < end)
        return found

    def _column(self, words: Any, offset: int) -> Any:
        return words[:, offset // (self.kernel.bits // 8)]

    def _half(self, words: Any, offset: int) -> Any:
        """The 32-bit numbers at an offset."""
        word = self.kernel.bits // 8
        return words[:, offset // word] >> words.dtype.type(offset % word * 8) & words.dtype.type(NO_TYPE)

    # one

    def page(self, address: int) -> PageRecord | None:
        """The page whose struct page holds an address; None where none does. Raises `ReadError`."""
        import numpy as np

        pfn = self.pages.pfn_of(address)
        place = self.pages.page_of(pfn) if pfn is not None else None
        if pfn is None or place is None:
            return None
        data, word = self.kernel.memory.read(place, self.pages.size), self.kernel.bits // 8

        def number(offset: int, size: int = word) -> int:
            return int.from_bytes(data[offset : offset + size], "little")

        chunk = Chunk(pfn, place, np.frombuffer(data, f"<u{word}").reshape(1, -1), np.ones(1, bool))
        head, flags, count = number(self._head_at), number(self._flags_at), number(self._count_at, 4)
        begin = int(self.pages.heads(np.uint64(place), np.uint64(head))) if head & 1 else place
        first = self.page(begin) if self.pages.pfn_of(begin) not in (None, pfn) else None
        kind = first.kind if first is not None else KINDS[int(self.kinds(chunk)[0])]
        if kind in ("free on CPU lists", "kernel") and (block := self._free_block(pfn)) is not None:
            kind = "free" if block else kind
        mapping = first.mapping if first is not None else number(self._mapping_at)
        typed = kind in ("slab", "page table", "free", "hugetlb", "offline")
        return PageRecord(
            address=place,
            pfn=pfn,
            virtual=_direct(self.kernel, pfn),
            kind=kind,
            flags=tuple(name.removeprefix("PG_") for name, bit in self.flags if flags & bit),
            references=number(self._references_at, 4),
            mapped=0 if typed else count + 1 & NO_TYPE,
            head=first.address if first is not None else place,
            mapping=0 if typed or kind in ("kernel", "reserved") else mapping & ~MAPPING_FLAGS,
            index=self._index(data, pfn, first),
        )

    def _index(self, data: bytes, pfn: int, first: PageRecord | None) -> int:
        """The place of a page in its file; of a compound page only the first one has it."""
        if first is not None:
            return first.index + pfn - first.pfn
        at, word = self._index_at, self.kernel.bits // 8
        return int.from_bytes(data[at : at + word], "little") if at is not None else 0

    def _free_block(self, pfn: int) -> bool | None:
        """Whether a frame lies in a free block that begins before it; None where that cannot be read."""
        for order in range(1, MOST_ORDER):
            first = pfn & -(1 << order)
            place = self.pages.page_of(first)
            if place is None or first == pfn:
                continue
            try:
                data = self.kernel.memory.read(place, self.pages.size)
            except ReadError:
                return None
            value = int.from_bytes(data[self._count_at : self._count_at + 4], "little")
            if self._types.get(value) == FREE:
                size = int.from_bytes(data[self._private_at : self._private_at + self.kernel.bits // 8], "little")
                return size <= MOST_ORDER and pfn < first + (1 << size)
        return False


def _direct(kernel: Linux, pfn: int) -> int:
    from kdbg.kernels.linux.pages import DirectMap

    return kernel.part(DirectMap).address_of(pfn)


def _flags(kernel: Linux) -> Iterator[tuple[str, int]]:
    """The flags by bit, the first name of each. Raises `TypeNotFound`."""
    seen = set[int]()
    for name, bit in page_flags(kernel).items():
        if name.startswith("PG_") and bit not in seen and 0 <= bit < kernel.bits:
            seen.add(bit)
            yield name, bit


def _nodes(kernel: Linux) -> Iterator[tuple[int, int]]:
    """(first frame, end) of each node's memory. Empty where they are not found."""
    word = kernel.bits // 8
    try:
        table = kernel.place("node_data")
        told = kernel.vmcoreinfo
        count = told.of_kind("LENGTH", 10).get("node_data", 1) if told is not None else 1
        data = kernel.memory.read(table, min(max(count, 1), MOST_NODES) * word)
        addresses = [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data), word)]
    except Error:
        try:
            addresses = [kernel.place("contig_page_data")]
        except Error:
            return
    for address in addresses:
        if not kernel.in_kernel(address):
            continue
        try:
            start = kernel.word(address + told_offset(kernel, "pglist_data", "node_start_pfn"))
            size = kernel.word(address + told_offset(kernel, "pglist_data", "node_spanned_pages"))
        except Error as error:
            kernel.target.note(f"node {address:x}: {error}")
            continue
        if size:
            yield start, start + size

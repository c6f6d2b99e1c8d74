"""The pages of memory of a Linux kernel: what they are used for, and single ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import (
    NONE,
    REQUIRED,
    Call,
    Column,
    Table,
    View,
    dcmd,
    decimal,
    hexadecimal,
    padded_pointer,
    text,
)
from kdbg.errors import CommandError
from kdbg.kernels.linux.pagekinds import PageKinds, PageRecord

MODULE = "linux"

NAMES = {
    "kernel": "Kernel",
    "reserved": "Kernel image, reserved",
    "slab": "Slab",
    "page table": "Page tables",
    "hugetlb": "Huge pages",
    "anon": "Anon",
    "shmem": "Shared memory",
    "page cache": "Page cache",
    "offline": "Offline",
    "free": "Free",
    "free on CPU lists": "Free (CPU lists)",
    "unread": "Not readable",
}
"""Kind of a page -> how ::memstat calls it, in the order of its lines."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What pages are used for."""

    kind: str
    """As `kdbg.kernels.linux.pagekinds.KINDS` has it; "total" for the sum."""
    pages: int
    bytes: int
    percent: int | None


def _use_text(record: MemoryUse, view: View) -> str:
    megabytes = record.bytes >> 20
    if record.kind == "total":
        return f"\n{'Total':<22} {record.pages:>16} {megabytes:>16}"
    return f"{NAMES[record.kind]:<22} {record.pages:>16} {megabytes:>16}  {record.percent:>3}%"


@dcmd(
    "memstat",
    "show what memory is used for",
    address=NONE,
    needs=("kernel",),
    module=MODULE,
    heading=lambda call, view: (
        f"{'Page Summary':<22} {'Pages':>16} {'MB':>16}  %Tot\n{'-' * 22} {'-' * 16} {'-' * 16}  ----"
    ),
    text=_use_text,
    help="All pages by their page structures. Kernel: what it has allocated that is nothing of the rest (vmalloc, "
    "stacks, large allocations, drivers); reserved: what was never given to the allocator.",
    example="::memstat",
)
def memstat(call: Call) -> Iterator[MemoryUse]:
    """Pages by kind, and their sum."""
    with about("memstat", call.kernel):
        part: PageKinds = call.kernel.part(PageKinds)
        counts = {one.kind: one.pages for one in part.counts()}
    total = sum(counts.values())
    for kind in NAMES:
        pages = counts.get(kind, 0)
        if pages or kind not in ("unread", "offline", "hugetlb"):
            yield MemoryUse(kind, pages, pages << 12, (200 * pages + total) // (2 * total) if total else 0)
    yield MemoryUse("total", total, total << 12, None)


PAGES = Table(
    (
        padded_pointer("PAGE", "address"),
        hexadecimal("PFN", "pfn", 8),
        text("KIND", "kind", 10),
        decimal("REFS", "references", 5),
        decimal("MAPS", "mapped", 5),
        padded_pointer("MAPPING", "mapping"),
        hexadecimal("INDEX", "index", 9),
        Column("FLAGS", lambda record, _: ",".join(record.flags) or "-", 0, left=True, field="flags"),
    )
)


@dcmd(
    "page",
    "show the page structure of a frame",
    address=REQUIRED,
    needs=("kernel",),
    module=MODULE,
    table=PAGES,
    help="The address is a frame number (pfn), or one in a struct page. Shows what the page is used for, references, "
    "how many page tables map it, the address_space or anon_vma it belongs to, its place in there, and its flags.",
    example="1a2b::page",
)
def page(call: Call) -> Iterator[PageRecord]:
    """The page of that number, or whose struct page holds the address."""
    with about(f"{call.address:x}", call.kernel):
        part: PageKinds = call.kernel.part(PageKinds)
        place = part.pages.page_of(call.address)
        found = part.page(call.address if place is None else place)
    if found is None:
        raise CommandError(f"{call.address:x}: neither the number of a frame of the machine nor in a struct page")
    yield found

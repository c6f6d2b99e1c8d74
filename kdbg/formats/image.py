"""What every format gives: an `Image` of a machine's memory.

Frames: page tables hold frame numbers. In most dumps they are the guest's (pfn); those of a paravirtual Xen domain
are the machine's (mfn). `Image.page` takes what page tables hold; `Image.pfn_to_mfn` and `Image.mfn_to_pfn` convert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kdbg.errors import FormatError, Missing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.formats.ranges import Ranges
    from kdbg.formats.source import Source
    from kdbg.formats.xen_host import XenHost
    from kdbg.records import Info

PAGE = 4096
"""Bytes of a page; larger ones are runs of these."""

NOT_IN_DUMP = "the dump does not hold that page"


class Registers(Mapping[str, int]):
    """Registers of one vCPU by name, read when they are first asked for."""

    def __init__(self, load: Mapping[str, int]) -> None:
        self._values = load

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class PageMap(Sequence[int]):
    """The pfns whose bytes lie in the file, ascending: iterable, with a length, and ``in``."""

    def __init__(self, pfns: NDArray[np.uint64]) -> None:
        self.array = pfns
        """uint64[pages], ascending."""

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[int]:
        return iter(self.array.tolist())

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return self.array[at].tolist()

    def __contains__(self, pfn: object) -> bool:
        import numpy as np

        if not isinstance(pfn, int) or not 0 <= pfn < 1 << 64:
            return False
        at = int(np.searchsorted(self.array, np.uint64(pfn)))
        return at < len(self.array) and int(self.array[at]) == pfn


class Image:
    """The memory and the CPUs that a dump holds."""

    format = ""
    """Name of the format, for a person."""
    native = False
    """Whether the kernel itself wrote the dump, with a map of its addresses and its symbols (illumos)."""

    bare = False
    """Whether it is memory alone, and nothing tells where page tables are (`kdbg.formats.bare`)."""

    machine_addresses = False
    """Whether physical addresses are the machine's though pages have a guest's pfns: domain 0 in the dump of a host."""

    unpacks = False
    """Whether pages are made when they are asked for, so that whoever keeps one keeps its bytes in memory."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.bits = 64
        """Of the guest's kernel, as far as the format tells."""
        self.architecture = "x86"
        self.vmcoreinfo: Mapping[str, str] = {}
        """What a Linux kernel tells of itself in the dump's notes, by key; empty where there is none."""
        self.paravirtual = False
        """Whether page tables hold machine frames."""
        self.order_assumed = False
        """Whether pages are numbered as if the frame table were in pfn order, which only the guest can tell."""
        self.numberer: Callable[[], None] | None = None
        """Called before a pfn is first asked for, where `order_assumed`: it may number the pages."""
        self.damage: list[str] = []
        """What is wrong with the file, a sentence each."""
        self.roots: Sequence[int] = ()
        """Roots of page tables that may be the kernel's, besides those of the CPUs."""
        self.advice: list[str] = []
        """What would make the dump serve better, a sentence each."""

    @property
    def host(self) -> XenHost | None:
        """What the dump tells of a hypervisor below all that it holds: where it is one of a Xen host."""
        return None

    @property
    def names(self) -> Mapping[str, str]:
        """The kernel's utsname by its members (sysname, nodename ...), as the dump's header has it; maybe none."""
        return {}

    @property
    def contexts(self) -> Sequence[Mapping[str, int]]:
        """Registers of each CPU context in the dump, by name."""
        return ()

    @property
    def pages(self) -> PageMap:
        """The pfns whose bytes lie in the file."""
        raise NotImplementedError

    @property
    def excluded(self) -> Ranges:
        """Frames of which the dump tells that they exist and were left out on purpose."""
        return []

    @property
    def lost(self) -> Ranges:
        """Frames that the dump should hold and does not: cut off, or not written by a writer that ran out of space.

        Pages that are there and damaged are not among them: only reading each of them tells.
        """
        return []

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number as page tables hold it, or None."""
        raise NotImplementedError

    def peek(self, frame: int) -> memoryview | None:
        """As `page`, for searches, which look at much and find little: `kdbg slim` keeps only what is found."""
        return type(self).page(self, frame)

    def page_of_pfn(self, pfn: int) -> memoryview | None:
        """The page with that guest frame number, or None."""
        return self.page(pfn)

    def words(
        self, frames: NDArray[np.uint64], indexes: NDArray[np.uint64], width: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Word ``indexes[i]`` (of 4 or 8 bytes) of page ``frames[i]``; and which of the pages are there.

        uint64[n], bool[n]; the word of an absent page is 0.
        """
        import numpy as np

        unique, inverse = np.unique(frames, return_inverse=True)
        tables = np.zeros((len(unique), PAGE // width), dtype=f"<u{width}")
        there = np.zeros(len(unique), bool)
        for row, frame in enumerate(unique.tolist()):
            page = self.page(frame)
            if page is not None:
                tables[row] = np.frombuffer(page, dtype=tables.dtype)
                there[row] = True
        return tables[inverse, indexes].astype(np.uint64, copy=False), there[inverse]

    def locate(self, frame: int) -> tuple[int | None, str | None]:
        """The pfn of a frame as page tables hold it, None where none has it; and why `page` has nothing, else None."""
        missing = None if self.page(frame) is not None else self.why_missing(frame)
        return (self.mfn_to_pfn(frame) if self.paravirtual else frame), missing

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        return NOT_IN_DUMP

    def why_pfn_missing(self, pfn: int) -> str:
        """Why `page_of_pfn` has nothing for ``pfn``."""
        return self.why_missing(pfn)

    def pfn_to_mfn(self, pfn: int) -> int | None:
        """The machine frame of a guest frame; None where there is none or the domain has no machine frames."""
        return None

    def mfn_to_pfn(self, mfn: int) -> int | None:
        """The guest frame that has a machine frame, or None."""
        return None

    def read_physical(self, address: int, size: int) -> bytes:
        """``size`` bytes of guest-physical memory. Raises `Missing` where a page is not in the dump."""
        start = address & PAGE - 1
        if 0 < size <= PAGE - start:
            page = self.page_of_pfn(address >> 12) if address >= 0 else None
            if page is None:
                raise Missing(address, self.why_pfn_missing(address // PAGE))
            return bytes(page[start : start + size])
        parts: list[memoryview] = []
        while size > 0:
            page = self.page_of_pfn(address // PAGE) if address >= 0 else None
            if page is None:
                raise Missing(address, self.why_pfn_missing(address // PAGE))
            start = address % PAGE
            part = page[start : start + size]
            parts.append(part)
            address += len(part)
            size -= len(part)
        return b"".join(parts)

    def join(self, others: Sequence[Image]) -> None:
        """Take in other files of the same dump. Raises `FormatError` where the format has no such sets."""
        raise FormatError(
            others[0].source.name, f"a second dump beside {self.source.name}: {self.format} has no sets of files"
        )

    def describe(self) -> Info:
        """What the dump is."""
        raise NotImplementedError

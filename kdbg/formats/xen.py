"""The image of a Xen domain, whichever of the two core formats it comes in.

Both hold vCPU contexts, a table of frames and pages: page *i* of the file belongs to entry *i* of the table.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.formats import xen_context
from kdbg.formats.frames import Ascending, Column, FrameColumn
from kdbg.formats.image import NOT_IN_DUMP, PAGE, Image, PageMap
from kdbg.formats.source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.records import Info

PV_MAGIC, HVM_MAGIC = 0xF00FEBED, 0xF00FEBEE
"""XC_CORE_MAGIC, XC_CORE_MAGIC_HVM (xenctrl.h)."""

FOREIGN = "machine frame {:x} is not one of the domain's: a page of Xen or of another domain"


@dataclass(frozen=True, slots=True)
class Tables:
    """Where a core has its contexts, frames and pages."""

    contexts_at: int
    context_size: int
    """Bytes from one context to the next."""
    contexts: int
    pages_at: int
    page_count: int
    pfns: Column | None
    """None: no pfn is in the file."""
    mfns: Column | None
    """None: page tables hold pfns."""


class XenImage(Image):
    """Memory and vCPUs of a Xen domain."""

    def __init__(self, source: Source, paravirtual: bool, tables: Tables, bits: int) -> None:
        super().__init__(source)
        self.paravirtual = paravirtual
        self.bits = bits
        self.tables = tables
        self._pfns = tables.pfns
        self.frames: Column | None = tables.mfns if paravirtual else tables.pfns
        """The column of what page tables hold."""
        self.hypervisor: Mapping[str, object] = {}
        """What the core tells of the hypervisor that wrote it."""
        whole = max(0, source.size - tables.pages_at) // PAGE
        self.pages_in_file = min(tables.page_count, whole)
        if self.pages_in_file < tables.page_count:
            self.damage.append(
                f"cut off: the frame table names {tables.page_count} pages, the file ends in page {whole}"
                f" (offset {source.size:#x}); what is there can be read"
            )

    # CPUs

    @functools.cached_property
    def contexts(self) -> Sequence[Mapping[str, int]]:
        """Registers of each vCPU that has a context; the core does not number them."""
        tables = self.tables
        # A fully virtualised guest's contexts have the 64-bit form whatever the guest runs.
        declaration = xen_context.CONTEXTS[self.bits if self.paravirtual else 64]
        return [
            xen_context.registers(
                self.source.parse(declaration, tables.contexts_at + at * tables.context_size, f"context {at}"),
                self.paravirtual,
            )
            for at in range(tables.contexts)
        ]

    # pages

    @property
    def pfns(self) -> Column | None:
        """The column of guest frames; None where there is none."""
        if self.numberer is not None:
            numberer, self.numberer = self.numberer, None
            numberer()
        return self._pfns

    def _at(self, position: int | None) -> memoryview | None:
        if position is None or position >= self.pages_in_file:
            return None
        start = self.tables.pages_at + position * PAGE
        return self.source.view[start : start + PAGE]

    def page(self, frame: int) -> memoryview | None:
        """The page with that frame number as page tables hold it, or None."""
        return self._at(self.frames.find(frame)) if self.frames is not None else None

    def page_of_pfn(self, pfn: int) -> memoryview | None:
        """The page with that guest frame number, or None."""
        if self.paravirtual and self.pfn_to_mfn(pfn) is None:
            return None
        return self._at(self.pfns.find(pfn)) if self.pfns is not None else None

    def words(
        self, frames: NDArray[np.uint64], indexes: NDArray[np.uint64], width: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """As `Image.words`; the file is one array of words, so one look-up each."""
        import numpy as np

        if self.frames is None or self.tables.pages_at % width or not self.pages_in_file or not self.source.map:
            return super().words(frames, indexes, width)
        positions = self.frames.positions(frames)
        there = (positions >= 0) & (positions < self.pages_in_file)
        positions = np.where(there, positions, 0)
        pages = np.frombuffer(
            self.source.view, f"<u{width}", self.pages_in_file * PAGE // width, offset=self.tables.pages_at
        )
        found = pages[positions * (PAGE // width) + indexes.astype(np.int64)].astype(np.uint64, copy=False)
        return np.where(there, found, np.uint64(0)), there

    def locate(self, frame: int) -> tuple[int | None, str | None]:
        """As `Image.locate`: one look-up where the frame is the core's."""
        position = self.frames.find(frame) if self.frames is not None else None
        if position is None or position >= self.pages_in_file:
            return super().locate(frame)
        if not self.paravirtual:
            return frame, None
        pfns = self.pfns
        pfn = pfns.words[position] if pfns is not None else None
        return (None if pfns is None or pfn == pfns.invalid else pfn), None

    def why_missing(self, frame: int) -> str:
        """Why `page` has nothing for ``frame``."""
        position = self.frames.find(frame) if self.frames is not None else None
        if position is not None:
            return "cut off: the file ends before that page"
        return FOREIGN.format(frame) if self.paravirtual else NOT_IN_DUMP

    def why_pfn_missing(self, pfn: int) -> str:
        """Why `page_of_pfn` has nothing for ``pfn``."""
        if self.pfns is None:
            return "the core has no table of guest frames"
        position = self.pfns.find(pfn)
        if position is not None and position >= self.pages_in_file:
            return "cut off: the file ends before that page"
        return NOT_IN_DUMP

    @functools.cached_property
    def pages(self) -> PageMap:
        """The pfns whose bytes lie in the file."""
        import numpy as np

        if self.pfns is None:
            return PageMap(np.zeros(0, np.uint64))
        pfns = self.pfns.array()[: self.pages_in_file]
        keep = pfns != np.uint64(self.pfns.invalid) if self.pfns.invalid >= 0 else np.ones(len(pfns), bool)
        if self.tables.mfns is not None:
            keep &= self.tables.mfns.array()[: self.pages_in_file] != np.uint64(self.tables.mfns.invalid)
        if not keep.all():
            pfns = pfns[keep]
        if not (pfns[1:] > pfns[:-1]).all():  # nearly every table ascends
            pfns = np.unique(pfns)
        return PageMap(pfns)

    def pfn_to_mfn(self, pfn: int) -> int | None:
        """The machine frame of a guest frame of a paravirtual domain, or None."""
        if not self.paravirtual or self.pfns is None or self.tables.mfns is None:
            return None
        position = self.pfns.find(pfn)
        if position is None:
            return None
        mfn = int(self.tables.mfns.words[position])
        return None if mfn == self.tables.mfns.invalid else mfn

    def mfn_to_pfn(self, mfn: int) -> int | None:
        """The guest frame that has a machine frame, or None."""
        if not self.paravirtual or self.pfns is None or self.tables.mfns is None:
            return None
        position = self.tables.mfns.find(mfn)
        if position is None:
            return None
        pfn = int(self.pfns.words[position])
        return None if pfn == self.pfns.invalid else pfn

    def number_pages(self, mfn_of_pfn: memoryview) -> None:
        """Take the guest's own list of machine frames by pfn: for cores that hold none.

        Entries of the list that are no frame of the core are passed over.
        """
        import numpy as np

        assert self.tables.mfns is not None
        listed = np.asarray(mfn_of_pfn).astype(np.uint64, copy=False)
        positions = self.tables.mfns.positions(listed)
        pfns = np.full(len(self.tables.mfns), (1 << 64) - 1, np.uint64)
        pfns[positions[positions >= 0]] = np.flatnonzero(positions >= 0).astype(np.uint64)
        self._pfns = FrameColumn(memoryview(pfns.data), (1 << 64) - 1)
        self.order_assumed = False
        self.__dict__.pop("pages", None)

    # what it is

    def describe(self) -> Info:
        """What the dump is."""
        from kdbg.records import Info

        pages = self.pages
        told = self.tables.page_count
        invalid = self._invalid_entries()
        why = {}
        if invalid:
            why["no frame behind the entry"] = invalid
        if told > self.pages_in_file:
            why["cut off"] = told - self.pages_in_file
        return Info(
            file=self.source.name,
            format=self.format,
            architecture="x86-64" if self.bits == 64 else "x86",
            bits=self.bits,
            paravirtual=self.paravirtual,
            memory_size=(told - invalid) * PAGE,
            pages=len(pages) if self.pfns is not None else self.pages_in_file,
            missing=sum(why.values()),
            missing_why=why,
            cpus=self.tables.contexts,
            complete=not self.damage,
            damage=tuple(self.damage),
            details={"compression": "none", **self.hypervisor},
        )

    def _invalid_entries(self) -> int:
        """Entries of the frame table that name no frame."""
        import numpy as np

        columns = [c for c in (self.tables.pfns, self.tables.mfns) if isinstance(c, FrameColumn)]
        if not columns:
            return 0
        return int(np.logical_or.reduce([c.array() == np.uint64(c.invalid) for c in columns]).sum())


def guest_bits(source: Source, contexts_at: int, slot: int, mfns: Column, told: int) -> int:
    """Whether a paravirtual guest has 64 or 32 bits, by its first context.

    Tools of a 64-bit dom0 write a 32-bit guest's context into a slot of the 64-bit size and may call the file x86-64;
    only the content tells. The form is believed whose cr3 leads to a frame of the domain; ``told`` (by the file)
    decides a draw.
    """
    believed = []
    for bits in (64, 32):
        at, width = xen_context.CR3_AT[bits]
        if slot < (xen_context.SIZE64 if bits == 64 else xen_context.SIZE32) or contexts_at + slot > source.size:
            continue
        cr3 = int.from_bytes(source.read(contexts_at + at, width, "cr3 of the first context"), "little")
        frames = {xen_context.frame_of_cr3(cr3, bits), cr3 >> 12} if cr3 else set()
        if any(mfns.find(frame) is not None for frame in frames):
            believed.append(bits)
    return believed[0] if len(believed) == 1 else told


def column(words: Any, width: int) -> FrameColumn:
    """A column of the file, all ones standing for no frame."""
    return FrameColumn(words, (1 << 8 * width) - 1)


__all__ = ["HVM_MAGIC", "PV_MAGIC", "Ascending", "Tables", "XenImage", "column", "guest_bits"]

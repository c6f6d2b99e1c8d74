"""The vmalloc areas of a Linux kernel: what is mapped page by page, kernel stacks and modules among it.

Sources: mm/vmalloc.c (up to 6.8 all areas hang on ``vmap_area_list``, from 6.9 on in trees ``vmap_nodes[n].busy``),
include/linux/vmalloc.h (struct vmap_area, struct vm_struct, VM_*).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.linux.lists import elements, offset_of
from kdbg.kernels.linux.trees import in_order
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

FLAGS = ((1, "ioremap"), (2, "vmalloc"), (4, "vmap"), (8, "user"), (0x10, "dma"), (0x20, "unready"), (0x40, "noguard"),
         (0x200, "flush"), (0x800, "huge"))  # fmt: skip
NO_GUARD = 0x40
MOST_NODES = 1024
MOST_PAGES = 1 << 22
"""Pages of areas that are looked up by their frames."""


@dataclass(frozen=True, slots=True)
class VmapArea:
    """A range of the addresses that vmalloc gives out."""

    address: int
    """Of its struct vmap_area."""
    start: int
    end: int
    """With the guard page behind it."""
    vm: int
    """Address of its struct vm_struct; 0 where there is none (vm_map_ram)."""
    flags: tuple[str, ...]
    pages: int
    caller: int
    """Who allocated it; 0 where that is not told."""
    physical: int
    """What is mapped by ioremap; 0 for others."""


class VmapAreas:
    """The areas of one kernel. Raises `TypeNotFound`."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        of = kernel.type("struct vmap_area")
        self._area = Layout(of, {"start": "va_start", "end": "va_end", "vm": "vm"})
        self._node = offset_of(of, "rb_node")
        self._vm = Layout(kernel.type("struct vm_struct"), {"flags": "flags", "pages": "nr_pages", "caller": "caller?",
                                                            "physical": "phys_addr", "address": "addr"})  # fmt: skip
        self._known: list[VmapArea] | None = None
        self._starts: list[int] = []
        self._frames: dict[int, int] | None = None

    def walk(self) -> Iterator[int]:
        """Addresses of the struct vmap_areas. Raises `SymbolNotFound` where they are not found."""
        kernel = self.kernel
        try:
            head = kernel.place("vmap_area_list")
        except SymbolNotFound:
            yield from self._of_nodes()
            return
        yield from elements(kernel, head, "struct vmap_area", "list", "vmap_area_list")

    def _of_nodes(self) -> Iterator[int]:
        kernel = self.kernel
        table, of = kernel.word(kernel.place("vmap_nodes")), kernel.type("struct vmap_node")
        try:
            count = int.from_bytes(kernel.memory.read(kernel.place("nr_vmap_nodes"), 4), "little")
        except Error:
            count = 1
        if not 0 < count <= MOST_NODES:
            kernel.target.note(f"vmap_nodes: a count of {count} is not believed")
            count = 1
        root = offset_of(of, "busy.root")
        for number in range(count):
            try:
                top = kernel.word(table + number * of.size + root)
            except ReadError as error:
                kernel.target.note(f"vmap_nodes: {number}: {error}")
                continue
            yield from (node - self._node for node in in_order(kernel, top, "vmap_nodes"))

    def record(self, address: int) -> VmapArea:
        """The area at an address. Raises `ReadError`."""
        told = self._area.read(self.kernel.memory.read, address)
        vm, flags, pages, caller, physical = told["vm"], 0, 0, 0, 0
        if self.kernel.in_kernel(vm):
            try:
                inner = self._vm.read(self.kernel.memory.read, vm)
            except ReadError:
                inner = {}
            if inner.get("address") == told["start"]:  # the member is a union's: other areas keep a number there
                flags, pages, physical = inner["flags"], inner["pages"], inner["physical"]
                caller = inner["caller"] or 0
            else:
                vm = 0
        else:
            vm = 0
        names = tuple(name for bit, name in FLAGS if flags & bit)
        return VmapArea(address, told["start"], told["end"], vm, names, pages, caller, physical)

    def all(self) -> list[VmapArea]:
        """All areas, ascending; what cannot be read is left out with a note. Raises `SymbolNotFound`."""
        if self._known is None:
            found = []
            for address in self.walk():
                try:
                    area = self.record(address)
                except ReadError as error:
                    self.kernel.target.note(f"vmap_area {address:x}: {error}")
                    continue
                if area.start < area.end:
                    found.append(area)
            self._known = sorted(found, key=lambda area: area.start)
            self._starts = [area.start for area in self._known]
        return self._known

    def holding(self, address: int) -> VmapArea | None:
        """The area that holds an address. Raises `SymbolNotFound`."""
        areas = self.all()
        at = bisect_right(self._starts, address) - 1
        return areas[at] if at >= 0 and address < areas[at].end else None

    def address_of(self, pfn: int) -> int | None:
        """Where a frame is mapped in an area; None where in none. What ioremap shows is not looked at."""
        if self._frames is None:
            self._frames = dict(self._mapped())
        return self._frames.get(pfn)

    def _mapped(self) -> Iterator[tuple[int, int]]:
        """(frame, its address) of the pages of all areas, by the page tables."""
        import numpy as np

        image, left = self.kernel.target.image, MOST_PAGES
        for area in self.all():
            count = min((area.end - area.start) >> 12, left)
            if "ioremap" in area.flags or not area.vm or count <= 0:
                continue
            left -= count
            addresses = np.uint64(area.start) + np.arange(count, dtype=np.uint64) * np.uint64(4096)
            found = self.kernel.space.translate_array(addresses)
            frames, places = found.frames[found.mapped].tolist(), addresses[found.mapped].tolist()
            for frame, place in zip(frames, places, strict=True):
                pfn = image.mfn_to_pfn(frame) if image.paravirtual else frame
                if pfn is not None:
                    yield pfn, place

"""What the image of a Linux kernel and its modules have in memory: text, data ... as ranges.

Sources: include/linux/module.h (struct module.mem[] by enum mod_mem_type, 6.4 on; before it core_layout and
init_layout, whose text comes first, then what may only be read), include/asm-generic/sections.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, SymbolNotFound

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

SECTIONS = (("text", "_stext", "_etext"), ("init", "__init_begin", "__init_end"), ("bss", "__bss_start", "__bss_stop"),
            ("data", "_sdata", "_edata"), ("read-only data", "__start_rodata", "__end_rodata"))  # fmt: skip
"""Part of the image -> the symbols of its bounds."""
LAYOUT = (("text", "text"), ("ro", "read-only data"), ("ro_after_init", "data read-only after init"), ("", "data"))
"""Member of struct module_layout (with ``_size``, each counted from the base) -> what lies up to there."""
MOST_SIZE = 1 << 30


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the image or of a module."""

    start: int
    end: int
    module: str
    part: str


class Regions:
    """The regions of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.modules = self._of_modules()
        self.image = list(self._of_image())

    def _of_image(self) -> list[Region]:
        found = []
        for part, start, end in SECTIONS:
            try:
                first, last = self.kernel.image_symbol(start).address, self.kernel.image_symbol(end).address
            except SymbolNotFound:
                continue
            found.append(Region(first, last, "vmlinux", part))
        return found

    def _of_modules(self) -> list[Region]:
        found: list[Region] = []
        for module in self.kernel.module_images:
            try:
                found += self._of_module(module.address, module.name)
            except Error:  # no types: the text alone is known, or all of it
                if module.size:
                    found.append(Region(module.base, module.base + module.size, module.name, "memory"))
        return found

    def _of_module(self, address: int, name: str) -> list[Region]:
        kernel, found = self.kernel, list[Region]()
        module = kernel.load("struct module", address)
        if module.has("mem"):
            names = {number: word for word, number in kernel.type("enum mod_mem_type").enumerators}
            for at, memory in enumerate(module.mem):
                base, size = int(memory.base), memory.size
                if base and 0 < size < MOST_SIZE:
                    part = names.get(at, "memory").removeprefix("MOD_").lower().replace("_", " ")
                    found.append(Region(base, base + size, name, part))
            return found
        for layout, prefix in ((module.core_layout, ""), (module.init_layout, "init ")):
            base, start = int(layout.base), 0
            for member, part in LAYOUT if base else ():
                end = int(layout[f"{member}_size" if member else "size"])
                if start < end < MOST_SIZE:
                    found.append(Region(base + start, base + end, name, prefix + part))
                    start = end
        return found

    def holding(self, address: int) -> Region | None:
        """The region that holds an address; of the image also what lies between its known parts."""
        for region in (*self.modules, *self.image):
            if region.start <= address < region.end:
                return region
        for segment in self.kernel.mapping.segments:
            if segment.address <= address < segment.address + segment.size:
                return Region(segment.address, segment.address + segment.size, "vmlinux", "image")
        return None

    def texts(self) -> list[tuple[int, int]]:
        """(start, end) of program text, of the image and of modules."""
        return [(one.start, one.end) for one in (*self.image, *self.modules) if one.part.endswith("text")]

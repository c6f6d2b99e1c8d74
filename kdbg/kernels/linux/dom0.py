"""The Linux kernel of domain 0 in the dump of a whole Xen host: a paravirtual guest with its hypervisor below it.

The page tables that a CPU uses show both: the hypervisor keeps its slots of the top table in every guest's. Where no
CPU had domain 0's tables loaded, a top table of its own is looked for by those slots.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.formats.xen_host import FANOUT
from kdbg.formats.xen_host import Dom0 as Dom0Image
from kdbg.kernels.linux.kernel import Linux
from kdbg.kernels.xen.guests import Running
from kdbg.kernels.xen.hypervisor import Hypervisor
from kdbg.records import Cpu, Frame
from kdbg.vm.modes import PRESENT

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.symbols.table import SymbolTable

XEN_SLOT, KERNEL_SLOT = 261, 511
"""Slots of a top table: the hypervisor's image; the kernel's."""
USED = 0x60
"""Bits that a processor sets in entries: accessed, dirty."""
MOST_PAGES = 1 << 21
"""Pages that are looked at for a top table."""
MOST_ROOTS = 64


class Dom0(Linux):
    """The kernel of domain 0."""

    hypervisor: Hypervisor | None = None
    """None where the dump does not hold enough of it to be seen."""
    _image: Dom0Image
    _host: Dump
    """The dump of which it is a part."""

    @classmethod
    def below(cls, target: Dump) -> Dom0 | None:
        """Domain 0's kernel in the dump of a host, or None where no Linux is found there."""
        host, hypervisor = target.image.host, Hypervisor.find(target)
        if host is None:
            return None
        image = host.dom0
        inner = type(target)(target.name, image)
        inner.notes = target.notes
        found = cls.detect(inner)
        if found is None and hypervisor is not None:
            image.roots = top_tables(hypervisor, image)
            found = cls.detect(inner) if image.roots else None
        if not isinstance(found, Dom0):
            return None
        found.hypervisor, found._image, found._host = hypervisor, image, target
        inner.__dict__["kernel"] = found
        if not image.listed:
            image.list_frame = found._list_frame
        return found

    def _list_frame(self, number: int) -> int | None:
        """The machine frame of a page of the kernel's own list of machine frames (xen_p2m_addr, arch/x86/xen/p2m.c)."""
        place = self._list
        if place is None or number * FANOUT >= place[1]:
            return None
        try:
            return self.space.page_address(place[0] + number * FANOUT * 8) >> 12
        except ReadError:
            return None

    @functools.cached_property
    def _list(self) -> tuple[int, int] | None:
        """(address, entries) of that list."""
        self.__dict__["_list"] = None  # a search for the symbols may ask for pages by pfn: it gets none
        try:
            start = self.word(self.image_symbol("xen_p2m_addr").address)
            return start, self.word(self.image_symbol("xen_max_p2m_pfn").address)
        except Error:
            return None
        finally:
            self._image.forget()

    def _module_symbols(self) -> list[SymbolTable]:
        below = self.hypervisor.table if self.hypervisor is not None else None
        return [*super()._module_symbols(), *([below] if below is not None else [])]

    def check_debug_files(self) -> None:
        """Give the hypervisor its symbols; the other files are to be those of domain 0. Raises `Error`."""
        below, files = self.hypervisor, self._host.symbol_files
        mine = tuple(path for path in files if below is None or not below.is_of(path))
        if len(mine) < len(files):
            self.__dict__.pop("symbols", None)
        self.target.symbol_files, self.target.debuginfod = mine, self._host.debuginfod
        if mine or self._host.debuginfod or not files:
            super().check_debug_files()

    def describe(self) -> str:
        """Both kernels."""
        version = self.hypervisor.version if self.hypervisor is not None else ""
        return f"{super().describe()}, domain 0 of Xen {version}".rstrip()

    # CPUs

    def cpus(self) -> Iterator[Cpu]:
        """The machine's CPUs by their place among the notes; with the task of domain 0 that is on one."""
        for number, registers in enumerate(self.target.image.contexts):
            running = self._running(registers)
            known = self._vcpus.get(number) if running is None or running.domain in (0, None) else None
            thread, area = (known.thread, known.address) if known is not None else (None, None)
            yield Cpu(number, registers, thread, area)

    def _running(self, registers: Mapping[str, int]) -> Running | None:
        """What the hypervisor had on the CPU with these registers, if it was in the hypervisor."""
        below = self.hypervisor
        return below.guests.running(registers) if below is not None and below.holds(registers.get("rip", 0)) else None

    @functools.cached_property
    def _vcpus(self) -> Mapping[int, Cpu]:
        """Place among the notes -> domain 0's vCPU whose per-cpu area that CPU had, as its kernel numbers it."""
        contexts = self.target.image.contexts
        return {at: cpu for cpu in super().cpus() for at, one in enumerate(contexts) if one is cpu.registers}

    def registers(self) -> Mapping[str, int]:
        """The registers of the CPU that started the crash kernel, else of the first one."""
        return self.hypervisor.stacks.representative() if self.hypervisor is not None else super().registers()

    def cpu_stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU: in the hypervisor, then, where it was entered from domain 0, in its kernel."""
        if self.hypervisor is None or not self.hypervisor.holds(registers.get("rip", 0)):
            return super().cpu_stack(registers)
        found, running = self.hypervisor.stacks.stack(registers), self._running(registers)
        if running is None or running.domain != 0:
            return found
        first, *others = super().cpu_stack({**registers, **running.guest})
        entered = found[-1].note
        note = f"{entered}; {first.note}" if first.note else entered
        return [*found[:-1], replace(first, note=note), *others]


def top_tables(hypervisor: Hypervisor, image: Dom0Image) -> Sequence[int]:
    """Machine addresses of pages that may be top tables of domain 0: with the hypervisor's entry, and a kernel's.

    Its vCPUs' structures name some; where these are not found, all its pages are looked at.
    """
    page = hypervisor.target.image.page(hypervisor.space.root >> 12)
    if page is None:
        return ()
    wanted = page.cast("Q")[XEN_SLOT] & ~USED

    def is_top(frame: int) -> bool:
        page = image.peek(frame)
        words = page.cast("Q") if page is not None else ()
        return bool(words) and words[XEN_SLOT] & ~USED == wanted and bool(words[KERNEL_SLOT] & PRESENT)

    first = next((at for at, number in hypervisor.guests.domains.items() if number == 0), 0)
    named = {frame for word in hypervisor.guests.vcpu_words(first) for frame in (word, word >> 12) if frame >> 40 == 0}
    found = [frame << 12 for frame in sorted(named) if is_top(frame)]
    return found or [frame << 12 for frame in islice(filter(is_top, islice(_frames(image), MOST_PAGES)), MOST_ROOTS)]


def _frames(image: Dom0Image) -> Iterator[int]:
    """The machine frames in which domain 0's tables may lie: its own, or all where those are not known."""
    if not image.listed:
        yield from image.machine.pages.array[:MOST_PAGES].tolist()
        return
    for pfn in image.pages.array.tolist():
        mfn = image.pfn_to_mfn(pfn)
        if mfn is not None:
            yield mfn

"""What an address is: each source that knows it says so, the closest first.

A virtual address of the kernel is asked for in this order: symbols, per-CPU copies, tasks and their stacks, what else
image and modules have, objects of slabs, struct pages, vmalloc areas, and last what the page is used for that it leads
to. An address of user mode is looked for in the processes' areas; what is neither may be a physical one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from kdbg.errors import Error, SymbolNotFound
from kdbg.kernels.linux.areas import Areas, space_of_mm
from kdbg.kernels.linux.pagekinds import PageKinds, PageRecord
from kdbg.kernels.linux.pages import DirectMap, PageMap, Virtual
from kdbg.kernels.linux.percpu import PerCpu
from kdbg.kernels.linux.regions import Regions
from kdbg.kernels.linux.rmap import PageUser, ReverseMap
from kdbg.kernels.linux.slub import Slubs, slubs
from kdbg.kernels.linux.tasks import LinuxThread, Tasks
from kdbg.kernels.linux.vmalloc import NO_GUARD, VmapArea, VmapAreas

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

PAGE = 4096
MOST_STACK = 1 << 18
MOST_SYMBOL = 1 << 24
"""Bytes that a symbol covers: the last one's end is not told."""
MOST_USERS = 16
"""Processes that are named for one page or one address of user mode."""


@dataclass(frozen=True, slots=True)
class Whatis:
    """What an address was found to be."""

    address: int
    kind: str
    """symbol, module, per-CPU, task, stack, slab, struct page, vmalloc, page, user, physical, unmapped or unknown."""
    base: int
    """Where the thing begins."""
    offset: int
    name: str = ""
    """Of the symbol, the variable, the cache, the task, the file."""
    module: str = ""
    part: str = ""
    """Of a module: text, data ...; of a page: what it is used for."""
    state: str = ""
    """Of an object: "allocated" or "free"."""
    cpu: int | None = None
    """Whose copy or free list it is."""
    task: int | None = None
    cache: int | None = None
    slab: int | None = None
    pfn: int | None = None
    page: int | None = None
    """Address of the struct page."""
    end: int | None = None
    """Of a range: stack, vmalloc area, area of a process."""
    caller: int | None = None
    """Who allocated a vmalloc area."""
    file_offset: int | None = None
    """Of the page in its file, in bytes."""
    users: tuple[PageUser, ...] = ()
    """Processes that have the page mapped."""


Source = Callable[[int], Iterator[Whatis]]


class Whereabouts:
    """Asks all that is known of one kernel. A source that lacks something (symbols, a list) is left out with a note."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._stacks: tuple[list[int], list[tuple[int, int, int]]] | None = None
        self.sources: tuple[tuple[str, Source], ...] = (
            ("symbols", self._symbols),
            ("per-CPU variables", self._per_cpu),
            ("tasks", self._tasks),
            ("stacks", self._of_stacks),
            ("modules", self._in_regions),
            ("slabs", self._slabs),
            ("page structures", self._struct_pages),
            ("vmalloc areas", self._vmalloc),
            ("pages", self._pages),
        )

    def answers(self, address: int, say: Callable[[str], None] = lambda _: None) -> Iterator[Whatis]:
        """All that an address is, the closest first; at least one answer. ``say`` is told what is searched."""
        found = False
        for name, source in self._sources_for(address):
            say(f"Searching {name}...")
            try:
                for answer in source(address):
                    found = True
                    yield answer
            except Error as error:
                self.kernel.target.note(f"whatis: {name}: {error}")
                say(f"{name}: {error}")
        if not found:
            yield Whatis(address, "unknown", address, 0)

    def _sources_for(self, address: int) -> tuple[tuple[str, Source], ...]:
        if self.kernel.in_kernel(address):
            return self.sources
        return (("processes", self._of_processes), ("physical memory", self._physical))

    # the image and its modules

    def _symbols(self, address: int) -> Iterator[Whatis]:
        """The symbol that covers the address, of the image (also where that is not mapped any more) or of a module."""
        region = self.kernel.part(Regions).holding(address)
        try:
            symbol, offset = self.kernel.target.nearest(address)
        except SymbolNotFound:
            return
        module = symbol.module or "vmlinux"
        if offset >= max(min(symbol.size, MOST_SYMBOL), 1) or module != (region.module if region else "vmlinux"):
            return
        part = region.part if region is not None else "image, not mapped any more"
        yield Whatis(address, "symbol", symbol.address, offset, symbol.name, module, part)

    def _in_regions(self, address: int) -> Iterator[Whatis]:
        """What of the image or of a module has no name there."""
        region = self.kernel.part(Regions).holding(address)
        if region is not None and not any(self._symbols(address)):
            yield Whatis(
                address, "module", region.start, address - region.start, region.module, region.module, region.part
            )

    def _per_cpu(self, address: int) -> Iterator[Whatis]:
        found = self.kernel.part(PerCpu).copy_at(address)
        if found is not None:
            base = address - found.offset
            yield Whatis(address, "per-CPU", base, found.offset, found.variable or "", cpu=found.cpu)

    # tasks

    def _thread(self, task: int) -> tuple[LinuxThread, str]:
        thread = self.kernel.part(Tasks).record(task)
        return thread, f"{thread.name}/{thread.tid}"

    def _tasks(self, address: int) -> Iterator[Whatis]:
        tasks, _ = self._known_stacks()
        at = bisect_right(tasks, address) - 1
        if at >= 0 and address < tasks[at] + self.kernel.part(Tasks).layout.size:
            task = tasks[at]
            yield Whatis(address, "task", task, address - task, self._thread(task)[1], task=task)

    def _known_stacks(self) -> tuple[list[int], list[tuple[int, int, int]]]:
        """Addresses of all tasks, and (start, end, task) of their stacks; each ascending."""
        if self._stacks is None:
            rows, part, tasks = list[tuple[int, int, int]](), self.kernel.part(Tasks), list[int]()
            for task in part.walk():
                tasks.append(task)
                try:
                    stack = part.load(task)["stack"]
                except Error:
                    continue
                if stack:
                    rows.append((stack, stack + self._stack_size(stack), task))
            self._stacks = sorted(tasks), sorted(rows)
        return self._stacks

    def _stack_size(self, stack: int) -> int:
        """THREAD_SIZE: of its vmalloc area less the guard page, else of init_task's own."""
        try:
            area = self.kernel.part(VmapAreas).holding(stack)
            if area is not None and area.start == stack:
                size = area.end - area.start - (0 if "noguard" in area.flags else PAGE)
                if size <= MOST_STACK:
                    return size
            size = self.kernel.image_symbol("init_stack").size
            if PAGE <= size <= MOST_STACK:
                return size
        except Error:
            pass
        return 16384 if self.kernel.bits == 64 else 8192

    def _of_stacks(self, address: int) -> Iterator[Whatis]:
        _, rows = self._known_stacks()
        at = bisect_right(rows, (address, 1 << self.kernel.bits)) - 1
        if at >= 0 and address < rows[at][1]:
            start, end, task = rows[at]
            thread, name = self._thread(task)
            part = ""
            if thread.sp and start <= thread.sp < end and not thread.on_cpu:
                part = "in use" if address >= thread.sp else "below the stack pointer"
            yield Whatis(address, "stack", start, address - start, name, part=part, task=task, end=end)

    # allocations

    def _slabs(self, address: int) -> Iterator[Whatis]:
        pfn = self.kernel.part(DirectMap).pfn_of(address)
        if pfn is not None:
            yield from self._object(address, address, pfn)

    def _object(self, asked: int, address: int, pfn: int) -> Iterator[Whatis]:
        books: Slubs = self.kernel.part(slubs)
        slab = books.slab_of_pfn(pfn)
        if slab is None:
            return
        cache = books.cache(slab.cache)
        number, offset = divmod(address - slab.first, cache.size)
        if not 0 <= number < slab.objects:
            yield Whatis(asked, "slab", slab.first, address - slab.first, cache.name, part="outside its objects",
                         cache=slab.cache, slab=slab.address, pfn=pfn)  # fmt: skip
            return
        base, free = address - offset, books.free(slab)
        state = "free" if base in free else "allocated"
        part = "" if offset < cache.object_size else "behind the object"
        yield Whatis(asked, "slab", base, offset, cache.name, state=state, cpu=free.get(base), cache=slab.cache,
                     slab=slab.address, pfn=pfn, part=part)  # fmt: skip

    def _struct_pages(self, address: int) -> Iterator[Whatis]:
        pages = self.kernel.part(PageMap)
        pfn = pages.pfn_of(address)
        base = pages.page_of(pfn) if pfn is not None else None
        if base is not None:
            yield Whatis(address, "struct page", base, address - base, pfn=pfn, page=base)

    def _vmalloc(self, address: int) -> Iterator[Whatis]:
        area = self.kernel.part(VmapAreas).holding(address)
        if area is not None:
            yield _in_area(address, area)

    # pages

    def _pages(self, address: int) -> Iterator[Whatis]:
        try:
            pfn = self.kernel.space.translate(address).pfn
        except Error as error:
            yield Whatis(address, "unmapped", address, 0, str(error))
            return
        if pfn is None:
            return
        if self.kernel.part(DirectMap).address_of(pfn) == address & -PAGE:
            yield from self._elsewhere(address, pfn)
        yield from self._page(address, address & PAGE - 1, pfn)

    def _elsewhere(self, asked: int, pfn: int) -> Iterator[Whatis]:
        """What an address in the direct map is by the page's other mapping: in the image, in a vmalloc area."""
        offset = asked & PAGE - 1
        image = self.kernel.part(Virtual).in_image(pfn)
        if image is not None and image != asked & -PAGE:
            for source in (self._symbols, self._in_regions):
                yield from (replace(one, address=asked) for one in source(image + offset))
        area = self.kernel.part(VmapAreas).address_of(pfn)
        if area is not None:
            for source in (self._symbols, self._in_regions, self._of_stacks, self._vmalloc):
                yield from (replace(one, address=asked) for one in source(area + offset))

    def _page(self, asked: int, offset: int, pfn: int) -> Iterator[Whatis]:
        """What the frame is used for; an object of a slab where it is reached by another mapping."""
        kinds = self.kernel.part(PageKinds)
        place = kinds.pages.page_of(pfn)
        record = kinds.page(place) if place is not None else None
        if record is None:
            yield Whatis(asked, "page", asked - offset, offset, pfn=pfn, part="not the kernel's to give out")
            return
        if record.kind == "slab" and asked != record.virtual + offset:
            yield from self._object(asked, record.virtual + offset, pfn)
        yield self._described(asked, offset, record)

    def _described(self, asked: int, offset: int, record: PageRecord) -> Whatis:
        name, place, users = "", None, tuple[PageUser, ...]()
        if record.kind in ("shmem", "page cache", "anon") and record.mapping:
            back = self.kernel.part(ReverseMap)
            users = tuple(islice(back.users(record), MOST_USERS))
            if record.kind != "anon":
                name, place = back.file_of(record.mapping), record.index * PAGE
        return Whatis(asked, "page", record.virtual, offset, name, part=record.kind, pfn=record.pfn,
                      page=record.address, file_offset=place, users=users)  # fmt: skip

    # what is no kernel address

    def _of_processes(self, address: int) -> Iterator[Whatis]:
        """The processes that have an area there, with what is in memory of it."""
        part, areas, count = self.kernel.part(Tasks), self.kernel.part(Areas), 0
        seen = set[int]()
        for leader in part.leaders():
            task = part.living(leader)
            if not task.mm or task.mm in seen:
                continue
            seen.add(task.mm)
            area = next((one for one in areas.of(task.mm) if one.start <= address < one.end), None)
            if area is None:
                continue
            count += 1
            if count > MOST_USERS:
                return
            try:
                pfn = space_of_mm(self.kernel, task.mm).translate(address).pfn
            except Error:
                pfn = None
            yield Whatis(address, "user", area.start, address - area.start, f"{task.name}/{task.tid}",
                         part=area.path or "anonymous memory", task=leader, end=area.end, pfn=pfn)  # fmt: skip

    def _physical(self, address: int) -> Iterator[Whatis]:
        pfn = address >> 12
        if self.kernel.part(PageMap).page_of(pfn) is None:
            return
        virtual = self.kernel.part(DirectMap).address_of(pfn) + (address & PAGE - 1)
        yield Whatis(address, "physical", address & -PAGE, address & PAGE - 1, f"{virtual:x}", pfn=pfn)
        for name, source in self.sources[1:]:
            if name != "vmalloc areas":
                yield from source(virtual)


def _in_area(address: int, area: VmapArea) -> Whatis:
    guard = address >= area.end - PAGE and area.vm and NO_GUARD and "noguard" not in area.flags
    part = "guard page" if guard else " ".join(area.flags)
    return Whatis(address, "vmalloc", area.start, address - area.start, part=part, end=area.end, caller=area.caller)

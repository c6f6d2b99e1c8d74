"""What an address is: the thread, stack, page, buffer, arena segment, module or mapping that it lies in.

The sources are asked in a fixed order, each for all addresses that are looked for at once; an address that was found is
not looked for any more (unless everything that is known of it is wanted). Where a source has many ranges they are kept
sorted, so that the next question costs a search and not a walk; a dump does not change.

The order of sources and of answers is that of mdb's whatis (facts: its recorded answers); page tables are our own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.solaris import kmem_structures as km
from kdbg.kernels.solaris.buffers import Buffers
from kdbg.kernels.solaris.hat import Htable, hats
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.memory import Pages, memsegs, seg, segments
from kdbg.kernels.solaris.ranges import Ranges, Search
from kdbg.kernels.solaris.vmem import ALLOCATED, FREE, VMC_IDENTIFIER, Segment, vmem
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

T = TypeVar("T")

MOST_KEPT = 1 << 21
"""Ranges of slabs and arena segments that are kept sorted, over all caches and arenas."""
TS_FREE, TS_ONPROC = 0, 4
PANIC_STACK_SIZE = {64: 16384, 32: 8192}
"""PANICSTKSIZE of <sys/panic.h>."""
MOST_CALLERS = 16
UNINITIALIZED = 0xBADDCAFEBADDCAFE
PAGE = 4096


@dataclass(frozen=True, slots=True)
class Whatis:
    """What an address was found to be."""

    address: int
    kind: str
    """"symbol", "module", "thread", "stack", "page", "kmem", "vmem", "mapping", "page table" or "unknown"."""
    base: int
    """Where the thing begins; of a stack: its lowest address."""
    offset: int
    name: str | None = None
    """Of the symbol, the arena, the mapping."""
    module: str | None = None
    part: str | None = None
    """Of a module: "text segment" ...; of a stack: how the address lies to the stack pointer."""
    thread: int | None = None
    """Address of the thread whose stack it is."""
    start: int | None = None
    """Of the kernel's mapping in which it lies, where nothing better is known of it."""
    end: int | None = None
    cache: str | None = None
    state: str | None = None
    """"allocated" or "free"."""
    bufctl: int | None = None
    """Address of the buffer's bufctl, if its cache has them."""
    transaction: km.Bufctl | None = None
    """The last transaction of the buffer, where the cache keeps it."""
    callers: tuple[int, ...] = ()
    """Who had the buffer last, where the cache keeps that little."""
    segment: Segment | None = None
    """Of the arena."""
    htable: Htable | None = None
    """Of the page table."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is searched next: shown if asked for."""

    text: str


Answer = Whatis | Progress


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the search is done."""

    everything: bool = False
    """All that an address is, not the first only (-a)."""
    identifiers: bool = False
    """Search arenas of identifiers instead of memory (-i)."""
    bufctls: bool = False
    """Tell the bufctl where the cache keeps no history (-b)."""


@dataclass(frozen=True, slots=True)
class _Thread:
    address: int
    base: int
    stack: int
    pointer: int
    state: int


class Knowledge:
    """What is kept between questions: sorted ranges, bounded in number."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.slabs: OrderedDict[int, tuple[list[km.Slab], Ranges, str | None]] = OrderedDict()
        self.segments: OrderedDict[int, tuple[list[Segment], Ranges, str | None]] = OrderedDict()
        self._threads: tuple[list[_Thread], Ranges, str | None] | None = None
        self._caches: tuple[list[km.Cache], str | None] | None = None

    def slabs_of(self, cache: km.Cache, size: int) -> tuple[list[km.Slab], Ranges, str | None]:
        """The slabs of a cache in the walk's order, the ranges of their buffers, and what ended the walk early."""
        if cache.address not in self.slabs:
            found, stopped = _collect(kmem(self.kernel).slabs(cache.address))
            ranges = Ranges((slab.base, min(slab.base + max(size, 0), (1 << 64) - 1)) for slab in found)
            self.slabs[cache.address] = found, ranges, stopped
            self._shrink()
        return self.slabs[cache.address]

    def segments_of(self, arena: int) -> tuple[list[Segment], Ranges, str | None]:
        """The allocated and free segments of an arena likewise."""
        if arena not in self.segments:
            found, stopped = _collect(one for one in vmem(self.kernel).segments(arena) if one.type in (ALLOCATED, FREE))
            self.segments[arena] = found, Ranges((one.start, one.end) for one in found), stopped
            self._shrink()
        return self.segments[arena]

    def _shrink(self) -> None:
        for kept in (self.slabs, self.segments):
            while len(kept) > 1 and sum(len(rows[0]) for rows in kept.values()) > MOST_KEPT:
                kept.popitem(last=False)

    def caches(self) -> tuple[list[km.Cache], str | None]:
        """All caches, and what ended their walk early."""
        if self._caches is None:
            self._caches = _collect(kmem(self.kernel).caches())
        return self._caches

    def threads(self) -> tuple[list[_Thread], Ranges, str | None]:
        """All threads; ranges 2i and 2i+1 are the structure and the stack of thread i."""
        if self._threads is None:
            size = self.kernel.type("kthread_t").size
            found, stopped = _collect(_threads(self.kernel))
            ranges: list[tuple[int, int]] = []
            for thread in found:
                ranges.append((thread.address, thread.address + size))
                ranges.append((thread.base, thread.stack + 1) if thread.base else (0, 0))
            self._threads = found, Ranges(ranges), stopped
        return self._threads


def _collect(walk: Iterator[T]) -> tuple[list[T], str | None]:
    found: list[T] = []
    try:
        found.extend(walk)
    except Error as error:
        return found, str(error)
    return found, None


def _threads(kernel: Solaris) -> Iterator[_Thread]:
    """The threads in the order of the kernel's list."""
    from kdbg.kernels.solaris.lists import chain

    form = {"next": "t_next", "base": "t_stkbase", "stack": "t_stk", "sp": "t_pcb.val[1]",
            "state": "t_state"}  # fmt: skip
    layout = Layout(kernel.type("kthread_t"), form)
    first = kernel.word_at("allthreads")
    for address, found in chain(kernel, first, layout, "next", lambda at: f"failed to read thread at {at:x}"):
        pointer = found["sp"] & (1 << kernel.bits) - 1  # label_t is an array of signed numbers
        yield _Thread(address, found["base"], found["stack"], pointer, found["state"])


class Whereabouts:
    """One search: it goes through the sources and yields answers as it finds them."""

    def __init__(self, kernel: Solaris, addresses: Sequence[int], wishes: Wishes, warn: Callable[[str], None]) -> None:
        self.kernel = kernel
        self.known = kernel.part(Knowledge)
        self.search = Search(addresses, wishes.everything)
        self.wishes = wishes
        self.warn = warn

    def answers(self) -> Iterator[Answer]:
        """All answers, those that say "unknown" last."""
        sources: list[tuple[str, Callable[[], Iterator[Answer]], bool]] = [
            ("genunix`modules", self._modules, False),
            ("genunix`threads", self._stacks, False),
            ("genunix`pages", self._pages, False),
            ("genunix`kmem", self._kmem, True),
            ("genunix`vmem", self._vmem, True),
            ("mdb`mappings", self._mappings, False),
        ]
        for name, source, has_identifiers in sources:
            if self.wishes.identifiers and not has_identifiers:
                continue
            yield Progress(f"Searching {name}...")
            try:
                yield from source()
            except Error as error:  # a kernel that has no such structures; the other sources may know
                self.warn(f"{name}: {error}")
            if self.search.done:
                break
        for address in self.search.unknown():
            yield self._page_table(address) or Whatis(address, "unknown", address, 0)

    # modules

    def _modules(self) -> Iterator[Answer]:
        for module in self.kernel.bootstrap.modules:
            facts = module.facts
            parts = (
                (facts["text"], facts["text_size"], "text segment"),
                (facts["data"], facts["data_size"], "data segment"),
                (facts["bss"], facts["bss_size"], "bss segment"),
                (facts["symtbl"], facts["nsyms"] * (24 if self.kernel.bits == 64 else 16), "symtab"),
                (facts["symspace"], facts["symsize"], "symtab"),
            )
            for base, size, part in parts:
                for address in self.search.take(base, size):
                    found = Whatis(address, "module", base, address - base, module=module.name, part=part)
                    yield self._named(found)
            if self.search.done:
                return

    def _named(self, found: Whatis) -> Whatis:
        """The same with the symbol that covers the address, if there is one."""
        try:
            symbol, offset = self.kernel.target.nearest(found.address)
        except SymbolNotFound:
            return found
        if offset >= symbol.size:
            return found
        return replace(found, kind="symbol", name=symbol.name, base=symbol.address, offset=offset)

    # threads

    def _stacks(self) -> Iterator[Answer]:
        threads, ranges, stopped = self.known.threads()
        for number, address in ranges.hits(self.search.wanted()):
            thread = threads[number // 2]
            if number % 2 == 0:
                for one in self.search.take(address, 1):
                    yield Whatis(one, "thread", thread.address, one - thread.address, thread=thread.address)
                continue
            for one in self.search.take(address, 1):
                place = self._place_in_stack(thread, one)
                yield Whatis(one, "stack", thread.base, one - thread.base, thread=thread.address, part=place)
        if stopped is not None and not self.search.done:
            self.warn(stopped)

    def _place_in_stack(self, thread: _Thread, address: int) -> str:
        if thread.state == TS_FREE:
            return " (inactive interrupt thread)"
        try:
            start = self.kernel.symbol("panic_stack").address
        except Error:
            start = -1
        if 0 <= start <= thread.pointer < start + PANIC_STACK_SIZE[self.kernel.bits] or address >= thread.pointer:
            return ""
        return " (possibly below sp)" if thread.state == TS_ONPROC else " (below sp)"

    # pages

    def _pages(self) -> Iterator[Answer]:
        size = self.kernel.part(Pages).page_size
        try:
            for segment in memsegs(self.kernel):
                for address in self.search.take(segment.pages, segment.epages - segment.pages):
                    offset = (address - segment.pages) % size
                    yield Whatis(address, "page", address - offset, offset)
                if self.search.done:
                    return
        except StoppedError as stop:
            self.warn(str(stop))

    # kmem

    def _kmem(self) -> Iterator[Answer]:
        try:
            metadata = self.kernel.word_at("kmem_msb_arena")
        except Error as error:
            self.warn(f'unable to readvar "kmem_msb_arena": {error.reason}')
            metadata = 0
        caches, stopped = self.known.caches()
        passes: tuple[Callable[[km.Cache], bool], ...] = (
            lambda cache: cache.arena != metadata and not cache.cflags & km.KMC_NOTOUCH,
            lambda cache: cache.arena == metadata,
            lambda cache: cache.arena != metadata and bool(cache.cflags & km.KMC_NOTOUCH),
        )
        for chosen in passes:
            for cache in caches:
                # A pass that found everything ends; the next one goes on to name its first cache, as mdb does.
                if chosen(cache):
                    if bool(cache.flags & km.KMC_IDENTIFIER) != self.wishes.identifiers:
                        continue
                    ended = yield from self._cache(cache)
                    if ended:
                        break
            if stopped is not None:
                self.warn(stopped)

    def _cache(self, cache: km.Cache) -> Generator[Answer, None, bool]:
        """Search one cache; the value says whether its pass ends here."""
        yield Progress(f"Searching {cache.name}...")
        allocator = kmem(self.kernel)
        size = cache.slabsize - cache.maxcolor - (0 if cache.hashed else allocator.slab_size)
        slabs, ranges, stopped = self.known.slabs_of(cache, size)
        hits = ranges.hits(self.search.wanted())
        if cache.chunksize and size // cache.chunksize > 2 and not hits:
            if stopped is not None:
                self.warn(stopped)
            return False
        found = Buffers(allocator, cache, slabs, self.warn)
        try:
            found.open()
        except StoppedError as stop:
            self.warn(str(stop))
            walk = "bufctl" if cache.hashed and (cache.audited or self.wishes.bufctls) else "kmem"
            self.warn(f"can't find {walk} walker: failed to initialize walk")
            return True
        yield from self._buffers(cache, found.allocated(hits), "allocated")
        if self.search.done:
            return True
        yield Progress(f"Searching {cache.name} for free memory...")
        yield from self._buffers(cache, found.free(hits), "free")
        return self.search.done

    def _buffers(self, cache: km.Cache, found: list[tuple[int, km.Buffer]], state: str) -> Iterator[Answer]:
        allocator = kmem(self.kernel)
        audited = cache.hashed and cache.audited
        for address, buffer in found:
            transaction: km.Bufctl | None = None
            callers: tuple[int, ...] = ()
            if audited:
                with suppress(ReadError):
                    transaction = allocator.audit(buffer.bufctl)
            elif cache.flags & km.KMF_LITE:
                callers = self._callers(cache, buffer.address)
            for one in self.search.take(address, 1):
                yield Whatis(
                    one,
                    "kmem",
                    buffer.address,
                    one - buffer.address,
                    cache=cache.name,
                    state=state,
                    bufctl=buffer.bufctl if cache.hashed else None,
                    transaction=transaction,
                    callers=callers,
                )

    def _callers(self, cache: km.Cache, buffer: int) -> tuple[int, ...]:
        """Who had a buffer of a KMF_LITE cache last, newest first; nothing where its tag is not whole."""
        kernel, word = self.kernel, self.kernel.bits // 8
        try:
            count = kernel.word_at("kmem_lite_count")
            if not 0 < count <= MOST_CALLERS:
                return ()
            at = buffer + cache.buftag_at
            tag = kernel.load("kmem_buftag_t", at)
            state = (int(tag.bt_bufctl) ^ tag.bt_bxstat) & (1 << kernel.bits) - 1
            if state not in (km.BUFTAG_ALLOCATED, km.BUFTAG_FREE):
                return ()
            history = at + kernel.type("kmem_buftag_lite_t").member("bt_history").offset
            callers = memoryview(kernel.memory.read(history, count * word)).cast("Q" if word == 8 else "I").tolist()
        except Error:
            return ()
        unset = UNINITIALIZED & (1 << kernel.bits) - 1
        return tuple(takewhile(lambda caller: caller != unset, callers))

    # vmem

    def _vmem(self) -> Iterator[Answer]:
        try:
            arenas = list(vmem(self.kernel).arenas(postfix=True))
        except StoppedError as stop:
            self.warn(str(stop))
            self.warn("couldn't find vmem_postfix walker: failed to initialize walk")
            return
        for arena in arenas:
            if bool(arena.cflags & VMC_IDENTIFIER) != self.wishes.identifiers:
                continue
            yield Progress(f"Searching vmem arena {arena.name}...")
            found, ranges, stopped = self.known.segments_of(arena.address)
            for number, address in ranges.hits(self.search.wanted()):
                segment = found[number]
                state = "allocated" if segment.type == ALLOCATED else "free"
                for one in self.search.take(address, 1):
                    offset = one - segment.start
                    yield Whatis(one, "vmem", segment.start, offset, name=arena.name, state=state, segment=segment)
            if self.search.done:
                return
            if stopped is not None:
                self.warn(stopped)

    # mappings, page tables

    def _mappings(self) -> Iterator[Answer]:
        try:
            for address in segments(self.kernel, self.kernel.symbol("kas").address):
                found = seg(self.kernel, address)
                for one in self.search.take(found.base, found.size):
                    mapping = self._page_table(one) or Whatis(one, "mapping", found.base, one - found.base)
                    end = found.base + found.size
                    yield replace(mapping, name=self._segment_name(address), start=found.base, end=end)
        except Error as error:
            self.warn(str(error))

    def _segment_name(self, address: int) -> str:
        try:
            symbol, offset = self.kernel.target.nearest(address)
        except SymbolNotFound:
            offset = -1
        return symbol.name if offset == 0 else f"{address:x}"

    def _page_table(self, address: int) -> Whatis | None:
        """The page table that the address lies in, if its page is one."""
        if self.wishes.identifiers:
            return None
        try:
            pfn = self.kernel.space.translate(address).pfn
            table = None if pfn is None else hats(self.kernel).tables_by_frame.get(pfn)
        except Error:
            return None
        if table is None:
            return None
        base = address & -PAGE
        return Whatis(address, "page table", base, address - base, htable=table)

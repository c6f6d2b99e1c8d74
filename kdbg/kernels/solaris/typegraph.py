"""What type the kernel's allocated memory has, inferred: each buffer is a node, each pointer in it an edge.

Types are known of threads, of module structures and of a few caches; where a pointer member of a known type leads to
the start of another buffer, that buffer has the type that the member points to, unless another member says otherwise.
So mdb's ::typegraph begins too (its first pass, and its table of caches); its further passes, which guess arrays and
interpret what is left, are not made here.

Source: typegraph.c of mdb's genunix module; kmem_cache_t, vmem_t, struct module.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kdbg.errors import Error, TypeNotFound
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.vmem import ALLOCATED, vmem
from kdbg.symbols.model import Kind, Type
from kdbg.symbols.table import STT_OBJECT

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

Warn = Callable[[str], None]
Say = Callable[[str, object], None]

ARENAS = ("kmem_default", "kmem_firewall")
"""Arenas whose caches hold the kernel's structures."""
OVERSIZE = "kmem_oversize"
CACHES = {
    "streams_mblk": "mblk_t", "seg_cache": "struct seg", "segvn_cache": "struct segvn_data",
    "anon_cache": "struct anon", "ufs_inode_cache": "inode_t", "hme_cache": "struct hment", "queue_cache": "queinfo_t",
    "sock_cache": "struct sonode", "ire_cache": "ire_t",
}  # fmt: skip
"""Caches whose contents are known by their name."""
HANDLES = {"dev_info_t": "struct dev_info", "ddi_dma_handle_t": "ddi_dma_impl_t *"}
"""Types that are handles for others."""
RECORDS = (Kind.STRUCT, Kind.UNION)
MOST_POINTERS = 4096
"""Pointers of one type that are followed."""
MOST_BYTES = 1 << 20
"""Of one buffer or variable that are looked at."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a pointer says of the buffer that it leads to."""

    type: Type
    declared: Type
    """As the member declares it."""
    offset: int
    """Where in the buffer it points."""
    source: int
    """Start of the buffer or variable that holds the pointer."""
    source_offset: int
    source_type: Type
    member: str


@dataclass(slots=True)
class Node:
    """An allocated piece of memory."""

    base: int
    limit: int
    known: Type | None = None
    guesses: list[Guess] = field(default_factory=list)
    """Of its start, one for each type."""
    fragments: list[Guess] = field(default_factory=list)
    """Of places within it."""


class TypeGraph:
    """The graph of one kernel: empty until `build`."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.built = False
        self._nodes: list[Node] = []
        self._bases: list[int] = []
        self._pointers: dict[Type, tuple[tuple[int, Type, str], ...]] = {}
        self._width = kernel.bits // 8

    def node(self, address: int) -> Node | None:
        """The node that an address lies in."""
        at = bisect_right(self._bases, address) - 1
        if at >= 0 and address < self._nodes[at].limit:
            return self._nodes[at]
        return None

    # building

    def build(self, say: Say, warn: Warn) -> None:
        """Make the nodes and infer their types. Raises `TypeNotFound` where the kernel lacks a type that it needs."""
        say("pass", "initial")
        for name in HANDLES:
            for one in (name, HANDLES[name]):
                self._type(one)
        say("maximum nodes", self._estimate(warn))
        self._nodes = sorted(self._make_nodes(warn), key=lambda node: node.base)
        self._bases = [node.base for node in self._nodes]
        say("actual nodes", len(self._nodes))
        thread = self._needed("kthread_t")
        for found in self.kernel.threads():
            if (node := self.node(found.address)) is not None:
                node.known = thread
        self._needed("ekstat_t")
        module = self._type("struct module")
        for image in self.kernel.bootstrap.modules:
            if module is not None and (node := self.node(image.address)) is not None:
                node.known = module
        self.built = True
        self.infer()
        say("known nodes", sum(1 for node in self._nodes if node.known is not None))
        say("inferred nodes", sum(1 for node in self._nodes if node.known is None and node.guesses))
        say("unknown nodes", sum(1 for node in self._nodes if node.known is None and not node.guesses))

    def _type(self, name: str) -> Type | None:
        try:
            return self.kernel.type(name)
        except TypeNotFound:
            return None

    def _needed(self, name: str) -> Type:
        try:
            return self.kernel.type(name)
        except TypeNotFound as error:
            raise TypeNotFound(name, f"couldn't find '{name}': {error.reason}") from None

    def _caches(self) -> Iterator[int]:
        """Addresses of the caches whose buffers are nodes."""
        memory = kmem(self.kernel)
        arenas = vmem(self.kernel)
        for cache in memory.caches():
            if arenas.arena(cache.arena).name in ARENAS:
                yield cache.address

    def _estimate(self, warn: Warn) -> int:
        memory = kmem(self.kernel)
        total = 0
        for address in self._caches():
            cache = memory.cache(address)
            count = cache.buftotal
            for slab in memory.partial_slabs(address):
                count -= slab.chunks - slab.refcnt
            total += max(count - cache.full_total * memory.magazine_size(cache, warn), 0)
        total += sum(image.facts.get("nsyms", 0) for image in self.kernel.bootstrap.modules)
        for arena in vmem(self.kernel).arenas():
            if arena.name == OVERSIZE:
                total += self._in_use(arena.address)
        return total

    def _in_use(self, arena: int) -> int:
        """Allocations of an arena less those that were given back, as its statistics have them."""
        counters = self.kernel.at("vmem_t", arena).vm_kstat
        return int(counters.vk_alloc.value.ui64) - int(counters.vk_free.value.ui64)

    def _make_nodes(self, warn: Warn) -> Iterator[Node]:
        arenas, memory = vmem(self.kernel), kmem(self.kernel)
        for arena in arenas.arenas():
            if arena.name == OVERSIZE:
                for segment in arenas.segments(arena.address):
                    if segment.type == ALLOCATED:
                        yield Node(segment.start, segment.end)
        for address in self._caches():
            cache = memory.cache(address)
            known = self._type(CACHES[cache.name]) if cache.name in CACHES else None
            for buffer in memory.allocated(address, warn):
                yield Node(buffer.address, buffer.address + cache.bufsize, known)

    # inferring

    def infer(self) -> None:
        """Infer all types anew from those that are known."""
        waiting: deque[tuple[int, int, Type]] = deque()
        for node in self._nodes:
            node.guesses.clear()
            node.fragments.clear()
            if node.known is not None:
                waiting.append((node.base, node.limit, node.known))
        for symbol in self.kernel.symbols:
            if symbol.type == STT_OBJECT and self._width <= symbol.size:
                try:
                    waiting.append((symbol.address, symbol.address + symbol.size, self.kernel.type_of(symbol)))
                except Error:
                    continue
        while waiting:
            base, limit, type_ = waiting.popleft()
            for node, guess in self._leads(base, limit, type_):
                if self._note(node, guess) and node.known is None:
                    waiting.append((node.base, node.limit, guess.type))

    def _note(self, node: Node, guess: Guess) -> bool:
        """Add a guess; whether it says something new of the buffer's start."""
        known = node.fragments if guess.offset else node.guesses
        if any(one.type is guess.type and one.offset == guess.offset for one in known):
            return False
        known.append(guess)
        return not guess.offset

    def _leads(self, base: int, limit: int, type_: Type) -> Iterator[tuple[Node, Guess]]:
        """Where the pointers of a typed piece of memory lead."""
        try:
            resolved = type_.resolved
            pointers, size = self._pointers_of(resolved), min(resolved.size, limit - base, MOST_BYTES)
            data = self.kernel.memory.read(base, size) if pointers and size > 0 else b""
        except Error:
            return
        form = struct.Struct("<Q" if self._width == 8 else "<I")
        for offset, declared, member in pointers:
            if offset + self._width > len(data):
                continue
            (value,) = form.unpack_from(data, offset)
            node = self.node(value) if value else None
            if node is None:
                continue
            pointed = declared.resolved
            if pointed.size <= node.limit - value:
                yield node, Guess(pointed, declared, value - node.base, base, offset, type_, member)

    def _pointers_of(self, type_: Type) -> tuple[tuple[int, Type, str], ...]:
        """(offset, what it points to, member) of all pointers in a type that lead to something with a size."""
        found = self._pointers.get(type_)
        if found is None:
            pointers: list[tuple[int, Type, str]] = []
            self._collect(type_, 0, "", pointers, 0)
            found = self._pointers[type_] = tuple(pointers)
        return found

    def _collect(self, type_: Type, offset: int, name: str, found: list[tuple[int, Type, str]], depth: int) -> None:
        base = self._handle(type_).resolved
        if depth > 32 or len(found) >= MOST_POINTERS:
            return
        if base.kind is Kind.POINTER and base.reference is not None:
            target = self._handle(base.reference)
            if target.resolved.kind in (*RECORDS, Kind.POINTER) and target.size > 0:
                found.append((offset, target, name))
        elif base.kind in RECORDS:
            for member in base.members:
                self._collect(member.type, offset + member.offset, member.name or name, found, depth + 1)
        elif base.kind is Kind.ARRAY and base.reference is not None:
            size = base.reference.size
            for index in range(min(base.count, MOST_POINTERS - len(found)) if size else 0):
                self._collect(base.reference, offset + index * size, name, found, depth + 1)

    def _handle(self, type_: Type) -> Type:
        """What a handle stands for."""
        meant = HANDLES.get(type_.name)
        return (self._type(meant) if meant else None) or type_

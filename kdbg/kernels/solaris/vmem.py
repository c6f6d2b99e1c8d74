"""The arena allocator: arenas, and the segments that they are made of.

An arena's segments form a ring through vm_seg0: spans, and in each the allocated and free parts. Arenas import from
their source, so they form a tree. Source: <sys/vmem_impl.h>, <sys/vmem.h>.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.lists import Guard, StoppedError
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

ALLOCATED, FREE, SPAN, ROTOR, WALKER = 0x01, 0x02, 0x10, 0x20, 0x40
"""vs_type (VMEM_ALLOC ...)."""
TYPE_NAMES = {ALLOCATED: "ALLC", FREE: "FREE", SPAN: "SPAN", ROTOR: "ROTR", WALKER: "WLKR"}
VMC_IDENTIFIER = 0x00040000
STACK_DEPTH = 20
MOST_ARENAS = 1 << 16

_ARENA = {
    "name": "vm_name", "cflags": "vm_cflags", "quantum": "vm_quantum", "source": "vm_source", "next": "vm_next",
    "in_use": "vm_kstat.vk_mem_inuse.value.ui64", "total": "vm_kstat.vk_mem_total.value.ui64",
    "succeeded": "vm_kstat.vk_alloc.value.ui64", "failed": "vm_kstat.vk_fail.value.ui64",
}  # fmt: skip
_SEGMENT = {
    "start": "vs_start", "end": "vs_end", "next": "vs_anext", "type": "vs_type", "depth": "vs_depth",
    "thread": "vs_thread", "timestamp": "vs_timestamp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Arena:
    """A vmem_t."""

    address: int
    name: str
    cflags: int
    quantum: int
    source: int
    next: int
    in_use: int
    total: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A vmem_seg_t."""

    address: int
    start: int
    end: int
    next: int
    type: int
    depth: int
    thread: int
    timestamp: int
    stack: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes, or numbers of an identifier arena."""
        return self.end - self.start

    @property
    def type_name(self) -> str:
        """ALLC, FREE, SPAN, ROTR, WLKR or ????."""
        return TYPE_NAMES.get(self.type, "????")

    @property
    def audited(self) -> bool:
        """Whether thread, time and stack say something: of allocated segments, and only if they were recorded."""
        return self.type == ALLOCATED and 0 < self.depth <= STACK_DEPTH


class Vmem:
    """The arenas of one kernel."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.read = kernel.memory.read
        arena = kernel.type("vmem_t")
        self._arena = Layout(arena, _ARENA)
        segment = kernel.type("vmem_seg_t")
        self._segment = Layout(segment, _SEGMENT)
        self._seg0_at = arena.member("vm_seg0").offset
        self._stack_at = segment.member("vs_stack").offset
        self._word = kernel.bits // 8
        self._mask = (1 << kernel.bits) - 1
        self._used = self._segment.size
        """Bytes of a segment that this kernel keeps: without auditing the tail is not there."""
        with suppress(Error):
            self._used = min(self._used, kernel.word_at("vmem_seg_size") or self._used)

    def arena(self, address: int) -> Arena:
        """The arena at an address. Raises `ReadError`."""
        return Arena(address=address, **self._arena.read(self.read, address))

    def segment(self, address: int) -> Segment:
        """The segment at an address: all of its structure is read. Raises `ReadError`."""
        return self._segment_from(self.read(address, self._segment.size), address)

    def _segment_from(self, data: bytes, address: int) -> Segment:
        found = self._segment.unpack(data)
        depth = found["depth"]
        count = depth if depth <= STACK_DEPTH else 0
        stack = memoryview(data)[self._stack_at : self._stack_at + count * self._word]
        found["timestamp"] &= (1 << 64) - 1
        return Segment(address=address, stack=tuple(stack.cast("Q" if self._word == 8 else "I")), **found)

    def segments(self, arena: int) -> Iterator[Segment]:
        """All segments of an arena, from vm_seg0 round to it. Raises `StoppedError`."""
        start = at = arena + self._seg0_at & self._mask
        guard = Guard("vmem_seg")
        while True:
            try:
                data = self.read(at, self._used).ljust(self._segment.size, b"\0")
            except ReadError as error:
                raise StoppedError(f"couldn't read vmem_seg at {at:x}", True, at, error.reason) from None
            segment = self._segment_from(data, guard(at))
            yield segment
            at = segment.next
            if at == start:
                return

    # the tree

    def _listed(self) -> list[Arena]:
        try:
            at = self.kernel.word_at("vmem_list")
        except Error as error:
            raise StoppedError("couldn't read 'vmem_list'", False, 0, error.reason) from None
        found: list[Arena] = []
        guard = Guard("vmem_t", MOST_ARENAS)
        while at:
            try:
                found.append(self.arena(guard(at)))
            except ReadError as error:
                raise StoppedError(f"couldn't read vmem_t at {at:x}", False, at, error.reason) from None
            except StoppedError as stop:
                raise StoppedError(str(stop), False, at) from None
            at = found[-1].next
        return found

    def _tree(self) -> tuple[dict[int, Arena], dict[int, list[int]]]:
        """Arenas by address, and the children of each; those of 0 are the roots."""
        listed = self._listed()
        known = {arena.address: arena for arena in listed}
        children: dict[int, list[int]] = {address: [] for address in (0, *known)}
        for arena in listed:
            if arena.source not in children:
                text = f"couldn't find {arena.address:x}'s parent ({arena.source:x})"
                raise StoppedError(text, False, arena.address)
            children[arena.source].append(arena.address)
        return known, children

    def arenas(self, start: int = 0, postfix: bool = False) -> Iterator[Arena]:
        """All arenas as a tree: parents first, or (``postfix``) last; siblings in the list's order.

        ``start``: an arena of the tree to begin with, where it stands. Raises `StoppedError`.
        """
        known, children = self._tree()
        if postfix:
            order = _postfix(start if start in known else 0, known, children)
        else:
            order = list(_prefix(children))
            if start in known:
                order = order[order.index(start) :]
        return (known[address] for address in order)


def _prefix(children: dict[int, list[int]]) -> Iterator[int]:
    waiting = children[0][::-1]
    while waiting:
        at = waiting.pop()
        yield at
        waiting.extend(reversed(children[at]))


def _postfix(start: int, known: dict[int, Arena], children: dict[int, list[int]]) -> list[int]:
    """Arenas, children first. Begun in the middle, it meets what stood before the start when the parent comes.

    It goes down by first children that were not visited, and on by siblings, visited or not.
    """
    if not children[0]:
        return []
    at, order, visited = start or children[0][0], list[int](), set[int]()
    following = {one: other for row in children.values() for one, other in pairwise(row)}
    while len(order) < 4 * len(known):
        if at in visited:
            above = following.get(at, known[at].source)
            if not above:
                break
            at = above
        while children[at] and children[at][0] not in visited:
            at = children[at][0]
        visited.add(at)
        order.append(at)
    return order


def vmem(kernel: Solaris) -> Vmem:
    """The arenas of a kernel, made once."""
    return kernel.part(Vmem)

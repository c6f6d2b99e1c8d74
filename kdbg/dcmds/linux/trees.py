"""What Linux kernels keep things in: lists, red-black trees, xarrays, maple trees; as commands and as walkers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import REQUIRED, Call, Table, View, Walk, WalkError, dcmd, walker
from kdbg.errors import CommandError, Error, TypeNotFound, UsageError
from kdbg.kernels.linux.lists import nodes, offset_of
from kdbg.kernels.linux.maple import Maple
from kdbg.kernels.linux.trees import in_order
from kdbg.kernels.linux.xarrays import entries
from kdbg.records import Address

MODULE = "linux"


def _start(walk: Walk) -> int:
    if walk.start is None:
        raise WalkError(f"a walk of a {walk.name} needs the address of one")
    return walk.start


@walker("list", "the elements of the list whose list_head is at the address", module=MODULE)
def walk_list(walk: Walk) -> Iterator[int]:
    """The list_heads behind the one at the address."""
    yield from nodes(walk.kernel, _start(walk), "list")


@walker("rbtree", "the nodes of the red-black tree whose rb_root is at the address, in order", module=MODULE)
def walk_rbtree(walk: Walk) -> Iterator[int]:
    """The rb_nodes below a struct rb_root or rb_root_cached: its first member leads to the topmost one."""
    start = _start(walk)
    try:
        root = walk.kernel.word(start)
    except Error as error:
        raise WalkError(f"rbtree at {start:x}: {error}") from None
    yield from in_order(walk.kernel, root, "rbtree")


@walker("xarray", "the entries of the xarray (or radix tree) at the address", module=MODULE)
def walk_xarray(walk: Walk) -> Iterator[int]:
    """The pointers in it; numbers that are stored by themselves are left out."""
    start = _start(walk)
    try:
        yield from (entry for _, entry in entries(walk.kernel, start, "xarray") if not entry & 1)
    except Error as error:
        raise WalkError(f"xarray at {start:x}: {error}") from None


@walker("maple", "the entries of the maple tree at the address", module=MODULE)
def walk_maple(walk: Walk) -> Iterator[int]:
    """The pointers in it, each once."""
    start = _start(walk)
    try:
        yield from Maple(walk.kernel).entries(start)
    except Error as error:
        raise WalkError(f"maple tree at {start:x}: {error}") from None


@dcmd(
    "rbtree",
    "list the structures in a red-black tree",
    address=REQUIRED,
    synopsis="[type member]",
    words=None,
    needs=("kernel",),
    module=MODULE,
    text=lambda record, view: f"{record.address:0{view.pointer_width}x}",
    help="The address is that of a struct rb_root or rb_root_cached. With the type of the structures in it and the "
    "member by which they hang there (a path a.b) the structures' addresses are shown, else those of the nodes.",
    example="merged_cfs::rbtree 'struct sched_entity' run_node",
)
def rbtree(call: Call) -> Iterator[Address]:
    """The structures of a tree in their order."""
    offset = _offset(call)
    try:
        root = call.kernel.word(call.address)
    except Error as error:
        raise CommandError(f"rbtree at {call.address:x}: {error}") from None
    for node in in_order(call.kernel, root, "rbtree"):
        yield Address(node - offset)


def _offset(call: Call) -> int:
    """Where the node lies in the structure that the words name. Raises `UsageError`, `CommandError`."""
    words = [str(word) for word in call.words]
    if not words:
        return 0
    if len(words) < 2:
        raise UsageError("")
    try:
        return offset_of(call.kernel.type(" ".join(words[:-1])), words[-1])
    except TypeNotFound as error:
        raise CommandError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Slot:
    """What a tree holds for an index or a range of them."""

    address: int
    """What is stored: an address, or where bit 0 is set a number above it."""
    first: int
    last: int


class SlotTable(Table):
    """Entries with their indexes."""

    __slots__ = ()

    def heading(self, view: View) -> str:
        """The headings."""
        width = view.pointer_width
        return f"{'FIRST':>{width}} {'LAST':>{width}} ENTRY"

    def row(self, record: Slot, view: View) -> str:
        """An entry."""
        width = view.pointer_width
        entry = f"{record.address:0{width}x}" if not record.address & 1 else f"value {record.address >> 1:x}"
        return f"{record.first:>{width}x} {record.last:>{width}x} {entry}"


@dcmd("xarray", "list what an xarray holds", address=REQUIRED, needs=("kernel",), module=MODULE, table=SlotTable(),
      help="Indexes and entries of the struct xarray (before 4.20 radix_tree_root) at the address.",
      example="irq_desc_tree::xarray")  # fmt: skip
def xarray(call: Call) -> Iterator[Slot]:
    """The entries by index."""
    try:
        for index, entry in entries(call.kernel, call.address, "xarray"):
            yield Slot(entry, index, index)
    except Error as error:
        raise CommandError(f"xarray at {call.address:x}: {error}") from None


@dcmd("maple", "list what a maple tree holds", address=REQUIRED, needs=("kernel",), module=MODULE, table=SlotTable(),
      help="Ranges of indexes and their entries of the struct maple_tree at the address.",
      example="sparse_irqs::maple")  # fmt: skip
def maple(call: Call) -> Iterator[Slot]:
    """The entries by range."""
    try:
        for first, last, entry in Maple(call.kernel).ranges(call.address):
            yield Slot(entry, first, last)
    except Error as error:
        raise CommandError(f"maple tree at {call.address:x}: {error}") from None

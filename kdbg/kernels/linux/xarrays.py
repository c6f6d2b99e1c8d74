"""XArrays of a Linux kernel, and the radix trees that they were up to 4.19, bounded.

Source: include/linux/xarray.h: a pointer to a node has 2 in its lowest bits, any other entry is what is stored; a
node's ``shift`` tells how many bits of the index its slots' places stand above. include/linux/radix-tree.h of 4.7 to
4.19: pointers to nodes have 1 there, and a slot that only repeats another one points to that slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, TypeNotFound
from kdbg.symbols.model import Type
from kdbg.symbols.value import Value

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_NODES = 1 << 20
LOWEST_NODE = 4096


@dataclass(frozen=True, slots=True)
class _Form:
    """How a tree's root and nodes are declared, and how a pointer to a node is marked."""

    root: Type
    top: str
    node: Type
    mark: int

    def is_node(self, entry: int) -> bool:
        return entry & 3 == self.mark and entry > LOWEST_NODE

    def repeats(self, entry: int, node: int) -> bool:
        """Whether a slot of the node at an address only repeats another one."""
        if self.mark == 2:
            return entry & 3 == 2 and entry <= LOWEST_NODE
        return entry & 3 == self.mark and node <= entry < node + self.node.size


def _form(kernel: Linux) -> _Form:
    try:
        return _Form(kernel.type("struct xarray"), "xa_head", kernel.type("struct xa_node"), 2)
    except TypeNotFound:
        return _Form(kernel.type("struct radix_tree_root"), "rnode", kernel.type("struct radix_tree_node"), 1)


def entries(kernel: Linux, array: int, what: str) -> Iterator[tuple[int, int]]:
    """(index, entry) of the xarray at an address, ascending. Raises `Error` where it cannot be read."""
    form = kernel.part(_form)
    root = int(Value(kernel.memory, form.root, array)[form.top])
    if not form.is_node(root):
        if root:
            yield 0, root
        return
    seen, stack = set[int](), [(root, 0)]
    while stack:
        entry, base = stack.pop()
        if not form.is_node(entry):
            yield base, entry
            continue
        address = entry - form.mark
        if address in seen or len(seen) > MOST_NODES:
            kernel.target.note(f"{what}: the tree leads back to {address:x}")
            continue
        seen.add(address)
        try:
            node = Value(kernel.memory, form.node, address).load()
            shift = int(node.shift)
            slots = [int(slot) for slot in node.slots]
        except Error as error:
            kernel.target.note(f"{what}: node {address:x}: {error}")
            continue
        if shift >= kernel.bits:
            kernel.target.note(f"{what}: node {address:x}: its slots stand {shift} bits apart")
            continue
        kept = ((at, slot) for at, slot in enumerate(slots) if slot and not form.repeats(slot, address))
        stack.extend(reversed([(slot, base + (at << shift)) for at, slot in kept]))

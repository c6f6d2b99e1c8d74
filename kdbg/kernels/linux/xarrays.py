"""XArrays of a Linux kernel (radix trees since 4.20), bounded.

Source: include/linux/xarray.h: a pointer to a node has 2 in its lowest bits, any other entry is what is stored; a
node's ``shift`` tells how many bits of the index its slots' places stand above.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.symbols.value import Value

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_NODES = 1 << 20


def entries(kernel: Linux, array: int, what: str) -> Iterator[tuple[int, int]]:
    """(index, entry) of the xarray at an address, ascending. Raises `Error` where it cannot be read."""
    root = int(kernel.at("struct xarray", array).xa_head)
    if not _is_node(root):
        if root:
            yield 0, root
        return
    node_type, seen = kernel.type("struct xa_node"), set[int]()
    stack = [(root, 0)]
    while stack:
        entry, base = stack.pop()
        if not _is_node(entry):
            yield base, entry
            continue
        address = entry - 2
        if address in seen or len(seen) > MOST_NODES:
            kernel.target.note(f"{what}: the tree leads back to {address:x}")
            continue
        seen.add(address)
        try:
            node = Value(kernel.memory, node_type, address).load()
            shift = node.shift
            slots = [int(slot) for slot in node.slots]
        except Error as error:
            kernel.target.note(f"{what}: node {address:x}: {error}")
            continue
        found = [(slot, base + (at << shift)) for at, slot in enumerate(slots) if slot and not _is_sibling(slot)]
        stack.extend(reversed(found))


def _is_node(entry: int) -> bool:
    return entry & 3 == 2 and entry > 4096


def _is_sibling(entry: int) -> bool:
    """Whether a slot only repeats another one: an internal entry that is no pointer."""
    return entry & 3 == 2 and entry <= 4096

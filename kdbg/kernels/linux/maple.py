"""Maple trees of a Linux kernel (6.1 on), bounded: ranges of indexes, and what is stored for each.

Source: include/linux/maple_tree.h (struct maple_tree, maple_range_64, maple_arange_64: nodes of 256 bytes, whose
addresses hold their type in bits 3 to 6), lib/maple_tree.c (a pivot is the highest index of its slot; what has 2 in its
lowest bits is no entry but a node or a mark).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.symbols.value import Value

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_DEPTH = 32
LOWEST_NODE = 4096
"""Below it entries that look like nodes are marks."""
_FORMS = {"maple_leaf_64": "struct maple_range_64", "maple_range_64": "struct maple_range_64",
          "maple_arange_64": "struct maple_arange_64", "maple_dense": "struct maple_node"}  # fmt: skip
_LEAVES = ("maple_leaf_64", "maple_dense")


class Maple:
    """Walks maple trees of one kernel. Raises `TypeNotFound` where it has none."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        types = dict(kernel.type("enum maple_type").enumerators)
        self._forms = {number: kernel.type(_FORMS[name]) for name, number in types.items() if name in _FORMS}
        self._leaves = {number for name, number in types.items() if name in _LEAVES}
        self._seen = set[int]()

    def entries(self, tree: int) -> Iterator[int]:
        """What the tree at an address holds, in order of the indexes; one entry that spans several comes once."""
        return (entry for _, _, entry in self.ranges(tree) if not entry & 3)

    def ranges(self, tree: int) -> Iterator[tuple[int, int, int]]:
        """(first index, last index, entry) of what the tree at an address holds, ascending."""
        root, most = int(self.kernel.at("struct maple_tree", tree).ma_root), (1 << self.kernel.bits) - 1
        if root & 3 == 2 and root > LOWEST_NODE:
            yield from self._below(root, 0, most, 0)
        elif root:
            yield 0, 0, root

    def _below(self, entry: int, least: int, most: int, depth: int) -> Iterator[tuple[int, int, int]]:
        node, kind = entry & ~0xFF, entry >> 3 & 15
        form, note = self._forms.get(kind), self.kernel.target.note
        if form is None or depth > MOST_DEPTH or node in self._seen:
            note(f"maple tree: {entry:x} is no node of a tree; what is below it is left out")
            return
        self._seen.add(node)
        try:
            value = Value(self.kernel.memory, form, node).load()
        except ReadError as error:
            note(f"maple tree: node {node:x}: {error.reason}")
            return
        pivots = list(value.pivot) if value.has("pivot") else []
        for at, slot in enumerate(int(one) for one in value.slot):
            # 0 behind the first slot, or the node's own limit, ends the node; dense nodes have an index a slot.
            last = pivots[at] if at < len(pivots) else most if pivots else least
            if at and at < len(pivots) and not last:
                last = most
            last = min(last, most)
            if kind in self._leaves:
                if slot and not (slot & 3 == 2 and slot <= LOWEST_NODE):
                    yield least, last, slot
            elif slot > LOWEST_NODE:  # only the root is marked as a node
                yield from self._below(slot, least, last, depth + 1)
            if last >= most:
                return
            least = last + 1

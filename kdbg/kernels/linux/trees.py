"""Red-black trees of a Linux kernel, bounded.

Source: include/linux/rbtree_types.h (struct rb_node: __rb_parent_color, rb_right, rb_left).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import ReadError

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST = 4_000_000


def in_order(kernel: Linux, root: int, what: str) -> Iterator[int]:
    """Addresses of the rb_nodes below a root, in their order. What cannot be read, or comes twice, is noted."""
    right, left = 1, 2
    word, seen, stack, at = kernel.bits // 8, set[int](), list[int](), root
    note = kernel.target.note

    def child(node: int, number: int) -> int:
        try:
            return kernel.word(node + number * word)
        except ReadError as error:
            note(f"{what}: tree node {node:x}: {error.reason}")
            return 0

    while at or stack:
        while at:
            if at in seen or len(seen) > MOST:
                note(f"{what}: the tree leads back to {at:x}")
                break
            seen.add(at)
            stack.append(at)
            at = child(at, left)
        if not stack:
            return
        node = stack.pop()
        yield node
        at = child(node, right)

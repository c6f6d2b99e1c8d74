"""Where the descriptors of a Linux kernel's interrupts lie: struct irq_desc by number.

They hang in ``irq_desc_tree``, a radix tree (xarray), since 6.5 in the maple tree ``sparse_irqs``; without
CONFIG_SPARSE_IRQ they are the array ``irq_desc`` (kernel/irq/irqdesc.c). In kernels whose data has no names the tree is
looked for in the image's data: the topmost node of either kind knows the tree that it belongs to (xa_node.array of
include/linux/xarray.h; a maple node's parent is its tree with bit 0 set, lib/maple_tree.c).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.lists import offset_of
from kdbg.kernels.linux.maple import Maple
from kdbg.kernels.linux.xarrays import entries

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_INTERRUPTS = 1 << 20
LEAST = 2
"""A tree with fewer entries is not taken for that of interrupts."""
WINDOW = 1 << 20


def descriptors(kernel: Linux) -> dict[int, int]:
    """Number of each interrupt -> address of its irq_desc. Raises `Error`."""
    return kernel.part(_descriptors)


def _descriptors(kernel: Linux) -> dict[int, int]:
    for name, read in (("irq_desc_tree", _of_xarray), ("sparse_irqs", _of_maple)):
        try:
            return read(kernel, kernel.place(name))
        except SymbolNotFound:
            continue
    of = kernel.type("struct irq_desc")
    try:
        table = kernel.image_symbol("irq_desc")
    except SymbolNotFound:
        return _by_form(kernel)
    return {at: table.address + at * of.size for at in range(min(table.size // of.size, MOST_INTERRUPTS))}


def _of_xarray(kernel: Linux, tree: int) -> dict[int, int]:
    return dict(entries(kernel, tree, "irq_desc_tree"))


def _of_maple(kernel: Linux, tree: int) -> dict[int, int]:
    return {first: entry for first, _, entry in Maple(kernel).ranges(tree) if not entry & 3}


def _by_form(kernel: Linux) -> dict[int, int]:
    """The tree of the image's data whose entries are irq_descs of their numbers. Raises `SymbolNotFound`."""
    number = offset_of(kernel.type("struct irq_desc"), "irq_data.irq")

    def is_one(index: int, address: int) -> bool:
        return int.from_bytes(kernel.memory.read(address + number, 4), "little") == index

    for found in _trees(kernel):
        try:
            if len(found) >= LEAST and all(is_one(*pair) for pair in found.items()):
                return found
        except ReadError:
            continue
    raise SymbolNotFound("irq_desc_tree", "no tree of interrupts is found in the kernel's data")


def _trees(kernel: Linux) -> Iterator[dict[int, int]]:
    """What the trees hold that lie in the image's data."""
    array, top = (offset_of(kernel.type(name), member)
                  for name, member in (("struct xa_node", "array"), ("struct xarray", "xa_head")))  # fmt: skip
    try:
        root = kernel.type("struct maple_tree").member("ma_root").offset
    except TypeNotFound:
        root = None
    for place, pointer in _pointers_to_nodes(kernel):
        try:
            if kernel.word(pointer - 2 + array) == place - top:
                yield _of_xarray(kernel, place - top)
            elif root is not None and kernel.word(pointer & ~0xFF) == place - root | 1:
                yield _of_maple(kernel, place - root)
        except Error:
            continue


def _pointers_to_nodes(kernel: Linux) -> Iterator[tuple[int, int]]:
    """(address, word) of the words in the image's data that are marked as pointers to nodes of trees."""
    import numpy

    word = kernel.bits // 8
    for segment in kernel.mapping.data():
        for start in range(segment.address, segment.address + segment.size, WINDOW):
            try:
                data = kernel.mapping.read(start, min(WINDOW, segment.address + segment.size - start))
            except Error:
                continue
            words = numpy.frombuffer(data[: len(data) // word * word], "<u8" if word == 8 else "<u4")
            for at in numpy.flatnonzero((words >= kernel.lowest) & (words & 3 == 2)).tolist():
                yield start + at * word, int(words[at])

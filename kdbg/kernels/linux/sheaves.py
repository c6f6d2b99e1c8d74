"""Free objects in sheaves: arrays that CPUs and nodes keep in front of the slabs (SLUB, 6.18 on).

Each CPU has a main sheaf and perhaps a spare one; a node's barn keeps full ones. What waits in ``rcu_free`` for the
end of a grace period is not free yet.

Source: mm/slub.c (struct slub_percpu_sheaves, slab_sheaf, node_barn); mm/slab.h (kmem_cache.node, 7.0 on per_node).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.linux.lists import nodes, offset_of
from kdbg.kernels.linux.places import per_cpu_offsets

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_OBJECTS = 1 << 16
"""Objects in a sheaf."""
MOST_NODES = 1 << 10


def sheaf_objects(kernel: Linux, cache: int) -> dict[int, int | None]:
    """The free objects of the cache at an address -> the CPU in whose sheaf each is; None: in a node's barn."""
    found: dict[int, int | None] = {}
    for cpu, sheaf in _sheaves(kernel, cache):
        try:
            value = kernel.at("struct slab_sheaf", sheaf)
            count, word = int(value["size"]), kernel.bits // 8
            if count > MOST_OBJECTS:
                raise ReadError(sheaf, f"a sheaf of {count} objects is not believed")
            data = kernel.memory.read(value.address_of("objects"), count * word)
        except Error as error:
            kernel.target.note(f"cache {cache:x}: sheaf {sheaf:x}: {error}")
            continue
        found.update((int.from_bytes(data[at : at + word], "little"), cpu) for at in range(0, len(data), word))
    return found


def _sheaves(kernel: Linux, cache: int) -> Iterator[tuple[int | None, int]]:
    """(CPU, address) of a cache's sheaves."""
    try:
        value, mask = kernel.at("struct kmem_cache", cache), (1 << kernel.bits) - 1
        base = int(value.cpu_sheaves)
        if not base:
            return
        for cpu, offset in enumerate(kernel.part(per_cpu_offsets)):
            own = kernel.at("struct slub_percpu_sheaves", base + offset & mask)
            yield from ((cpu, int(one)) for one in (own.main, own.spare) if one)
        try:
            count = int.from_bytes(kernel.memory.read(kernel.place("nr_node_ids"), 4), "little")
        except Error:
            count = 1
        link = offset_of(kernel.type("struct slab_sheaf"), "barn_list")
        for number in range(min(max(count, 1), MOST_NODES)):
            # 7.0 on both pointers of a node stand side by side in per_node
            node = value.per_node[number] if value.has("per_node") else value.node[number]
            if (value.has("per_node") or node) and node.barn:
                head = node.barn.address_of("sheaves_full")
                yield from ((None, at - link) for at in nodes(kernel, head, "sheaves"))
    except Error as error:
        kernel.target.note(f"cache {cache:x}: its sheaves: {error}")

"""Slab caches by their form: the ring of structures that each have a name before their node of it.

Sources: mm/slab.h, include/linux/slub_def.h and slab_def.h (name, then list; SLUB: cpu_slab, flags, min_partial, size,
object_size, reciprocal_size, offset ...; refcount, ctor, inuse, align before the name); mm/slab_common.c (kmalloc-N).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.kernels.linux.probe.samples import Column, Samples, share, some, words_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.probe.table import Table

BEFORE, BEHIND = 256, 256
"""Bytes before and behind the node of the ring that are looked at."""
KNOWN = {"task_struct", "dentry", "kmem_cache"}
"""Caches that every kernel has."""
_KMALLOC = re.compile(r"kmalloc-(\d+)(k?)")
PAGE = 4096
MOST_CACHES = 10_000
CACHES = {
    "task_struct": "task_struct", "mm_struct": "mm_struct", "vm_area_struct": "vm_area_struct", "pid": "pid",
    "nsproxy": "nsproxy", "cred_jar": "cred", "files_cache": "files_struct", "filp": "file", "dentry": "dentry",
    "mnt_cache": "mount", "signal_cache": "signal_struct", "inode_cache": "inode", "kmem_cache_node": "kmem_cache_node",
    "maple_node": "maple_node", "radix_tree_node": "xa_node", "net_namespace": "net", "uts_namespace": "uts_namespace",
    "pid_namespace": "pid_namespace", "fs_cache": "fs_struct", "TCP": "tcp_sock", "UNIX": "unix_sock",
    "vmap_area": "vmap_area", "sighand_cache": "sighand_struct", "pool_workqueue": "pool_workqueue",
}  # fmt: skip
"""Cache -> the structure that its objects are, and no larger (their KMEM_CACHE or kmem_cache_create)."""


def probe(table: Table) -> list[int]:
    """Find struct kmem_cache and all caches; returns their addresses, none where they were not found."""
    kernel = table.kernel
    ring = _ring(kernel)
    if not ring:
        table.missing.append("kmem_cache")
        return []
    head, members = ring
    table.heads["slab_caches"] = head
    word, names = table.word, list(members.values())
    samples = Samples(kernel, [node - BEFORE for node in members], BEFORE + BEHIND)
    size, inner = _sizes(samples, names)
    if size is None or inner is None:
        table.missing.append("kmem_cache.size")
        return []
    slub = inner == size + 4
    base = size - 3 * word if slub else _by_slab(samples, names, size, inner)
    if base is None or base < 0:
        table.missing.append("kmem_cache (where it begins)")
        return []
    node = BEFORE - base
    put = table.member
    put("kmem_cache", "size", "unsigned int", size - base)
    put("kmem_cache", "object_size", "unsigned int", inner - base)
    put("kmem_cache", "name", "char *", node - word)
    put("kmem_cache", "list", "struct list_head", node)
    if slub:
        _slub(table, samples, base, size, inner)
    addresses = [one - BEFORE + base for one in members]
    for name, address, row in zip(names, addresses, range(len(samples)), strict=True):
        table.caches[name] = address, int(samples.int_at(inner)[row])
    if "kmem_cache" in table.caches:
        table.size("kmem_cache", table.caches["kmem_cache"][1])
    _objects(table)
    return addresses


def _objects(table: Table) -> None:
    """The sizes of what caches hold: exact where no other kind shares the cache."""
    count = table.offset("kmem_cache", "refcount")
    for cache, structure in CACHES.items():
        address, size = table.caches.get(cache, (0, 0))
        if address and count is not None and words_of(table.kernel, [address], count)[0] & 0xFFFFFFFF == 1:
            table.size(structure, size)
        elif address:
            table.at_most[structure] = size


def _ring(kernel: Linux) -> tuple[int, dict[int, str]] | None:
    """(head, node -> name) of the list of caches."""
    from kdbg.kernels.linux.places import Places

    def check(node: int) -> bool:
        return bool(_name(kernel, node))

    for head in kernel.part(Places).heads(check):
        found = {node: _name(kernel, node) for node in _along(kernel, head)}
        if set(found.values()) >= KNOWN:
            return head, found
    return None


def _along(kernel: Linux, head: int) -> Iterator[int]:
    """The nodes behind a head as far as there are any: most of what is tried is no list at all."""
    at, seen = kernel.word(head), {head}
    try:
        while at not in seen and kernel.in_kernel(at) and len(seen) < MOST_CACHES:
            seen.add(at)
            yield at
            at = kernel.word(at)
    except Error:
        return


def _name(kernel: Linux, node: int) -> str:
    """The text that the word before a node points to; "" where there is none."""
    try:
        data = some(kernel, kernel.word(node - kernel.bits // 8), 64)
    except Error:
        return ""
    text = data.partition(b"\0")[0]
    return text.decode("latin-1") if text and all(0x20 <= byte < 0x7F for byte in text) else ""


def _sizes(samples: Samples, names: list[str]) -> tuple[int | None, int | None]:
    """Offsets of size and object_size: what kmalloc-64 and its kin have there is told by their names."""
    sizes = {at: _of_kmalloc(name) for at, name in enumerate(names)}
    told = {at: size for at, size in sizes.items() if size}
    fitting = [
        at
        for at in range(0, samples.size, 4)
        if len(told) > 3 and all(int(samples.int_at(at)[row]) == size for row, size in told.items())
    ]
    for first in fitting:
        for second in fitting:
            if first == second:
                continue
            size, inner = samples.int_at(first), samples.int_at(second)
            if bool((size >= inner).all()) and bool((size != inner).any()) and share(size - inner < 1024) > 0.9:
                return first, second
    return None, None


def _of_kmalloc(name: str) -> int:
    """The size that the name of a cache tells: kmalloc-64, kmalloc-2k; 0 for any other."""
    found = _KMALLOC.fullmatch(name)
    return int(found[1]) << (10 if found[2] else 0) if found else 0


def _by_slab(samples: Samples, names: list[str], size: int, inner: int) -> int | None:
    """Where the structures begin: they lie in slabs themselves, the first one at the start of its page."""
    row = names.index("kmem_cache")
    step = int(samples.int_at(size)[row])
    places = {(address + BEFORE) % PAGE % step for at, address in enumerate(samples.addresses) if at != row}
    return BEFORE - places.pop() if len(places) == 1 and step else None


def _slub(table: Table, samples: Samples, base: int, size: int, inner: int) -> None:
    """The members of SLUB that a cache is known by."""
    word, put, node = table.word, table.member, BEFORE
    put("kmem_cache", "cpu_slab", "struct kmem_cache_cpu *", 0)
    put("kmem_cache", "flags", "unsigned int", word)
    put("kmem_cache", "min_partial", "unsigned long", 2 * word)
    sizes = samples.int_at(size)

    def is_order(column: Column) -> bool:  # the pages of a slab hold as many objects as it says
        order, count = column >> 16, column & 0xFFFF
        return bool((order < 11).all() and (count > 0).all() and share((PAGE << order) // sizes == count) > 0.95)

    oo = samples.first_int(is_order, inner + 4, node)
    put("kmem_cache", "oo", "struct kmem_cache_order_objects", oo - base if oo is not None else None)
    free = inner + 4 + 8  # behind reciprocal_size
    good = bool((samples.int_at(free) < sizes).all())
    put("kmem_cache", "offset", "unsigned int", free - base if good else None)
    place = node - word - 4 if word == 4 else node - word - 8  # red_left_pad, filled up to a pointer
    align, inuse = samples.int_at(place - 4), samples.int_at(place - 8)
    good = share((align & (align - 1) == 0) & (align > 0) & (inuse <= sizes)) > 0.95
    put("kmem_cache", "align", "unsigned int", place - 4 - base if good else None)
    put("kmem_cache", "inuse", "unsigned int", place - 8 - base if good else None)
    count = place - 8 - 2 * word  # refcount, filled up, and ctor
    put("kmem_cache", "refcount", "int", count - base if good else None)

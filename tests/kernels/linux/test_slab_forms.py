"""Slabs of kernels that no sample has: struct page instead of struct slab, plain lists, the SLAB allocator, 32 bits.

A kernel is made of a few structures laid out from their declarations (include/linux/slub_def.h and slab_def.h as of
5.4, mm_types.h), with one slab each whose objects are planned.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kdbg.errors import ReadError, SymbolNotFound
from kdbg.kernels.linux.slab_check import verify
from kdbg.kernels.linux.slub import SlabPages, slubs
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.value import Value, read_string
from samples.ctf import CtfWriter
from samples.image import Types
from samples.layout import Layout

SHARED = """
enum pageflags { PG_locked = 0, PG_slab = 9 };
struct list_head { struct list_head *next; struct list_head *prev; };
"""
SLUB = (
    SHARED
    + """
struct page {
    unsigned long flags; struct list_head slab_list; struct kmem_cache *slab_cache; void *freelist;
    unsigned int inuse : 16; unsigned int objects : 15; unsigned int frozen : 1;
    unsigned long compound_head; unsigned long page_type; unsigned long pad;
};
struct kmem_cache_cpu { void **freelist; unsigned long tid; struct page *page; struct page *partial; };
struct kmem_cache {
    struct kmem_cache_cpu *cpu_slab; unsigned int size; unsigned int object_size; unsigned int offset;
    unsigned int flags; unsigned int align; int refcount; char *name; struct list_head list; unsigned long random;
};
"""
)
SLAB = (
    SHARED
    + """
typedef unsigned char freelist_idx_t;
struct array_cache { unsigned int avail; unsigned int limit; void *entry[4]; };
struct alien_cache { unsigned long lock; struct array_cache ac; };
struct kmem_cache_node { struct array_cache *shared; struct alien_cache **alien; };
struct page {
    unsigned long flags; struct list_head lru; struct kmem_cache *slab_cache; void *freelist; void *s_mem;
    unsigned long compound_head; unsigned int active; unsigned int pad;
};
struct kmem_cache {
    struct array_cache *cpu_cache; unsigned int size; unsigned int object_size; unsigned int num;
    unsigned int flags; unsigned int align; int refcount; char *name; struct list_head list;
    struct kmem_cache_node *node[4];
};
"""
)
MAP, DIRECT, DATA, OFFSET = 0x20000, 0x40000, 0x10000, 0x100
"""Above BASE: the array of struct pages, the direct map (32 bits: at BASE itself), variables; what a CPU adds."""
BASE = {64: 0xFFFF880000000000, 32: 0xC0000000}
SIZE, COUNT, SLAB_PFN, CPUS = 64, 8, 5, 2


class Space:
    """Memory that is one piece; frame n is mapped n pages behind DIRECT."""

    def __init__(self, base: int) -> None:
        self.base, self.data = base, bytearray(0x60000)

    def read(self, address: int, size: int) -> bytes:
        at = address - self.base
        if not 0 <= at <= len(self.data) - size:
            raise ReadError(address)
        return bytes(self.data[at : at + size])

    def page(self, address: int) -> memoryview:
        return memoryview(self.read(address & -4096, 4096))


class MadeKernel:
    """What the modules of a Linux kernel ask of it, over made memory."""

    vmcoreinfo = None

    def __init__(self, declarations: str, bits: int) -> None:
        self.bits, self.layout = bits, Layout(declarations, bits)
        types = Types(self.layout, CtfWriter(bits=bits))
        for ctype in self.layout.order:
            types.number(ctype)
        self.types = CtfContainer(types.writer.bytes(), bits)
        self.space = self.memory = Space(BASE[bits])
        self.space.bits = bits  # type: ignore[attr-defined]
        self.target, self.notes = self, list[str]()
        self.image = SimpleNamespace(paravirtual=True)  # read page by page
        self.note = self.notes.append
        self._parts: dict[Any, Any] = {}
        self.base = BASE[bits]
        self.places = {
            name: self.base + DATA + at * 16
            for at, name in enumerate(
                ("mem_map", "max_pfn", "page_offset_base", "__per_cpu_offset", "nr_cpu_ids", "nr_node_ids")
            )
        }
        for name, value in (("mem_map", self.base + MAP), ("max_pfn", 16), ("page_offset_base", self.base + DIRECT),
                            ("nr_cpu_ids", CPUS), ("nr_node_ids", 1)):  # fmt: skip
            self.put(self.places[name], value)
        self.places["__per_cpu_offset"] = self.base + DATA + 0x200
        self.put(self.places["__per_cpu_offset"], 0, OFFSET)

    # what is asked of it

    @property
    def mapping(self) -> Any:
        return self

    @property
    def segments(self) -> list[Any]:
        return []

    def part(self, make: Any) -> Any:
        if make not in self._parts:
            self._parts[make] = make(self)
        return self._parts[make]

    def type(self, name: str) -> Any:
        return self.types.lookup(name)

    def at(self, name: str, address: int) -> Value:
        return Value(self.memory, self.type(name), address)  # type: ignore[arg-type]

    def word(self, address: int) -> int:
        return int.from_bytes(self.memory.read(address, self.bits // 8), "little")

    def string(self, address: int, size: int) -> str:
        return read_string(self.memory, address, size)  # type: ignore[arg-type]

    def place(self, name: str) -> int:
        if name not in self.places:
            raise SymbolNotFound(name)
        return self.places[name]

    image_symbol = place

    def in_kernel(self, address: int) -> bool:
        return address >= self.base

    # how it is made

    def put(self, address: int, *words: int, size: int | None = None) -> None:
        size = size or self.bits // 8
        data = b"".join(word.to_bytes(size, "little") for word in words)
        at = address - self.base
        self.space.data[at : at + len(data)] = data

    def fill(self, name: str, address: int, **values: int) -> int:
        """Set members of a structure at an address; which is returned."""
        of = self.type(name)
        for key, value in values.items():
            member = of.member(key)
            if member.type.size < 4 or key in ("inuse", "objects", "frozen"):
                continue
            self.put(address + member.offset, value, size=member.type.size)
        return address

    @property
    def page(self) -> int:
        return self.base + MAP + SLAB_PFN * self.type("struct page").size

    @property
    def first(self) -> int:
        return self.base + (DIRECT if self.bits == 64 else 0) + SLAB_PFN * 4096

    def object(self, number: int) -> int:
        return self.first + number * SIZE


FREE, ON_CPU = [6, 1, 3], [7, 4]
"""Numbers of the objects on the slab's own list, and on CPU 1's."""


def slub_kernel(bits: int, form: str, declarations: str = SLUB) -> MadeKernel:
    """A kernel with one cache and one slab; ``form``: how it stores pointers of free objects."""
    kernel = MadeKernel(declarations.replace(" unsigned long random;", "") if form == "open" else declarations, bits)
    random = 0x5A17C0DE9B3F11D7 & (1 << bits) - 1
    cpu_slab = kernel.base + DATA + 0x1000
    cache = kernel.fill("struct kmem_cache", kernel.base + DATA + 0x800, cpu_slab=cpu_slab, size=SIZE, object_size=60,
                        offset=8, **({} if form == "open" else {"random": random}))  # fmt: skip
    kernel.fill("struct page", kernel.page, flags=1 << 9, slab_cache=cache, freelist=kernel.object(FREE[0]))
    counts = kernel.type("struct page").member("inuse").bit_offset // 8
    kernel.put(kernel.page + counts, (COUNT - len(FREE)) | COUNT << 16 | 1 << 31, size=4)
    kernel.fill("struct kmem_cache_cpu", cpu_slab + OFFSET, freelist=kernel.object(ON_CPU[0]), page=kernel.page)
    for chain in (FREE, ON_CPU):
        for here, after in zip(chain, [*chain[1:], None], strict=True):
            place = kernel.object(here) + 8
            pointer = 0 if after is None else kernel.object(after)
            swapped = int.from_bytes(place.to_bytes(bits // 8, "little"), "big")
            mixed = {"open": 0, "plain": random ^ place, "swapped": random ^ swapped}[form]
            kernel.put(place, pointer ^ mixed)
    return kernel


@pytest.mark.parametrize("form", ["open", "plain", "swapped"])
@pytest.mark.parametrize("bits", [64, 32])
def test_slub_before_struct_slab(bits: int, form: str) -> None:
    kernel = slub_kernel(bits, form)
    swept: Any = kernel.part(SlabPages)
    [cache] = swept.caches()
    [slab] = swept.of(cache)
    assert (slab.first, slab.objects, slab.in_use, slab.frozen) == (kernel.first, COUNT, COUNT - len(FREE), True)
    free = swept.slubs.free(slab)
    assert free == {kernel.object(n): None for n in FREE} | {kernel.object(n): 1 for n in ON_CPU}
    assert swept.slubs.allocated(slab) == [kernel.object(n) for n in (0, 2, 5)]
    assert list(verify(swept, cache)) == []
    assert swept.slubs.on_cpus(swept.slubs.cache(cache)) == len(ON_CPU)
    assert swept.slubs.slab_of_pfn(SLAB_PFN) == slab
    assert swept.slubs.slab_of_pfn(SLAB_PFN + 1) is None
    assert kernel.notes == []


@pytest.mark.parametrize("bits", [64, 32])
def test_members_of_the_other_allocator_mean_nothing(bits: int) -> None:
    """struct page of 4.18 to 5.16 has the members of both: SLAB's ``s_mem`` lies where SLUB counts."""
    counts = "unsigned int inuse : 16; unsigned int objects : 15; unsigned int frozen : 1;"
    both = f"union {{ void *s_mem; struct {{ {counts} }}; }};"
    assert counts in SLUB
    for kernel in (slub_kernel(bits, "plain", SLUB.replace(counts, both)),
                   slab_kernel(bits, SLAB.replace("void *s_mem;", both))):  # fmt: skip
        swept: Any = kernel.part(SlabPages)
        [cache] = swept.caches()
        [slab] = swept.of(cache)
        assert (slab.first, slab.objects, slab.in_use) == (kernel.first, COUNT, COUNT - len(FREE))
        assert (swept.totals(cache).objects, swept.totals(cache).in_use) == (COUNT, COUNT - len(FREE))
        assert list(verify(swept, cache)) == []


SHEAVES = """
struct slab_sheaf {
    struct list_head barn_list; struct kmem_cache *cache; unsigned int size; int node; void *objects[4];
};
struct slub_percpu_sheaves { unsigned long lock; struct slab_sheaf *main; struct slab_sheaf *spare; void *rcu_free; };
struct node_barn { unsigned long lock; struct list_head sheaves_full; };
struct kmem_cache_node { unsigned long lock; struct node_barn *barn; };
"""


def test_objects_in_sheaves_are_free() -> None:
    """Object 0 is in CPU 0's main sheaf, 2 in a full one in the node's barn; 5 waits for a grace period."""
    declarations = SHARED + SHEAVES + SLUB.removeprefix(SHARED).replace(
        "unsigned long random;", "unsigned long random; struct slub_percpu_sheaves *cpu_sheaves; "
        "struct kmem_cache_node *node[4];"
    )  # fmt: skip
    kernel = slub_kernel(64, "swapped", declarations)
    at = kernel.base + DATA + 0x4000
    sheaves, node, barn, main, full, late = (at + step * 0x200 for step in range(6))
    cache, objects = kernel.base + DATA + 0x800, kernel.type("struct slab_sheaf").member("objects").offset
    kernel.fill("struct kmem_cache", cache, cpu_sheaves=sheaves)
    kernel.put(cache + kernel.type("struct kmem_cache").member("node").offset, node)
    kernel.fill("struct kmem_cache_node", node, barn=barn)
    kernel.put(barn + kernel.type("struct node_barn").member("sheaves_full").offset, full, full)
    kernel.put(full, barn + kernel.type("struct node_barn").member("sheaves_full").offset)
    kernel.fill("struct slub_percpu_sheaves", sheaves, main=main, rcu_free=late)
    for sheaf, number in ((main, 0), (full, 2), (late, 5)):
        kernel.put(sheaf + kernel.type("struct slab_sheaf").member("size").offset, 1, size=4)
        kernel.put(sheaf + objects, kernel.object(number))
    swept: Any = kernel.part(SlabPages)
    [slab] = swept.of(cache)
    free = swept.slubs.free(slab)
    assert (free[kernel.object(0)], free[kernel.object(2)]) == (0, None)
    assert swept.slubs.allocated(slab) == [kernel.object(5)]
    assert list(verify(swept, cache)) == []
    assert swept.slubs.on_cpus(swept.slubs.cache(cache)) == len(ON_CPU) + 2
    assert kernel.notes == []


def slab_kernel(bits: int, declarations: str = SLAB) -> MadeKernel:
    """A kernel with the SLAB allocator: indexes from ``active`` on, two CPUs' arrays and a shared one."""
    kernel = MadeKernel(declarations, bits)
    arrays, node = kernel.base + DATA + 0x1000, kernel.base + DATA + 0x2000
    shared, indexes = kernel.base + DATA + 0x2800, kernel.base + DATA + 0x3000
    cache = kernel.fill("struct kmem_cache", kernel.base + DATA + 0x800, cpu_cache=arrays, size=SIZE, object_size=60,
                        num=COUNT)  # fmt: skip
    kernel.put(cache + kernel.type("struct kmem_cache").member("node").offset, node)
    kernel.fill("struct kmem_cache_node", node, shared=shared)
    entry = kernel.type("struct array_cache").member("entry").offset
    for at, numbers in ((arrays + OFFSET, ON_CPU), (shared, [2])):
        kernel.fill("struct array_cache", at, avail=len(numbers), limit=4)
        kernel.put(at + entry, *map(kernel.object, numbers))
    kernel.put(indexes, *[9] * (COUNT - len(FREE)), *FREE, size=1)
    kernel.fill("struct page", kernel.page, flags=1 << 9, slab_cache=cache, freelist=indexes, s_mem=kernel.first,
                active=COUNT - len(FREE))  # fmt: skip
    return kernel


@pytest.mark.parametrize("bits", [64, 32])
def test_the_slab_allocator(bits: int) -> None:
    kernel = slab_kernel(bits)
    swept: Any = kernel.part(SlabPages)
    [cache] = swept.caches()
    [slab] = swept.of(cache)
    free = swept.slubs.free(slab)
    assert free == {kernel.object(n): None for n in [*FREE, 2]} | {kernel.object(n): 1 for n in ON_CPU}
    assert swept.slubs.allocated(slab) == [kernel.object(n) for n in (0, 5)]
    totals = swept.totals(cache)
    assert (totals.slabs, totals.objects, totals.in_use) == (1, COUNT, COUNT - len(FREE))
    assert list(verify(swept, cache)) == []
    assert kernel.notes == []


def test_an_index_of_no_object_is_said() -> None:
    kernel = slab_kernel(64)
    swept: Any = kernel.part(SlabPages)
    [cache] = swept.caches()
    kernel.put(kernel.base + DATA + 0x3000 + COUNT - 1, 200, size=1)
    assert ["no object of it" in text for text in verify(swept, cache)] == [True]


def test_an_allocator_that_is_not_known_is_said() -> None:
    kernel = MadeKernel(SHARED + "struct kmem_cache { unsigned int size; };", 64)
    with pytest.raises(SymbolNotFound, match="neither SLUB nor SLAB"):
        slubs(kernel)  # type: ignore[arg-type]

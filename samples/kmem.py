"""Kernel memory allocator: caches with slabs, bufctls, magazines, and arenas, laid out as kmem and vmem do.

Facts: sys/kmem_impl.h, sys/vmem_impl_user.h, and kmem.c of illumos for what the headers do not say: in a cache without
hash table the slab structure stands at the end of its page and a free buffer's bufctl inside the buffer at
``cache_bufctl``; with KMF_HASH slabs and bufctls lie apart, and allocated bufctls hang in ``cache_hash_table``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from samples.image import KernelImage, Structure
from samples.memory import PAGE

KMF_AUDIT, KMF_DEADBEEF, KMF_REDZONE, KMF_CONTENTS, KMF_HASH = 0x1, 0x2, 0x4, 0x8, 0x200
REDZONE = 0xFEEDFACEFEEDFACE
ALLOCATED, FREED = 0xA110C8ED, 0xF4EEF4EE
FREE_PATTERN = b"\xef\xbe\xad\xde" * 2
UNINITIALIZED_PATTERN = b"\x0d\xf0\xdd\xba" * 2
MAGAZINE = 3
"""Rounds of a magazine here."""
VMEM_ALLOC, VMEM_FREE, VMEM_SPAN = 1, 2, 0x10


def link_list(head: Structure, path: str, addresses: list[int], link_offset: int, size: int) -> None:
    """Make a list_t of what lies at the addresses (sys/list_impl.h: a ring through the head)."""
    image = head.image
    ring = [head.at(f"{path}.list_head")] + [address + link_offset for address in addresses]
    head[f"{path}.list_size"], head[f"{path}.list_offset"] = size, link_offset
    for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
        image.structure("list_node_t", here)["list_next"] = after
        image.structure("list_node_t", after)["list_prev"] = here


def build_tree(head: Structure, path: str, addresses: list[int], link_offset: int, size: int) -> None:
    """Make an avl_tree_t of what lies at the addresses, which come in the tree's order (sys/avl_impl.h)."""
    image = head.image

    def grow(low: int, high: int, parent: int, side: int) -> tuple[int, int]:
        """Subtree of addresses[low:high]: (address of its node or 0, height)."""
        if low >= high:
            return 0, 0
        middle = (low + high) // 2
        node = image.structure("avl_node_t", addresses[middle] + link_offset)
        left, left_height = grow(low, middle, node.address, 0)
        right, right_height = grow(middle + 1, high, node.address, 1)
        node["avl_child[0]"], node["avl_child[1]"] = left, right
        balance = right_height - left_height
        if image.bits == 64:
            node["avl_pcb"] = parent | side << 2 | balance + 1
        else:
            node["avl_parent"], node["avl_child_index"], node["avl_balance"] = parent, side, balance
        return node.address, 1 + max(left_height, right_height)

    head[f"{path}.avl_root"] = grow(0, len(addresses), 0, 0)[0]
    head[f"{path}.avl_offset"], head[f"{path}.avl_size"] = link_offset, size
    head[f"{path}.avl_numnodes"] = len(addresses)


@dataclass
class Buffer:
    """A buffer as planned."""

    address: int
    cache: str
    state: str
    """"allocated" or "free"."""
    bufctl: int | None = None
    """In caches with a hash table."""
    thread: int = 0
    stack: tuple[int, ...] = ()
    magazine: bool = False
    """Free, and waiting in a magazine; its slab counts it as allocated."""


@dataclass(eq=False)
class Slab:
    """A slab under construction."""

    base: int
    address: int
    buffers: list[Buffer] = field(default_factory=list)


class Cache:
    """A kmem cache."""

    def __init__(self, image: KernelImage, name: str, size: int, audit: bool = False, cpus: int = 1) -> None:
        self.image = image
        self.name = name
        self.size = size
        self.audit = audit
        layout = image.layout
        self.hashed = audit or size > PAGE // 8
        align = 8 if image.bits == 64 else 4
        chunk = -(-size // align) * align
        self.bufctl_at = chunk - image.word if chunk >= image.word else 0
        self.tag_at = chunk
        if audit:
            chunk += layout.sizeof("kmem_buftag_t")
        self.chunk = -(-chunk // align) * align
        self.slab_size = PAGE if not self.hashed else -(-self.chunk * 8 // PAGE) * PAGE
        usable = self.slab_size - (0 if self.hashed else layout.sizeof("kmem_slab_t"))
        self.per_slab = usable // self.chunk
        self.slabs: list[Slab] = []
        self.buffers: dict[int, Buffer] = {}
        self.loaded: dict[int, list[int]] = {}
        """CPU -> free buffers in its loaded magazine."""
        self.full: list[list[int]] = []
        """Full magazines in the depot."""
        record_size = layout.offset("kmem_cache_t", "cache_cpu") + cpus * layout.sizeof("kmem_cpu_cache_t")
        self.cpus = cpus
        self.record = image.structure("kmem_cache_t", image.heap.take(record_size, 64))
        self._bufctl_type = "kmem_bufctl_audit_t" if audit else "kmem_bufctl_t"

    @property
    def address(self) -> int:
        """Of its kmem_cache_t."""
        return self.record.address

    def _slab(self) -> Slab:
        image = self.image
        base = image.slabs.take(self.slab_size, PAGE)
        if self.hashed:
            slab = Slab(base, image.new("kmem_slab_t").address)
        else:
            slab = Slab(base, base + self.slab_size - image.layout.sizeof("kmem_slab_t"))
        for number in range(self.per_slab):
            buffer = Buffer(base + number * self.chunk, self.name, "free")
            if self.hashed:
                buffer.bufctl = image.new(self._bufctl_type).address
            slab.buffers.append(buffer)
            self.buffers[buffer.address] = buffer
        self.slabs.append(slab)
        return slab

    def allocate(self, thread: int = 0, stack: tuple[int, ...] = ()) -> int:
        """A buffer; ``thread`` and ``stack`` are recorded where the cache is audited."""
        slabs = self.slabs[-1:] or [self._slab()]
        for slab in slabs:
            for buffer in slab.buffers:
                if buffer.state == "free" and not buffer.magazine:
                    buffer.state, buffer.thread, buffer.stack = "allocated", thread, stack
                    return buffer.address
        self._slab()
        return self.allocate(thread, stack)

    def free(self, address: int, thread: int = 0, stack: tuple[int, ...] = (), cpu: int | None = None) -> None:
        """Free a buffer: to its slab, or into the loaded magazine of a CPU (``cpu`` -1: into the depot)."""
        buffer = self.buffers[address]
        buffer.state, buffer.magazine = "free", cpu is not None
        if thread:
            buffer.thread, buffer.stack = thread, stack
        if cpu is not None and cpu >= 0:
            self.loaded.setdefault(cpu, []).append(address)
        elif cpu is not None:
            if not self.full or len(self.full[-1]) == MAGAZINE:
                self.full.append([])
            self.full[-1].append(address)

    # --- writing ---------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Write the cache's structures."""
        flags = (KMF_HASH if self.hashed else 0) | (
            KMF_AUDIT | KMF_DEADBEEF | KMF_REDZONE | KMF_CONTENTS if self.audit else 0
        )
        record = self.record
        record.update(
            cache_name=self.name, cache_bufsize=self.size, cache_align=8, cache_chunksize=self.chunk,
            cache_slabsize=self.slab_size, cache_maxchunks=self.per_slab, cache_flags=flags,
            cache_bufctl=self.bufctl_at, cache_buftag=self.tag_at, cache_verify=self.tag_at,
            cache_buftotal=self.per_slab * len(self.slabs), cache_slab_create=len(self.slabs),
        )  # fmt: skip
        self._slabs()
        if self.hashed:
            self._hash_table()
        self._magazines()

    def _slabs(self) -> None:
        layout, record = self.image.layout, self.record
        complete: list[tuple[int, int]] = []
        partial: list[tuple[int, int]] = []
        for slab in self.slabs:
            busy = sum(b.state == "allocated" or b.magazine for b in slab.buffers)
            structure = self.image.structure("kmem_slab_t", slab.address)
            structure.update(slab_cache=record, slab_base=slab.base, slab_refcnt=busy, slab_chunks=self.per_slab)
            structure["slab_head"] = self._free_list(slab)
            (complete if busy == self.per_slab else partial).append((busy, slab.address))
        link, size = layout.offset("kmem_slab_t", "slab_link"), layout.sizeof("kmem_slab_t")
        link_list(record, "cache_complete_slabs", [a for _, a in complete], link, size)
        record["cache_complete_slab_count"] = len(complete)
        partial.sort(key=lambda pair: (-pair[0], pair[1]))
        build_tree(record, "cache_partial_slabs", [a for _, a in partial], link, size)

    def _free_list(self, slab: Slab) -> int:
        """Chain the slab's free buffers; returns the first bufctl."""
        head = 0
        for buffer in reversed(slab.buffers):
            free = buffer.state == "free" and not buffer.magazine
            if self.hashed:
                assert buffer.bufctl is not None
                bufctl = self.image.structure(self._bufctl_type, buffer.bufctl)
                bufctl.update(bc_addr=buffer.address, bc_slab=slab.address)
                if self.audit:
                    self._audit(buffer, bufctl)
                if free:
                    bufctl["bc_next"], head = head, buffer.bufctl
            elif free:
                at = buffer.address + self.bufctl_at
                self.image.space.write(at, head.to_bytes(self.image.word, "little"))
                head = at
        return head

    def _audit(self, buffer: Buffer, bufctl: Structure) -> None:
        bufctl.update(bc_cache=self.record, bc_timestamp=1_000_000_000 + buffer.address % 997, bc_thread=buffer.thread,
                      bc_depth=len(buffer.stack))  # fmt: skip
        for number, pc in enumerate(buffer.stack[:15]):
            bufctl[f"bc_stack[{number}]"] = pc
        tag = self.image.structure("kmem_buftag_t", buffer.address + self.tag_at)
        mark = ALLOCATED if buffer.state == "allocated" else FREED
        tag.update(bt_redzone=REDZONE, bt_bufctl=bufctl, bt_bxstat=bufctl.address ^ mark)
        if buffer.state == "free":
            words = -(-self.size // 8)
            self.image.space.write(buffer.address, (FREE_PATTERN * words)[: self.size])

    def _hash_table(self) -> None:
        buckets = 16
        while buckets < len(self.buffers):
            buckets *= 2
        shift = max(self.chunk.bit_length() - 1, 0)
        chains: list[int] = [0] * buckets
        for slab in self.slabs:
            for buffer in slab.buffers:
                if buffer.state == "allocated" or buffer.magazine:
                    bucket = buffer.address >> shift & buckets - 1
                    assert buffer.bufctl is not None
                    self.image.structure(self._bufctl_type, buffer.bufctl)["bc_next"] = chains[bucket]
                    chains[bucket] = buffer.bufctl
        self.record.update(
            cache_hash_shift=shift, cache_hash_mask=buckets - 1, cache_hash_table=self.image.words(chains)
        )

    def _magazine(self, rounds: list[int]) -> Structure:
        layout = self.image.layout
        at = layout.offset("kmem_magazine_t", "mag_round")
        magazine = self.image.structure("kmem_magazine_t", self.image.heap.take(at + self.image.word * MAGAZINE))
        for number, address in enumerate(rounds):
            data = address.to_bytes(self.image.word, "little")
            self.image.space.write(magazine.address + at + number * self.image.word, data)
        return magazine

    def _magazines(self) -> None:
        record = self.record
        for cpu in range(self.cpus):
            rounds = self.loaded.get(cpu, [])
            path = f"cache_cpu[{cpu}]"
            record[f"{path}.cc_rounds"] = len(rounds) if rounds else -1
            record[f"{path}.cc_prounds"] = -1
            record[f"{path}.cc_magsize"] = MAGAZINE
            if rounds:
                record[f"{path}.cc_loaded"] = self._magazine(rounds)
        following: Structure | int = 0
        for rounds in self.full:
            magazine = self._magazine(rounds)
            magazine["mag_next"] = following
            following = magazine
        record["cache_full.ml_list"] = following
        record["cache_full.ml_total"] = len(self.full)
        record["cache_magtype"] = self.image.symbols["kmem_magtype"].address


@dataclass
class Segment:
    """A segment of an arena as planned."""

    address: int
    start: int
    end: int
    kind: int


def finish_arena(image: KernelImage, arena: Structure, name: str, number: int, span: tuple[int, int],
                 allocated: list[tuple[int, int]], thread: int = 0) -> list[Segment]:  # fmt: skip
    """Fill a vmem_t: one span, the allocated ranges in it, and free segments between them."""
    segments = [Segment(image.new("vmem_seg_t").address, *span, VMEM_SPAN)]
    at = span[0]
    for start, end in sorted(allocated):
        if start > at:
            segments.append(Segment(image.new("vmem_seg_t").address, at, start, VMEM_FREE))
        segments.append(Segment(image.new("vmem_seg_t").address, start, end, VMEM_ALLOC))
        at = end
    if at < span[1]:
        segments.append(Segment(image.new("vmem_seg_t").address, at, span[1], VMEM_FREE))
    ring = [arena.at("vm_seg0")] + [s.address for s in segments]
    for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
        image.structure("vmem_seg_t", here)["vs_anext"] = after
        image.structure("vmem_seg_t", after)["vs_aprev"] = here
    for segment in segments:
        image.structure("vmem_seg_t", segment.address).update(
            vs_start=segment.start, vs_end=segment.end, vs_type=segment.kind
        )
    busy = sum(end - start for start, end in allocated)
    arena.update(vm_name=name, vm_id=number, vm_quantum=PAGE, vm_qshift=12)
    for which, value in (("inuse", busy), ("total", span[1] - span[0])):
        arena[f"vm_kstat.vk_mem_{which}.value.ui64"] = value
    arena["vm_kstat.vk_alloc.value.ui64"] = len(allocated)
    return segments

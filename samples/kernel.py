"""What stands in a kernel once: variables, segments, address translation structures, caches, arenas.

Facts: vm/hat_i86.h, vm/htable.h, vm/as.h, sys/kmem_impl.h, sys/vmem_impl_user.h; which symbols a debugger looks for is
listed with each dcmd of mdb.
"""

from __future__ import annotations

from samples.image import KernelImage, Structure
from samples.kmem import Cache, build_tree, finish_arena
from samples.memory import PAE, PAGE, PageTables
from samples.threads import LBOLT, NSEC_PER_TICK

FUNCTIONS = (
    # name, module, arguments (None: assembler)
    ("_start", "unix", None),
    ("thread_start", "unix", None),
    ("_resume_from_idle", "unix", None),
    ("_sys_sysenter_post_swapgs", "unix", None),
    ("_sys_syscall", "unix", None),
    ("cmntrap", "unix", None),
    ("cmnint", "unix", None),
    ("swtch", "unix", 0),
    ("idle", "unix", 0),
    ("cpu_idle", "unix", 0),
    ("switch_sp_and_call", "unix", None),
    ("xen_callback", "unix", None),
    ("xen_callback_handler", "unix", 2),
    ("do_interrupt", "unix", 2),
    ("dispatch_softint", "unix", 2),
    ("av_dispatch_softvect", "unix", 1),
    ("cbe_fire", "unix", 0),
    ("xen_debug_handler", "unix", 1),
    ("cv_wait", "genunix", 2),
    ("cv_timedwait", "genunix", 3),
    ("cv_wait_sig_swap", "genunix", 2),
    ("taskq_thread_wait", "genunix", 5),
    ("taskq_thread", "genunix", 1),
    ("taskq_d_thread", "genunix", 1),
    ("waitid", "genunix", 4),
    ("waitsys", "genunix", 4),
    ("kmem_cache_alloc", "genunix", 2),
    ("kmem_alloc", "genunix", 2),
    ("kmem_slab_alloc", "genunix", 2),
    ("thread_create", "genunix", 8),
    ("fsflush", "genunix", 0),
    ("lbolt_bootstrap", "genunix", 0),
    ("lbolt_event_driven", "genunix", 0),
)
"""Functions that every kernel here has, besides those of planned stacks and handlers."""

SLEEPING: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("_resume_from_idle", ()),
    ("swtch", ()),
    ("cv_wait", (0x1111, 0x2222)),
    ("taskq_thread_wait", (0x1, 0x2, 0x3, 0x4, 0x5)),
    ("taskq_thread", (0x7777,)),
    ("thread_start", ()),
)
WAITING: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("_resume_from_idle", ()),
    ("swtch", ()),
    ("cv_wait_sig_swap", (0x3333, 0x4444)),
    ("waitid", (7, 0, 0x5555, 15)),
    ("waitsys", (7, 0, 0x8047B10, 15)),
    ("_sys_sysenter_post_swapgs", ()),
)
IDLE: tuple[tuple[str, tuple[int, ...]], ...] = (("cpu_idle", ()), ("idle", ()), ("thread_start", ()))

INTERRUPTING: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("cbe_fire", ()),
    ("av_dispatch_softvect", (10,)),
    ("dispatch_softint", (9, 0)),
)
INTERRUPTED: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("switch_sp_and_call", ()),
    ("do_interrupt", (0x8888, 0x9999)),
    ("xen_callback_handler", (0x8888, 0x9999)),
    ("xen_callback", ()),
    ("taskq_d_thread", (0x7777,)),
    ("thread_start", ()),
)

VARIABLES = (
    # module, name, type
    ("unix", "cpus", "struct cpu"),
    ("unix", "cpu", "struct cpu * [256]"),
    ("unix", "cpu_list", "struct cpu *"),
    ("unix", "ncpus", "int"),
    ("unix", "max_ncpus", "int"),
    ("unix", "kas", "struct as"),
    ("unix", "mmu", "struct hat_mmu_info"),
    ("unix", "kernelbase", "uintptr_t"),
    ("unix", "_kernelbase", "uintptr_t"),
    ("unix", "_userlimit", "uintptr_t"),
    ("unix", "_pagesize", "uintptr_t"),
    ("unix", "_pageshift", "uint_t"),
    ("unix", "_pageoffset", "uintptr_t"),
    ("unix", "_pagemask", "uintptr_t"),
    ("unix", "_ncpu", "int"),
    ("unix", "physmem", "pgcnt_t"),
    ("unix", "total_pages", "pgcnt_t"),
    ("unix", "memsegs", "struct memseg *"),
    ("unix", "utsname", "struct utsname"),
    ("unix", "platform", "char [257]"),
    ("unix", "panicbuf", "char [8192]"),
    ("unix", "panic_thread", "kthread_t *"),
    ("unix", "panic_reg", "struct regs *"),
    ("unix", "panicstr", "char *"),
    ("unix", "panic_lbolt64", "int64_t"),
    ("unix", "nsec_per_tick", "int"),
    ("unix", "xpv_panicking", "int"),
    ("unix", "ktextseg", "seg_t"),
    ("unix", "kvseg", "seg_t"),
    ("unix", "kpseg", "seg_t"),
    ("unix", "segkmem_ops", "struct seg_ops"),
    ("unix", "segkp_ops", "struct seg_ops"),
    ("genunix", "modules", "modctl_t"),
    ("genunix", "p0", "proc_t"),
    ("genunix", "practive", "proc_t *"),
    ("genunix", "pidhash", "struct pid * *"),
    ("genunix", "pid_hashsz", "int"),
    ("genunix", "procdir", "procent_t *"),
    ("genunix", "nproc", "int"),
    ("genunix", "nthread", "int"),
    ("genunix", "allthreads", "kthread_t *"),
    ("genunix", "thread_deathrow", "kthread_t *"),
    ("genunix", "lwp_deathrow", "kthread_t *"),
    ("genunix", "zone0", "zone_t"),
    ("genunix", "global_zone", "zone_t *"),
    ("genunix", "zone_active", "list_t"),
    ("genunix", "task0", "task_t"),
    ("genunix", "proj0p", "kproject_t *"),
    ("genunix", "sleepq_head", "sleepq_head_t [2048]"),
    ("genunix", "kmem_caches", "list_t"),
    ("genunix", "kmem_ready", "int"),
    ("genunix", "kmem_flags", "int"),
    ("genunix", "kmem_magtype", "kmem_magtype_t [2]"),
    ("genunix", "kmem_msb_arena", "vmem_t *"),
    ("genunix", "kmem_transaction_log", "kmem_log_header_t *"),
    ("genunix", "kmem_dump_curr", "void *"),
    ("genunix", "kmem_dump_end", "void *"),
    ("genunix", "vmem_list", "vmem_t *"),
    ("genunix", "vmem_seg_size", "size_t"),
    ("genunix", "ctf_arena", "vmem_t *"),
    ("genunix", "taskq_cache", "kmem_cache_t *"),
    ("genunix", "task_cache", "kmem_cache_t *"),
    ("genunix", "lb_info", "lbolt_info_t *"),
    ("genunix", "lbolt_hybrid", "uintptr_t"),
    ("genunix", "log_recentq", "queue_t *"),
    ("genunix", "segvn_ops", "struct seg_ops"),
    ("genunix", "mutex_sobj_ops", "sobj_ops_t"),
    ("genunix", "rw_sobj_ops", "sobj_ops_t"),
    ("genunix", "cv_sobj_ops", "sobj_ops_t"),
    ("genunix", "sema_sobj_ops", "sobj_ops_t"),
)
"""Variables that every kernel here has; those of Xen and of interrupts are made beside what they hold."""

CACHES = (
    ("thread_cache", "kthread_t"),
    ("lwp_cache", "klwp_t"),
    ("process_cache", "proc_t"),
    ("as_cache", "struct as"),
    ("seg_cache", "seg_t"),
    ("taskq_cache", "taskq_t"),
    ("task_cache", "task_t"),
    ("hat_t", "hat_t"),
    ("htable_t", "htable_t"),
)
"""kmem caches that hold the kernel's own structures."""


def make_variables(image: KernelImage, node: str, version: str, cpus: int) -> None:
    """All variables, with the values that do not depend on anything else.

    ``max_ncpus`` counts the entries of a cache's ``cache_cpu``.
    """
    for module, name, ctype in VARIABLES:
        image.variable(module, name, ctype)
    uts = image.structure("struct utsname", image.symbols["utsname"].address)
    uts.update(sysname="SunOS", nodename=node, release="5.11", version=version, machine="i86pc")
    image.space.write(image.symbols["platform"].address, b"i86xpv" if image.paravirtual else b"i86pc")
    values = {
        "kernelbase": image.map.kernelbase, "_kernelbase": image.map.kernelbase, "_userlimit": image.map.user_limit,
        "_pagesize": PAGE, "_pageshift": 12, "_pageoffset": PAGE - 1, "_pagemask": -PAGE,
        "_ncpu": 256 if image.bits == 64 else 32, "max_ncpus": cpus,
        "nsec_per_tick": NSEC_PER_TICK, "kmem_ready": 1, "vmem_seg_size": image.layout.sizeof("vmem_seg_t"),
    }  # fmt: skip
    for name, value in values.items():
        image.set(name, value)
    lbolt = image.new("lbolt_info_t", lbi_debug_ts=LBOLT * NSEC_PER_TICK)
    image.set("lb_info", lbolt)
    for kind, name in enumerate(("mutex", "rw", "cv", "sema"), 1):
        image.structure("sobj_ops_t", image.symbols[f"{name}_sobj_ops"].address)["sobj_type"] = kind
    magtype = image.structure("kmem_magtype_t", image.symbols["kmem_magtype"].address)
    magtype.update(mt_magsize=3, mt_align=64)
    _make_zone(image)


def _make_zone(image: KernelImage) -> None:
    zone = image.structure("zone_t", image.symbols["zone0"].address)
    zone.update(zone_name=image.string("global"), zone_rootpath=image.string("/"), zone_status=4)
    image.set("global_zone", zone)
    link = image.layout.offset("zone_t", "zone_linkage")
    _variable_list(image, "zone_active", [zone.address], link, image.layout.sizeof("zone_t"))
    project = image.new("kproject_t", kpj_zone=zone, kpj_count=1)
    project.update(kpj_next=project, kpj_prev=project)
    image.set("proj0p", project)
    image.structure("task_t", image.symbols["task0"].address).update(tk_proj=project, tk_zone=zone)


def _variable_list(image: KernelImage, name: str, addresses: list[int], link: int, size: int) -> None:
    head = image.structure("list_t", image.symbols[name].address)
    ring = [head.at("list_head")] + [address + link for address in addresses]
    head.update(list_size=size, list_offset=link)
    for here, after in zip(ring, ring[1:] + ring[:1], strict=True):
        image.structure("list_node_t", here)["list_next"] = after
        image.structure("list_node_t", after)["list_prev"] = here


def make_segments(image: KernelImage) -> None:
    """The kernel's segments, in the tree of `kas`."""
    kas = image.structure("struct as", image.symbols["kas"].address)
    unix, genunix = image.modules["unix"], image.modules["genunix"]
    ranges = (
        ("kpseg", image.map.stacks[0], image.stacks.next, "segkp_ops"),
        ("kvseg", image.map.heap[0], image.map.slabs[1], "segkmem_ops"),
        ("ktextseg", unix.text, genunix.data + 0x200000, "segkmem_ops"),
    )
    segments = []
    for name, start, end, ops in ranges:
        segment = image.structure("seg_t", image.symbols[name].address)
        segment.update(s_base=start, s_size=-(-(end - start) // PAGE) * PAGE, s_as=kas,
                       s_ops=image.symbols[ops].address)  # fmt: skip
        segments.append(segment)
    segments.sort(key=lambda segment: segment["s_base"] & (1 << image.bits) - 1)
    offset, size = image.layout.offset("seg_t", "s_tree"), image.layout.sizeof("seg_t")
    build_tree(kas, "a_segtree", [segment.address for segment in segments], offset, size)


def make_mmu(image: KernelImage) -> None:
    """The variable `mmu`."""
    paging = image.paging
    mask = (1 << image.bits) - 1
    mmu = image.structure("struct hat_mmu_info", image.symbols["mmu"].address)
    mmu.update(pt_nx=1 << 63, pt_global=0 if image.paravirtual else 0x100, num_level=paging.levels,
               max_level=paging.levels - 1, max_page_level=0 if image.paravirtual else 1, ptes_per_table=512,
               top_level_count=4 if paging is PAE else 512, pae_hat=int(paging is PAE), hash_cnt=16, pte_size=8,
               pte_size_shift=3)  # fmt: skip
    for level in range(paging.levels):
        shift = paging.shift(level)
        mmu[f"level_shift[{level}]"] = shift
        mmu[f"level_size[{level}]"] = 1 << shift
        mmu[f"level_offset[{level}]"] = (1 << shift) - 1
        mmu[f"level_mask[{level}]"] = -(1 << shift) & mask


class Hats:
    """The hat structures of all address spaces, with an htable for each page table."""

    def __init__(self, image: KernelImage, caches: dict[str, Cache]) -> None:
        self.image = image
        self.caches = caches
        self.hats: list[tuple[Structure, PageTables]] = []
        self.htables: dict[int, int] = {}
        """pfn of a page table -> address of its htable."""

    def add(self, address_space: Structure, tables: PageTables, user_root: int | None = None) -> None:
        """A hat for an address space; the htables come with `finish`."""
        hat = self.image.structure("hat_t", self.caches["hat_t"].allocate())
        buckets = self.image.words([0] * 16)
        top = self.image.paging.levels - 1
        hat.update(hat_as=address_space, hat_num_hash=16, hat_ht_hash=buckets, hat_max_level=top)
        if user_root is not None:
            hat["hat_user_ptable"] = user_root
        address_space["a_hat"] = hat
        self.hats.append((hat, tables))

    def finish(self) -> None:
        """Write the htables of all tables; making them may need further tables, which get theirs in turn."""
        for (here, _), (after, _) in zip(self.hats, self.hats[1:], strict=False):
            here["hat_next"], after["hat_prev"] = after, here
        while True:
            todo = [(hat, key, pfn) for hat, tables in self.hats for key, pfn in tables.tables.items()
                    if pfn not in self.htables]  # fmt: skip
            if not todo:
                return
            for hat, (level, base), pfn in todo:
                self._htable(hat, level, base, pfn)

    def _htable(self, hat: Structure, level: int, base: int, pfn: int) -> None:
        image = self.image
        htable = image.structure("htable_t", self.caches["htable_t"].allocate())
        self.htables[pfn] = htable.address
        bucket = ((base >> 21) + (hat.address >> 4) + level) % 16
        place = hat["hat_ht_hash"] + bucket * image.word
        head = int.from_bytes(image.space.read(place & (1 << image.bits) - 1, image.word), "little")
        htable.update(ht_next=head, ht_hat=hat, ht_vaddr=base, ht_level=level, ht_pfn=pfn)
        image.space.write(place & (1 << image.bits) - 1, htable.address.to_bytes(image.word, "little"))
        if level == image.paging.levels - 1:
            hat["hat_htable"] = htable


def make_frame_list(image: KernelImage) -> tuple[int, int]:
    """Room for `mfn_list`, with Xen's other variables; returns (address, entries). `fill_frame_list` writes it."""
    pages = max(image.frames.pages) + 1
    count = pages + 512 + pages // 256
    address = image.heap.take(count * image.word, PAGE)
    image.variable("unix", "mfn_list", "pfn_t *", address)
    image.variable("unix", "mfn_count", "pgcnt_t", count)
    start = 0xFFFF800000000000 if image.bits == 64 else 0xF5800000
    image.variable("unix", "xen_virt_start", "uintptr_t", start)
    return address, count


def fill_frame_list(image: KernelImage, address: int, count: int) -> None:
    """Write the machine frame of every page; ~0 where the domain has none."""
    frames, word = image.frames, image.word
    if max(frames.pages) >= count:
        raise MemoryError("the frame list is too short")
    none = b"\xff" * word
    data = b"".join(frames.mfn(pfn).to_bytes(word, "little") if pfn in frames.pages else none for pfn in range(count))
    image.space.write(address, data)


def make_memsegs(image: KernelImage, pages: int = 32) -> None:
    """One memseg with page structures for the domain's first pages."""
    size = image.layout.sizeof("page_t")
    array = image.heap.take(pages * size, 64)
    first = image.frames.first_pfn
    for number in range(pages):
        image.structure("page_t", array + number * size)["p_pagenum"] = first + number
    segment = image.new("struct memseg", pages=array, epages=array + pages * size, pages_base=first,
                        pages_end=first + pages)  # fmt: skip
    image.set("memsegs", segment)
    image.set("physmem", len(image.frames.pages))
    image.set("total_pages", len(image.frames.pages))


def make_caches(image: KernelImage, cpus: int) -> dict[str, Cache]:
    """The caches of the kernel's own structures."""
    caches = {name: Cache(image, name, image.layout.sizeof(ctype), cpus=cpus) for name, ctype in CACHES}
    image.set("taskq_cache", caches["taskq_cache"].record)
    image.set("task_cache", caches["task_cache"].record)
    return caches


def finish_caches(image: KernelImage, caches: dict[str, Cache]) -> None:
    """Write all caches, their list, and the arena that they come from."""
    arena = image.new("vmem_t")
    image.set("vmem_list", arena)
    image.set("ctf_arena", arena)
    for cache in caches.values():
        cache.record["cache_arena"] = arena
        cache.finish()
    link = image.layout.offset("kmem_cache_t", "cache_link")
    size = image.layout.sizeof("kmem_cache_t")
    _variable_list(image, "kmem_caches", [cache.address for cache in caches.values()], link, size)
    slabs = [(slab.base, slab.base + cache.slab_size) for cache in caches.values() for slab in cache.slabs]
    finish_arena(image, arena, "heap", 1, image.map.slabs, slabs)

"""A Solaris domain for tests: planned in a few calls, built from the layout facts, written as a core, damaged at will.

    domain = (
        SolarisDomain(bits=64, paravirtual=True)
        .process("bash", pid=565, pages={0x8050000: b"text"})
        .thread("shell", process="bash")
        .taskq("callout_taskq", threads=2)
        .cache("foo_cache", 40, audit=True, allocated=5, freed=2)
        .message("NOTICE: hello")
    )
    path = domain.write(tmp_path, format="xc_core")
    domain.planned.thread("shell").address                     # what tests assert

What a debugger must find is in the image and nowhere else: nothing of kdbg is used to make it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from samples import interrupts, kernel
from samples.image import KernelImage, Structure
from samples.kmem import Cache
from samples.memory import PAGE, Bit
from samples.plan import CacheSpec, Call, ChannelSpec, Planned, ProcessSpec, ThreadSpec
from samples.threads import Population, plan_calls
from samples.xen_core import CONTEXT64, EM_X86_64, Core, ElfShape, context, write_elf, write_xc_core

CHANNELS = (
    ChannelSpec(1, "evtchn", 257, 1, "xenbus_intr", "xpvd"),
    ChannelSpec(2, "evtchn", 260, 9, "xenconsintr", "xencons", pending=True),
    ChannelSpec(3, "virq:debug", 256, 15, "xen_debug_handler"),
    ChannelSpec(4, "virq:timer", 258, 14, "cbe_fire", masked=True),
)
"""The event channels of a domain for which none are planned."""


class SolarisDomain:
    """Plans a domain; `build`, `write` or `planned` make it. Each planning call returns the domain itself.

    ``shuffle``: a seed that moves the members of every structure about. ``later_module``: the struct module of later
    kernels. ``shared_page``: "domain" (Xen's shared page mapped as a page of the domain), "xen" (mapped, but a frame of
    Xen's, as in real paravirtual domains), or "unmapped".
    """

    def __init__(self, bits: int = 64, paravirtual: bool = True, cpus: int = 1, shuffle: int | None = None,
                 later_module: bool = False, node: str = "builder", shared_page: str = "domain") -> None:  # fmt: skip
        self.bits = bits
        self.paravirtual = paravirtual
        self.cpus = cpus
        self.shuffle = shuffle
        self.later_module = later_module
        self.node = node
        self.shared_page = shared_page
        self.processes: list[ProcessSpec] = []
        self.threads: list[ThreadSpec] = []
        self.taskqs: list[tuple[str, int]] = []
        self.caches: list[CacheSpec] = []
        self.channels: list[ChannelSpec] = []
        self.messages: list[str] = []
        self.extra_functions: list[tuple[str, str, int | None]] = []
        self._built: Domain | None = None

    def _changed(self) -> SolarisDomain:
        if self._built is not None:
            raise ValueError("the domain is built already")
        return self

    # --- planning --------------------------------------------------------------------------------------------------

    def process(self, name: str, pid: int, parent: str = "sched", arguments: str = "", uid: int = 0,
                pages: Mapping[int, bytes] | None = None) -> SolarisDomain:  # fmt: skip
        """A process with pages of its own at the given user addresses."""
        self.processes.append(ProcessSpec(name, pid, parent, arguments, uid, dict(pages or {})))
        return self._changed()

    def thread(self, label: str, process: str = "sched", stack: Sequence[Call] | None = None, state: str = "sleep",
               cpu: int | None = None, priority: int = 60, wait_channel: int = 0, sobj: str | None = None,
               name: str | None = None, stack_size: int = 0x2000) -> SolarisDomain:  # fmt: skip
        """A thread; without a stack one that sleeps in the way of its kind."""
        if stack is None:
            stack = kernel.SLEEPING if process == "sched" else kernel.WAITING
        spec = ThreadSpec(
            label, process, tuple(stack), state, cpu, None, priority, wait_channel, sobj, name, stack_size
        )
        self.threads.append(spec)
        return self._changed()

    def interrupt(self, label: str, pins: str, cpu: int = 0, level: int = 10,
                  stack: Sequence[Call] = kernel.INTERRUPTING) -> SolarisDomain:  # fmt: skip
        """An interrupt thread on a CPU; it pins a thread planned before, with `kernel.INTERRUPTED` as its stack.

        The chain of frames goes from the one's stack to the other's.
        """
        spec = ThreadSpec(label, stack=tuple(stack), state="onproc", cpu=cpu, priority=159 + level,
                          interrupt_level=level, pins=pins)  # fmt: skip
        self.threads.append(spec)
        return self._changed()

    def taskq(self, name: str, threads: int = 1) -> SolarisDomain:
        """A task queue with its threads (labels NAME/0, NAME/1 ...)."""
        self.taskqs.append((name, threads))
        for number in range(threads):
            self.threads.append(ThreadSpec(f"{name}/{number}", stack=kernel.SLEEPING, taskq=name))
        return self._changed()

    def cache(self, name: str, size: int, audit: bool = False, allocated: int = 0, freed: int = 0, loaded: int = 0,
              depot: int = 0) -> SolarisDomain:  # fmt: skip
        """A kmem cache with so many buffers in each state."""
        self.caches.append(CacheSpec(name, size, audit, allocated, freed, loaded, depot))
        return self._changed()

    def channel(self, spec: ChannelSpec) -> SolarisDomain:
        """An event channel."""
        self.channels.append(spec)
        return self._changed()

    def message(self, text: str) -> SolarisDomain:
        """A message of the kernel's log."""
        self.messages.append(text)
        return self._changed()

    def function(self, name: str, module: str = "genunix", arguments: int | None = 0) -> SolarisDomain:
        """A function that stands in a planned stack, where it is not one that every kernel here has."""
        self.extra_functions.append((name, module, arguments))
        return self._changed()

    # --- results ---------------------------------------------------------------------------------------------------

    def build(self) -> Domain:
        """The domain, built (once)."""
        if self._built is None:
            self._built = _Build(self).run()
        return self._built

    @property
    def planned(self) -> Planned:
        """The facts of the built domain."""
        return self.build().planned

    def write(self, folder: Path, format: str = "xc_core", **options: object) -> Path:  # noqa: A002
        """Write a core: see `Domain.write`."""
        return self.build().write(folder, format, **options)  # type: ignore[arg-type]


def standard(bits: int = 64, paravirtual: bool = True, cpus: int = 2, **options: object) -> SolarisDomain:
    """A domain with something of everything: what most tests open."""
    low = {0x8050000: b"\x7fELF text of bash", 0x8051000: b"more text", 0x8047000: b"stack of bash"}
    domain = SolarisDomain(bits, paravirtual, cpus, **options)  # type: ignore[arg-type]
    return (
        domain.process("init", 1, arguments="/sbin/init")
        .process("bash", 565, "init", "-bash", 100, low)
        .process("tail", 571, "bash", "tail -f log", 100, {0x8050000: b"\x7fELF text of tail"})
        .thread("flusher", name="flusher", sobj="cv", wait_channel=0x1111)
        .thread("init", "init")
        .thread("shell", "bash")
        .thread("shell2", "bash", state="run", priority=99)
        .thread("tail", "tail", state="stopped")
        .taskq("callout_taskq", 2)
        .taskq("system_taskq", 1)
        .cache("foo_cache", 40, allocated=30, freed=9, loaded=2, depot=3)
        .cache("bar_cache", 1200, allocated=11, freed=3)
        .cache("audited_cache", 64, audit=True, allocated=7, freed=3, loaded=1)
        .message("SunOS Release 5.11 Version builder\n")
        .message("NOTICE: a message of the plan\n")
    )


class Domain:
    """A built domain: its memory, its planned facts, its contexts; writes cores, and takes damage."""

    def __init__(self, image: KernelImage, planned: Planned, caches: dict[str, Cache], population: Population,
                 shared: bytes, hats: kernel.Hats) -> None:  # fmt: skip
        self.image = image
        self.planned = planned
        self.caches = caches
        self.population = population
        self.shared = shared
        self.hats = hats
        self.dropped: set[int] = set()

    # --- damage ----------------------------------------------------------------------------------------------------

    def structure(self, type_name: str, address: int) -> Structure:
        """A view on a structure, to look at or to overwrite: ``domain.structure("kthread_t", a)["t_next"] = b``."""
        return self.image.structure(type_name, address)

    def poke(self, address: int, data: bytes) -> None:
        """Overwrite kernel memory."""
        self.image.space.write(address, data)

    def link(self, label: str, member: str, other: str) -> None:
        """Let a thread's link lead to another thread: the way to make a cycle."""
        target = self.planned.thread(other).address
        self.structure("kthread_t", self.planned.thread(label).address)[member] = target

    def drop_page(self, address: int) -> int:
        """Leave the page of a kernel address out of the core; returns its pfn."""
        pfn = self.image.space.pages[address // PAGE]
        self.dropped.add(pfn)
        return pfn

    def unmap(self, address: int) -> None:
        """Clear the entry of a kernel address."""
        self.image.tables.set_entry(address, 0)

    def expose(self, address: int) -> None:
        """Make a kernel page accessible to user mode: the user bit without Xen's mark of a kernel page."""
        tables = self.image.tables
        tables.set_entry(address, (tables.entry(address) | Bit.USER) & ~Bit.GUEST_KERNEL)

    def forget_global(self, process: str, address: int) -> None:
        """Clear the global bit of a user page (in both tables of a 64-bit paravirtual process)."""
        made = self.population.processes[process]
        for tables in (made.tables, made.user_tables):
            if tables is not None:
                tables.set_entry(address, tables.entry(address) & ~Bit.GLOBAL)

    # --- writing ---------------------------------------------------------------------------------------------------

    def contexts(self) -> list[bytes]:
        """The vCPU contexts."""
        bits = 32 if self.image.bits == 32 and self.image.paravirtual else 64
        flags = 0x25 if self.image.paravirtual else 0x21
        return [context(cpu.registers, bits, flags) for cpu in self.planned.cpus]

    def frames(self) -> list[tuple[int, int]]:
        """(pfn, mfn) of every page that the core is to hold, by pfn; in HVM domains the mfn is the pfn."""
        frames = self.image.frames
        return [(pfn, frames.number(pfn)) for pfn in frames if pfn not in self.dropped]

    def core(self, vcpus: int | None = None) -> Core:
        """What either format holds; ``vcpus``: only so many contexts, as for CPUs that were never started."""
        image = self.image
        bits = 32 if image.bits == 32 and image.paravirtual else 64
        return Core(self.contexts()[:vcpus], self.frames(), image.frames.pages, image.paravirtual, bits, self.shared)

    def write(self, folder: Path, format: str = "xc_core", name: str | None = None, index: str = "pfn",  # noqa: A002
              shape: ElfShape | None = None, tools64: bool = False, vcpus: int | None = None) -> Path:  # fmt: skip
        """Write a core into a folder and return its path.

        ``format``: "xc_core" or "elf". ``index``: of xc_core, "pfn" or "mfn". ``shape``: of ELF. ``tools64``: a 32-bit
        guest's contexts in slots of 5168 bytes and e_machine EM_X86_64, as 64-bit tools write them.
        """
        core = self.core(vcpus)
        if format == "xc_core":
            return write_xc_core(folder / (name or "core.domu"), core, index)
        shape = shape or ElfShape()
        if tools64:
            shape = replace(shape, slot=CONTEXT64, machine=EM_X86_64)
        return write_elf(folder / (name or "core.elf"), core, shape)


class _Build:
    """One build, step by step; the order is that of what depends on what."""

    def __init__(self, plan: SolarisDomain) -> None:
        self.plan = plan
        self.image = KernelImage(plan.bits, plan.paravirtual, plan.shuffle, plan.later_module)
        self.channels = plan.channels or (list(CHANNELS) if plan.paravirtual else [])
        idle = [ThreadSpec(f"idle{n}", stack=kernel.IDLE, state="onproc", cpu=n, priority=-1) for n in range(plan.cpus)]
        busy = {spec.cpu for spec in plan.threads if spec.state == "onproc"}
        for spec in idle:
            if spec.cpu in busy:
                spec.state, spec.cpu = "sleep", None
        self.threads = idle + plan.threads

    def run(self) -> Domain:
        """Build."""
        image, plan = self.image, self.plan
        self._modules()
        kernel.make_variables(image, plan.node, "onnv-builder", plan.cpus)
        self._code()
        kernel.make_mmu(image)
        caches = kernel.make_caches(image, plan.cpus)
        population = self._population(caches)
        self._buffers(caches, population)
        planned = Planned(
            population.threads, [], [], population.link_threads(), self.channels, plan.messages, plan.node
        )
        planned.processes = population.link_processes()
        population.fill_sleep_queues()
        interrupts.make_messages(image, plan.messages)
        shared = interrupts.shared_info(image, self.channels)
        if plan.paravirtual:
            interrupts.make_channels(image, self.channels)
            if plan.shared_page != "unmapped":
                interrupts.map_shared_info(image, shared, plan.shared_page == "domain")
        hats = self._hats(caches, population)
        planned.cpus = population.occupy_cpus(
            self._roots(population), {spec.label: spec.pins for spec in self.threads if spec.pins}
        )
        kernel.make_memsegs(image)
        self._finish(caches, population, hats)
        return Domain(image, planned, caches, population, shared, hats)

    def _modules(self) -> None:
        image = self.image
        width = "amd64/" if image.bits == 64 else ""
        platform = "i86xpv" if image.paravirtual else "i86pc"
        image.module("unix", f"/platform/{platform}/kernel/{width}unix")
        image.module("genunix", f"/kernel/{width}genunix")
        names = {"specfs", *(spec.module for spec in self.channels), *(m for _, m, _ in self.plan.extra_functions)}
        if image.paravirtual:
            names.add("xpv_psm")
        for name in sorted(names - {"unix", "genunix"}):
            image.module(name, f"/kernel/drv/{width}{name}", f"{name} of the builder")

    def _code(self) -> None:
        image = self.image
        for name, module, arguments in (*kernel.FUNCTIONS, *self.plan.extra_functions):
            image.function(name, module, arguments)
        image.function("spec_helper", "specfs", 2, local=True)
        for channel in self.channels:
            if channel.handler:
                image.function(channel.handler, channel.module, 1)
        by_label = {spec.label: spec for spec in self.threads}
        stacks = [spec.stack for spec in self.threads]
        stacks += [(spec.stack[-1], by_label[spec.pins].stack[0]) for spec in self.threads if spec.pins]
        plan_calls(image, stacks)
        image.functions["kmem_cache_alloc"].calls(image.functions["kmem_slab_alloc"])
        image.functions["kmem_alloc"].calls(image.functions["kmem_cache_alloc"])
        image.functions["thread_create"].calls(image.functions["kmem_alloc"])
        image.place_code()
        image.set("lbolt_hybrid", image.functions["lbolt_event_driven"].address)

    def _population(self, caches: dict[str, Cache]) -> Population:
        image = self.image
        population = Population(image, caches)
        population.kernel_process(image.structure("struct as", image.symbols["kas"].address))
        for process in self.plan.processes:
            population.process(process)
        for name, threads in self.plan.taskqs:
            population.taskq(name, threads)
        population.make_cpus(self.plan.cpus)
        for thread in self.threads:
            population.thread(thread)
        return population

    def _buffers(self, caches: dict[str, Cache], population: Population) -> None:
        image = self.image
        stack = (image.pc("kmem_cache_alloc", "kmem_slab_alloc"), image.pc("kmem_alloc", "kmem_cache_alloc"),
                 image.pc("thread_create", "kmem_alloc"))  # fmt: skip
        by = population.threads[0].address
        choose = random.Random(5)
        for spec in self.plan.caches:
            cache = caches[spec.name] = Cache(image, spec.name, spec.size, spec.audit, self.plan.cpus)
            total = spec.allocated + spec.freed + spec.loaded + spec.depot
            buffers = [cache.allocate(by, stack) for _ in range(total)]
            choose.shuffle(buffers)
            for number, buffer in enumerate(buffers[spec.allocated :]):
                if number < spec.freed:
                    cache.free(buffer, by, stack[:2])
                else:
                    cache.free(buffer, by, stack[:2], 0 if number < spec.freed + spec.loaded else -1)

    def _hats(self, caches: dict[str, Cache], population: Population) -> kernel.Hats:
        hats = kernel.Hats(self.image, caches)
        for process in population.processes.values():
            user = process.user_tables.root if process.user_tables else None
            hats.add(process.address_space, process.tables or self.image.tables, user)
        return hats

    def _roots(self, population: Population) -> dict[str, int]:
        """cr3 of each process as a register holds it."""
        image, roots = self.image, {}

        def register(pfn: int) -> int:
            number = image.frames.number(pfn)
            if image.bits == 32 and image.paravirtual:  # xen/public/arch-x86/xen-x86_32.h: the extended form of cr3
                return (number << 12 | number >> 20) & 0xFFFFFFFF
            return number << 12

        for name, process in population.processes.items():
            roots[name] = register((process.tables or image.tables).root)
            if process.user_tables is not None:
                roots[f"user {name}"] = register(process.user_tables.root)
        return roots

    def _finish(self, caches: dict[str, Cache], population: Population, hats: kernel.Hats) -> None:
        """What can only be written once everything else has its place."""
        image = self.image
        frame_list = kernel.make_frame_list(image) if image.paravirtual else None
        image.variable("specfs", "stable", "void * [16]")
        kernel.make_segments(image)
        image.finish_modules()
        for region in (image.heap, image.slabs):
            image.tables.reserve(region.next, 8 << 20)
        for process in population.processes.values():
            if process.tables is not None:
                process.tables.share(image.tables, image.map.kernelbase)
        hats.finish()
        kernel.finish_caches(image, caches)
        if frame_list is not None:
            kernel.fill_frame_list(image, *frame_list)

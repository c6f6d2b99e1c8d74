"""A Solaris or illumos kernel, found in the image.

What the kernel consists of is told by sibling modules, a topic each (threads, processes, stacks, kmem ...).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.kernel import Kernel
from kdbg.kernels.solaris.bootstrap import Bootstrap, debug_info
from kdbg.kernels.solaris.early import DEBUG_INFO_AT

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.formats.illumos_xpv import ByMachineFrame
    from kdbg.kernels.solaris.hat import Hats
    from kdbg.records import Cpu, Frame, LogEntry, Module, Process, Thread
    from kdbg.symbols.ctf import CtfContainer
    from kdbg.symbols.model import Type
    from kdbg.symbols.space import TypeSpace
    from kdbg.symbols.table import Symbol, Symbols
    from kdbg.target import FileMapping
    from kdbg.vm.space import AddressSpace


class Solaris(Kernel):
    """The kernel of a dump."""

    family = "solaris"

    def __init__(self, target: Dump, space: AddressSpace, info: dict[str, int]) -> None:
        super().__init__(target, space)
        self.info = info
        """Members of its debug_info."""
        self.bootstrap = Bootstrap(target.memory(space), info["di_modules"], target)

    @classmethod
    def detect(cls, target: Dump) -> Solaris | None:
        """The kernel, if one of the vCPUs' address spaces has its debug_info where it belongs."""
        if target.image.native:
            return cls._detect_native(target)
        address = DEBUG_INFO_AT[target.bits, target.image.paravirtual]
        for space in target.kernel_spaces():
            info = debug_info(target.memory(space), address)
            if info is not None:
                return cls(target, space, info)
        return None

    @classmethod
    def _detect_native(cls, target: Dump) -> Solaris | None:
        from kdbg.kernels.solaris.native import find

        found = find(target)
        if found is None:
            return None
        space, info, holder = found
        kernel = cls(target, space, info)
        holder.append(kernel)
        return kernel

    # names and types

    @property
    def symbols(self) -> Symbols:
        """The symbols of all its modules."""
        return self.bootstrap.symbols

    @functools.cached_property
    def types(self) -> TypeSpace[CtfContainer]:
        """The types of all its modules."""
        self.bootstrap.confirm()
        return self.bootstrap.types

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a data object or function. Raises `TypeNotFound`."""
        from kdbg.symbols.table import STT_FUNC

        try:
            container = self.types.container(symbol.module)
        except TypeNotFound:
            raise
        except Error as error:
            raise TypeNotFound(symbol.name, error.reason) from None
        of = container.type_of_function if symbol.type == STT_FUNC else container.type_of_object
        return of(symbol.index)

    # what it is

    @functools.cached_property
    def uname(self) -> dict[str, str]:
        """Struct utsname as text by member: sysname, nodename, release, version, machine.

        Where the dump lacks it, as the dump's own header has it; empty where that has none.
        """
        try:
            found = self.variable_value("utsname").load()
            return {name: found[name].string() for name in ("sysname", "nodename", "release", "version", "machine")}
        except Error:
            return dict(self.target.image.names)

    @functools.cached_property
    def platform(self) -> str:
        """The platform: "i86pc", "i86xpv"; "" where it is unreadable."""
        try:
            return self.string(self.symbol("platform").address, 257)
        except (SymbolNotFound, ReadError):
            return ""

    # records, each by the module of its topic

    def modules(self) -> Iterator[Module]:
        """The kernel's modules in the order of its list."""
        from kdbg.records import Module

        for module in self.bootstrap.modules:
            yield Module(module.name, module.facts["text"], module.facts["text_size"], module.modctl)

    def threads(self, start: int | None = None) -> Iterator[Thread]:
        """All threads in the order of the kernel's list."""
        from kdbg.kernels.solaris.threads import threads

        yield from threads(self, start)

    def processes(self) -> Iterator[Process]:
        """All processes, parents before their children."""
        from kdbg.kernels.solaris.processes import processes

        yield from processes(self)

    def cpus(self) -> Iterator[Cpu]:
        """The CPUs by id, with the registers of their vCPU contexts."""
        from kdbg.kernels.solaris.cpus import cpus

        yield from cpus(self)

    def log(self) -> Iterator[LogEntry]:
        """The messages in the kernel's buffer, oldest first."""
        from kdbg.kernels.solaris.messages import log

        yield from log(self)

    def stack(self, thread: int) -> list[Frame]:
        """The stack of the thread whose structure lies at the address."""
        from kdbg.kernels.solaris.stacks import thread_stack

        return thread_stack(self, thread)

    def space_of_process(self, address: int) -> AddressSpace:
        """The address space of the process whose proc_t lies at the address. Raises `ReadError`, `TypeNotFound`."""
        return self.space_of_as(int(self.at("proc_t", address).p_as))

    def space_of_as(self, address: int) -> AddressSpace:
        """The address space that a ``struct as`` describes: as -> hat -> htable -> frame of its top page table.

        Raises `ReadError`, `TypeNotFound`, `CommandError`.
        """
        from kdbg.vm.mapped import MachineTables
        from kdbg.vm.space import AddressSpace

        image, mode, root = self.target.image, self.space.mode, self.top_frame_of_as(address) << 12
        if self.by_machine is not None:
            return MachineTables(self.by_machine.dump, self.by_machine, mode, root)
        return AddressSpace(image, mode, root)

    def top_frame_of_as(self, address: int) -> int:
        """Frame of a ``struct as``'s top page table, as page tables hold frames. Raises as `space_of_as`."""
        hat = self.at("struct as", address).a_hat
        if not hat:
            raise CommandError(f"{address:x}: an address space without a hat")
        pfn = int(hat.hat_htable.ht_pfn)
        image = self.target.image
        if self.by_machine is not None:
            image = self.by_machine
        elif self.on_xvm:
            raise CommandError("its page tables hold machine frames, and its list of these cannot be read")
        frame = image.pfn_to_mfn(pfn) if image.paravirtual else pfn
        if frame is None:
            raise CommandError(f"{address:x}: no machine frame for its top page table, pfn {pfn:x}")
        return frame

    # domain 0 of Solaris xVM

    @functools.cached_property
    def on_xvm(self) -> bool:
        """Whether it is the kernel of a native dump that ran on Xen: as domain 0 of Solaris xVM."""
        from kdbg.formats.illumos_xpv import PLATFORM

        return getattr(self.target.image, "platform", "") == PLATFORM

    @functools.cached_property
    def by_machine(self) -> ByMachineFrame | None:
        """The pages of such a dump by the machine frames that its page tables hold; None where it is no such dump.

        None, too, where the kernel's list of machine frames cannot be read.
        """
        from kdbg.formats.illumos_xpv import ByMachineFrame

        books = self.page_tables() if self.on_xvm else None
        if books is None or not books.has_frames:
            return None
        return ByMachineFrame(self.target.image, books.pfn_of, books.mfn_of)  # type: ignore[arg-type]

    @functools.cached_property
    def hypervisor_panicked(self) -> bool | None:
        """Whether it was the hypervisor below it that panicked; None where there is none, or nothing tells.

        The hypervisor hands its panic over to domain 0, which counts in ``xpv_panicking`` and dumps both.
        """
        if not self.on_xvm:
            return None
        try:
            return int.from_bytes(self.memory.read(self.symbol("xpv_panicking").address, 4), "little", signed=True) > 0
        except Error:
            return None

    def mappings(self) -> list[FileMapping]:
        """The segments of the kernel's address space, named by the variables that they are."""
        from kdbg.kernels.solaris.memory import kernel_mappings

        return kernel_mappings(self)

    def page_tables(self) -> Hats:
        """Its books of its page tables."""
        from kdbg.kernels.solaris.hat import hats

        return hats(self)

    def number_pages(self) -> None:
        """Number the pages of a core that holds no pfn by the kernel's list of machine frames."""
        from kdbg.kernels.solaris.frames import number_pages

        number_pages(self, self.target.image)  # type: ignore[arg-type]

    def cpu_stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU from its registers, the place where it was first."""
        from kdbg.kernels.solaris.stacks import Unwinder

        fp, pc = (registers.get(long, registers.get(short, 0)) for long, short in (("rbp", "ebp"), ("rip", "eip")))
        return self.part(Unwinder).stack(fp, pc)

    def registers(self) -> dict[str, int]:
        """The registers of the representative thread: of the panic, or of vCPU 0."""
        from kdbg.kernels.solaris.registers import representative_registers

        # The control registers are variables too, and 0 for mdb: it does not look for them in a dump.
        return {**representative_registers(self), "cr2": 0, "cr3": 0}

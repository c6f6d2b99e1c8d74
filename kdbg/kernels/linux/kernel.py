"""A Linux kernel, found in the image: through the vCPUs' page tables, with nothing but the dump.

The kernel is known by its banner in the mapping of its image; its symbols are those of kallsyms in there
(`kdbg.kernels.linux.kallsyms`) and those that each module brought along (`kdbg.kernels.linux.modules`), its types those
of its BTF (`kdbg.kernels.linux.types`). What the kernel consists of is told by sibling modules, a topic each.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.kernel import Kernel
from kdbg.kernels.linux import kallsyms
from kdbg.kernels.linux.keeping import kept
from kdbg.kernels.linux.mapping import REGIONS, ImageMapping, region
from kdbg.kernels.linux.symbols import KallsymsTable, LinuxSymbols
from kdbg.kernels.linux.vmcoreinfo import VmCoreInfo, of_page, scan
from kdbg.vm.modes import PAE, X86_64, X86_64_LA57
from kdbg.vm.space import AddressSpace

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.kernels.linux.debuginfo import DebugInfo
    from kdbg.kernels.linux.modules import ModuleImage
    from kdbg.records import Cpu, Frame, LogEntry, Module, Process, Thread
    from kdbg.symbols.btf import BtfContainer
    from kdbg.symbols.model import Type
    from kdbg.symbols.space import TypeSpace
    from kdbg.symbols.table import Symbol, SymbolTable

BANNER = b"Linux version "
BANNER_SIZE = 512
_BANNER = re.compile(rb"Linux version (\d+\.\d[^ ]*) \(.*\) (#\d[^\n]*)")
"""Without a number behind # it is the one that the final link replaces (init/version.c, weak)."""
UTS_FIELDS = ("sysname", "nodename", "release", "version", "machine", "domainname")
UTS_SIZE = 65
"""Bytes of each member of struct new_utsname (include/uapi/linux/utsname.h: __NEW_UTS_LEN + 1)."""
USER_TABLE = 1 << 12
"""With page table isolation the user half's top table lies one page behind the kernel's (PTI_USER_PGTABLE_BIT)."""


class Linux(Kernel):
    """The kernel of a dump."""

    family = "linux"

    def __init__(self, target: Dump, mapping: ImageMapping, banner: tuple[int | None, str, str]) -> None:
        super().__init__(target, mapping.space)
        self.mapping = mapping
        """Its image in memory."""
        self.banner_at, self.release, self.version = banner
        self.recognised = "VMCOREINFO" if self.banner_at is None else f"its banner at {self.banner_at:x}"
        """How it was found."""

    @classmethod
    def detect(cls, target: Dump) -> Linux | None:
        """The kernel, if the space of one of the vCPUs maps an image with a banner in it."""
        if target.image.host is not None:
            from kdbg.kernels.linux.dom0 import Dom0

            below = Dom0.below(target)
            if below is not None:
                return below
        told = VmCoreInfo(target.image.vmcoreinfo)
        text, mapping = told.symbols.get("_stext"), None
        for space in _spaces(target):
            found = ImageMapping(space, *region(space, target.bits, text))
            banner = find_banner(found)
            if banner is not None:
                return cls(target, found, banner)
            mapping = mapping if mapping is not None and mapping.segments else found
        if mapping is not None and told.release:  # a part of a dump, without the image
            return cls(target, mapping, (None, told.release, ""))
        return None

    # names and types

    @functools.cached_property
    def symbols(self) -> LinuxSymbols:
        """The symbols of its image, and of its modules."""
        layout = self.layout
        table = KallsymsTable(self.mapping, layout, self.bits, kept(self, "kallsyms")) if layout is not None else None
        return LinuxSymbols(table, self._module_symbols)

    def _module_symbols(self) -> list[SymbolTable]:
        from kdbg.kernels.linux import bpf
        from kdbg.kernels.linux.modules import symbol_table

        tables = [bpf.symbol_table(self)]
        for module in self.module_images:
            try:
                tables.append(symbol_table(self, module))
            except ReadError as error:
                self.target.note(f"module {module.name}: its symbols cannot be read: {error}")
        return [table for table in tables if table is not None]

    @functools.cached_property
    def module_images(self) -> list[ModuleImage]:
        """The modules as they are known without types."""
        from kdbg.kernels.linux.modules import modules

        return list(modules(self))

    @functools.cached_property
    def layout(self) -> kallsyms.Layout | None:
        """Where kallsyms lies; None (with a note) where it is not found."""
        found = self._kallsyms("VMCOREINFO", VmCoreInfo(self.target.image.vmcoreinfo))
        found = found or self._kallsyms("its structure", None)
        found = found or self._kallsyms("a VMCOREINFO in memory", scan(self.target.image, self.release))
        if found is None:
            self.target.note("no kallsyms in the kernel's image: no symbols")
        return found

    def _kallsyms(self, how: str, told: VmCoreInfo | None) -> kallsyms.Layout | None:
        named = told.symbols if told is not None else {}
        if "kallsyms_token_table" not in named and how != "its structure":
            return None
        found = kallsyms.find(self.mapping, self.bits, named)
        if found is not None:
            self.recognised += f", kallsyms by {how}"
        return found

    @functools.cached_property
    def vmcoreinfo(self) -> VmCoreInfo | None:
        """What the kernel wrote down for readers of its dumps: the dump's note, or what lies in its memory."""
        if self.target.image.vmcoreinfo:
            return VmCoreInfo(self.target.image.vmcoreinfo)
        try:
            told = of_page(self.memory.read(self.word(self.image_symbol("vmcoreinfo_data").address), 4096))
        except Error:
            told = None
        return told or scan(self.target.image, self.release)

    def image_symbol(self, name: str) -> Symbol:
        """The symbol of that name in the kernel's image: modules are not looked at. Raises `SymbolNotFound`."""
        table = self.symbols.image
        try:
            found = table.find(name) if table is not None else None
        except ReadError as error:
            raise SymbolNotFound(name, f"the kernel's symbols cannot be read: {error}") from None
        if found is None:
            raise SymbolNotFound(name)
        return found

    def place(self, name: str) -> int:
        """Address of a variable of the image, also where it has no symbol but is found all the same.

        Raises `SymbolNotFound`.
        """
        from kdbg.kernels.linux.places import Places

        return self.part(Places).place(name)

    def per_cpu_places(self, name: str) -> list[int]:
        """Addresses of a per-CPU variable, by CPU. Raises `SymbolNotFound`, `ReadError`."""
        from kdbg.kernels.linux.cpus import per_cpu_start
        from kdbg.kernels.linux.places import per_cpu_offsets

        try:
            of, mask = self.place(name) - per_cpu_start(self), (1 << self.bits) - 1
        except SymbolNotFound:
            from kdbg.kernels.linux import percpu_types

            return percpu_types.per_cpu_places(self, name)
        return [offset + of & mask for offset in self.part(per_cpu_offsets)]

    @functools.cached_property
    def types(self) -> TypeSpace[BtfContainer]:
        """The types of its image and of its modules."""
        from kdbg.kernels.linux.types import type_space

        return type_space(self)

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a data object or function. Raises `TypeNotFound`."""
        from kdbg.kernels.linux.types import Variables

        try:
            return self.part(Variables).type_of(symbol)
        except TypeNotFound:
            raise
        except Error as error:
            raise TypeNotFound(symbol.name, error.reason) from None

    @property
    def debug_info(self) -> DebugInfo:
        """What debug files add: lines, inlined functions, variables."""
        from kdbg.kernels.linux.debuginfo import DebugInfo

        return self.part(DebugInfo)

    def check_debug_files(self) -> None:
        """Open the debug file of the kernel. Raises `Error` where what was given is not this kernel's."""
        self.debug_info.check()

    # memory

    def in_kernel(self, address: int) -> bool:
        """Whether an address belongs to the kernel's half."""
        return address >= self.lowest

    @functools.cached_property
    def lowest(self) -> int:
        """Where the kernel's half begins; with 32 bits where the direct map does, which has the image in it."""
        if self.bits == 64:
            return 1 << 63
        first = min(self.mapping.segments, key=lambda segment: segment.address, default=None)
        if first is None or self.target.image.paravirtual:
            return REGIONS[32][0]
        return max(first.address - (first.frames[0][0] << 12), 0)

    # what it is

    @functools.cached_property
    def uname(self) -> dict[str, str]:
        """The system's names by member of struct new_utsname: those of the first namespace.

        Where the dump lacks them, what the banner and the dump's own header say.
        """
        if self._uts is not None:
            return dict(zip(UTS_FIELDS, self._uts, strict=True))
        told = self.target.image.names
        if told.get("release") != self.release:
            told = {}
        known = {"sysname": "Linux", "release": self.release} | ({"version": self.version} if self.version else {})
        return {name: known.get(name) or told.get(name, "") for name in UTS_FIELDS}

    @functools.cached_property
    def _uts(self) -> tuple[str, ...] | None:
        """The names in init_uts_ns: by its symbol, else by the release behind "Linux" in the first place.

        Other namespaces have the same release, and names of their own.
        """
        for address in self._uts_places():
            try:
                data = self.mapping.read(address, UTS_SIZE * len(UTS_FIELDS))
            except ReadError:
                continue
            parts = (data[at : at + UTS_SIZE] for at in range(0, len(data), UTS_SIZE))
            fields = tuple(part.partition(b"\0")[0].decode("utf-8", "replace") for part in parts)
            if fields[0] == "Linux" and fields[3] and self.version.startswith(fields[3]):  # Ubuntu adds to it
                return fields
        return None

    def _uts_places(self) -> Iterator[int]:
        try:
            symbol = self.image_symbol("init_uts_ns").address
            yield from (symbol + at for at in (0, 4, 8))  # a counter stood before the names, up to 5.10
        except SymbolNotFound:
            pass
        release = self.release.encode("latin-1").ljust(UTS_SIZE, b"\0")
        for segment in self.mapping.data():
            yield from (hit - 2 * UTS_SIZE for hit in self.mapping.search(segment, release))

    # CPUs

    def cpus(self) -> Iterator[Cpu]:
        """The CPUs in order of their ids, with the registers of their contexts and the tasks on them."""
        from kdbg.kernels.linux.cpus import cpus

        yield from cpus(self)

    def registers(self) -> Mapping[str, int]:
        """The registers of the CPU that panicked, else of the first one."""
        from kdbg.kernels.linux.cpus import representative

        return representative(self)

    def cpu_stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU from its registers, the place where it was first."""
        from kdbg.kernels.linux.stack import cpu_frames

        return cpu_frames(self, registers)

    # records, each by the module of its topic

    def threads(self, start: int | None = None) -> Iterator[Thread]:
        """All tasks, those of the idle CPUs first; or the one at ``start``. Raises `TypeNotFound` without types."""
        from kdbg.kernels.linux.tasks import threads

        yield from threads(self, start)

    def processes(self) -> Iterator[Process]:
        """All processes, each by the task that leads it. Raises `TypeNotFound` without types."""
        from kdbg.kernels.linux.tasks import processes

        yield from processes(self)

    def modules(self) -> Iterator[Module]:
        """The modules in the order of the kernel's list: the newest first."""
        from kdbg.records import Module

        for module in self.module_images:
            yield Module(module.name, module.base, module.size, module.address)

    def texts(self) -> Iterator[tuple[int, int]]:
        """(start, end) of the image's text (include/asm-generic/sections.h) and of the modules."""
        with contextlib.suppress(SymbolNotFound):
            yield self.image_symbol("_stext").address, self.image_symbol("_etext").address
        yield from super().texts()

    def log(self) -> Iterator[LogEntry]:
        """The kernel's messages, oldest first. Raises `SymbolNotFound`, `ReadError` where they are not found."""
        from kdbg.kernels.linux.messages import log

        yield from log(self)

    def stack(self, thread: int) -> list[Frame]:
        """The stack of the task at an address; empty where it has none. Raises `ReadError`, `TypeNotFound`."""
        from kdbg.kernels.linux.unwind import thread_stack

        return thread_stack(self, thread)

    def process_space(self, process: int) -> AddressSpace:
        """The address space of the process with that pid. Raises `CommandError`, `TypeNotFound` without types."""
        from kdbg.kernels.linux.tasks import Tasks

        found = self.part(Tasks).by_pid(process)
        if found is None:
            raise CommandError(f"no process with id {process}")
        return self.space_of_process(found)

    def space_of_process(self, address: int) -> AddressSpace:
        """The address space of the process whose leading task lies at the address. Raises `Error`."""
        from kdbg.kernels.linux.areas import space_of_task

        return space_of_task(self, address)

    def command_line(self, mm: int) -> str:
        """The command line of a process by the address of its mm_struct; "" where it cannot be read."""
        from kdbg.kernels.linux.areas import command_line

        return command_line(self, mm)


def _spaces(target: Dump) -> Iterator[AddressSpace]:
    """The spaces in which the kernel may be mapped: those of the vCPUs, and page table isolation's beside them."""
    for space in target.kernel_spaces():
        yield space
        if not target.image.paravirtual and space.mode in (X86_64, X86_64_LA57, PAE) and space.root & USER_TABLE:
            yield AddressSpace(target.image, space.mode, space.root & ~USER_TABLE)


def find_banner(mapping: ImageMapping) -> tuple[int, str, str] | None:
    """(address, release, version) of the banner in an image."""
    for segments in mapping.by_likelihood():
        for segment in segments:
            for hit in mapping.search(segment, BANNER):
                try:
                    text = mapping.read(hit, min(BANNER_SIZE, segment.address + segment.size - hit))
                except ReadError:
                    continue
                found = _BANNER.match(text.partition(b"\0")[0])
                if found:
                    return hit, found[1].decode("latin-1"), found[2].decode("latin-1")
    return None

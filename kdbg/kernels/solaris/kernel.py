"""A Solaris or illumos kernel, found in the image: its variables, structures and records.

What the kernel consists of is told by sibling modules, a topic each (threads, processes, stacks, kmem ...); this one
gives them the words: `variable`, `load`, `at`, `symbol`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from kdbg.errors import CommandError, Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.solaris.bootstrap import Bootstrap, debug_info
from kdbg.kernels.solaris.early import DEBUG_INFO_AT
from kdbg.symbols.value import Value, read_string

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.records import Cpu, Frame, LogEntry, Module, Process, Thread
    from kdbg.symbols.model import Type
    from kdbg.symbols.table import Symbol
    from kdbg.vm.space import AddressSpace

T = TypeVar("T")


class Solaris:
    """The kernel of a dump."""

    family = "solaris"
    """Of the dcmds for it: the package in `kdbg.dcmds`."""

    def __init__(self, target: Dump, space: AddressSpace, info: dict[str, int]) -> None:
        self.target = target
        self.space = space
        """The kernel's own address space."""
        self.info = info
        """Members of its debug_info."""
        self.bits = target.bits
        self.bootstrap = Bootstrap(target.memory(space), info["di_modules"], target)
        self._parts: dict[Callable[[Solaris], Any], Any] = {}

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

    def part(self, make: Callable[[Solaris], T]) -> T:
        """What a topic's module keeps for this kernel (layouts, caches): made by ``make(kernel)`` once."""
        if make not in self._parts:
            self._parts[make] = make(self)
        return self._parts[make]  # type: ignore[no-any-return]

    # names and types

    @property
    def symbols(self) -> Any:
        """The symbols of all its modules (`kdbg.symbols.table.Symbols`)."""
        return self.bootstrap.symbols

    @functools.cached_property
    def types(self) -> Any:
        """The types of all its modules (`kdbg.symbols.space.TypeSpace`)."""
        self.bootstrap.confirm()
        return self.bootstrap.types

    def type(self, name: str) -> Type:
        """The type of that C name. Raises `TypeNotFound`."""
        found: Type = self.types.lookup(name)
        return found

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
        found: Type = of(symbol.index)
        return found

    def symbol(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name, ``module`name`` that of one module. Raises `SymbolNotFound`."""
        if module is None and "`" in name:
            module, _, name = name.rpartition("`")
        if module is None:
            found: Symbol | None = self.symbols.find(name)
        else:
            table = self.symbols.module(module)
            if table is None:
                raise SymbolNotFound(f"{module}`{name}", "unknown object file name")
            found = table.find(name)
        if found is None:
            raise SymbolNotFound(name)
        return found

    def has_symbol(self, name: str) -> bool:
        """Whether there is a symbol of that name."""
        return self.symbols.find(name) is not None

    # structures

    def variable(self, name: str) -> Any:
        """The variable of that name: a number if its type is a number's, else a `Value`.

        Raises `SymbolNotFound`, `TypeNotFound`, and `ReadError` for a number.
        """
        from kdbg.symbols.value import plain

        return plain(self.variable_value(name))

    def variable_value(self, name: str) -> Value:
        """The variable of that name as a place, whatever its type."""
        symbol = self.symbol(name)
        return Value(self.memory, self.type_of(symbol), symbol.address)

    def at(self, type_name: str, address: int) -> Value:
        """A structure in place: members are read when they are asked for. Raises `TypeNotFound`."""
        return Value(self.memory, self.type(type_name), address)

    def load(self, type_name: str, address: int) -> Value:
        """A structure read at once: it fails as a whole. Raises `TypeNotFound`, `ReadError`."""
        return self.at(type_name, address).load()

    def word(self, address: int) -> int:
        """The pointer-sized number at an address. Raises `ReadError`."""
        return int.from_bytes(self.memory.read(address, self.bits // 8), "little")

    def word_at(self, name: str) -> int:
        """The pointer-sized number in the variable of that name, typed or not. Raises `SymbolNotFound`, `ReadError`."""
        return self.word(self.symbol(name).address)

    def string(self, address: int, size: int = 1024) -> str:
        """The text at an address. Raises `ReadError`."""
        return read_string(self.memory, address, size)

    @functools.cached_property
    def memory(self) -> Any:
        """Its memory: what values are read from (`kdbg.symbols.value.Memory`)."""
        return self.target.memory(self.space)

    # what it is

    @functools.cached_property
    def uname(self) -> dict[str, str]:
        """Struct utsname as text by member: sysname, nodename, release, version, machine; empty if unreadable."""
        try:
            found = self.variable_value("utsname").load()
            return {name: found[name].string() for name in ("sysname", "nodename", "release", "version", "machine")}
        except Error:
            return {}

    @functools.cached_property
    def platform(self) -> str:
        """The platform: "i86pc", "i86xpv"; "" where it is unreadable."""
        try:
            return self.string(self.symbol("platform").address, 257)
        except (SymbolNotFound, ReadError):
            return ""

    def describe(self) -> str:
        """One line for `Info.kernel`."""
        uname = self.uname
        return " ".join(uname[name] for name in ("sysname", "release", "version") if uname.get(name))

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

    def process_space(self, process: int) -> AddressSpace:
        """The address space of the process with that pid. Raises `CommandError`."""
        for found in self.processes():
            if found.pid == process:
                return self.space_of_process(found.address)
        raise CommandError(f"no process with id {process}")

    def space_of_process(self, address: int) -> AddressSpace:
        """The address space of the process whose proc_t lies at the address. Raises `ReadError`, `TypeNotFound`."""
        return self.space_of_as(int(self.at("proc_t", address).p_as))

    def space_of_as(self, address: int) -> AddressSpace:
        """The address space that a ``struct as`` describes: as -> hat -> htable -> frame of its top page table.

        Raises `ReadError`, `TypeNotFound`, `CommandError`.
        """
        from kdbg.vm.space import AddressSpace

        return AddressSpace(self.target.image, self.space.mode, self.top_frame_of_as(address) << 12)

    def top_frame_of_as(self, address: int) -> int:
        """Frame of a ``struct as``'s top page table, as page tables hold frames. Raises as `space_of_as`."""
        hat = self.at("struct as", address).a_hat
        if not hat:
            raise CommandError(f"{address:x}: an address space without a hat")
        pfn = int(hat.hat_htable.ht_pfn)
        image = self.target.image
        frame = image.pfn_to_mfn(pfn) if image.paravirtual else pfn
        if frame is None:
            raise CommandError(f"{address:x}: no machine frame for its top page table, pfn {pfn:x}")
        return frame

    def registers(self) -> dict[str, int]:
        """The registers of the representative thread: of the panic, or of vCPU 0."""
        from kdbg.kernels.solaris.registers import representative_registers

        # The control registers are variables too, and 0 for mdb: it does not look for them in a dump.
        return {**representative_registers(self), "cr2": 0, "cr3": 0}

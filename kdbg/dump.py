"""A dump as a target: its image, its address spaces and its kernel tied together, each made when it is first needed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdbg.diskcache import DiskCache, usual_folder
from kdbg.errors import CommandError, Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.formats.image import Image, PageMap
from kdbg.target import FileMapping, Space, Target
from kdbg.vm.space import AddressSpace, Partial
from kdbg.vm.vcpu import CR0_PAGING, guest_bits, space_of

if TYPE_CHECKING:
    from kdbg.kernels.kernel import Kernel
    from kdbg.records import Cpu, Frame, Info, LogEntry, Module, Process, Thread, Translation
    from kdbg.rootsearch import Root, Tell
    from kdbg.symbols.model import Type
    from kdbg.symbols.space import Container
    from kdbg.symbols.table import Symbol
    from kdbg.symbols.value import Value
    from kdbg.triage.known import Issue
    from kdbg.triage.report import Report

NO_TYPES = "no symbolic debug information available for module"
KERNELS = (
    ("kdbg.kernels.solaris.kernel", "Solaris"),
    ("kdbg.kernels.linux.kernel", "Linux"),
    ("kdbg.kernels.xen.kernel", "Xen"),
)
"""(module, class) of each kernel that is looked for, in order."""


class SpaceMemory:
    """An address space with a width: what values are read from."""

    def __init__(self, space: AddressSpace, bits: int) -> None:
        self.space = space
        self.bits = bits
        self.read = space.read


class Dump(Target):
    """One opened dump."""

    kind = "dump"

    def __init__(
        self,
        name: str,
        image: Image,
        beside: Sequence[str] = (),
        root: int | None = None,
        tell: Tell | None = None,
        cache: bool = True,
    ) -> None:
        self.found_root = self._find_root(image, root, tell) if image.bare or root is not None else None
        """The kernel's page tables, where they were given, or found in memory that tells nothing of them."""
        super().__init__(name, self.found_root.bits if self.found_root is not None else guest_bits(image))
        self.beside = tuple(beside)
        """Files given with the dump: a namelist."""
        self.symbol_files: tuple[str, ...] = ()
        """Files with debug information of its kernel, and folders of them (`use_symbols`)."""
        self.debuginfod = False
        """Whether debuginfod servers may be asked for them."""
        self.cache = DiskCache(usual_folder() if cache else None)
        """What is kept of kernels from one session to the next."""
        self.image = image
        self.notes.extend(image.damage + image.advice)
        if image.order_assumed:
            image.numberer = self._number_pages
        self._spaces: dict[tuple[int, int], AddressSpace] = {}

    @staticmethod
    def _find_root(image: Image, given: int | None, tell: Tell | None) -> Root | None:
        """The page tables, found or given. Raises `FormatError` for a given address where nothing is."""
        from kdbg.rootsearch import find_root

        found = find_root(image, given, tell or (lambda _: None))
        if found is None:
            image.advice.append("no page tables of a kernel were found in this memory: --root ADDRESS names them")
        elif image.bare:
            image.architecture, image.bits = found.architecture, found.bits
            image.machine_known = True  # type: ignore[attr-defined]
            if found.vmcoreinfo is not None:
                image.vmcoreinfo = found.vmcoreinfo
        return found

    # what it is

    @property
    def info(self) -> Info:
        """What the dump is, and which kernel is in it."""
        from dataclasses import replace

        told = self.image.describe()
        kernel = self.kernel
        return replace(
            told,
            file=self.name,
            bits=self.bits,
            architecture=told.architecture if self.bits == self.image.bits else "x86",
            kernel=kernel.describe() if kernel else None,
            host=kernel.uname.get("nodename") if kernel else None,
        )

    @functools.cached_property
    def kernel(self) -> Kernel | None:
        """The kernel found in the dump, or None."""
        from importlib import import_module

        for module, name in KERNELS:
            found: Kernel | None = getattr(import_module(module), name).detect(self)
            if found is not None:
                return found
        return None

    def require_kernel(self) -> Kernel:
        """The kernel. Raises `CommandError` where none is known."""
        if self.kernel is None:
            raise CommandError("no kernel that kdbg knows was found in the dump")
        return self.kernel

    def capabilities(self) -> frozenset[str]:
        """What dcmds may ask for."""
        found = {"dump", "vcpus"} if self.image.contexts else {"dump"}
        if self.kernel is not None:
            found |= {"kernel", "symbols", self.kernel.family}
        return frozenset(found)

    def use_symbols(self, paths: Sequence[str], debuginfod: bool = False) -> None:
        """Take debug information of the kernel from files or folders, or from debuginfod servers.

        Raises `Error` where what is given does not belong to the dump's kernel, or is not there.
        """
        if self.kernel is None or self.kernel.family not in ("linux", "xen"):
            raise Error(f"{self.name}: debug files are read for Linux kernels and for Xen only")
        self.symbol_files, self.debuginfod = tuple(paths), debuginfod
        self.kernel.check_debug_files()

    # address spaces

    @functools.cached_property
    def space(self) -> AddressSpace:
        """The kernel's own address space; of an unknown kernel, that of the first vCPU."""
        if self.kernel is not None:
            return self.kernel.space
        for space in self.kernel_spaces():
            return space
        raise Error(f"{self.name}: no vCPU context tells where the page tables are")

    def kernel_spaces(self) -> Iterator[AddressSpace]:
        """The spaces that may be the kernel's: found or given, by VMCOREINFO, by the vCPUs' page tables, each once."""
        if self.found_root is not None:
            yield self.found_root.space
        if self.image.vmcoreinfo:
            from kdbg.kernels.linux.paging import told_space

            told = told_space(self.image, self.image.vmcoreinfo)
            if told is not None:
                yield told
        seen = set()
        for registers in self.image.contexts:
            if "cr3" in registers and registers["cr3"] not in seen:
                seen.add(registers["cr3"])
                yield self._space_by_root(registers["cr3"])
        for root in self.image.roots:
            yield self._space_by_root(root)

    def memory(self, space: AddressSpace) -> SpaceMemory:
        """An address space as `kdbg.symbols.value.Memory`."""
        return SpaceMemory(space, self.bits)

    def space_for(self, root: int | None = None, process: int | Process | None = None) -> AddressSpace:
        """The space of a vCPU's cr3 or user_cr3 (as the register holds it), of a process, or the kernel's own."""
        if process is not None:
            kernel = self.require_kernel()
            if isinstance(process, int):
                return kernel.process_space(process)
            return kernel.space_of_process(process.address)
        return self.space if root is None else self._space_by_root(root)

    def _space_by_root(self, root: int) -> AddressSpace:
        registers = next((r for r in self.image.contexts if root in (r.get("cr3"), r.get("user_cr3"))), {})
        key = (root, registers.get("cr0", CR0_PAGING) & CR0_PAGING)
        if key not in self._spaces:
            self._spaces[key] = space_of(self.image, registers, root)
        return self._spaces[key]

    # memory

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Exactly ``size`` bytes. Raises `Unmapped` or `Missing` for the first page that cannot be read."""
        if space is Space.PHYSICAL:
            return self.read_physical(address, size)
        if space is Space.FILE:
            raise ReadError(address, reason="operation not supported by target")
        return self.space.read(address, size)

    def read_partial(self, address: int, size: int, root: int | None = None) -> Partial:
        """What can be read of a range, and what is missing of it."""
        return self.space_for(root).read_partial(address, size)

    def read_physical(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes of guest-physical memory. Raises `Missing`."""
        return self.image.read_physical(address, size)

    def _number_pages(self) -> None:
        """Number the pages of a core that holds no pfn by the guest's own list."""
        if self.kernel is not None:
            self.kernel.number_pages()
            return
        from kdbg.kernels.xen.frames import number_pages

        number_pages(self, self.image)  # type: ignore[arg-type]

    def translate(self, address: int, root: int | None = None, process: int | Process | None = None) -> Translation:
        """Where a virtual address leads. Raises `Unmapped`.

        ``root``: a vCPU's cr3 or user_cr3 as the register holds it; None: the kernel's own space. ``process``: a pid,
        or a record of `processes`.
        """
        return self.space_for(root, process).translate(address)

    @property
    def pages(self) -> PageMap:
        """The pfns whose bytes lie in the file."""
        return self.image.pages

    def pfn_to_mfn(self, pfn: int) -> int | None:
        """The machine frame of a guest frame, or None."""
        return self.image.pfn_to_mfn(pfn)

    def mfn_to_pfn(self, mfn: int) -> int | None:
        """The guest frame of a machine frame, or None."""
        return self.image.mfn_to_pfn(mfn)

    # what is mapped

    def mappings(self) -> list[FileMapping]:
        """The segments of the kernel's address space. Raises `CommandError` where the kernel keeps none."""
        return self.require_kernel().mappings()

    def objects(self) -> list[FileMapping]:
        """The text of each module of the kernel. Raises `CommandError` where no kernel is known."""
        return [FileMapping(module.base, module.size, module.name) for module in self.modules()]

    # names and types

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name. Raises `SymbolNotFound`."""
        if module is None and (private := self.private.lookup(name)) is not None:
            return private
        if self.kernel is None:
            raise SymbolNotFound(name)
        return self.kernel.symbol(name, module)

    def nearest(self, address: int, distance: int | None = None) -> tuple[Symbol, int]:
        """The symbol that covers the address, and the offset in it. Raises `SymbolNotFound`."""
        found = self.kernel.symbols.nearest(address, distance) if self.kernel is not None else None
        private = self.private.nearest(address, distance)
        if private is not None and (found is None or found[1] >= address - private.address):
            return private, address - private.address
        if found is None:
            raise SymbolNotFound(f"{address:x}", "no symbol corresponds to address")
        return found

    def qualified(self, symbol: Symbol) -> str:
        """The name as labels show it: with its module where the bare name means another symbol."""
        if self.kernel is None or not symbol.module or self.kernel.symbols.is_main(symbol):
            return symbol.name
        return f"{symbol.module}`{symbol.name}"

    def listed(self, module: str | None = None, dynamic: bool = False) -> Iterator[tuple[str, Symbol]]:
        """Symbols with their module's name, module by module. Raises `SymbolNotFound` for no module."""
        tables = self.kernel.symbols.tables if self.kernel is not None else []
        if module is not None:
            tables = [table for table in tables if table.module == module][:1]
            if not tables:
                raise SymbolNotFound(module, "unknown object file name")
        return ((table.module, symbol) for table in tables for symbol in table)

    def symbol_names(self, module: str | None = None) -> Iterator[str]:
        """Names of all symbols, or of one module's, in any order, some perhaps twice."""
        if self.kernel is not None:
            for table in self.kernel.symbols.tables:
                if module in (None, table.module):
                    yield from table.names()
        yield from super().symbol_names(module)

    def object_names(self) -> Iterator[str]:
        """Names of the kernel's modules that have symbols."""
        return (table.module for table in self.kernel.symbols.tables) if self.kernel is not None else iter(())

    def type_names(self) -> Iterator[str]:
        """Names of all types of the kernel, in any order, some perhaps twice."""
        types = getattr(self.kernel, "types", None)
        if types is not None:
            for _, container in types.containers():
                yield from container.names()

    def symbol(self, name: str) -> Symbol:
        """The symbol of that name, ``module`name`` that of one module. Raises `SymbolNotFound`."""
        module, _, bare = name.rpartition("`")
        return self.lookup(bare, module or None)

    def symbol_at(self, address: int) -> tuple[Symbol, int]:
        """The symbol that covers the address, and the offset in it. Raises `SymbolNotFound`."""
        return self.nearest(address)

    def type(self, name: str) -> Type:
        """The type of that C name. Raises `TypeNotFound`."""
        if self.without_types:
            raise TypeNotFound(name, NO_TYPES)
        if self.kernel is None:
            return super().type(name)
        return self.kernel.type(name)

    def type_containers(self) -> Iterator[Container]:
        """The types of each module that has some."""
        if self.kernel is None or not hasattr(self.kernel, "types"):
            return
        for _, container in self.kernel.types.containers():
            yield container

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a symbol's object or function. Raises `TypeNotFound`."""
        if self.without_types:
            raise TypeNotFound(symbol.name, NO_TYPES)
        if self.kernel is None:
            return super().type_of(symbol)
        return self.kernel.type_of(symbol)

    def value(self, name: str) -> Value:
        """The variable of that name as a typed place in memory. Raises `SymbolNotFound`, `TypeNotFound`."""
        return self.require_kernel().variable_value(name)

    # records

    def cpus(self) -> list[Cpu]:
        """The CPUs with the registers of their contexts; numbered by the kernel, or by their place in the dump."""
        if self.kernel is not None:
            return list(self.kernel.cpus())
        from kdbg.records import Cpu

        return [Cpu(at, registers) for at, registers in enumerate(self.image.contexts)]

    def threads(self) -> Iterator[Thread]:
        """The threads that the kernel knows. Raises `CommandError` where no kernel is known."""
        return self.require_kernel().threads()

    def processes(self) -> Iterator[Process]:
        """The processes that the kernel knows. Raises `CommandError` where no kernel is known."""
        return self.require_kernel().processes()

    def modules(self) -> Iterator[Module]:
        """The modules of the kernel. Raises `CommandError` where no kernel is known."""
        return self.require_kernel().modules()

    def log(self) -> Iterator[LogEntry]:
        """The kernel's messages. Raises `CommandError` where no kernel is known."""
        return self.require_kernel().log()

    def stack(self, thread: Thread | int) -> list[Frame]:
        """The stack of a thread: a record of `threads`, or the address of its structure."""
        return self.require_kernel().stack(thread if isinstance(thread, int) else thread.address)

    def registers(self) -> Mapping[str, int]:
        """Registers of the representative thread: of the panic where there was one, else of the first vCPU."""
        if self.kernel is not None:
            return self.kernel.registers()
        contexts = self.image.contexts
        return contexts[0] if contexts else {}

    def cpu_stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU from its registers, the place where it was first."""
        if self.kernel is not None:
            return self.kernel.cpu_stack(registers)
        from kdbg.kernels.unknown import cpu_frames

        return cpu_frames(self, registers)

    # the language

    @functools.cached_property
    def _session(self) -> Any:
        from kdbg.lang.session import Session

        return Session(self)

    def run(self, command: str) -> Sequence[Any]:
        """Run a pipeline of the language; the records of its last command. Raises `CommandError`."""
        return self._session.records(command)  # type: ignore[no-any-return]

    def walk(self, name: str, start: int | None = None) -> Iterator[int]:
        """The addresses that a walker yields. Raises `CommandError`."""
        address = "" if start is None else f"{start:x}"
        return (record.address for record in self.run(f"{address}::walk {name}"))

    def triage(self, known: Sequence[Issue] = (), budget: float | None = None) -> Report:
        """What happened: a verdict, findings, a signature (`kdbg.triage`). ``budget``: seconds for each analyser."""
        from kdbg.triage import triage

        return triage(self, known, budget)

    def close(self) -> None:
        """Let the file go."""
        self.image.source.close()

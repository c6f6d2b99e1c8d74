"""What every kernel is: the words in which its topics' modules speak, and the records that it answers with.

A kernel is found in a dump by its class's ``detect`` (`kdbg.dump.KERNELS`). What it consists of is told by the modules
of its package, a topic each (threads, processes, stacks ...); they ask for variables, structures and symbols by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kdbg.errors import CommandError, SymbolNotFound

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.records import Cpu, Frame, LogEntry, Module, Process, Thread
    from kdbg.symbols.model import Type
    from kdbg.symbols.space import TypeSpace
    from kdbg.symbols.table import Symbol, Symbols
    from kdbg.symbols.value import Memory, Value
    from kdbg.target import FileMapping
    from kdbg.vm.space import AddressSpace

T = TypeVar("T")


class Kernel:
    """The kernel of a dump. What one does not know it refuses: `CommandError`."""

    family = ""
    """Of the dcmds for it: the package in `kdbg.dcmds`."""

    def __init__(self, target: Dump, space: AddressSpace) -> None:
        self.target = target
        self.bits = target.bits
        self.space = space
        """The kernel's own address space."""
        self._parts: dict[Callable[[Any], Any], Any] = {}

    def part(self, make: Callable[[Self], T]) -> T:
        """What a topic's module keeps for this kernel (layouts, caches): made by ``make(kernel)`` once."""
        if make not in self._parts:
            self._parts[make] = make(self)
        return self._parts[make]  # type: ignore[no-any-return]

    def _unknown(self, what: str) -> CommandError:
        return CommandError(f"kdbg does not read {what} of {self.family.capitalize()} kernels")

    # names and types

    @property
    def symbols(self) -> Symbols:
        """The symbols of all its modules."""
        raise NotImplementedError

    @property
    def types(self) -> TypeSpace[Any]:
        """The types of all its modules. Raises `TypeNotFound` where it has none."""
        raise NotImplementedError

    def type(self, name: str) -> Type:
        """The type of that C name. Raises `TypeNotFound`."""
        return self.types.lookup(name)

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a data object or function. Raises `TypeNotFound`."""
        raise NotImplementedError

    def symbol(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name, ``module`name`` that of one module. Raises `SymbolNotFound`."""
        if module is None and "`" in name:
            module, _, name = name.rpartition("`")
        if module is None:
            found = self.symbols.find(name)
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

    @functools.cached_property
    def memory(self) -> Memory:
        """Its memory: what values are read from."""
        return self.target.memory(self.space)

    def variable(self, name: str) -> Any:
        """The variable of that name: a number if its type is a number's, else a `Value`.

        Raises `SymbolNotFound`, `TypeNotFound`, and `ReadError` for a number.
        """
        from kdbg.symbols.value import plain

        return plain(self.variable_value(name))

    def variable_value(self, name: str) -> Value:
        """The variable of that name as a place, whatever its type. Raises `SymbolNotFound`, `TypeNotFound`."""
        from kdbg.symbols.value import Value

        symbol = self.symbol(name)
        return Value(self.memory, self.type_of(symbol), symbol.address)

    def at(self, type_name: str, address: int) -> Value:
        """A structure in place: members are read when they are asked for. Raises `TypeNotFound`."""
        from kdbg.symbols.value import Value

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
        from kdbg.symbols.value import read_string

        return read_string(self.memory, address, size)

    # what it is

    @property
    def uname(self) -> Mapping[str, str]:
        """The system's names: sysname, nodename, release, version, machine, as far as they can be read."""
        return {}

    def describe(self) -> str:
        """One line for `Info.kernel`."""
        uname = self.uname
        return " ".join(uname[name] for name in ("sysname", "release", "version") if uname.get(name))

    # records, each by the module of its topic

    def modules(self) -> Iterator[Module]:
        """The kernel's modules in the order of its list."""
        raise self._unknown("the modules")

    def texts(self) -> Iterator[tuple[int, int]]:
        """(start, end) of the program text of the kernel and of its modules; data may lie among it."""
        return ((module.base, module.base + module.size) for module in self.modules() if module.size)

    def threads(self, start: int | None = None) -> Iterator[Thread]:
        """All threads in the order of the kernel's list, or the one at ``start``."""
        raise self._unknown("the threads")

    def processes(self) -> Iterator[Process]:
        """All processes."""
        raise self._unknown("the processes")

    def cpus(self) -> Iterator[Cpu]:
        """The CPUs by id, with the registers of their contexts."""
        raise self._unknown("the CPUs")

    def log(self) -> Iterator[LogEntry]:
        """The kernel's messages, oldest first."""
        raise self._unknown("the log")

    def stack(self, thread: int) -> list[Frame]:
        """The stack of the thread whose structure lies at the address."""
        raise self._unknown("the stacks")

    def cpu_stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU from its registers, the place where it was first."""
        from kdbg.kernels.unknown import cpu_frames

        return cpu_frames(self.target, registers)

    def registers(self) -> Mapping[str, int]:
        """The registers of the representative thread: of the panic where there was one, else of the first vCPU."""
        contexts = self.target.image.contexts
        return contexts[0] if contexts else {}

    def check_debug_files(self) -> None:
        """Look at the debug files that were given. Raises `Error` where they are none of this kernel's."""
        raise self._unknown("debug files")

    # memory and its books

    def mappings(self) -> list[FileMapping]:
        """The ranges of the kernel's address space, as it keeps them itself."""
        raise CommandError("operation not supported by target")

    def page_tables(self) -> Any:
        """Its own books of its page tables (`kdbg.kernels.solaris.hat.Hats`); None where it keeps none."""
        return None

    def process_space(self, process: int) -> AddressSpace:
        """The address space of the process with that pid. Raises `CommandError`."""
        for found in self.processes():
            if found.pid == process:
                return self.space_of_process(found.address)
        raise CommandError(f"no process with id {process}")

    def space_of_process(self, address: int) -> AddressSpace:
        """The address space of the process whose structure lies at the address."""
        raise self._unknown("the address spaces of processes")

    def space_of_as(self, address: int) -> AddressSpace:
        """The address space that the kernel's structure at the address describes."""
        raise self._unknown("address spaces by their structures")

    def number_pages(self) -> None:
        """Number the pages of a core that holds no pfn by the guest's own list."""
        from kdbg.kernels.xen.frames import number_pages

        number_pages(self.target, self.target.image)  # type: ignore[arg-type]

"""The core of a process as a target: its threads, memory, objects, names and types.

    with kdbg.open("core") as process:
        for thread in process.threads():
            print(thread.tid, thread.state, [frame.symbol for frame in process.stack(thread)])

What is found among several symbols, and which names carry their object in labels, is mdb's choice (its process target):
the program's names stand alone, all others behind their object's.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, FormatError, ReadError, SymbolNotFound, TypeNotFound
from kdbg.formats.elf import MAGIC, PT_LOAD
from kdbg.formats.process_core import PF_W, PF_X, ProcessCore, Region
from kdbg.formats.process_notes import AT_EXECFN, AT_RANDOM, ILLUMOS, FileRange, Lwp
from kdbg.records import Thread
from kdbg.target import FileMapping, Space, Target

if TYPE_CHECKING:
    from kdbg.kernels.process.memory import ProcessMemory
    from kdbg.kernels.process.objects import LoadedObject, Objects
    from kdbg.kernels.process.stacks import Stacks
    from kdbg.records import Cpu, Frame, Info, Module
    from kdbg.symbols.ctf import CtfContainer
    from kdbg.symbols.model import Type
    from kdbg.symbols.space import TypeSpace
    from kdbg.symbols.table import Symbol
    from kdbg.triage.known import Issue
    from kdbg.triage.report import Report

NO_OBJECT = "unknown object file name"
UNSUPPORTED = "operation not supported by target"
NO_TYPES = "no symbolic debug information available for module"
POINTERS = ("rsp", "esp", "sp")
STACK, HEAP, ANONYMOUS = "[ stack ]", "[ heap ]", "[ anon ]"
ELF_MAGIC = int.from_bytes(MAGIC, "little")
TERMINATED, STOPPED = "terminated", "stopped"


class ProcessTarget(Target):
    """One opened core of a process. ``beside``: files of the program and its libraries."""

    kind = "process"

    def __init__(self, name: str, core: ProcessCore, beside: Sequence[str] = ()) -> None:
        super().__init__(name, core.bits)
        self.core = core
        self._beside = tuple(beside)
        self.notes.extend(core.damage + core.advice)

    # what it is

    @property
    def info(self) -> Info:
        """What the core is."""
        return replace(self.core.describe(), file=self.name)

    def in_short(self) -> str:
        """What the core is, in a line."""
        notes, count = self.core.notes, len(self.core.notes.threads)
        who = f"{notes.name} (pid {notes.pid})" if notes.pid is not None else notes.name or "a program"
        return f"{self.core.format}, {self.bits}-bit, {count} thread{'s' if count != 1 else ''}; {who}"

    def capabilities(self) -> frozenset[str]:
        """What dcmds may ask for."""
        return frozenset({"process", "symbols"})

    @property
    def architecture(self) -> str:
        """x86-64, x86 or arm64."""
        return self.core.architecture

    @functools.cached_property
    def memory(self) -> ProcessMemory:
        """Its memory."""
        from kdbg.kernels.process.memory import ProcessMemory

        made = ProcessMemory(self.core, self._beside, self.note)
        if self._beside:  # what does not fit is to be told at once
            for one in made.objects.listed:
                _ = one.file
            made.files.unused()
        return made

    @property
    def loaded(self) -> Objects:
        """The objects that were loaded."""
        return self.memory.objects

    # threads

    def threads(self) -> Iterator[Thread]:
        """The threads; the one that the core is about has the state "terminated", or that of its note."""
        notes = self.core.notes
        main = notes.representative
        for one in self._lwps():
            state = notes.states.get(one.tid) or (TERMINATED if one is main and one.signal else STOPPED)
            yield Thread(one.tid, notes.pid, one.tid, one.name or notes.name or "", state)

    def _lwps(self) -> list[Lwp]:
        return self.core.notes.threads

    @functools.cached_property
    def _by_tid(self) -> dict[int, Lwp]:
        return {one.tid: one for one in reversed(self._lwps())}

    def has_thread(self, tid: int) -> bool:
        """Whether there is a thread with that id."""
        return tid in self._by_tid

    def lwp(self, tid: int | None = None) -> Lwp:
        """A thread with its registers; without an id the one that the core is about. Raises `Error`."""
        found = self.core.notes.representative if tid is None else self._by_tid.get(tid)
        if found is None:
            raise Error("the core tells of no thread" if tid is None else f"no thread {tid} in the core")
        return found

    def registers(self, thread: Thread | int | None = None) -> Mapping[str, int]:
        """Registers of a thread (a record of `threads`, or its id); without one, of that which the core is about."""
        try:
            return self.lwp(thread.tid if isinstance(thread, Thread) else thread).registers
        except Error:
            if thread is None:
                return {}
            raise

    def cpus(self) -> list[Cpu]:
        """None: a process has threads."""
        return []

    @functools.cached_property
    def _stacks(self) -> Stacks:
        from kdbg.kernels.process.stacks import Stacks

        return Stacks(self.memory)

    def stack(self, thread: Thread | int | None = None) -> list[Frame]:
        """The frames of a thread, the place where it was first; without one, of that which the core is about."""
        return self._stacks.frames(self.registers(thread))

    def stack_above(self, pointer: int) -> list[Frame]:
        """The frames from a frame pointer on, its own first, of which the place is not known (0)."""
        return self._stacks.above(pointer)

    # memory

    def read(self, address: int, size: int, space: Space = Space.VIRTUAL) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        if space is Space.PHYSICAL or space is Space.FILE:
            raise ReadError(address, reason=UNSUPPORTED)
        return self.memory.read(address, size)

    # what is mapped

    def mappings(self) -> list[FileMapping]:
        """The ranges that were mapped, by address, with the file, or what else it was."""
        return [FileMapping(one.address, one.size, self._mapping_name(one)) for one in self.core.regions]

    def _mapping_name(self, region: Region) -> str:
        notes = self.core.notes
        at = bisect_right(self._file_starts, region.address) - 1
        if at >= 0 and region.address < self._files[at].end:
            return self._files[at].name
        found = self.loaded.at(region.address)
        if found is not None and (not notes.files or region.address == found.base):
            return found.path or found.label
        at = bisect_left(self._stack_places, region.address)
        if at < len(self._stack_places) and self._stack_places[at] < region.end:
            return STACK
        if notes.heap and notes.heap[1] and region.address <= notes.heap[0] + notes.heap[1] - 1 < region.end:
            return HEAP
        return ANONYMOUS

    @functools.cached_property
    def _stack_places(self) -> list[int]:
        """An address on each stack: the threads' stack pointers, what the kernel put on the first one."""
        notes = self.core.notes
        found = [next((one.registers[name] for name in POINTERS if name in one.registers), 0) for one in notes.threads]
        found += [notes.auxv[key] for key in (AT_EXECFN, AT_RANDOM) if key in notes.auxv]
        return sorted(found + ([notes.stack[0] + notes.stack[1] - 1] if notes.stack and notes.stack[1] else []))

    @functools.cached_property
    def _files(self) -> list[FileRange]:
        return sorted(self.core.notes.files)

    @functools.cached_property
    def _file_starts(self) -> list[int]:
        return [file.start for file in self._files]

    def objects(self) -> list[FileMapping]:
        """The program and its shared objects, each by its first range; in cores of Linux by all it spans."""
        found = []
        for one in self.loaded.listed:
            region = self.core.region(one.base)
            first = region.end if region is not None and self.core.notes.system == ILLUMOS else one.end
            found.append(FileMapping(one.base, first - one.base, one.path or one.label))
        return found

    def modules(self) -> Iterator[Module]:
        """The program and its shared objects."""
        from kdbg.records import Module

        return (Module(one.label, one.base, one.end - one.base) for one in self.loaded.listed)

    # names

    def _named(self, module: str) -> LoadedObject:
        found = self.loaded.named(module)
        if found is None:
            raise SymbolNotFound(module, NO_OBJECT)
        return found

    def lookup(self, name: str, module: str | None = None) -> Symbol:
        """The symbol of that name: the program's first, then as objects were loaded. Raises `SymbolNotFound`."""
        if module is None and (private := self.private.lookup(name)) is not None:
            return private
        for one in self.loaded.listed if module is None else [self._named(module)]:
            found = one.find(name)
            if found is not None:
                return found
        raise SymbolNotFound(name)

    def nearest(self, address: int, distance: int | None = None) -> tuple[Symbol, int]:
        """The symbol that covers the address. Raises `SymbolNotFound`."""
        private = self.private.nearest(address, distance)
        if private is not None:
            return private, address - private.address
        found = self.loaded.at(address)
        symbol = found.covering(address) if found is not None else None
        if symbol is not None and (not distance or address - symbol.address < distance):
            return symbol, address - symbol.address
        raise SymbolNotFound(f"{address:x}", "no symbol corresponds to address")

    def qualified(self, symbol: Symbol) -> str:
        """The name as labels show it: the program's alone, others behind their object's."""
        main = self.loaded.main
        if not symbol.module or (main is not None and symbol.module == main.label):
            return symbol.name
        return f"{symbol.module}`{symbol.name}"

    def listed(self, module: str | None = None, dynamic: bool = False) -> Iterator[tuple[str, Symbol]]:
        """Symbols with their object's name. Raises `SymbolNotFound` for no object."""
        chosen = self.loaded.listed if module is None else [self._named(module)]
        return ((one.path or one.label, symbol) for one in chosen for symbol in one.listed(dynamic))

    def symbol_names(self, module: str | None = None) -> Iterator[str]:
        """Names of all symbols, or of one object's, in any order, some perhaps twice."""
        for one in self.loaded.listed:
            if module in (None, one.label):
                yield from one.names()
        yield from super().symbol_names(module)

    def object_names(self) -> list[str]:
        """Names of the objects."""
        return [one.label for one in self.loaded.listed]

    def symbol(self, name: str) -> Symbol:
        """The symbol of that name, ``object`name`` that of one object. Raises `SymbolNotFound`."""
        module, _, bare = name.rpartition("`")
        return self.lookup(bare, module or None)

    def symbol_at(self, address: int) -> tuple[Symbol, int]:
        """The symbol that covers the address, and the offset in it. Raises `SymbolNotFound`."""
        return self.nearest(address)

    # types

    @functools.cached_property
    def types(self) -> TypeSpace[CtfContainer]:
        """The types of all objects that have some, the program's first."""
        from kdbg.symbols.space import TypeSpace

        def load(name: str) -> CtfContainer:
            try:
                found = self._named(name).ctf()
            except FormatError as error:
                self.note(f"types of {name} cannot be used: {error}")
                found = None
            if found is None:
                raise TypeNotFound(name, NO_TYPES)
            return found

        main = self.loaded.main
        return TypeSpace(main.label if main is not None else "", self.object_names, load)

    def type(self, name: str) -> Type:
        """The type of that C name, ``object`type`` for that of one object. Raises `TypeNotFound`."""
        if self.without_types:
            raise TypeNotFound(name, NO_TYPES)
        return self.types.lookup(name)

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a symbol's object or function. Raises `TypeNotFound`."""
        from kdbg.symbols.table import STT_FUNC

        try:
            container = self.types.container(symbol.module)
        except Error:
            raise TypeNotFound(symbol.name, NO_TYPES) from None
        of = container.type_of_function if symbol.type == STT_FUNC else container.type_of_object
        return of(symbol.index)

    def type_names(self) -> Iterator[str]:
        """Names of all types."""
        for container in self.type_containers():
            yield from container.names()

    def type_containers(self) -> Iterator[CtfContainer]:
        """The types of each object that has some."""
        return (container for _, container in self.types.containers())

    def reserved(self) -> dict[str, int]:
        """One-letter variables: b, d (address and size of data), e (entry), m (magic number), t (size of text)."""
        main = self.loaded.main
        if main is None or main.headers is None:
            return {}
        loads = [one for one in main.headers.segments if one.type == PT_LOAD]
        text = next((one for one in loads if one.flags & PF_X), None)
        data = next((one for one in loads if one.flags & PF_W), None)
        return {
            "b": data.address + main.bias if data else 0,
            "d": data.memory_size if data else 0,
            "e": main.headers.entry + main.bias,
            "m": ELF_MAGIC,
            "t": text.memory_size if text else 0,
        }

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
        self.core.source.close()

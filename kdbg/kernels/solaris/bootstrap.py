"""From the bytes alone to a Solaris kernel's modules, symbols and types.

debug_info lies at an address fixed by the platform and names the list of modules (modctl); each module's ``struct
module`` says where its symbols, strings and CTF lie. No file beside the dump is needed.

Source: <sys/debug_info.h>, <sys/modctl.h>, <sys/kobj.h>.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from kdbg.errors import Error, FormatError, ReadError, TypeNotFound
from kdbg.kernels.solaris.early import (
    DEBUG_INFO,
    DEBUG_INFO_MAGIC,
    DEBUG_INFO_VERSION,
    KOBJ_NOKSYMS,
    MODCTL,
    MODULE_FORMS,
    SECTION_HEADER,
    EarlyLayout,
    lay_out,
)
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.space import TypeSpace
from kdbg.symbols.table import Symbols, SymbolTable
from kdbg.symbols.value import Memory, read_string

MOST_MODULES = 4096
MOST_SYMBOL_BYTES = 64 << 20
MOST_CTF_BYTES = 64 << 20
MAIN = "genunix"
"""The module whose types are the parents of all others'."""


class Notes(Protocol):
    """Where what is odd is remembered."""

    def note(self, message: str) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ModuleImage:
    """What the kernel's loader knows of one module: a modctl and its struct module."""

    name: str
    modctl: int
    address: int
    """Of its struct module; 0 where it is not loaded."""
    facts: Mapping[str, int]
    """Members of its struct module by name; empty where it is not loaded."""

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return bool(self.facts)


def debug_info(memory: Memory, address: int) -> dict[str, int] | None:
    """The kernel's debug_info if it lies at the address, else None."""
    layout = lay_out(DEBUG_INFO, memory.bits)
    try:
        found = layout.decode(memory.read(address, layout.size))
    except ReadError:
        return None
    if found["di_magic"] != DEBUG_INFO_MAGIC or found["di_version"] != DEBUG_INFO_VERSION:
        return None
    return found


class Bootstrap:
    """Modules, symbols and types of the kernel whose list of modules lies at an address."""

    def __init__(self, memory: Memory, modules_at: int, notes: Notes) -> None:
        self._memory = memory
        self._modules_at = modules_at
        self._notes = notes
        self._bits = memory.bits
        self._modctl = lay_out(MODCTL, self._bits)

    # modules

    @functools.cached_property
    def modules(self) -> list[ModuleImage]:
        """All modules that are in memory, in the list's order."""
        return [module for module in self._walk() if module.loaded]

    def by_name(self, name: str) -> ModuleImage | None:
        """The module of that name, or None."""
        return self._names.get(name)

    @functools.cached_property
    def _names(self) -> dict[str, ModuleImage]:
        return {module.name: module for module in reversed(self.modules)}

    def _walk(self) -> Iterator[ModuleImage]:
        """Walk the ring of modctls; a damaged link ends it with a note."""
        at, seen = self._modules_at, set[int]()
        while True:
            seen.add(at)
            try:
                modctl = self._modctl.decode(self._memory.read(at, self._modctl.size))
                yield self._module(at, modctl)
            except ReadError as error:
                self._notes.note(f"list of modules: modctl {at:x} cannot be read ({error}); the rest is left out")
                return
            at = modctl["mod_next"]
            if at == self._modules_at:
                return
            if at in seen or len(seen) >= MOST_MODULES:
                self._notes.note(f"list of modules: mod_next leads back to {at:x}; the walk ends there")
                return

    def _module(self, at: int, modctl: Mapping[str, int]) -> ModuleImage:
        try:
            name = read_string(self._memory, modctl["mod_modname"], 256)
        except ReadError:
            name = f"{at:x}"
        facts: Mapping[str, int] = {}
        if modctl["mod_mp"]:
            try:
                facts = self._facts(modctl["mod_mp"])
            except ReadError as error:
                self._notes.note(f"module {name}: its struct module cannot be read: {error}")
        return ModuleImage(name, at, modctl["mod_mp"], facts)

    def _facts(self, address: int) -> Mapping[str, int]:
        return self._form.decode(self._memory.read(address, self._form.size))

    @functools.cached_property
    def _form(self) -> EarlyLayout:
        """The form of struct module that fits the first module of the list."""
        first = self._modctl.decode(self._memory.read(self._modules_at, self._modctl.size))["mod_mp"]
        for members in MODULE_FORMS.values():
            layout = lay_out(members, self._bits)
            if self._fits(layout, first):
                return layout
        self._notes.note(f"struct module at {first:x} has none of the known forms: no symbols, no types")
        return lay_out(next(iter(MODULE_FORMS.values())), self._bits)

    def _fits(self, layout: EarlyLayout, address: int) -> bool:
        """Whether a struct module read so holds an ELF header and tables that lie where they must."""
        try:
            data = self._memory.read(address, layout.size)
            facts = layout.decode(data)
            where, size = self._table_of(facts)
        except ReadError:
            return False
        header_at = layout.members["hdr"][0]
        start, end = facts["symspace"], facts["symspace"] + facts["symsize"]
        entry = 24 if self._bits == 64 else 16
        return (
            data[header_at : header_at + 4] == b"\x7fELF"
            and start <= facts["symtbl"] < end
            and start <= facts["strings"] < end
            and 0 < size <= MOST_SYMBOL_BYTES
            and facts["nsyms"] * entry <= facts["symsize"]
            and where != 0
        )

    def _table_of(self, facts: Mapping[str, int], header: str = "symhdr") -> tuple[int, int]:
        """Address and size of what a section header of a module names."""
        members = SECTION_HEADER[self._bits]
        address_at, word = members["sh_addr"]
        size_at, _ = members["sh_size"]
        data = self._memory.read(facts[header], size_at + word)
        return (
            int.from_bytes(data[address_at : address_at + word], "little"),
            int.from_bytes(data[size_at : size_at + word], "little"),
        )

    # symbols

    @functools.cached_property
    def symbols(self) -> Symbols:
        """The symbols of all modules, local ones too."""
        tables = []
        for module in self.modules:
            if module.facts["flags"] & KOBJ_NOKSYMS:
                continue
            try:
                tables.append(self._symbols_of(module))
            except ReadError as error:
                self._notes.note(f"module {module.name}: its symbols cannot be read: {error}")
        return Symbols(tables)

    def _symbols_of(self, module: ModuleImage) -> SymbolTable:
        entries_at, entries_size = self._table_of(module.facts)
        strings_at, strings_size = self._table_of(module.facts, "strhdr")
        if max(entries_size, strings_size) > MOST_SYMBOL_BYTES:
            raise ReadError(
                entries_at, f"{max(entries_size, strings_size)} bytes are more than a module's symbols take"
            )
        entries = self._memory.read(entries_at, entries_size)
        strings = self._memory.read(strings_at, strings_size)
        return SymbolTable(entries, strings, self._bits, module.name)

    # types

    @functools.cached_property
    def types(self) -> TypeSpace[CtfContainer]:
        """The types of all modules."""
        return TypeSpace(MAIN, lambda: [module.name for module in self.modules], self._load_types)

    def _load_types(self, name: str) -> CtfContainer:
        module = self.by_name(name)
        if module is None:
            raise TypeNotFound(name, "unknown object file name")
        if not module.facts.get("ctfdata") or not module.facts.get("ctfsize"):
            raise TypeNotFound(name, "No CTF data found for that module")
        size = module.facts["ctfsize"]
        if size > MOST_CTF_BYTES:
            raise FormatError(name, f"CTF of {size} bytes is more than a module has")
        data = self._memory.read(module.facts["ctfdata"], size)
        make: Callable[..., CtfContainer] = functools.partial(CtfContainer, data, self._bits, name=name)
        table = self.symbols.module(name)
        if table is not None:
            make = functools.partial(make, symtab=table.entries, strtab=table.strings)
        container = make()
        if container.parent_name and container.parent_name != name:
            try:
                container.parent = self.types.container(container.parent_name)
            except Error as error:
                self._notes.note(f"types of {name}: those of its parent {container.parent_name}: {error}")
        return container

    def confirm(self) -> None:
        """Hold the form of struct module against CTF; where they differ CTF is right, and modules are read anew."""
        try:
            known = self.types.lookup("struct module")
            places = {name: (known.member(name).offset, known.member(name).type.size) for name in self._form.members}
        except Error:
            return
        if places != dict(self._form.members):
            layout = EarlyLayout(places, known.size)
            first = self.modules[0].address if self.modules else 0
            if self._fits(layout, first):
                self._notes.note("struct module: CTF differs from the form that was tried; CTF is taken")
                for name in ("modules", "_names", "symbols", "types"):
                    self.__dict__.pop(name, None)
                self.__dict__["_form"] = layout

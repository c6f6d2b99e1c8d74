"""The hypervisor in the dump of a Xen host: where it is mapped, its names, its version.

A 64-bit Xen is mapped in slot 261 of every address space, so the tables that a CPU used lead to it and to the guest
that it ran. What was on the CPUs: `kdbg.kernels.xen.guests`; their stacks: `kdbg.kernels.xen.stacks`.

Sources: xen/include/asm-x86/config.h (layout), xen/common/kexec.c (what its VMCOREINFO tells).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.formats.image import PAGE
from kdbg.formats.xen_host import XenHost
from kdbg.kernels.xen.symbols import of_file, of_memory
from kdbg.symbols.table import Symbols, SymbolTable
from kdbg.vm.modes import NO_EXECUTE, X86_64
from kdbg.vm.space import AddressSpace

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.kernels.xen.guests import Guests
    from kdbg.kernels.xen.stacks import Stacks

DIRECT_MAP = (0xFFFF_8300_0000_0000, 0xFFFF_8880_0000_0000)
"""All memory, from slot 262 on."""
REGION = 1 << 30
"""The image lies in a gigabyte of its own (XEN_VIRT_START, XEN_VIRT_END)."""
MOST_IMAGE = 64 << 20
CONSOLE = (("conring", 8), ("conring_size", 4), ("conringp", 4))
"""Variables of its buffer of messages, and their bytes: where it is, its size, how much was written in all."""
MOST_CONSOLE = 64 << 20

_VERSION = re.compile(rb"Xen version (\d+\.\d+[\w.+-]*)")


class Hypervisor:
    """The hypervisor of a host."""

    def __init__(self, target: Dump, host: XenHost, space: AddressSpace, start: int) -> None:
        self.target = target
        self.host = host
        self.space = space
        """Of a CPU, through which it is seen."""
        self.start = start
        """Address from which its image is mapped (XEN_VIRT_START)."""

    @classmethod
    def find(cls, target: Dump) -> Hypervisor | None:
        """The hypervisor, if the dump is one of a host and shows where its image is mapped."""
        host = target.image.host
        if host is None:
            return None
        for address in host.addresses():
            for space in _spaces(target, host, address & -REGION):
                if space.walk(address).page_address is not None:
                    return cls(target, host, space, address & -REGION)
        return None

    # its image and its names

    @functools.cached_property
    def image(self) -> bytes:
        """The bytes of its image from `start` on, zeros where nothing is mapped or in the dump: to search in."""
        data, peek = bytearray(), self.target.image.peek
        for run in self.space.runs(self.start, self.start + MOST_IMAGE):
            at, end = run.address - self.start, min(run.address - self.start + run.size, MOST_IMAGE)
            data.extend(bytes(max(0, end - len(data))))
            for offset in range(at, end, PAGE):
                try:
                    page = peek(self.space.page_address(self.start + offset) >> 12)
                except ReadError:
                    continue
                if page is not None:
                    data[offset : offset + PAGE] = page
        return bytes(data)

    @functools.cached_property
    def table(self) -> SymbolTable | None:
        """Its symbols: of a file given with the dump, else its own table; None where there are none."""
        for path in (*self.target.beside, *self.target.symbol_files):
            table = self._of_file(path)
            if table is not None:
                return table
        found = of_memory(self.start, self.image)
        if found is None:
            self.target.note("no symbols of the hypervisor: its own table was not found; a file xen-syms has them")
            return None
        table, first, end = found
        self.space.read_partial(first, end - first)  # not by `Image.peek` this time: `kdbg slim` keeps it
        return table

    def is_of(self, path: str) -> bool:
        """Whether a file has symbols of this hypervisor; they are used from now on."""
        found = self._of_file(path) is not None
        if found:
            self.__dict__.pop("table", None)
            self.__dict__.pop("symbols", None)
        return found

    def _of_file(self, path: str) -> SymbolTable | None:
        if os.path.isdir(path):
            return None
        try:
            found = of_file(path)
        except (OSError, Error) as error:
            self.target.note(f"{path}: no symbols of the hypervisor: {error}")
            return None
        if found is None:
            return None
        start = found.table.find("_stext")
        if start is None or not self.start <= start.address < self.start + REGION:
            return None
        if found.build is not None:
            address, wanted = found.build
            if self._differs(address, wanted):
                self.target.note(f"{path}: of another build than the hypervisor in the dump: its symbols are not used")
                return None
        return found.table

    def _differs(self, address: int, wanted: bytes) -> bool:
        try:
            return self.space.read(address, len(wanted)) != wanted
        except ReadError:
            return False

    @functools.cached_property
    def symbols(self) -> Symbols:
        """Its symbols, by name and by address."""
        return Symbols([self.table] if self.table is not None else [])

    @functools.cached_property
    def version(self) -> str:
        """Its version: of its note, else of its messages in memory; "" where neither tells."""
        told = self.host.details.get("xen_version")
        if told:
            return str(told)
        found = _VERSION.search(self.console())
        return found[1].decode("latin-1") if found else ""

    def console(self) -> bytes:
        """Its messages, oldest first (xen/drivers/char/console.c: conring); empty where they are not found."""
        buffer, size, written = (self._number(name, width) for name, width in CONSOLE)
        if not buffer or not 0 < size <= MOST_CONSOLE:
            return b""
        data = self.space.read_partial(buffer, size).data
        at = written % size
        return (data[at:] if written > size else b"") + data[:at]

    def _number(self, name: str, width: int) -> int:
        """The variable of that name, a number of so many bytes; 0 where it is not found."""
        symbol = self.symbols.find(name)
        try:
            return int.from_bytes(self.space.read(symbol.address, width), "little") if symbol is not None else 0
        except ReadError:
            return 0

    def describe(self) -> str:
        """One line: its version, where it is, its names."""
        names = f"{len(self.table)} symbols" if self.table is not None else "no symbols"
        return f"Xen {self.version or 'of a version that is not told'} at {self.start:x}, {names}"

    def holds(self, address: int) -> bool:
        """Whether an address belongs to its image."""
        return self.start <= address < self.start + REGION

    def is_code(self, address: int) -> bool:
        """Whether an address is one of its code."""
        if not self.holds(address):
            return False
        walk = self.space.walk(address)
        return walk.page_address is not None and not walk.entry & NO_EXECUTE

    # its parts

    @functools.cached_property
    def guests(self) -> Guests:
        """Its domains and what was on its CPUs."""
        from kdbg.kernels.xen.guests import Guests

        return Guests(self)

    @functools.cached_property
    def stacks(self) -> Stacks:
        """The stacks of its CPUs."""
        from kdbg.kernels.xen.stacks import Stacks

        return Stacks(self)


def _spaces(target: Dump, host: XenHost, start: int) -> Iterator[AddressSpace]:
    """The spaces through which the hypervisor may be seen: those of the CPUs, then its own tables by its notes."""
    for registers in target.image.contexts:
        if registers.get("cr3"):
            yield target.space_for(registers["cr3"])
    top, base = host.vmcoreinfo.get("SYMBOL(pgd_l4)"), host.info.phys_start if host.info is not None else None
    if top is not None and base is not None:
        try:
            yield AddressSpace(target.image, X86_64, int(top, 16) - start + base)
        except ValueError:
            return

"""The hypervisor as the kernel of a dump: of a Xen host in which no kernel of domain 0 is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kdbg.errors import Error, TypeNotFound
from kdbg.kernels.kernel import Kernel
from kdbg.kernels.xen.hypervisor import Hypervisor
from kdbg.records import Cpu, Frame, Module

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.symbols.model import Type
    from kdbg.symbols.table import Symbol, Symbols


class Xen(Kernel):
    """The hypervisor alone."""

    family = "xen"

    def __init__(self, target: Dump, hypervisor: Hypervisor) -> None:
        super().__init__(target, hypervisor.space)
        self.hypervisor = hypervisor

    @classmethod
    def detect(cls, target: Dump) -> Xen | None:
        """The hypervisor, if the dump is one of a Xen host."""
        found = Hypervisor.find(target)
        return cls(target, found) if found is not None else None

    @property
    def symbols(self) -> Symbols:
        """Its symbols."""
        return self.hypervisor.symbols

    def type(self, name: str) -> Type:
        """No type: the hypervisor carries none. Raises `TypeNotFound`."""
        raise TypeNotFound(name)

    def type_of(self, symbol: Symbol) -> Type:
        """No type. Raises `TypeNotFound`."""
        raise TypeNotFound(symbol.name)

    def check_debug_files(self) -> None:
        """Take the symbols of the files that were given. Raises `Error` where none is of this hypervisor."""
        files = self.target.symbol_files
        if not any(self.hypervisor.is_of(path) for path in files):
            raise Error(f"{', '.join(files) or self.target.name}: no symbols of the hypervisor in the dump")

    def describe(self) -> str:
        """Its version."""
        return f"Xen {self.hypervisor.version}".rstrip()

    def modules(self) -> Iterator[Module]:
        """No module: it is one image."""
        return iter(())

    def cpus(self) -> Iterator[Cpu]:
        """The CPUs by their place among the notes."""
        for number, registers in enumerate(self.target.image.contexts):
            yield Cpu(number, registers)

    def registers(self) -> Mapping[str, int]:
        """The registers of the CPU that started the crash kernel, else of the first one."""
        return self.hypervisor.stacks.representative()

    def cpu_stack(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU in the hypervisor, and which guest it was entered from."""
        if self.hypervisor.holds(registers.get("rip", 0)):
            return self.hypervisor.stacks.stack(registers)
        return super().cpu_stack(registers)

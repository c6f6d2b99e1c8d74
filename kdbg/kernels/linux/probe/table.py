"""What was found of a kernel's structures: members with their places, and sizes where these are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdbg.symbols.btf import BtfContainer
from kdbg.symbols.btf_write import BtfWriter

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux


@dataclass(slots=True)
class Structure:
    """A structure as far as it is known."""

    size: int = 0
    """Bytes; 0 where nothing tells: then it ends with the last member that was found."""
    members: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name -> (C type, offset in bytes)."""


class Heads(dict[str, int]):
    """Variables of one kernel that were found while its types were: name -> address."""

    def __init__(self, kernel: Linux) -> None:
        super().__init__()


class Table:
    """The structures that were found so far."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.word = kernel.bits // 8
        self.structures: dict[str, Structure] = {}
        self.enumerations: dict[str, dict[str, int]] = {}
        self.missing: list[str] = []
        """What was looked for and not found, as ``structure.member``."""
        self.caches: dict[str, tuple[int, int]] = {}
        """Slab caches by name: (address, bytes of an object)."""
        self.at_most: dict[str, int] = {}
        """Structures whose size is not known exactly: bytes that they have at most."""
        self.tasks: list[int] = []
        """Addresses of the tasks that lead processes, init_task first."""
        self.of_kernel: Any = None
        """Which of `tasks` are the kernel's own threads, as a column; None where that is not known."""
        self.heads: dict[str, int] = {}
        """Variables that were found on the way, by name: their addresses."""

    def size(self, name: str, size: int) -> None:
        """Tell the size of ``struct name``."""
        self._structure(name).size = size

    def member(self, structure: str, member: str, of: str, offset: int | None) -> int | None:
        """Tell where a member lies, or with None that it was not found; returns the offset."""
        if offset is None:
            self.missing.append(f"{structure}.{member}")
        else:
            self._structure(structure).members[member] = (of, offset)
        return offset

    def offset(self, structure: str, member: str) -> int | None:
        """Where a member lies; None where it was not found."""
        found = self.structures.get(structure, Structure()).members.get(member)
        return found[1] if found is not None else None

    def _structure(self, name: str) -> Structure:
        return self.structures.setdefault(name, Structure())

    def size_of(self, of: str) -> int:
        """Bytes of a type as C writes it; what is not known counts as nothing."""
        base, _, counts = of.partition("[")
        count = 1
        for number in counts.rstrip("]").split("]["):
            count *= int(number) if number else 1
        return count * self._single(base.strip())

    def _single(self, base: str) -> int:
        if base.endswith("*"):
            return self.word
        tag, _, name = base.partition(" ")
        if tag == "struct":
            return self.extent(name)
        sizes = {"char": 1, "short": 2, "long long": 8, "long": self.word, "_Bool": 1}
        return next((size for word, size in sizes.items() if word in base), 4)

    def extent(self, name: str) -> int:
        """Bytes of a structure: its size, or those that its slab cache has for it, or the end of its last member."""
        found = self.structures.get(name, Structure())
        end = max((at + self.size_of(of) for of, at in found.members.values()), default=0)
        return found.size or max(self.at_most.get(name, 0), end)

    def limit(self, name: str, otherwise: int) -> int:
        """Bytes of a structure that are worth looking at; ``otherwise`` where nothing tells."""
        found = self.structures.get(name, Structure()).size
        return found or self.at_most.get(name, otherwise)

    def container(self) -> BtfContainer:
        """All of it as types."""
        writer = BtfWriter(self.kernel.bits)
        for name, values in self.enumerations.items():
            writer.enumeration(name, values)
        for name in self.at_most:
            self._structure(name)
        for name, structure in self.structures.items():
            members = sorted(structure.members.items(), key=lambda item: item[1][1])
            writer.structure(name, self.extent(name), ((member, of, at) for member, (of, at) in members))
        made = BtfContainer(writer.build(), self.kernel.bits)
        made.found_by_form = True
        return made

"""ORC: the tables by which an x86-64 kernel unwinds its own stacks.

Two tables of equal length lie in the image, sorted by address: 32-bit offsets of instructions from their own place, and
entries of six bytes, each good up to the next one's address: sp_offset, bp_offset (signed 16 bits), then sp_reg and
bp_reg (4 bits each) and the type. Up to 6.3 the type has 2 bits (call, registers, part of the registers) and a bit
marks the outermost frame; since then 3 bits (undefined, end of stack, call, registers, part) and a bit tells whether
the caller was interrupted. Which of the two it is, the entries tell: most are those of calls.

Sources: arch/x86/include/asm/orc_types.h, arch/x86/kernel/unwind_orc.c, kernel/module (mod_arch_specific).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

UNDEFINED, PREV_SP, DX, DI, BP, SP, R10, R13, BP_INDIRECT, SP_INDIRECT = range(10)
"""ORC_REG_*, as they were numbered first."""
RENUMBERED = (UNDEFINED, UNDEFINED, DX, SP, BP, DI, R10, R13, PREV_SP, SP_INDIRECT, BP_INDIRECT,
              *(UNDEFINED,) * 5)  # fmt: skip
"""By the number that an entry of 7.2 has."""
END, CALL, REGISTERS, PARTIAL = range(1, 5)
"""Types as since 6.4; 0 is undefined there."""
SIZE = 6
MOST = 1 << 23
_ENTRY = struct.Struct("<hhH")
_SAMPLES = 16
PIECE = 256
"""Entries that are read at once: a look-up takes a few pieces, and `kdbg slim` keeps what was read."""
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Rule:
    """How to go on from an instruction to its caller."""

    sp_register: int
    sp_offset: int
    bp_register: int
    bp_offset: int
    type: int
    """`END`, `CALL`, `REGISTERS`, `PARTIAL`; 0: undefined."""
    interrupted: bool
    """Whether the caller's address is that of an instruction which has not run yet."""


BY_FRAME_POINTER = Rule(BP, 16, PREV_SP, -16, CALL, False)
"""For code without tables (BPF programs): the kernel's own choice."""
CALLED_NULL = Rule(SP, 8, UNDEFINED, 0, CALL, False)
"""For address 0: somebody called a null pointer."""


class Table:
    """The two tables of the image, or of a module; read where an instruction is looked up, a piece at a time.

    ``read`` gives bytes of the kernel's memory; ``ips`` and ``entries`` are where the tables lie.
    """

    def __init__(self, read: Read, ips: int, entries: int, count: int) -> None:
        self._read = read
        self._ips, self._entries = ips, entries
        self.count = count
        self._offsets: dict[int, memoryview] = {}
        self._recent, self._renumbered = self._form()

    def _form(self) -> tuple[bool, bool]:
        """Whether types have three bits (then calls are type 2, before they were 0), and which numbers registers have.

        Of all registers, the stack pointer is the one that most entries count from.
        """
        calls = others = 0
        counted = [0] * 16
        for at in range(0, self.count, max(PIECE, self.count // _SAMPLES)):
            data = self._read(self._entries + at * SIZE, min(PIECE, self.count - at) * SIZE)
            for _, _, word in _ENTRY.iter_unpack(data):
                calls += word >> 8 & 7 == CALL
                others += word >> 8 & 7 == 0
                counted[word & 15] += 1
        return calls > others, counted[RENUMBERED.index(SP)] > counted[SP]

    def address(self, at: int) -> int:
        """Where the entry at a position begins to hold. Raises `Error` where the table cannot be read."""
        piece = self._offsets.get(at // PIECE)
        if piece is None:
            first = at // PIECE * PIECE
            data = self._read(self._ips + 4 * first, 4 * min(PIECE, self.count - first))
            piece = self._offsets[at // PIECE] = memoryview(data).cast("i")
        return self._ips + 4 * at + piece[at % PIECE]

    def find(self, address: int) -> Rule | None:
        """The rule for an instruction; None before the first entry or where the entry tells that nothing is known.

        Raises `Error` where the tables cannot be read.
        """
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self.address(middle) <= address:
                low = middle + 1
            else:
                high = middle
        return self._rule(low - 1) if low else None

    def _rule(self, at: int) -> Rule:
        sp_offset, bp_offset, word = _ENTRY.unpack(self._read(self._entries + at * SIZE, SIZE))
        sp_register, bp_register = word & 15, word >> 4 & 15
        if self._renumbered:
            sp_register, bp_register = (RENUMBERED[one] for one in (sp_register, bp_register))
        if self._recent:
            kind, interrupted = word >> 8 & 7, bool(word >> 11 & 1)
        else:
            kind = END if sp_register == UNDEFINED and word >> 10 & 1 else 0 if not sp_register else 2 + (word >> 8 & 3)
            interrupted = kind in (REGISTERS, PARTIAL)
        return Rule(sp_register, sp_offset, bp_register, bp_offset, kind, interrupted)


class Orc:
    """The rules of one kernel and of its modules, by address."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._known: dict[int, Rule | None] = {}
        self.image = self._of_image()
        """None where the kernel has no such tables."""
        self._modules: dict[int, Table | None] = {}
        self._ranges = [(module.base, module.base + module.size, module.address) for module in kernel.module_images]

    def _of_image(self) -> Table | None:
        kernel = self.kernel
        try:
            names = ("__start_orc_unwind_ip", "__stop_orc_unwind_ip", "__start_orc_unwind")
            start, stop, entries = (kernel.image_symbol(name).address for name in names)
            count = (stop - start) // 4
            return Table(kernel.mapping.read, start, entries, count) if 0 < count <= MOST else None
        except Error:
            return None

    def rule(self, address: int) -> Rule | None:
        """The rule for an instruction's address; None where there is none."""
        if address not in self._known:
            try:
                self._known[address] = self._find(address)
            except Error as error:
                self.kernel.target.note(f"unwind tables for {address:x}: {error}")
                self._known[address] = None
        return self._known[address]

    def _find(self, address: int) -> Rule | None:
        if not address:
            return CALLED_NULL
        image = self.kernel.symbols.image  # code of the start that has been freed is no longer mapped
        if self.kernel.mapping.is_code(address) or (image is not None and image.first <= address <= image.last):
            return self.image.find(address) if self.image is not None else None
        for start, end, module in self._ranges:
            if start <= address < end:
                table = self._of_module(module)
                return table.find(address) if table is not None else None
        return None

    def _of_module(self, address: int) -> Table | None:
        if address not in self._modules:
            try:
                arch = self.kernel.at("struct module", address).arch
                count, ips, entries = arch.num_orcs, int(arch.orc_unwind_ip), int(arch.orc_unwind)
                good = 0 < count <= MOST
                self._modules[address] = Table(self.kernel.memory.read, ips, entries, count) if good else None
            except Error as error:
                self.kernel.target.note(f"module at {address:x}: its unwind tables: {error}")
                self._modules[address] = None
        return self._modules[address]

    def __bool__(self) -> bool:
        return self.image is not None and self.image.count > 0

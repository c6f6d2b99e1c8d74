"""Operands of x86 instructions: how they lie in the code, and their text in AT&T syntax as mdb writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LONGEST = 15
SMALL_NEGATIVE = -255
"""Immediates from here up to -1 are shown as negative numbers."""
UNSIGNED = (
    "or", "and", "xor", "test", "in", "out", "lcall", "ljmp",
    "rcr", "rcl", "ror", "rol", "shl", "shr", "sal", "psr", "psl",
)  # fmt: skip
"""What a name begins with whose immediates are never negative."""

_words = str.split
_BYTE = _words("al cl dl bl ah ch dh bh")
_BYTE_REX = _words("al cl dl bl spl bpl sil dil r8b r9b r10b r11b r12b r13b r14b r15b")
_WORD = _words("ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w")
_LONG = _words("eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d")
_QUAD = _words("rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15")
_GENERAL = {16: _WORD, 32: _LONG, 64: _QUAD}
_SEGMENT = _words("es cs ss ds fs gs")
_CONTROL = ["cr0", "cr1", "cr2", "cr3", "cr4", "cr5?", "cr6?", "cr7?", "cr8", *(f"cr{n}?" for n in range(9, 16))]
_TEST = _words("tr0? tr1? tr2? tr3 tr4 tr5 tr6 tr7")
_MEMORY_16 = ["(%bx,%si)", "(%bx,%di)", "(%bp,%si)", "(%bp,%di)", "(%si)", "(%di)", "(%bp)", "(%bx)"]
SUFFIXES = {16: "w", 32: "l", 64: "q"}
_MASKS = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: (1 << 64) - 1}
REX_W, REX_R, REX_X, REX_B = 8, 4, 2, 1


class Invalid(Exception):
    """Bytes that are no instruction; as many as were looked at are passed over."""


class Names(Protocol):
    """What the decoder asks about addresses."""

    def label(self, address: int) -> str:
        """The address as symbol and offset, or as a number."""
        ...

    def extent(self, address: int) -> tuple[int, int] | None:
        """Start and size of the symbol that covers the address, or None."""
        ...


@dataclass(slots=True)
class Operand:
    """An operand as decoded; its text needs the whole instruction's length."""

    text: str = ""
    prefix: str = ""
    kind: str = "none"
    """none: the text alone; immediate; offset: a displacement before the text; relative; rip."""
    value: int = 0
    """Sign-extended."""
    size: int = 0
    """Bytes of an immediate's display."""


class Operands:
    """An instruction on its way: the bytes read so far, the prefixes, and its operands."""

    def __init__(self, fetch: Callable[[int], int], address: int, bits: int, names: Names) -> None:
        self._fetch = fetch
        self.address = address
        self.bits = bits
        self.names = names
        self.length = 0
        self._byte = 0
        self.operand_size = 16 if bits == 16 else 32
        self.address_size = bits
        self.rex = 0
        self.segment: str | None = None
        self.lock = False
        self.repeat = 0
        self.operand_prefix = False
        self.address_prefix = False
        self.mod = self.reg = self.rm = 0
        self._modrm_read = False
        self.name = ""

    def byte(self) -> int:
        """The next byte."""
        self._byte = self._fetch(self.length)
        self.length += 1
        return self._byte

    def opcode_byte(self) -> int:
        """The next byte of prefixes and opcode: an instruction has at most 15 bytes."""
        if self.length >= LONGEST:
            raise Invalid
        return self.byte()

    def modrm(self) -> None:
        """Read ModRM, once."""
        if not self._modrm_read:
            value = self.byte()
            self.mod, self.reg, self.rm = value >> 6, value >> 3 & 7, value & 7
            self._modrm_read = True

    def operands(self, names: tuple[str, ...]) -> list[Operand]:
        """Decode operands: those of ModRM first, then immediates in their order."""
        found: dict[int, Operand] = {}
        late = []
        for index, name in enumerate(names):
            if name[0] in "IJO" and name not in ("I1", "I3"):
                late.append(index)
            else:
                found[index] = self.operand(name)
        for index in late:
            found[index] = self.operand(names[index])
        return [found[index] for index in range(len(names)) if names[index] != "In"]

    def operand(self, name: str) -> Operand:
        """Decode one operand as `kdbg.disasm.opcodes` writes it. Raises `Invalid`."""
        kind, size = name[0], name[-1]
        if name[0] == "%":
            return Operand(name)
        if name == "cl":
            return Operand("%cl")
        if name == "dx":
            return Operand("(%dx)", self.take_segment())
        if kind in "EMGWVQPUNLKCDTH" or (kind == "S" and size == "v"):
            self.modrm()
        if kind == "*":
            self.modrm()
            operand = self._memory_or_register("v", "general")
            operand.prefix = f"*{operand.prefix}"
            return operand
        if kind in "EM":
            if kind == "M" and self.mod == 3:
                raise Invalid
            return self._memory_or_register(size, "general")
        if kind in "WLU":
            if (kind == "L") == (self.mod == 3) and kind != "W":
                raise Invalid
            return self._memory_or_register(size, "xmm")
        if kind in "QKN":
            if (kind == "K") == (self.mod == 3) and kind != "Q":
                raise Invalid
            return self._memory_or_register(size, "mm")
        return self._simple(kind, size)

    def _simple(self, kind: str, size: str) -> Operand:
        """An operand that is no memory by ModRM."""
        extended = self.reg + (8 if self.rex & REX_R else 0)
        if kind == "G":
            return Operand(self._general(extended, size))
        if kind == "V":
            return Operand(f"%xmm{extended}")
        if kind == "P":
            return Operand(f"%mm{extended & 7}")
        if kind == "S":
            number = self.reg if size == "v" else self._byte >> 3 & 3
            return Operand(f"%{_SEGMENT[number]}" if number < 6 else "<reserved>")
        if kind == "F":
            return Operand(f"%{_SEGMENT[self._byte >> 3 & 7]}")
        if kind in "CDT":
            table = {"C": _CONTROL, "D": [f"db{n}" for n in range(16)], "T": _TEST + _TEST}[kind]
            return Operand(f"%{table[extended]}")
        if kind == "H":
            return Operand(self._general(self.rm + (8 if self.rex & REX_B else 0), "v"))
        if kind == "R":
            return Operand(self._general((self._byte & 7) + (8 if self.rex & REX_B else 0), size))
        if kind == "A":
            return Operand(self._general(0, size))
        if kind in "XYZ":
            letter = {16: "", 32: "e", 64: "r"}[self.address_size]
            return Operand(f"(%{letter}{'si' if kind == 'X' else 'di'})", "" if kind == "Y" else self.take_segment())
        return self._number(kind, size)

    def _number(self, kind: str, size: str) -> Operand:
        """An immediate, a branch's distance, or an absolute offset."""
        full = self.operand_size // 8
        if kind == "J":
            operand = self.immediate(1 if size == "b" else min(full, 4), full)
            operand.kind = "relative"
            return operand
        if kind == "O":
            operand = self.immediate(self.address_size // 8, full)
            operand.kind = "offset"
            return operand
        if size in "13":
            return Operand("", "", "immediate", int(size), 1)
        if size == "n":
            self.byte()
            return Operand()
        if size == "p":
            segment = self.take_segment()
            operand = self.immediate(1, 1)
            operand.prefix = segment
            return operand
        if size == "b":
            return self.immediate(1, 1)
        if size == "s":
            return self.immediate(1, full)
        if size == "w":
            return self.immediate(2, max(full, 2))
        return self.immediate(full if size == "v" else min(full, 4), full)

    def immediate(self, size: int, shown: int) -> Operand:
        """The next ``size`` bytes as a number, shown as wide as ``shown`` bytes."""
        value = 0
        for index in range(size):
            value |= self.byte() << 8 * index
        if value >> (8 * size - 1):
            value -= 1 << 8 * size
        return Operand("", "", "immediate", value, max(size, shown))

    def take_segment(self) -> str:
        """The segment prefix, used up."""
        prefix, self.segment = self.segment or "", None
        return prefix

    def _general(self, number: int, size: str) -> str:
        if size == "b":
            return f"%{_BYTE_REX[number] if self.rex or number > 7 else _BYTE[number]}"
        return f"%{_GENERAL[self.operand_size][number]}"

    def _memory_or_register(self, size: str, kind: str) -> Operand:
        number = self.rm + (8 if self.rex & REX_B else 0)
        if self.mod == 3:
            if kind == "general":
                return Operand(self._general(number, size))
            return Operand(f"%{kind}{number if kind == 'xmm' else number & 7}")
        operand = Operand("", self.take_segment())
        if self.address_size == 16:
            self._memory_16(operand)
        else:
            self._memory(operand, number)
        return operand

    def _memory_16(self, operand: Operand) -> None:
        direct = self.mod == 0 and self.rm == 6
        if direct or self.mod:
            number = self.immediate(1 if self.mod == 1 else 2, 1 if self.mod == 1 else 2)
            operand.value, operand.size = number.value, number.size
            operand.kind = "immediate" if direct else "offset"
        if not direct:
            operand.text = _MEMORY_16[self.rm]
            if self.mod == 1 and self.rm == 5:
                operand.text = "(%di"  # so it is

    def _memory(self, operand: Operand, number: int) -> None:
        base, index, scale = number, 4, 0
        sib = self.rm == 4
        if sib:
            byte = self.byte()
            scale, index, base = byte >> 6, byte >> 3 & 7, byte & 7
            if (base != 5 or self.mod) and self.rex & REX_B:
                base += 8
            if self.rex & REX_X:
                index += 8
        displaced = {1: 1, 2: 4}.get(self.mod, 4 if self.rm == 5 or (sib and base & 7 == 5) else 0)
        if displaced:
            operand.value = self.immediate(displaced, displaced).value
            operand.kind = "offset"
        names = _LONG if self.bits == 32 else _QUAD
        if not sib:
            if self.mod or self.rm != 5:
                operand.text = f"(%{names[base]})"
            elif self.bits != 32:
                operand.text = "(%rip)"
                if number == 5:
                    operand.kind, operand.text = "rip", ""
            return
        inner = "" if base == 5 and self.mod == 0 else f"%{names[base]}"
        if index != 4:
            inner += f",%{names[index]}" + (f",{1 << scale}" if scale else "")
        operand.text = f"({inner})" if inner else ""

    def text(self, operands: list[Operand]) -> str:
        """Name and operands as a line, with where branches and addresses lead."""
        after = self.address + self.length
        target = relative = 0
        negative = ""
        shown = []
        for operand in operands:
            text = operand.prefix
            mask = (1 << self.address_size) - 1
            if operand.kind in ("immediate", "offset"):
                target = operand.value & _MASKS[8]
                immediate = operand.kind == "immediate"
                if immediate:
                    mask = _MASKS[operand.size]
                text += (self.segment or "") + ("$" if immediate else "")
                if SMALL_NEGATIVE <= operand.value < 0 and not self._is_unsigned():
                    text += f"-{-operand.value & mask:#x}"
                    if immediate:
                        negative = f"\t<{operand.value & mask:#x}>"
                else:
                    text += f"{operand.value & mask:#x}"
            elif operand.kind in ("relative", "rip"):
                relative = after + operand.value & (_MASKS[8] if self.bits == 64 else (1 << self.bits) - 1)
                if operand.value < 0 and not self._is_unsigned():
                    text += f"-{-operand.value & mask:#x}"
                else:
                    text += f"+{operand.value & mask:#x}"
                text += "(%rip)" if operand.kind == "rip" else ""
            shown.append(text + operand.text)
        line = f"{self.name:<6} {','.join(shown)}"
        if target:
            if self.names.extent(target) is not None:
                line += f"\t<{self.names.label(target)}>"
            line += negative
        if relative:
            line += f"\t<{self.names.label(relative)}>"
        return line

    def _is_unsigned(self) -> bool:
        return self.name.rsplit(" ", 1)[-1].startswith(UNSIGNED)

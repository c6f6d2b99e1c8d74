"""x86 machine code to text, in AT&T syntax as mdb writes it: 16, 32 and 64 bits.

A decoder of our own over the maps of `kdbg.disasm.opcodes`. What follows mdb rather than the assembler: a name fills
seven columns; branches tell their distance from the next instruction and then, in angle brackets, where they go; small
negative immediates are shown twice (``$-0x8`` and then, in brackets, the unsigned number); a zero byte in the last 15
bytes of a function, or before one, is padding. VEX and EVEX instructions are left to capstone.

Source: Intel's SDM volume 2 for the encoding; observed output of mdb (July 2021) for the text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kdbg.disasm import opcodes
from kdbg.disasm.opcodes import Opcode

LONGEST = 15
SMALL_NEGATIVE = -255
"""Immediates from here up to -1 are shown as negative numbers."""
UNSIGNED = (
    "or", "and", "xor", "test", "in", "out", "lcall", "ljmp", "rcr", "rcl", "ror", "rol", "shl", "shr", "sal", "psr", "psl",
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
_SUFFIX = {16: "w", 32: "l", 64: "q"}
_MASKS = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: (1 << 64) - 1}
_SEGMENT_PREFIXES = {0x26: "%es:", 0x2E: "%cs:", 0x36: "%ss:", 0x3E: "%ds:", 0x64: "%fs:", 0x65: "%gs:"}
REX_W, REX_R, REX_X, REX_B = 8, 4, 2, 1


class Invalid(Exception):  # noqa: N818
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


class Decoder:
    """One instruction."""

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

    # the instruction

    def decode(self) -> str:
        """Decode it, and return its text. Raises `Invalid`, and what ``fetch`` raises."""
        code = self.opcode_byte()
        if code == 0 and self._padding():
            return ".byte\t0 "
        code = self._prefixes(code)
        if code in (0xC4, 0xC5) and self._vex():
            return self._foreign()
        if code == 0x62 and self._evex():
            return self._foreign()
        self._sizes()
        if self.repeat == 0xF3 and code == 0x90:
            self.repeat = 0
            return self._finish(Opcode("pause"), code)
        if code == 0x0F:
            return self._second_map()
        opcode = opcodes.one_byte().get(code)
        if opcode is None:
            raise Invalid
        if opcode.group == "float":
            return self._float(code)
        if code == 0x63 and self.bits == 64:
            return self._sign_extended_move()
        if opcode.group in ("cbw", "cwd"):
            return self._conversion(opcode.group)
        if opcode.group:
            opcode = self._choose(opcode.group)
        return self._finish(opcode, code)

    def _padding(self) -> bool:
        extent = self.names.extent(self.address + self.length)
        if extent is None:
            return False
        start, size = extent
        here = self.address + self.length
        return here > start + size - 16 if start < here else True

    def _prefixes(self, code: int) -> int:
        while True:
            if code in (0xF2, 0xF3):
                self.repeat = code
            elif code == 0xF0:
                self.lock = True
            elif code in _SEGMENT_PREFIXES:
                self.segment = _SEGMENT_PREFIXES[code]
                if self.bits == 64 and code in (0x26, 0x36, 0x3E):
                    raise Invalid
            elif code == 0x66:
                self.operand_prefix = True
            elif code == 0x67:
                self.address_prefix = True
            else:
                break
            code = self.opcode_byte()
        if self.bits == 64 and code & 0xF0 == 0x40:
            self.rex = code
            code = self.opcode_byte()
        return code

    def _sizes(self) -> None:
        if self.bits == 64:
            if self.rex & REX_W:
                self.operand_size = 64
            elif self.operand_prefix:
                self.operand_size = 16
            if self.address_prefix:
                self.address_size = 32
        else:
            other = 48 - self.bits
            if self.operand_prefix:
                self.operand_size = other
            if self.address_prefix:
                self.address_size = other

    def _vex(self) -> bool:
        """Whether C4 or C5 begins a VEX prefix: in 64-bit code always, else where ModRM would name a register."""
        if self.bits == 64:
            return True
        self.modrm()
        return self.mod == 3

    def _evex(self) -> bool:
        """Whether 62 begins an EVEX prefix: not where it is ``bound``. Raises `Invalid` where the prefix is none."""
        second = self.opcode_byte()
        if self.bits == 32 and second >> 4 == 0:
            self.mod, self.reg, self.rm = second >> 6, second >> 3 & 7, second & 7
            self._modrm_read = True
            return False
        if second & 0xC or not self.opcode_byte() & 4:
            raise Invalid
        return True

    def _foreign(self) -> str:
        """A vector instruction of a newer encoding: capstone's text, tidied."""
        from kdbg.disasm.foreign import decode_foreign

        text, length = decode_foreign(self._fetch, self.address, self.bits, self.names.label)
        if text is None:
            self.length = max(self.length, length)
            raise Invalid
        self.length = length
        return text

    def _choose(self, name: str) -> Opcode:
        self.modrm()
        opcode = opcodes.group(name)[self.reg]
        if opcode is None:
            raise Invalid
        return opcode

    def _second_map(self) -> str:
        code = self.opcode_byte()
        if code == 0x38:
            return self._third_map("38")
        if code == 0x3A:
            return self._third_map("3a")
        if code in (0x71, 0x72, 0x73):
            return self._vector_shift(code)
        if self.repeat == 0xF3 and code == 0x09:
            self.repeat = 0
            return self._finish(Opcode("wbnoinvd"), code)
        columns = opcodes.vector().get(code)
        opcode = opcodes.two_byte().get(code)
        if columns is not None or (opcode is None and code not in opcodes.REPEATED):
            opcode = self._by_prefix(columns)
        elif self.repeat and (code in opcodes.REPEATED or code == 0xAF):
            name = opcodes.REPEATED.get(code) if self.repeat == 0xF3 else None
            self.repeat = 0
            opcode = Opcode(name, ("Ev", "Gv")) if name else None
        if opcode is None:
            raise Invalid
        if opcode.group == "0f01":
            return self._system()
        if opcode.group == "0fae":
            return self._state()
        if opcode.group == "0fc7":
            return self._group_nine()
        if opcode.group:
            opcode = self._choose(opcode.group)
        return self._finish(opcode, code)

    def _by_prefix(self, columns: tuple[Opcode | None, ...] | None) -> Opcode:
        """Of a vector instruction's forms the one that a prefix selects; the prefix is used up."""
        column = 0
        if self.repeat:
            column = 3 if self.repeat == 0xF2 else 2
            self.repeat = 0
        elif self.operand_prefix:
            column = 1
            if self.operand_size == 16:
                self.operand_size = 32
        opcode = columns[column] if columns is not None else None
        if opcode is None:
            raise Invalid
        return opcode

    def _vector_shift(self, code: int) -> str:
        last = self.opcode_byte()
        names = {0x71: {2: "psrlw", 4: "psraw", 6: "psllw"}, 0x72: {2: "psrld", 4: "psrad", 6: "pslld"}}.get(code)
        wide = {3: "psrldq", 7: "pslldq"} if self.operand_prefix else {}
        name = (names or {2: "psrlq", 6: "psllq", **wide}).get(last >> 3 & 7)
        if name is None:
            raise Invalid
        number = (last & 7) + (8 if self.rex & REX_B else 0)
        register = f"%xmm{number}" if self.operand_prefix else f"%mm{number & 7}"
        self._mnemonic(name)
        return self._text([self._immediate(1, 1), Operand(register)])

    def _third_map(self, which: str) -> str:
        code = self.opcode_byte()
        if which == "38" and code in (0xF0, 0xF1):
            return self._checksum_or_swap(code)
        if which == "38" and code == 0xF6:
            return self._carry_add()
        if which == "3a" and self.operand_size == 16:
            self.operand_size = 32
        name, shape = opcodes.three_byte(which).get(code, ("", ""))
        if not name or (shape in "rmvEG" and not self.operand_prefix):
            raise Invalid
        if name.endswith("~") and self.operand_size == 32:
            name = f"{name[:-1]}d"
        operands: tuple[str, ...]
        if shape == "E":
            operands = ("Is", "Vn", "Ev")
        elif shape == "G":
            operands = ("Is", "Ev", "Vn")
        elif shape == "v":
            operands = ("Gv", "Ev")
        else:
            narrow = shape == "o" and not self.operand_prefix
            operands = ("Qn", "Pn") if narrow else ("Ln" if shape == "m" else "Wn", "Vn")
            if which == "3a":
                operands = ("Ib", *operands)
        return self._finish(Opcode(name, operands, "q" if shape == "v" else ""), code)

    def _checksum_or_swap(self, code: int) -> str:
        wide = 64 if self.rex & REX_W else 32
        if self.repeat == 0xF2:
            self.repeat = 0
            self._mnemonic("crc32b" if code == 0xF0 else f"crc32{_SUFFIX[self.operand_size]}")
            self.operand_size = wide
            target = self._operand("Gv")
            self.operand_size = 16 if self.operand_prefix else wide
            return self._text([self._operand("Eb" if code == 0xF0 else "Ev"), target])
        if self.repeat:
            raise Invalid
        self._mnemonic(f"movbe{_SUFFIX[self.operand_size]}")
        self.operand_size = 16 if self.operand_prefix else wide
        names = ("Gv", "Ev") if code & 1 else ("Ev", "Gv")
        return self._text(self._operands(names))

    def _carry_add(self) -> str:
        name = "adcx"
        if not self.operand_prefix and self.repeat == 0xF3:
            name = "adox"
        elif not self.operand_prefix and self.repeat:
            raise Invalid
        self.repeat, self.operand_prefix = 0, False
        self.operand_size = 64 if self.rex & REX_W else 32
        return self._finish(Opcode(f"{name}~", ("Ev", "Gv")), 0xF6)

    def _system(self) -> str:
        self.modrm()
        names = opcodes.SYSTEM.get(self.reg)
        if self.mod == 3 and names is not None:
            name = names.get(self.rm)
            if self.reg == 7 and (name is None or (self.rm == 0 and self.bits != 64)):
                return self._finish(Opcode("invlpg", ("Ev",)), 1)
            if name is None:
                raise Invalid
            self.name = name
            return self._text([])
        opcode = opcodes.group("0f01")[self.reg]
        if opcode is None:
            raise Invalid
        return self._finish(opcode, 1)

    def _state(self) -> str:
        self.modrm()
        opcode = opcodes.group("0fae")[self.reg]
        assert opcode is not None
        if self.reg < 4 and self.repeat:
            if self.repeat != 0xF3:
                raise Invalid
            self.repeat = 0
            opcode = Opcode(("rdfsbase", "rdgsbase", "wrfsbase", "wrgsbase")[self.reg], ("Ev",))
        elif self.reg > 4 and self.mod == 3:
            if self.reg < 7 and self.rm:
                raise Invalid
            opcode = Opcode(("lfence", "mfence", "sfence")[self.reg - 5])
        elif self.reg > 5 and self.operand_prefix:
            opcode = Opcode("clwb" if self.reg == 6 else "clflushopt", ("Mv",))
        return self._finish(opcode, 0xAE)

    def _group_nine(self) -> str:
        self.modrm()
        opcode = opcodes.group("0fc7")[self.reg]
        if opcode is None:
            raise Invalid
        if self.reg > 2:
            name: str | None = opcode.name
            if self.mod == 3:
                name = {6: "rdrand", 7: "rdseed"}.get(self.reg)
            elif self.repeat:
                name = "vmxon" if self.repeat == 0xF3 and self.reg == 6 else None
                self.repeat = 0
            elif self.operand_prefix:
                name = "vmclear" if self.reg == 6 else None
                self.operand_size = 32 if self.operand_size == 16 else self.operand_size
            if name is None:
                raise Invalid
            opcode = Opcode(name, ("Ev",))
        return self._finish(opcode, 0xC7)

    def _float(self, code: int) -> str:
        self.modrm()
        if self.mod != 3:
            name = opcodes.FLOAT_MEMORY[code - 0xD8][self.reg]
            operands: tuple[str, ...] = ("Ev",)
        elif code == 0xD9 and self.reg >= 4:
            name, operands = opcodes.FLOAT_D9[(self.reg - 4) * 8 + self.rm], ()
        elif code == 0xDB and self.reg == 4:
            name, operands = opcodes.FLOAT_DB[self.rm], ()
        else:
            name, _, shape = opcodes.FLOAT_REGISTERS[code - 0xD8][self.reg].partition(":")
            register = f"%st({self.rm})"
            choices = {
                "": (), "1": (register,), "a": ("Ev",), "c": (register, "%st"),
                "2": ("%st", register) if code & 4 else (register, "%st"),
            }  # fmt: skip
            operands = choices[shape]
        if name == "-":
            raise Invalid
        return self._finish(Opcode(name, operands), code)

    def _sign_extended_move(self) -> str:
        self._mnemonic("movslq")
        if not self.rex:
            self.name = "movzld"
        self.modrm()
        self.operand_size = 64
        target = self._operand("Gv")
        self.operand_size = 32
        return self._text([self._operand("Ev"), target])

    def _conversion(self, which: str) -> str:
        names = {"cbw": {16: "cbtw", 32: "cwtl", 64: "cltq"}, "cwd": {16: "cwtd", 32: "cltd", 64: "cqtd"}}
        self._mnemonic(names[which][self.operand_size])
        return self._text([])

    # names and operands

    def _mnemonic(self, name: str) -> None:
        prefix = "lock " if self.lock else ""
        prefix += {0xF2: "repnz ", 0xF3: "repz "}.get(self.repeat, "")
        if self.bits == 64 and self.address_prefix:
            prefix += "addr32 "
        self.name = prefix + name.replace("~", _SUFFIX[self.operand_size] if not name.startswith("bound") else "")

    def _finish(self, opcode: Opcode, code: int) -> str:
        flags = opcode.flags
        if "-" in flags and self.bits == 64:
            raise Invalid
        if self.bits == 64 and ("q" in flags or ("p" in flags and self.operand_size == 32)):
            self.operand_size = 64
        self._mnemonic(opcode.name)
        names = opcode.operands
        if "z" in flags:
            self.modrm()
            if self.rex & REX_W and opcode.name in ("movzwl", "movswl"):
                self.name = f"{self.name[:-1]}q"
            target = self._operand("Gv")
            self.operand_size = 16
            return self._text([self._operand("Eb" if names[0] == "Eb" else "Ev"), target])
        if "a" in flags:
            segment = self._segment()
            offset = self._operand("Iz")
            offset.prefix = segment
            return self._text([self._operand("Iw"), offset])
        operands = self._operands(names)
        if opcode.name in ("movlps", "movhps") and self.mod == 3:
            self.name = self.name.replace(opcode.name, "movhlps" if opcode.name == "movlps" else "movlhps")
        if len(opcode.name) == 5 and opcode.name.startswith("cmp") and opcode.name[3:] in ("ps", "pd", "ss", "sd"):
            predicate = operands[0].value & 0xFF
            if predicate >= len(opcodes.PREDICATES):
                raise Invalid
            self.name = f"cmp{opcodes.PREDICATES[predicate]}{opcode.name[3:]}"
            operands = operands[1:]
        if opcode.name == "pclmulqdq":
            short = {0x00: "pclmullqlqdq", 0x01: "pclmulhqlqdq", 0x10: "pclmullqhqdq", 0x11: "pclmulhqhqdq"}
            if operands[0].value in short:
                self.name = short[operands[0].value]
                operands = operands[1:]
        return self._text(operands)

    def _operands(self, names: tuple[str, ...]) -> list[Operand]:
        """Decode operands: those of ModRM first, then immediates in their order."""
        found: dict[int, Operand] = {}
        late = []
        for index, name in enumerate(names):
            if name[0] in "IJO" and name not in ("I1", "I3"):
                late.append(index)
            else:
                found[index] = self._operand(name)
        for index in late:
            found[index] = self._operand(names[index])
        return [found[index] for index in range(len(names)) if names[index] != "In"]

    def _operand(self, name: str) -> Operand:
        kind, size = name[0], name[-1]
        if name[0] == "%":
            return Operand(name)
        if name == "cl":
            return Operand("%cl")
        if name == "dx":
            return Operand("(%dx)", self._segment())
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
            return Operand(f"(%{letter}{'si' if kind == 'X' else 'di'})", "" if kind == "Y" else self._segment())
        return self._number(kind, size)

    def _number(self, kind: str, size: str) -> Operand:
        """An immediate, a branch's distance, or an absolute offset."""
        full = self.operand_size // 8
        if kind == "J":
            operand = self._immediate(1 if size == "b" else min(full, 4), full)
            operand.kind = "relative"
            return operand
        if kind == "O":
            operand = self._immediate(self.address_size // 8, full)
            operand.kind = "offset"
            return operand
        if size in "13":
            return Operand("", "", "immediate", int(size), 1)
        if size == "n":
            self.byte()
            return Operand()
        if size == "p":
            segment = self._segment()
            operand = self._immediate(1, 1)
            operand.prefix = segment
            return operand
        if size == "b":
            return self._immediate(1, 1)
        if size == "s":
            return self._immediate(1, full)
        if size == "w":
            return self._immediate(2, max(full, 2))
        return self._immediate(full if size == "v" else min(full, 4), full)

    def _immediate(self, size: int, shown: int) -> Operand:
        value = 0
        for index in range(size):
            value |= self.byte() << 8 * index
        if value >> (8 * size - 1):
            value -= 1 << 8 * size
        return Operand("", "", "immediate", value, max(size, shown))

    def _segment(self) -> str:
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
        operand = Operand("", self._segment())
        if self.address_size == 16:
            self._memory_16(operand)
        else:
            self._memory(operand, number)
        return operand

    def _memory_16(self, operand: Operand) -> None:
        direct = self.mod == 0 and self.rm == 6
        if direct or self.mod:
            number = self._immediate(1 if self.mod == 1 else 2, 1 if self.mod == 1 else 2)
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
            operand.value = self._immediate(displaced, displaced).value
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

    # the text

    def _text(self, operands: list[Operand]) -> str:
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

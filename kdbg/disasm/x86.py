"""x86 machine code to text, in AT&T syntax as mdb writes it: 16, 32 and 64 bits.

A decoder of our own over the maps of `kdbg.disasm.opcodes`. What follows mdb rather than the assembler: a name fills
seven columns; branches tell their distance from the next instruction and then, in angle brackets, where they go; small
negative immediates are shown twice (``$-0x8`` and then, in brackets, the unsigned number); a zero byte in the last 15
bytes of a function, or before one, is padding. VEX and EVEX instructions are left to capstone.

Source: Intel's SDM volume 2 for the encoding; observed output of mdb (July 2021) for the text.
"""

from __future__ import annotations

from kdbg.disasm import opcodes
from kdbg.disasm.opcodes import Opcode
from kdbg.disasm.operands import REX_B, REX_W, SUFFIXES, Invalid, Operand, Operands

_SEGMENT_PREFIXES = {0x26: "%es:", 0x2E: "%cs:", 0x36: "%ss:", 0x3E: "%ds:", 0x64: "%fs:", 0x65: "%gs:"}


class Decoder(Operands):
    """One instruction."""

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
        return self.text([self.immediate(1, 1), Operand(register)])

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
            self._mnemonic("crc32b" if code == 0xF0 else f"crc32{SUFFIXES[self.operand_size]}")
            self.operand_size = wide
            target = self.operand("Gv")
            self.operand_size = 16 if self.operand_prefix else wide
            return self.text([self.operand("Eb" if code == 0xF0 else "Ev"), target])
        if self.repeat:
            raise Invalid
        self._mnemonic(f"movbe{SUFFIXES[self.operand_size]}")
        self.operand_size = 16 if self.operand_prefix else wide
        names = ("Gv", "Ev") if code & 1 else ("Ev", "Gv")
        return self.text(self.operands(names))

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
            return self.text([])
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
        target = self.operand("Gv")
        self.operand_size = 32
        return self.text([self.operand("Ev"), target])

    def _conversion(self, which: str) -> str:
        names = {"cbw": {16: "cbtw", 32: "cwtl", 64: "cltq"}, "cwd": {16: "cwtd", 32: "cltd", 64: "cqtd"}}
        self._mnemonic(names[which][self.operand_size])
        return self.text([])

    # names

    def _mnemonic(self, name: str) -> None:
        prefix = "lock " if self.lock else ""
        prefix += {0xF2: "repnz ", 0xF3: "repz "}.get(self.repeat, "")
        if self.bits == 64 and self.address_prefix:
            prefix += "addr32 "
        self.name = prefix + name.replace("~", SUFFIXES[self.operand_size] if not name.startswith("bound") else "")

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
            target = self.operand("Gv")
            self.operand_size = 16
            return self.text([self.operand("Eb" if names[0] == "Eb" else "Ev"), target])
        if "a" in flags:
            segment = self.take_segment()
            offset = self.operand("Iz")
            offset.prefix = segment
            return self.text([self.operand("Iw"), offset])
        operands = self.operands(names)
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
        return self.text(operands)

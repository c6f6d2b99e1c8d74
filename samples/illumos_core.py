"""Cores of illumos processes, from the headers alone: what the kernel would write of a small program that crashes.

    core = IllumosCore(64)
    core.write(tmp_path / "core")
    core.symbols["main"]                                           # where things are

The program is at its fixed place (ET_EXEC); its symbols and types are in sections of the core. libc.so.1 and ld.so.1
are shared objects whose names are only in their own memory. Thread 1 has called open_file, open_dir and memset, whose
pointer was cut to 32 bits and sign-extended; thread 2 waits in poll.

Facts: illumos' <sys/procfs.h>, <sys/siginfo.h>, <sys/regset.h>, <sys/ucontext.h>, <sys/auxv.h>, <sys/utsname.h>,
<sys/corectl.h>, <sys/elf.h>, <sys/link.h>; the order of notes and sections: uts/common/exec/elf/elf_notes.c and elf.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from samples.ctf import CtfWriter

PAGE = 4096
REGISTERS = {
    64: "r15 r14 r13 r12 r11 r10 r9 r8 rdi rsi rbp rbx rdx rcx rax trapno err rip cs rflags rsp ss fs gs es ds "
    "fsbase gsbase".split(),
    32: "gs fs es ds edi esi ebp kesp ebx edx ecx eax trapno err eip cs eflags esp ss".split(),
}
HOST, ZONE, ARGUMENTS = "fs1", "global", "/usr/afs/bin/fileserver -p 123"
FAULT = {64: 0xFFFFFFFFB7A94B20, 32: 0xB7A94B20}
TEXT, DATA, SHARED, LINKER, STACK = {}, {}, {}, {}, {}
TEXT[64], DATA[64], SHARED[64], LINKER[64] = 0x400000, 0x411000, 0xFFFFFD7FFF150000, 0xFFFFFD7FFF390000
TEXT[32], DATA[32], SHARED[32], LINKER[32] = 0x8050000, 0x8061000, 0xFEE30000, 0xFEFF0000
STACK[64], STACK[32] = 0xFFFFFD7FFFDFC000, 0x8044000
STACK_SIZE = 0x4000
FUNCTIONS = ("_start", "main", "open_file", "open_dir", "on_signal")
FUNCTION_SIZE = 0x40
RETURN = 0x10
"""Where in each function the call ends."""
CODE = 0x400
"""Where code begins in the pages of an object."""
R, W, X = 4, 2, 1


@dataclass
class IllumosCore:
    """What is planned; `data` and `write` make it."""

    bits: int = 64
    smashed: bool = False
    """Frame pointer and program counter of thread 1 are 0."""
    handler: bool = False
    """Thread 1 is in a signal's handler, which interrupted open_dir."""
    gcore: bool = False
    """No signal: gcore(1) made it."""
    with_sections: bool = True
    symbols: dict[str, int] = field(default_factory=dict)
    """Addresses of functions and variables."""
    threads: list[dict[str, int]] = field(default_factory=list)
    """Registers of each."""

    def __post_init__(self) -> None:
        self.word, self.letter = self.bits // 8, "Q" if self.bits == 64 else "I"
        self._shared, self._linker = self._shared_object(), self._small_object()
        self._data = self._program_data()
        self._text = self._program_text()
        self._stack = self._fill_stack()

    def _words(self, *values: int) -> bytes:
        return struct.pack(f"<{len(values)}{self.letter}", *(value & (1 << self.bits) - 1 for value in values))

    # objects

    def _elf(self, kind: int, loads: list[tuple[int, int, int]], dynamic: int, entry: int = 0) -> bytearray:
        """A page with an ELF header, program headers of (address, size, flags), and that of a dynamic section."""
        wide = self.bits == 64
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1, 0]) + bytes(8)
        machine, size = (62, 64) if wide else (3, 52)
        header = ident + struct.pack("<HHI", kind, machine, 1) + self._words(entry, size, 0)
        header += struct.pack("<IHHHHHH", 0, size, 56 if wide else 32, len(loads) + 1, 0, 0, 0)
        base = loads[0][0]
        for number, address, length, flags in [*((1, *load) for load in loads), (2, dynamic, 0x100, R | W)]:
            rest = self._words(address - base, address, 0, length, length)
            header += struct.pack("<II", number, flags) + rest + self._words(PAGE) if wide else b""
            if not wide:
                header += struct.pack("<8I", number, address - base, address, 0, length, length, flags, PAGE)
        return bytearray(header.ljust(PAGE, b"\0"))

    def _symbol(self, name: int, value: int, size: int, kind: int, section: int = 1) -> bytes:
        info = 1 << 4 | kind
        if self.bits == 64:
            return struct.pack("<IBBHQQ", name, info, 0, section, value, size)
        return struct.pack("<IIIBBH", name, value, size, info, 0, section)

    def _shared_object(self) -> bytes:
        """libc.so.1: a page of text with memset and poll, its names, and a page of data with the dynamic section."""
        page = self._elf(3, [(0, PAGE, R | X), (PAGE, PAGE, R | W)], PAGE)
        strings = b"\0libc.so.1\0memset\0poll\0_lwp_start\0"
        names = {name: strings.index(name.encode() + b"\0") for name in ("memset", "poll", "_lwp_start")}
        entry = 24 if self.bits == 64 else 16
        table = bytes(entry)
        for at, (name, place) in enumerate(names.items()):
            table += self._symbol(place, CODE + at * FUNCTION_SIZE, FUNCTION_SIZE, 2)
            self.symbols[name] = SHARED[self.bits] + CODE + at * FUNCTION_SIZE
            self._code(page, CODE + at * FUNCTION_SIZE, 0)
        page[0x200 : 0x200 + len(table)] = table
        page[0x300 : 0x300 + len(strings)] = strings
        page[0x380:0x388] = struct.pack("<II", 1, 1 + len(names))  # DT_HASH: nbucket, nchain
        data = self._words(4, 0x380, 5, 0x300, 6, 0x200, 10, len(strings), 14, 1, 0, 0)
        return bytes(page) + data.ljust(PAGE, b"\0")

    def _small_object(self) -> bytes:
        """ld.so.1: a page with its name only."""
        page = self._elf(3, [(0, PAGE, R | X)], 0x300)
        page[0x400:0x410] = b"\0ld.so.1\0".ljust(16, b"\0")
        data = self._words(5, 0x400, 10, 16, 14, 1, 0, 0)
        page[0x300 : 0x300 + len(data)] = data
        return bytes(page)

    def _code(self, page: bytearray, at: int, target: int) -> None:
        """A function: its frame, a call that ends at `RETURN` (0: through a pointer), and what takes arguments off."""
        push = b"\x55\x48\x89\xe5" if self.bits == 64 else b"\x55\x89\xe5"
        body = push.ljust(RETURN - 6, b"\x90")
        if target:
            body += b"\x90\xe8" + struct.pack("<i", target - (at + RETURN))
        else:
            body += b"\xff\x15" + struct.pack("<I", 0)
        body += b"\x83\xc4\x08" if self.bits == 32 else b"\x90"
        page[at : at + FUNCTION_SIZE] = (body + b"\xc9\xc3").ljust(FUNCTION_SIZE, b"\x90")

    def _program_text(self) -> bytes:
        base, data = TEXT[self.bits], DATA[self.bits]
        loads = [(base, PAGE, R | X), (data, PAGE, R | W)]
        page = self._elf(2, loads, data, base + CODE)
        for at, name in enumerate(FUNCTIONS):
            place = CODE + at * FUNCTION_SIZE
            self.symbols[name] = base + place
            following = place + FUNCTION_SIZE if name in FUNCTIONS[:3] else 0
            self._code(page, place, following)
        return bytes(page)

    def _program_data(self) -> bytes:
        """The dynamic section, the dynamic linker's list, and variables."""
        base, word = DATA[self.bits], self.word
        page = bytearray(PAGE)

        def put(offset: int, data: bytes) -> None:
            page[offset : offset + len(data)] = data

        put(0, self._words(21, base + 0x100, 0, 0))  # DT_DEBUG
        put(0x100, self._words(1, base + 0x200, 0, 0, LINKER[self.bits]))  # struct r_debug
        maps = [(0, 0x800, 0), (SHARED[self.bits], 0x880, PAGE), (LINKER[self.bits], 0x900, 0x300)]
        for at, (bias, name, dynamic) in enumerate(maps):  # link_map: l_addr, l_name, l_ld, l_next, l_prev
            following = base + 0x200 + 0x40 * (at + 1) if at + 1 < len(maps) else 0
            put(0x200 + 0x40 * at, self._words(bias, base + name, bias + dynamic, following, 0))
        for place, text in ((0x800, b"/usr/afs/bin/fileserver"), (0x880, b"/lib/libc.so.1"), (0x900, b"/lib/ld.so.1")):
            put(place, text + b"\0")
        put(0x400, struct.pack("<i", 7))
        put(0x440, self._words(base + 0x440) + struct.pack("<i", 42))
        self.symbols |= {"opened": base + 0x400, "config": base + 0x440}
        self.linked = 2 * word
        return bytes(page)

    # stacks

    def _fill_stack(self) -> bytes:
        """Frames of both threads, and what the kernel put at the top."""
        base, word = STACK[self.bits], self.word
        page = bytearray(STACK_SIZE)

        def put(offset: int, data: bytes) -> None:
            page[offset : offset + len(data)] = data

        def chain(offset: int, callers: list[int]) -> None:
            for at, pc in enumerate(callers):
                here = offset + 0x80 * at
                put(here, self._words(base + here + 0x80 if at + 1 < len(callers) else 0, pc, at + 1, at + 2))

        back = {name: address + RETURN for name, address in self.symbols.items()}
        ways = [back["open_dir"], back["open_file"], back["main"], back["_start"], 0]
        chain(0x1000, ways)
        chain(0x3000, [back["_lwp_start"], 0])
        pc, fp, sp = self.symbols["memset"] + 0x1C, base + 0x1000, base + 0xF80
        if self.handler:
            self._signal_frame(put, 0x800, base + 0x1080, base + 0x1010)
            pc, fp, sp = self.symbols["on_signal"] + 4, base + 0x800, base + 0x7F0
        if self.smashed:
            pc, fp, sp = 0, 0, base + 0x1000 + 2 * word
        names = ("rip", "rbp", "rsp") if self.bits == 64 else ("eip", "ebp", "esp")
        self.threads.append(dict(zip(names, (pc, fp, sp), strict=True)))
        waiting = (self.symbols["poll"] + 0x1A, base + 0x3000, base + 0x2FC0)
        self.threads.append(dict(zip(names, waiting, strict=True)))
        put(STACK_SIZE - 0x100, b"/usr/afs/bin/fileserver\0")
        return bytes(page)

    def _signal_frame(self, put, offset: int, fp: int, sp: int) -> None:  # type: ignore[no-untyped-def]
        """A frame with -1 for its return address, and the ucontext_t of what was interrupted in open_dir."""
        wide = self.bits == 64
        put(offset, self._words(fp, -1, 10, 0))
        context = dict.fromkeys(REGISTERS[self.bits], 0)
        names = ("rip", "rbp", "rsp") if wide else ("eip", "ebp", "kesp")
        context |= dict(zip(names, (self.symbols["open_dir"] + 8, fp, sp), strict=True))
        put(offset + (32 + 64 if wide else 20 + 36), self._words(*context.values()))

    # notes

    @staticmethod
    def _note(kind: int, data: bytes) -> bytes:
        return struct.pack("<III", 5, len(data), kind) + b"CORE\0\0\0\0" + data + bytes(-len(data) % 4)

    def _lwpstatus(self, tid: int, registers: dict[str, int], signal: int) -> bytes:
        wide = self.bits == 64
        found = bytearray(1296 if wide else 800)
        struct.pack_into("<iihhh", found, 0, 0, tid, 0, 0, signal)
        if signal:
            struct.pack_into("<iii", found, 16, signal, 1, 0)
            struct.pack_into(f"<{self.letter}", found, 32 if wide else 28, FAULT[self.bits])
        values = self._words(*({**dict.fromkeys(REGISTERS[self.bits], 0), **registers}.values()))
        at = 544 if wide else 344
        found[at : at + len(values)] = values
        return bytes(found)

    def _notes(self) -> bytes:
        wide = self.bits == 64
        signal = 0 if self.gcore else 11
        statuses = [self._lwpstatus(at + 1, one, 0 if at else signal) for at, one in enumerate(self.threads)]
        psinfo = bytearray(416 if wide else 336)
        at = 136 if wide else 88
        psinfo[at : at + 96] = b"fileserver".ljust(16, b"\0") + ARGUMENTS.encode().ljust(80, b"\0")
        struct.pack_into("<i", psinfo, at + 96, 0 if self.gcore else 0x80 | 11)
        psinfo[256 if wide else 200] = 2 if wide else 1
        pstatus = bytearray(384 if wide else 336)
        struct.pack_into("<iiii", pstatus, 0, 0, len(statuses), 1234, 1)
        heap, stack = (DATA[self.bits] + PAGE, PAGE), (STACK[self.bits], STACK_SIZE)
        values = self._words(*heap, *stack)
        pstatus[48 : 48 + len(values)] = values
        names = ("SunOS", HOST, "5.11", "illumos", "i86pc")
        auxv = [(3, TEXT[self.bits] + (64 if wide else 52)), (5, 3), (7, LINKER[self.bits]),
                (9, TEXT[self.bits] + CODE), (2014, STACK[self.bits] + STACK_SIZE - 0x100), (0, 0)]  # fmt: skip
        notes = [
            self._note(13, bytes(psinfo)),
            self._note(10, bytes(pstatus) + statuses[0]),
            self._note(5, b"i86pc\0"),
            self._note(6, b"".join(self._words(*pair) for pair in auxv)),
            self._note(15, b"".join(name.encode().ljust(257, b"\0") for name in names)),
            self._note(14, bytes(28)),
            self._note(20, struct.pack("<Q", 0x1BBF)),
            self._note(21, ZONE.encode() + b"\0"),
        ]
        for tid, status in enumerate(statuses, 1):
            info = bytearray(128 if wide else 104)
            struct.pack_into("<ii", info, 0, 0, tid)
            info[26 if wide else 18] = ord("O" if tid == 1 else "S")
            notes += [self._note(17, bytes(info)), self._note(16, status)]
            notes.append(self._note(25, struct.pack("<Q", tid) + (b"waiter" if tid == 2 else b"").ljust(32, b"\0")))
        return b"".join(notes)

    # the file

    def _sections(self) -> list[tuple[str, int, int, bytes, int]]:
        """(name, type, address, content, link) of the sections behind the empty first one."""
        if not self.with_sections:
            return []
        ctf, strings, table = CtfWriter(bits=self.bits), b"\0", bytes(24 if self.bits == 64 else 16)
        integer = ctf.integer("int", 32, signed=True)
        node = ctf.structure("node")
        ctf.define(node, [("next", ctf.pointer(node)), ("value", integer)])
        for name in (*FUNCTIONS, "opened", "config"):
            kind = 2 if name in FUNCTIONS else 1
            size = FUNCTION_SIZE if kind == 2 else 4 if name == "opened" else 2 * self.word
            table += self._symbol(len(strings), self.symbols[name], size, kind)
            strings += name.encode() + b"\0"
            if kind == 2:
                ctf.function(integer, [integer, integer])
        ctf.object(integer)
        ctf.object(node)
        base = TEXT[self.bits]
        return [
            (".SUNW_ctf", 1, base, ctf.bytes(), 2),
            (".symtab", 2, base, table, 3),
            (".strtab", 3, base, strings, 0),
        ]

    def data(self) -> bytes:
        """The file."""
        wide = self.bits == 64
        ehdr, phdr, shdr = (64, 56, 64) if wide else (52, 32, 40)
        shared, linker = SHARED[self.bits], LINKER[self.bits]
        loads = [
            (TEXT[self.bits], self._text, R | X),
            (DATA[self.bits], self._data, R | W),
            (DATA[self.bits] + PAGE, bytes(PAGE), R | W),
            (STACK[self.bits], self._stack, R | W),
            (shared, self._shared[:PAGE], R | X),
            (shared + PAGE, self._shared[PAGE:], R | W),
            (linker, self._linker, R | X),
        ]
        old, notes = self._note(3, bytes(260 if self.bits == 32 else 440)), self._notes()
        sections = self._sections()
        at = ehdr + phdr * (len(loads) + 2)
        headers, body = b"", old + notes

        def header(kind: int, offset: int, address: int, size: int, flags: int) -> bytes:
            if wide:
                return struct.pack("<IIQQQQQQ", kind, flags, offset, address, 0, size, size if kind == 1 else 0, 4)
            return struct.pack("<8I", kind, offset, address, 0, size, size if kind == 1 else 0, flags, 4)

        headers += header(4, at, 0, len(old), R) + header(4, at + len(old), 0, len(notes), R)
        for address, content, flags in loads:
            headers += header(1, at + len(body), address, len(content), flags)
            body += content
        names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
        rows = [bytes(shdr)] if sections else []
        for name, kind, address, content, link in [*sections, (".shstrtab", 3, 0, names, 0)] if sections else []:
            place = names.index(name.encode() + b"\0")
            fields = (0, address, at + len(body), len(content))
            rows.append(struct.pack("<II", place, kind) + self._words(*fields) + struct.pack("<II", link, 0))
            rows[-1] += self._words(1, {2: 24 if wide else 16}.get(kind, 0))
            body += content
        body += bytes(-(at + len(body)) % 8)
        count = len(rows)
        ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1, 0]) + bytes(8)
        start = ident + struct.pack("<HHI", 4, 62 if wide else 3, 1)
        start += self._words(0, ehdr, at + len(body) if count else 0)
        start += struct.pack("<IHHHHHH", 0, ehdr, phdr, len(loads) + 2, shdr, count, count - 1 if count else 0)
        return start + headers + body + b"".join(rows)

    def write(self, path: Path) -> Path:
        """Write the file."""
        path.write_bytes(self.data())
        return path

"""Stacks of a process's threads.

Each caller is found by what holds best: a signal's frame, the call frame information of the function, frame pointers.
Where none of them leads on, and the stack did not end where threads begin, what is left of it is scanned for words that
lie behind a call instruction (`kdbg.kernels.stackscan`): guesses, and each says so.

Sources: the System V ABIs (registers, frames), DWARF's register numbers in them, the kernels' asm/ucontext.h and
asm/sigcontext.h (what a signal pushes), illumos' lib/libproc (Pisadep.c, Pstack.c).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kdbg.errors import ReadError
from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64
from kdbg.formats.process_core import PF_X, Region
from kdbg.formats.process_notes import AT_ENTRY, ILLUMOS, ILLUMOS_REGISTERS
from kdbg.kernels.process.dynamic import PT_EH_FRAME
from kdbg.kernels.process.memory import ProcessMemory
from kdbg.kernels.process.objects import LoadedObject
from kdbg.kernels.process.signals import signal_frame
from kdbg.kernels.stackscan import Machine, called_from, scan
from kdbg.records import Frame
from kdbg.symbols.dwarf.cfi import FrameTable
from kdbg.symbols.table import Symbol

MOST_FRAMES = 512
SCANNED = 1 << 18
"""Bytes of a stack that are scanned."""

START_SIZE = 64
"""Bytes behind a program's entry that are taken for its first function, whose caller is nobody."""

NO_CODE = "no code is mapped there"
NULL_CALL = "called through a pointer to no code"
SIGNAL = "signal handler called"
UNCHECKED = "scanned: points to code that the core does not hold"
OVERWRITTEN = "the return address is no code: the stack was overwritten"

STARTS = frozenset({
    "_start", "_rt_boot", "_lwp_start", "_thrp_setup", "clone", "clone3", "__clone", "__clone3", "start_thread",
    "thread_start", "__libc_start_main", "_dl_start_user",
})  # fmt: skip
"""Functions where a stack begins."""


@dataclass(frozen=True, slots=True)
class Abi:
    """How registers are named and numbered. ``numbers``: DWARF's, in order."""

    pc: str
    sp: str
    fp: str
    numbers: tuple[str, ...]
    link: str = ""
    """The register that holds the return address in a function that calls nothing."""

    @property
    def stack(self) -> int:
        """DWARF's number of the stack pointer."""
        return self.numbers.index(self.sp)


_WIDE = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip"
ABIS = {
    EM_X86_64: Abi("rip", "rsp", "rbp", tuple(_WIDE.split())),
    EM_386: Abi("eip", "esp", "ebp", tuple("eax ecx edx ebx esp ebp esi edi eip".split())),
    EM_AARCH64: Abi("pc", "sp", "x29", (*(f"x{number}" for number in range(31)), "sp", "pc"), "x30"),
}


@dataclass(slots=True)
class _Place:
    """Where a walk has come to."""

    pc: int
    registers: dict[int, int]
    exact: bool
    """Whether pc is where execution was, not a return address."""


class Stacks:
    """Walks the stacks of a process."""

    def __init__(self, memory: ProcessMemory) -> None:
        core = memory.core
        self._memory, self._core, self._objects = memory, core, memory.objects
        self._bits, self._word = core.bits, core.bits // 8
        self._abi = ABIS[core.machine]
        self._tables: dict[int, FrameTable | None] = {}
        arm = core.machine == EM_AARCH64
        # What a signal's handler returns to in illumos: no code at all (0: other systems).
        self._handlers_return = (1 << core.bits) - 1 if core.notes.system == ILLUMOS and not arm else 0
        self._pointers = sorted(one.registers.get(self._abi.sp, 0) for one in core.notes.threads)
        self._entry = core.notes.auxv.get(AT_ENTRY, 0)
        self._machine = Machine(
            core.bits,
            memory.read,
            self.is_code,
            lambda _: False,
            self._function,
            lambda _: None,
            arm,
            self._behind_stub,
        )

    def frames(self, registers: Mapping[str, int], exact: bool = True) -> list[Frame]:
        """The frames of a thread: where it was (not ``exact``: where it was to return to), then its callers."""
        abi = self._abi
        numbered = {at: registers[name] for at, name in enumerate(abi.numbers) if name in registers}
        if abi.pc not in registers or abi.stack not in numbered:
            return []
        place = _Place(registers[abi.pc], numbered, exact)
        found: list[Frame] = []
        seen: set[tuple[int, int]] = set()
        while len(found) < MOST_FRAMES:
            key = (place.pc, place.registers.get(abi.stack, 0))
            if key in seen:
                break
            seen.add(key)
            following, pointer, note = self._caller(place)
            if following is not None and following.pc and following.pc == self._handlers_return:
                following = self._before_handler(pointer) or following
            found.append(self._frame(place, pointer, note))
            if following is None:
                found += self._rest(place, found)
                break
            if not self.is_code(following.pc):
                if following.pc:
                    found.append(self._frame(following, following.registers.get(abi.stack, 0), OVERWRITTEN))
                found += self._rest(following, found)
                break
            place = following
        return found

    def above(self, pointer: int) -> list[Frame]:
        """The frames from a frame pointer on: that frame, whose place is not known, and its callers."""
        numbers = self._abi.numbers
        start = _Place(0, {self._abi.stack: pointer, numbers.index(self._abi.fp): pointer}, False)
        caller = self._by_frame_pointer(start, pointer, pointer)
        if caller is None or not caller.pc:
            return []
        named = {name: caller.registers[at] for at, name in enumerate(numbers) if at in caller.registers}
        return self.frames({**named, self._abi.pc: caller.pc}, exact=False)

    def _frame(self, place: _Place, pointer: int, note: str | None) -> Frame:
        function = self._function(place.pc if place.exact or note == SIGNAL else place.pc - 1)
        if function is None:
            return Frame(place.pc, pointer, None, 0, note=note)
        symbol = function[0]
        offset = place.pc - symbol.address
        return Frame(place.pc, pointer, symbol.name, offset, symbol.module, self._arguments(place, pointer), note)

    # one step

    def _caller(self, place: _Place) -> tuple[_Place | None, int, str | None]:
        """The caller's place (None where nothing leads there), the frame's pointer, and a note on the frame."""
        abi, registers = self._abi, place.registers
        sp, fp = registers.get(abi.stack, 0), registers.get(abi.numbers.index(abi.fp), 0)
        if not self.is_code(place.pc):
            return self._through_pointer(place, sp, fp)
        resumed = signal_frame(self._core.machine, self._memory.read, place.pc, sp, abi.numbers)
        if resumed is not None:
            pc = resumed.pop(abi.numbers.index(abi.pc), 0)
            return _Place(pc, resumed, True), fp, SIGNAL
        table = self._table(place.pc)
        unwound = table.unwind(place.pc - (not place.exact), registers, abi.stack) if table is not None else None
        if unwound is not None:
            pointer = unwound.cfa - 2 * self._word
            if abi.link:  # a frame's record lies anywhere in it
                pointer = fp if sp <= fp < unwound.cfa else sp
            if unwound.pc is None:
                return None, pointer, None
            return (
                _Place(self._plain(unwound.pc), unwound.registers, unwound.signal),
                pointer,
                (SIGNAL if unwound.signal else None),
            )
        return self._by_frame_pointer(place, sp, fp), fp, None

    def _through_pointer(self, place: _Place, sp: int, fp: int) -> tuple[_Place | None, int, str | None]:
        """A thread that went where no code is: by a call, which has left its return address, or by a smashed one."""
        note = NO_CODE if place.pc else None
        if not place.exact:
            return None, fp, note
        if self._abi.link:
            pc = self._plain(place.registers.get(self._abi.numbers.index(self._abi.link), 0))
            registers = place.registers
        else:
            pc = self._load(sp) or 0
            registers = {**place.registers, self._abi.stack: sp + self._word}
        if self.is_code(pc) and called_from(self._machine, pc) is True:
            return _Place(pc, registers, False), fp, NULL_CALL
        return None, fp, note

    def _by_frame_pointer(self, place: _Place, sp: int, fp: int) -> _Place | None:
        """The caller by a saved frame pointer and return address, if these are such; None where they are not."""
        region = self._core.region(fp)
        if fp % self._word or fp < sp or region is None or region is not self._core.region(sp):
            return None
        saved, pc = self._load(fp), self._load(fp + self._word)
        if saved is None or pc is None:
            return None
        pc = self._plain(pc)
        registers = {**place.registers, self._abi.numbers.index(self._abi.fp): saved}
        registers[self._abi.stack] = fp + 2 * self._word
        if pc and not self._is_return(pc) and pc != self._handlers_return:
            return None
        return _Place(pc, registers, False)

    def _before_handler(self, pointer: int) -> _Place | None:
        """What a signal of illumos interrupted: its frame has -1 for a return address, and a ucontext_t above it."""
        wide = self._bits == 64
        names = ILLUMOS_REGISTERS[self._bits]
        at = pointer + (32 + 64 if wide else 20 + 36)  # fp, pc, signo, (ucp,) sip; uc_flags, _link, _sigmask, _stack
        try:
            data = self._memory.read(at, len(names) * self._word)
        except ReadError:
            return None
        values = dict(zip(names, struct.unpack(f"<{len(names)}{'Q' if wide else 'I'}", data), strict=True))
        if not wide:
            values["esp"] = values["kesp"]
        registers = {at: values[name] for at, name in enumerate(self._abi.numbers)}
        return _Place(values[self._abi.pc], registers, True)

    def _is_return(self, pc: int) -> bool:
        """Whether an address lies behind a call; where the code cannot be read, whether it is code."""
        return self.is_code(pc) and (not self._readable(pc - 1) or called_from(self._machine, pc) is not False)

    # the end

    def _rest(self, place: _Place, found: list[Frame]) -> list[Frame]:
        """Guesses at the callers, where a stack did not end as it should."""
        last = next((frame for frame in reversed(found) if frame.pc and frame.note != OVERWRITTEN), None)
        if last is not None and self._ended(place, last, found):
            return []
        sp = place.registers.get(self._abi.stack, 0)
        region = self._core.region(sp)
        if region is None:
            return []
        start = -(-sp // self._word) * self._word
        at = bisect_right(self._pointers, sp)
        end = min(region.end, self._pointers[at]) if at < len(self._pointers) else region.end
        data = bytes(self._core.held(start, min(SCANNED, end - start)))
        most = MOST_FRAMES - len(found)
        pc = last.pc if last is not None and self.is_code(place.pc) else 0
        guessed = scan(self._machine, pc, start, data)
        return sorted([*guessed, *self._unchecked(start, data)], key=lambda frame: frame.sp)[:most]

    def _ended(self, place: _Place, last: Frame, found: list[Frame]) -> bool:
        """Whether a stack ended where a thread begins: its function tells, or says that it has no caller."""
        if last.symbol in STARTS or 0 <= last.pc - self._entry < START_SIZE:
            return True
        table = self._table(last.pc) if self.is_code(last.pc) else None
        if table is None or place.pc != last.pc:
            return False
        unwound = table.unwind(place.pc - (not place.exact), place.registers, self._abi.stack)
        return unwound is not None and unwound.pc is None

    def _unchecked(self, base: int, data: bytes) -> Iterator[Frame]:
        """Words that point to code, where the code itself is not there to look at."""
        for at in range(0, len(data) - self._word + 1, self._word):
            pc = int.from_bytes(data[at : at + self._word], "little")
            if pc != self._entry and self.is_code(pc) and not self._readable(pc - 1):
                function = self._function(pc - 1)
                name, module, offset = None, None, 0
                if function is not None:
                    name, module, offset = function[0].name, function[0].module, pc - function[0].address
                yield Frame(pc, base + at, name, offset, module, note=UNCHECKED)

    # what is where

    def is_code(self, address: int) -> bool:
        """Whether an address may be executed."""
        region: Region | None = self._core.region(address)
        return region is not None and bool(region.flags & PF_X)

    def _readable(self, address: int) -> bool:
        try:
            self._memory.read(address, 1)
        except ReadError:
            return False
        return True

    def _load(self, address: int) -> int | None:
        try:
            return int.from_bytes(self._memory.read(address, self._word), "little")
        except ReadError:
            return None

    def _plain(self, pc: int) -> int:
        """A return address without the bits that sign it (arm64)."""
        return pc & (1 << 48) - 1 if self._abi.link else pc

    def _function(self, address: int) -> tuple[Symbol, int] | None:
        found = self._objects.at(address)
        symbol = found.covering(address) if found is not None else None
        return (symbol, address - symbol.address) if symbol is not None else None

    def _table(self, pc: int) -> FrameTable | None:
        found = self._objects.at(pc)
        if found is None:
            return None
        if found.base not in self._tables:
            self._tables[found.base] = self._frame_table(found)
        return self._tables[found.base]

    def _frame_table(self, found: LoadedObject) -> FrameTable | None:
        headers, read = found.headers, self._memory.read
        segment = next((s for s in headers.segments if s.type == PT_EH_FRAME), None) if headers else None
        if segment is not None:
            return FrameTable(read, segment.address + found.bias, self._bits)
        section = found.file.headers.section(".eh_frame") if found.file is not None else None
        if section is None:
            return None
        return FrameTable(read, 0, self._bits, (section.address + found.bias, section.size))

    def _behind_stub(self, target: int) -> int | None:
        """Where a call to an entry of a procedure linkage table leads; None where that depends on a register."""
        if self._abi.link:
            return target
        try:
            code = self._memory.read(target, 16)
        except ReadError:
            return target
        code = code.removeprefix(b"\xf3\x0f\x1e\xfa" if self._bits == 64 else b"\xf3\x0f\x1e\xfb")
        skipped = 16 - len(code) + (code[:1] == b"\xf2")
        code = code.removeprefix(b"\xf2")
        if code[:2] == b"\xff\x25":
            slot = int.from_bytes(code[2:6], "little", signed=self._bits == 64)
            return self._load(slot + (target + skipped + 6 if self._bits == 64 else 0))
        return None if code[:2] == b"\xff\xa3" else target

    def _arguments(self, place: _Place, pointer: int) -> tuple[int, ...]:
        """Arguments of a 32-bit x86 function, as many as its caller takes off the stack behind the call."""
        if self._core.machine != EM_386:
            return ()
        pc = self._load(pointer + 4)
        try:
            code = self._memory.read(pc, 6) if pc and self.is_code(pc) else b""
        except ReadError:
            return ()
        size = 0
        if code[:2] in (b"\x83\xc4", b"\x81\xc4"):  # addl $size,%esp
            size = code[2] if code[0] == 0x83 else int.from_bytes(code[2:6], "little")
        words = [self._load(pointer + 8 + 4 * at) for at in range(min(size // 4, 32))]
        return tuple(word for word in words if word is not None)

"""Stacks of a Linux kernel's tasks and CPUs: by ORC on x86-64, by frame pointers on arm64 and where x86 has no ORC.

A task that is off its CPU has left a ``struct inactive_task_frame`` at thread.sp (x86: the registers that calls
preserve, and the place to return to), or its registers in thread.cpu_context (arm64). A task on a CPU is where the CPU
is.

Sources: arch/x86/kernel/unwind_orc.c (unwind_next_frame), arch/x86/include/asm/switch_to.h, arch/x86/include/asm/
ptrace.h (pt_regs); arch/arm64/kernel/stacktrace.c, arch/arm64/include/asm/processor.h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.kernels.linux import orc
from kdbg.kernels.linux.framepointers import FramePointers
from kdbg.kernels.linux.orc import Orc, Rule
from kdbg.kernels.linux.tasks import LinuxThread, Tasks
from kdbg.records import Frame

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_FRAMES = 2000
PT_REGS = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
           "orig_rax", "rip", "cs", "rflags", "rsp", "ss")  # fmt: skip
"""Struct pt_regs of x86-64."""
INACTIVE = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")
"""Struct inactive_task_frame of x86-64."""
USER, INTERRUPTED = "in user mode", "interrupted here"
ZOMBIE, NO_STACK = "a zombie has no stack", "it has given its stack back"
_MASK = (1 << 64) - 1
_LINK_STEP = 16


class _Memory:
    """Words of stacks, read a page at a time."""

    def __init__(self, kernel: Linux) -> None:
        self._read = kernel.memory.read
        self._pages: dict[int, memoryview] = {}

    def word(self, address: int) -> int:
        """The word at an address. Raises `ReadError`."""
        if address & 7:
            raise ReadError(address, f"{address:x}: stack address is not properly aligned", "misaligned")
        number = address >> 12
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = memoryview(self._read(number << 12 & _MASK, 4096)).cast("Q")
        found: int = page[address >> 3 & 511]
        return found


class Unwinder:
    """Walks the stacks of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.orc: Orc = kernel.part(Orc)
        self._names: dict[int, tuple[str | None, int, str | None]] = {}
        self.by_frame_pointers = kernel.target.image.architecture == "arm64"
        told = kernel.vmcoreinfo if self.by_frame_pointers else None
        self._pac = told.of_kind("NUMBER", 10).get("KERNELPACMASK", 0) if told is not None else 0

    # where a stack begins

    def task(self, thread: LinuxThread) -> list[Frame]:
        """The frames of a task that is off its CPU. Raises `ReadError` where its stack is not in the dump."""
        if self.by_frame_pointers:
            found = self.kernel.part(Tasks).load(thread.address)
            return list(self._arm_frames(found["fp_arm"], found["pc_arm"], found["sp_arm"]))
        if not self.orc:
            return FramePointers(self.kernel, self.frame).task(thread.sp)
        memory = _Memory(self.kernel)
        saved = {name: memory.word(thread.sp + 8 * at) for at, name in enumerate(INACTIVE)}
        start = {"rip": saved["rip"], "rsp": thread.sp + 8 * len(INACTIVE), "rbp": saved["rbp"]}
        return list(self._orc_frames(start, memory, interrupted=False))

    def registers(self, registers: Mapping[str, int]) -> list[Frame]:
        """The frames of a CPU from its registers, the place where it was first."""
        if self.by_frame_pointers:
            return list(self._arm_frames(registers["x29"], registers["pc"], registers["sp"]))
        return list(self._orc_frames(registers, _Memory(self.kernel), interrupted=True))

    def call(self, caller: Mapping[str, int]) -> list[Frame]:
        """The frames from a place behind a call on, by its rip, rsp and rbp (x86-64)."""
        return list(self._orc_frames(caller, _Memory(self.kernel), interrupted=False))

    # x86-64

    def _orc_frames(self, start: Mapping[str, int], memory: _Memory, interrupted: bool) -> Iterator[Frame]:
        """Frames by ORC. What the last one's note tells: why the stack could not be followed, or that all is well."""
        kernel = self.kernel
        ip, sp, bp = start["rip"], start["rsp"], start["rbp"]
        registers: Mapping[str, int] = start if interrupted else {}
        note: str | None = None
        for number in range(MOST_FRAMES):
            if not kernel.in_kernel(ip) and (ip or number):
                yield Frame(ip, sp, None, 0, note=USER if interrupted else f"{ip:x} is no address of the kernel's")
                return
            frame = self.frame(ip, sp, interrupted, note)
            rule = self.orc.rule(ip if interrupted or not ip else ip - 1)
            if interrupted and not number and (rule is None or rule.type in (orc.END, 0)):
                rule = self.orc.rule(ip - 1)  # a crash saves the place behind a call that does not return
            if rule is None:
                rule, note = orc.BY_FRAME_POINTER, "no unwind table tells of it: by frame pointer"
                frame = replace(frame, note=note)
            else:
                note = None
            if rule.type in (orc.END, 0):
                ended = None if rule.type == orc.END else "its unwind table does not tell how to go on"
                yield replace(frame, note=ended or frame.note)
                return
            try:
                cfa = _frame_address(rule, sp, bp, registers, memory)
                if rule.type == orc.CALL:
                    following, next_sp, registers = memory.word(cfa - 8), cfa, {}
                    interrupted = rule.interrupted
                else:
                    registers = _pushed(rule, cfa, memory, registers)
                    following, next_sp, interrupted, note = registers["rip"], registers["rsp"], True, INTERRUPTED
                    if registers["cs"] & 3:
                        yield frame
                        yield Frame(following, next_sp, None, 0, note=USER)
                        return
                bp = _frame_pointer(rule, cfa, bp, registers, memory)
            except ReadError as error:
                yield replace(frame, note=f"the stack cannot be followed: {error}")
                return
            except KeyError as error:
                yield replace(frame, note=f"the stack cannot be followed: {error.args[0]} is not known here")
                return
            if rule.type == orc.CALL and next_sp <= sp and rule.sp_register == orc.SP:
                yield replace(frame, note=f"the stack does not go up: {next_sp:x}")
                return
            yield frame
            ip, sp = following, next_sp

    # arm64

    def _arm_frames(self, fp: int, pc: int, sp: int) -> Iterator[Frame]:
        """Frames by frame pointers: at x29 lie the caller's x29 and the return address."""
        read, first = self.kernel.memory.read, True
        for _ in range(MOST_FRAMES):
            if self._pac:
                pc |= self._pac
            if not self.kernel.in_kernel(pc):
                yield Frame(pc, sp, None, 0, note=USER)
                return
            frame = self.frame(pc, sp, first, None)
            if not fp:
                yield frame
                return
            try:
                data = read(fp, _LINK_STEP)
            except ReadError as error:
                yield replace(frame, note=f"the stack cannot be followed: {error}")
                return
            following, pc = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")
            yield frame
            if not pc or (following and following == fp):
                return
            sp, fp, first = fp + _LINK_STEP, following, False

    # names

    def frame(self, pc: int, sp: int, exact: bool, note: str | None) -> Frame:
        """A frame with its function: a return address belongs to the call before it."""
        key = pc if exact or not pc else pc - 1
        found = self._names.get(key)
        if found is None:
            nearest = self.kernel.symbols.nearest(key)
            found = (nearest[0].name, nearest[1], nearest[0].module) if nearest is not None else (None, 0, None)
            self._names[key] = found
        name, offset, module = found
        return Frame(pc, sp, name, offset + pc - key if name else 0, module, note=note)


def _frame_address(rule: Rule, sp: int, bp: int, registers: Mapping[str, int], memory: _Memory) -> int:
    """The stack pointer as it was before the call. Raises `ReadError`, `KeyError` for a register not known."""
    match rule.sp_register:
        case orc.SP:
            return sp + rule.sp_offset & _MASK
        case orc.BP:
            return bp + rule.sp_offset & _MASK
        case orc.SP_INDIRECT:
            return memory.word(sp) + rule.sp_offset & _MASK
        case orc.BP_INDIRECT:
            return memory.word(bp + rule.sp_offset & _MASK)
        case orc.R10:
            return registers["r10"]
        case orc.R13:
            return registers["r13"]
        case orc.DI:
            return registers["rdi"]
        case orc.DX:
            return registers["rdx"]
    raise KeyError(f"register {rule.sp_register} of ORC")


def _pushed(rule: Rule, at: int, memory: _Memory, before: Mapping[str, int]) -> Mapping[str, int]:
    """The interrupted registers: all of pt_regs at an address, or its last five words there (an iret frame)."""
    if rule.type == orc.REGISTERS:
        return {name: memory.word(at + 8 * number) for number, name in enumerate(PT_REGS)}
    names = PT_REGS[16:]
    kept = {name: value for name, value in before.items() if name not in ("rip", "rsp", "cs")}
    return {**kept, **{name: memory.word(at + 8 * number) for number, name in enumerate(names)}}


def _frame_pointer(rule: Rule, cfa: int, bp: int, registers: Mapping[str, int], memory: _Memory) -> int:
    if rule.bp_register == orc.PREV_SP:
        return memory.word(cfa + rule.bp_offset & _MASK)
    if rule.bp_register == orc.BP:
        return memory.word(bp + rule.bp_offset & _MASK)
    return registers.get("rbp", bp) if rule.type == orc.REGISTERS else bp


def thread_stack(kernel: Linux, address: int) -> list[Frame]:
    """The stack of the task at an address; empty where it has none (a zombie). Raises `ReadError`."""
    thread = kernel.part(Tasks).record(address)
    if why_none(thread):
        return []
    registers = running(kernel).get(address)
    if registers is not None:
        return kernel.cpu_stack(registers)
    return kernel.part(Unwinder).task(thread)


def why_none(thread: LinuxThread) -> str:
    """Why a task has no stack to look at; "" where it has one."""
    if thread.state in ("zombie", "dead"):
        return ZOMBIE
    return NO_STACK if not thread.stack else ""


def running(kernel: Linux) -> Mapping[int, Mapping[str, int]]:
    """Task -> registers of the CPU that it runs on."""
    return kernel.part(_running)


def _running(kernel: Linux) -> Mapping[int, Mapping[str, int]]:
    return {cpu.thread: cpu.registers for cpu in kernel.cpus() if cpu.thread}


def followed(frames: list[Frame]) -> bool:
    """Whether a stack was followed to its end."""
    return bool(frames) and (frames[-1].note in (None, USER, INTERRUPTED))

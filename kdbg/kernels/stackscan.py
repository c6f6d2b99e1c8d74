"""Stacks of any kernel from a CPU's registers alone: frame pointers where they lead somewhere, else a scan.

A scan takes the words of the stack that lie right behind a call instruction. Which of them are the stack's own frames
and which are left over from calls that have returned is judged by what the call instructions call: the best chain is
one in which each call leads to the function of the frame before it. A frame's note says what speaks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kdbg.errors import ReadError
from kdbg.records import Frame
from kdbg.symbols.table import Symbol

NAMES = (("rip", "rsp", "rbp"), ("pc", "sp", "x29"), ("eip", "esp", "ebp"))
"""Registers that hold the pc, the stack pointer and the frame pointer: of x86-64, arm64, x86."""
STACK_SIZE = 1 << 14
"""Kernel stacks are aligned to their size, at most so many bytes (THREAD_SIZE of x86-64)."""
MOST_FRAMES = 512
MOST_PARTS = 16
"""Parts that a scan goes through: stacks, and what lies between interrupts on them."""
CALL_BYTES = 7
"""The longest call instruction is that long (FF /2 with a SIB byte and a displacement of 32 bits)."""

CALLED = "scanned: the call before it leads to the frame above"
INDIRECT = "scanned: behind an indirect call"
CALL = "scanned: behind a call (what the frame above belongs to is not known)"
ELSEWHERE = "scanned: the call before it leads elsewhere (a tail call, or left over)"
INTERRUPTED = "interrupted here"
USER = "user mode: no stack in the kernel"
FROM_USER = "entered from user mode here"
UNREADABLE = "the stack cannot be read: {}"

COLD = ".cold"
"""Ending of the name of what compilers split off a function and jump to."""
THUNKS = ("__x86_indirect_", "__x86_call_thunk")
"""Names of the thunks that indirect calls go through (arch/x86/lib/retpoline.S)."""

GAIN = {CALLED: 3, INDIRECT: 1, CALL: 1, ELSEWHERE: -2}
"""What a frame adds to the worth of a chain."""

KERNEL_CODE = {0x10, 0x60, 0xE030, 0xE033, 0xE019, 0x61}
USER_CODE = {0x33, 0x23, 0x73}
"""Selectors of code that interrupt frames hold: Linux's of 64 and 32 bits, Xen's for paravirtual guests."""
STACK_SELECTORS = {0, 0x18, 0x2B, 0xE02B}
FLAGS_ONE, FLAGS_END = 1 << 1, 1 << 22
"""Of the flags register: the bit that is always set; bits from here on are always clear."""


def _itself(target: int) -> int | None:
    return target


@dataclass(frozen=True, slots=True)
class Machine:
    """What the frames are looked for in."""

    bits: int
    read: Callable[[int, int], bytes]
    """Memory as the vCPU sees it. Raises `ReadError`."""
    is_code: Callable[[int], bool]
    """Whether an address is one of the kernel's code."""
    is_user: Callable[[int], bool]
    """Whether an address belongs to user mode."""
    function: Callable[[int], tuple[Symbol, int] | None]
    """The function that covers an address, and the offset in it."""
    address: Callable[[str], int | None]
    """Address of the symbol of that name."""
    arm: bool = False
    """Whether it is an arm64, whose kernels always have frame pointers; else x86."""
    resolve: Callable[[int], int | None] = _itself
    """Where a call ends that goes to an address: behind a stub, what the stub jumps to; None where that is unknown."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A word of the stack that may be a return address."""

    at: int
    pc: int
    function: int
    """Address of the function that it lies in; of itself where none is known."""
    target: int | None
    """What the call before it calls; None where that is in a register or in memory."""


def frames(machine: Machine, registers: Mapping[str, int]) -> list[Frame]:
    """The frames of a vCPU: where it was, then its callers."""
    pc, sp, fp = (registers.get(name, 0) for name in next(n for n in NAMES if n[0] in registers or n is NAMES[-1]))
    if machine.is_user(pc):
        return [_frame(machine, pc, sp, USER)]
    found = [_frame(machine, pc, sp, None)]
    chain = list(_chain(machine, sp, fp))
    return found + (chain if len(chain) > 1 or machine.arm else list(_scan(machine, pc, sp)))


def _frame(machine: Machine, pc: int, sp: int, note: str | None) -> Frame:
    function = None if note in (USER, FROM_USER) else machine.function(pc)
    if function is None:
        return Frame(pc, sp, None, 0, note=note)
    symbol, offset = function
    return Frame(pc, sp, symbol.name, offset, symbol.module, note=note)


def _word(machine: Machine, data: bytes, at: int) -> int:
    size = machine.bits // 8
    return int.from_bytes(data[at : at + size], "little")


# frame pointers


def _chain(machine: Machine, sp: int, fp: int) -> Iterator[Frame]:
    """Callers by frame pointers, as far as each points further up the stack and each return address follows a call."""
    word, end = machine.bits // 8, _stack_end(sp)
    for _ in range(MOST_FRAMES):
        if not sp <= fp <= end - 2 * word or fp % word:
            return
        try:
            data = machine.read(fp, 2 * word)
        except ReadError:
            return
        pc = _word(machine, data, word)
        if machine.arm and not machine.is_user(fp):  # the highest bits may sign the address
            pc |= -1 << 48 & (1 << 64) - 1
        if not machine.is_code(pc) or called_from(machine, pc) is False:
            return
        yield _frame(machine, pc, fp, None)
        sp, fp = fp + 2 * word, _word(machine, data, 0)


def _stack_end(sp: int) -> int:
    return (sp | STACK_SIZE - 1) + 1


# calls


def called_from(machine: Machine, pc: int) -> int | bool:
    """What the call right before an address leads to: an address, True for an indirect call, False for no call."""
    try:
        code = machine.read(pc - CALL_BYTES, CALL_BYTES)
    except ReadError:
        return False
    if machine.arm:
        return _arm_call(int.from_bytes(code[-4:], "little"), pc - 4)
    if code[-5] == 0xE8:
        return pc + int.from_bytes(code[-4:], "little", signed=True) & (1 << machine.bits) - 1
    return any(code[-length] == 0xFF and _modrm_length(code[-length + 1 :]) == length - 1 for length in (2, 3, 4, 6, 7))


def _arm_call(instruction: int, at: int) -> int | bool:
    """As `called_from`, for arm64's BL and BLR."""
    if instruction >> 26 == 0b100101:
        offset = (instruction & 0x3FFFFFF) << 2
        return at + (offset - (1 << 28) if offset >> 27 else offset) & (1 << 64) - 1
    return instruction & 0xFFFFFC1F == 0xD63F0000


def _modrm_length(code: bytes) -> int:
    """Bytes of the operand of FF /2 (call through a register or memory); 0 where it is another instruction."""
    modrm = code[0]
    mode, operation, register = modrm >> 6, modrm >> 3 & 7, modrm & 7
    if operation != 2:
        return 0
    if mode == 3:
        return 1
    sib = register == 4
    length = 2 if sib else 1
    if mode == 0:
        base = code[1] & 7 if sib and len(code) > 1 else register
        return length + (4 if base == 5 else 0)
    return length + (1 if mode == 1 else 4)


# scanning


def _scan(machine: Machine, pc: int, sp: int) -> Iterator[Frame]:
    """Frames by scanning the stack that ``sp`` points into, and those from which it was entered."""
    seen: set[int] = set()
    while sp not in seen and len(seen) < MOST_PARTS:
        seen.add(sp)
        try:
            data = _read_some(machine, sp, _stack_end(sp) - sp)
        except ReadError as error:
            if pc:  # else a word was taken for a link to another stack
                yield Frame(0, sp, None, 0, note=UNREADABLE.format(error.reason))
            return
        interrupt = _interrupt_frame(machine, sp, data)
        yield from _best_chain(machine, sp, data[: interrupt[0]] if interrupt else data, _entry(machine, pc))
        if interrupt:
            at, pc, resumed = interrupt
            user = machine.is_user(pc)
            yield _frame(machine, pc, resumed if user else sp + at, FROM_USER if user else INTERRUPTED)
            if user:
                return
            sp = resumed
            continue
        # The stack of interrupts begins with a pointer to the one that was interrupted (x86's asm/irq_stack.h).
        word = machine.bits // 8
        linked = _word(machine, data, len(data) - word) if len(data) == _stack_end(sp) - sp >= word else 0
        if not linked or machine.is_user(linked) or linked % word or machine.is_code(linked):
            return
        pc, sp = 0, linked


def _entry(machine: Machine, pc: int) -> int | None:
    """Address by which the function that holds an address is called; None where none is known."""
    function = machine.function(pc) if pc else None
    if function is None:
        return None
    symbol = function[0]
    if symbol.name.endswith(COLD):
        return machine.address(symbol.name.removesuffix(COLD)) or symbol.address
    return symbol.address


def _target(machine: Machine, call: int | bool) -> int | None:
    """What a call leads to; None where a register tells, through a thunk of retpolines too."""
    if isinstance(call, bool):
        return None
    function = machine.function(call)
    return None if function is not None and function[0].name.startswith(THUNKS) else machine.resolve(call)


def _read_some(machine: Machine, address: int, size: int) -> bytes:
    """As much as can be read, page by page. Raises `ReadError` where nothing can."""
    parts: list[bytes] = []
    end = address + size
    try:
        while address < end:
            step = min(end - address, 4096 - address % 4096)
            parts.append(machine.read(address, step))
            address += step
    except ReadError:
        if not parts:
            raise
    return b"".join(parts)


def scan(machine: Machine, pc: int, base: int, data: bytes) -> list[Frame]:
    """The callers of the function at ``pc`` (0: not known) by a part of a stack alone: its bytes from ``base`` on."""
    return list(_best_chain(machine, base, data, _entry(machine, pc)))


def _interrupt_frame(machine: Machine, base: int, data: bytes) -> tuple[int, int, int] | None:
    """(offset, pc, sp) of the first frame that an interrupt pushed: pc, code selector, flags, sp, stack selector."""
    word = machine.bits // 8
    if word != 8:  # without a change of privilege 32-bit machines push neither sp nor selector: too little to tell
        return None
    words = memoryview(data[: len(data) // word * word]).cast("Q")
    for index in range(len(words) - 4):
        selector = words[index + 1]
        if selector not in KERNEL_CODE and selector not in USER_CODE:
            continue
        pc, flags, sp, stack = words[index], words[index + 2], words[index + 3], words[index + 4]
        if not flags & FLAGS_ONE or flags >= FLAGS_END or stack not in STACK_SELECTORS:
            continue
        at = base + index * word
        if selector in USER_CODE:
            if machine.is_user(pc):
                return index * word, pc, sp
        elif machine.is_code(pc) and not machine.is_user(sp) and (sp > at or _stack_end(sp) != _stack_end(at)):
            return index * word, pc, sp
    return None


def _best_chain(machine: Machine, base: int, data: bytes, entry: int | None) -> Iterator[Frame]:
    """The chain of return addresses in a part of a stack that makes most sense as the callers of ``entry``."""
    found = list(_candidates(machine, base, data))
    worth: list[tuple[int, int, str]] = []  # of the best chain that ends with a candidate; the one before it; its note
    for index, candidate in enumerate(found):
        note = _judge(candidate, entry)
        best = (GAIN[note], -1, note)
        for before in range(index):
            note = _judge(candidate, found[before].function)
            best = max(best, (worth[before][0] + GAIN[note], before, note), key=lambda one: one[0])
        worth.append(best)
    at = max(range(len(worth)), key=lambda index: worth[index][0], default=-1)
    chain = []
    while at >= 0:
        chain.append(_frame(machine, found[at].pc, found[at].at, worth[at][2]))
        at = worth[at][1]
    yield from reversed(chain)


def _judge(candidate: _Candidate, callee: int | None) -> str:
    if callee is None:
        return CALL
    if candidate.target is None:
        return INDIRECT
    return CALLED if candidate.target == callee else ELSEWHERE


def _candidates(machine: Machine, base: int, data: bytes) -> Iterator[_Candidate]:
    word, count = machine.bits // 8, 0
    for at in range(0, len(data) - word + 1, word):
        pc = _word(machine, data, at)
        if not machine.is_code(pc):
            continue
        call = called_from(machine, pc)
        if call is False:
            continue
        yield _Candidate(base + at, pc, _entry(machine, pc - 1) or pc, _target(machine, call))
        count += 1
        if count >= MOST_FRAMES:
            return

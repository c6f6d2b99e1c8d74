"""What the notes of a process's core tell: threads with their registers, the program, its signal, what is mapped.

Two dialects. Linux: <linux/elfcore.h> (elf_prstatus, elf_prpsinfo), asm/ptrace.h, asm/siginfo.h, the kernel's
fs/binfmt_elf.c (NT_FILE). illumos: <sys/procfs.h> (pstatus_t, lwpstatus_t, psinfo_t and their 32-bit forms),
<sys/regset.h>, <sys/siginfo.h>, <sys/utsname.h>; written by uts/common/exec/elf/elf_notes.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kdbg.formats.elf import EM_386, Note
from kdbg.formats.linux_notes import PRSTATUS, prstatus

NT_PRSTATUS, NT_PRPSINFO, NT_PLATFORM, NT_AUXV, NT_PSTATUS, NT_PSINFO = 1, 3, 5, 6, 10, 13
NT_PRCRED, NT_UTSNAME, NT_LWPSTATUS, NT_LWPSINFO, NT_CONTENT, NT_ZONENAME = 14, 15, 16, 17, 20, 21
NT_LWPNAME, NT_UPANIC = 25, 26
NT_FILE, NT_SIGINFO = 0x46494C45, 0x53494749

LINUX, ILLUMOS = "Linux", "illumos"
MOST_THREADS = 1 << 14
MOST_FILES = 1 << 16

AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY, AT_RANDOM, AT_EXECFN = 3, 5, 7, 9, 25, 31
AT_SYSINFO_EHDR, AT_SUN_EXECNAME = 33, 2014
"""Entries of the auxiliary vector (<elf.h>, illumos' <sys/auxv.h>)."""

ILLUMOS_REGISTERS = {
    64: "r15 r14 r13 r12 r11 r10 r9 r8 rdi rsi rbp rbx rdx rcx rax trapno err rip cs rflags rsp ss fs gs es ds "
    "fsbase gsbase".split(),
    32: "gs fs es ds edi esi ebp kesp ebx edx ecx eax trapno err eip cs eflags esp ss".split(),
}
"""Order of prgregset_t: _NGREG of <sys/regset.h>. In the 32-bit one, ESP is the kernel's, UESP the program's."""


class Signal(NamedTuple):
    """What a siginfo_t tells."""

    number: int
    code: int
    address: int | None
    """The address of a fault; None where it was none."""
    pid: int | None
    """Who sent it, where somebody did."""
    uid: int | None


class FileRange(NamedTuple):
    """A range of addresses that shows a file."""

    start: int
    end: int
    offset: int
    """Of its first byte in the file."""
    name: str


@dataclass(slots=True)
class Lwp:
    """A thread of the process."""

    tid: int
    registers: Mapping[str, int]
    signal: int = 0
    """The signal that it was taking."""
    name: str | None = None


@dataclass(slots=True)
class ProcessNotes:
    """What was found."""

    system: str = LINUX
    threads: list[Lwp] = field(default_factory=list)
    """The one that the core is about comes first in a core of Linux; `current` names it in one of illumos."""
    current: int | None = None
    pid: int | None = None
    name: str | None = None
    arguments: str | None = None
    signal: Signal | None = None
    auxv: dict[int, int] = field(default_factory=dict)
    files: list[FileRange] = field(default_factory=list)
    host: str | None = None
    uname: dict[str, str] = field(default_factory=dict)
    platform: str | None = None
    zone: str | None = None
    content: int | None = None
    exit_status: int | None = None
    """wait(2)'s word; None where the core tells none."""
    credentials: bool = False
    panic: str | None = None
    """What upanic(2) was given."""
    stack: tuple[int, int] | None = None
    """Base and size of the main stack, where told."""
    heap: tuple[int, int] | None = None
    states: dict[int, str] = field(default_factory=dict)
    """State of each thread by its id: a letter, as ps shows it (illumos)."""

    @property
    def representative(self) -> Lwp | None:
        """The thread that the core is about."""
        return next((one for one in self.threads if one.tid == self.current), next(iter(self.threads), None))


def is_process(notes: Iterable[Note]) -> bool:
    """Whether there are notes that only a process's core has."""
    told = {NT_PRPSINFO, NT_AUXV, NT_PSTATUS, NT_PSINFO, NT_LWPSTATUS, NT_FILE}
    found = False
    for note in notes:
        if note.owner == "VMCOREINFO":  # /proc/kcore: the notes of a process, and the kernel's memory
            return False
        found = found or (note.owner == "CORE" and note.type in told)
    return found


def read_process_notes(notes: Iterable[Note], machine: int, bits: int) -> ProcessNotes:
    """Sort the notes of a core. Notes that are too short for what they should hold are passed over."""
    listed = [note for note in notes if note.owner == "CORE"]
    illumos = any(note.type in (NT_PSTATUS, NT_LWPSTATUS) for note in listed)
    found = ProcessNotes(ILLUMOS if illumos else LINUX)
    reader: Mapping[int, Callable[[ProcessNotes, bytes, int], None]] = _ILLUMOS if illumos else _LINUX
    for note in listed:
        if not illumos and note.type == NT_PRSTATUS and machine in PRSTATUS:
            _prstatus(found, bytes(note.data), machine)
        elif note.type in reader and len(note.data):
            try:
                reader[note.type](found, bytes(note.data), bits)
            except struct.error:
                continue
    return found


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("latin-1")


def _auxv(found: ProcessNotes, data: bytes, bits: int) -> None:
    form = struct.Struct("<QQ" if bits == 64 else "<II")
    for key, value in form.iter_unpack(data[: len(data) // form.size * form.size]):
        if not key:
            break
        found.auxv.setdefault(key, value)


# Linux


def _prstatus(found: ProcessNotes, data: bytes, machine: int) -> None:
    """elf_prstatus: pr_cursig @12, pr_pid, pr_reg."""
    registers = prstatus(data, machine)
    if len(registers) < 4 or len(found.threads) >= MOST_THREADS:
        return
    tid = registers.pop("pid", 0)
    for name, ours in (("fs_base", "fsbase"), ("gs_base", "gsbase"), ("pstate", "cpsr")):
        if name in registers:
            registers[ours] = registers.pop(name)
    if machine == EM_386:
        registers["fs"], registers["gs"] = registers.get("fs", 0) & 0xFFFF, registers.get("gs", 0) & 0xFFFF
    found.threads.append(Lwp(tid, registers, struct.unpack_from("<H", data, 12)[0]))


def _prpsinfo(found: ProcessNotes, data: bytes, bits: int) -> None:
    """elf_prpsinfo: state, sname, zombie, nice, flags, uid, gid, pid ..., fname[16], psargs[80] at its end."""
    end = 136 if bits == 64 else 124
    found.pid = struct.unpack_from("<i", data, 24 if bits == 64 else 12)[0]
    found.name, found.arguments = _text(data[end - 96 : end - 80]), _text(data[end - 80 : end]).rstrip(" ")


FAULTS = frozenset({4, 5, 7, 8, 11})
"""SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV of Linux."""


def _siginfo(found: ProcessNotes, data: bytes, bits: int) -> None:
    """siginfo_t of Linux: signo, errno, code, and the union behind them."""
    number, _, code = struct.unpack_from("<3i", data, 0)
    found.signal = found.signal or _signal(data, number, code, 16 if bits == 64 else 12, bits, FAULTS)


def _signal(data: bytes, number: int, code: int, at: int, bits: int, faults: frozenset[int]) -> Signal:
    if code > 0 and number in faults:
        return Signal(number, code, struct.unpack_from("<Q" if bits == 64 else "<I", data, at)[0], None, None)
    pid, uid = struct.unpack_from("<iI", data, at) if code <= 0 else (None, None)
    return Signal(number, code, None, pid, uid)


def _files(found: ProcessNotes, data: bytes, bits: int) -> None:
    """NT_FILE: count and page size, (start, end, offset in pages) of each, then their names."""
    word, letter = bits // 8, "Q" if bits == 64 else "I"
    count, page = struct.unpack_from(f"<2{letter}", data, 0)
    count = min(count, MOST_FILES, len(data) // (3 * word))
    rows = struct.iter_unpack(f"<3{letter}", data[2 * word : 2 * word + 3 * word * count])
    names = data[2 * word + 3 * word * count :].split(b"\0")
    for (start, end, offset), name in zip(rows, names, strict=False):
        if start < end:
            found.files.append(FileRange(start, end, offset * page, name.decode("utf-8", "replace")))


_LINUX = {NT_PRPSINFO: _prpsinfo, NT_SIGINFO: _siginfo, NT_AUXV: _auxv, NT_FILE: _files}


# illumos


ILLUMOS_FAULTS = frozenset({4, 5, 7, 8, 10, 11})
"""SIGILL, SIGTRAP, SIGEMT, SIGFPE, SIGBUS, SIGSEGV of illumos."""
LWPSTATUS = {64: (544, 28), 32: (344, 19)}
"""Bits -> (offset of pr_reg in lwpstatus_t, registers in it)."""
PSTATUS_LWP = {64: 384, 32: 336}
"""Offset of pr_lwp in pstatus_t."""


def _lwp(data: bytes, bits: int) -> Lwp:
    at, count = LWPSTATUS[bits]
    values = struct.unpack_from(f"<{count}{'Q' if bits == 64 else 'I'}", data, at)
    registers = dict(zip(ILLUMOS_REGISTERS[bits], values, strict=True))
    return Lwp(struct.unpack_from("<i", data, 4)[0], registers, struct.unpack_from("<h", data, 12)[0])


def _pstatus(found: ProcessNotes, data: bytes, bits: int) -> None:
    """pstatus_t: pr_pid @8; brk and stack behind pr_sigpend (@32); pr_lwp at the end: the representative thread."""
    word, letter = bits // 8, "Q" if bits == 64 else "I"
    found.pid = struct.unpack_from("<i", data, 8)[0]
    brk, brk_size, stack, stack_size = struct.unpack_from(f"<4{letter}", data, 48)
    found.heap, found.stack = (brk, brk_size), (stack, stack_size)
    lwp = data[PSTATUS_LWP[bits] :]
    one = _lwp(lwp, bits)
    found.current = one.tid
    number, code = struct.unpack_from("<2i", lwp, 16)
    if one.signal or number:
        found.signal = _signal(lwp, number or one.signal, code, 16 + (12 if word == 4 else 16), bits, ILLUMOS_FAULTS)
    if all(other.tid != one.tid for other in found.threads):
        found.threads.append(one)


def _lwpstatus(found: ProcessNotes, data: bytes, bits: int) -> None:
    """lwpstatus_t: pr_lwpid @4, pr_cursig @12, pr_info @16, pr_reg; it says more than pstatus_t's copy."""
    one = _lwp(data, bits)
    # Only the representative thread is there already, first: pstatus_t comes before the threads' own notes.
    if found.threads and found.threads[0].tid == one.tid == found.current:
        found.threads[0] = one
    elif len(found.threads) < MOST_THREADS:
        found.threads.append(one)


def _psinfo(found: ProcessNotes, data: bytes, bits: int) -> None:
    """psinfo_t: pr_fname[16], pr_psargs[80], pr_wstat."""
    at = 136 if bits == 64 else 88
    found.name, found.arguments = _text(data[at : at + 16]), _text(data[at + 16 : at + 96])
    found.exit_status = struct.unpack_from("<i", data, at + 96)[0]


def _utsname(found: ProcessNotes, data: bytes, bits: int) -> None:
    names = ("sysname", "nodename", "release", "version", "machine")
    found.uname = {name: _text(data[257 * at : 257 * at + 257]) for at, name in enumerate(names)}
    found.host = found.uname["nodename"] or None


def _platform(found: ProcessNotes, data: bytes, bits: int) -> None:
    found.platform = _text(data)


def _zone(found: ProcessNotes, data: bytes, bits: int) -> None:
    found.zone = _text(data)


def _content(found: ProcessNotes, data: bytes, bits: int) -> None:
    found.content = struct.unpack_from("<Q", data, 0)[0]


def _credentials(found: ProcessNotes, data: bytes, bits: int) -> None:
    found.credentials = True


def _lwpname(found: ProcessNotes, data: bytes, bits: int) -> None:
    """prlwpname_t: pr_lwpid, pr_lwpname[32]."""
    tid = struct.unpack_from("<Q", data, 0)[0]
    for one in found.threads[-1:] if len(found.threads) > 1 and found.threads[-1].tid == tid else found.threads[:1]:
        if one.tid == tid:
            one.name = _text(data[8:40]) or None


def _lwpsinfo(found: ProcessNotes, data: bytes, bits: int) -> None:
    """lwpsinfo_t: pr_lwpid @4, pr_addr, pr_wchan, pr_stype, pr_state, pr_sname. It comes before the thread's status."""
    at = 26 if bits == 64 else 18
    if len(data) > at and len(found.states) < MOST_THREADS:
        found.states[struct.unpack_from("<i", data, 4)[0]] = chr(data[at])


def _upanic(found: ProcessNotes, data: bytes, bits: int) -> None:
    """prupanic_t: version, flags (1: the message is there), message."""
    found.panic = _text(data[8:]) if struct.unpack_from("<I", data, 4)[0] & 1 else ""


_ILLUMOS = {
    NT_PSTATUS: _pstatus, NT_LWPSTATUS: _lwpstatus, NT_PSINFO: _psinfo, NT_UTSNAME: _utsname, NT_PLATFORM: _platform,
    NT_AUXV: _auxv, NT_CONTENT: _content, NT_PRCRED: _credentials, NT_ZONENAME: _zone, NT_LWPNAME: _lwpname,
    NT_LWPSINFO: _lwpsinfo, NT_UPANIC: _upanic,
}  # fmt: skip

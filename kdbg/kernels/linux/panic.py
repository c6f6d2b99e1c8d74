"""What a Linux kernel remembers of its end: the panic's message and cause, the CPU, the taints.

No variable holds the message where a dump is not taken through kexec: the log does. What it says before a panic is told
by kernel/panic.c ("Kernel panic - not syncing: "), arch/*/mm/fault.c ("BUG: ", "Unable to handle kernel"),
lib/bug.c ("kernel BUG at"), arch/x86/kernel/traps.c, drivers/tty/sysrq.c. Which CPU panicked stands in ``panic_cpu``
(kernel/panic.c; -1: none did), ``crashing_cpu`` of x86's kexec; where data has no names, in the log ("CPU: 1 PID: 1
Comm: init", dump_stack_print_info of lib/dump_stack.c). Taints: Documentation/admin-guide/tainted-kernels.rst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdbg.kernels.linux.kernel import Linux
    from kdbg.records import LogEntry

PANIC = "Kernel panic - not syncing: "
CAUSES = ("BUG: ", "Oops", "Unable to handle kernel", "kernel BUG at", "general protection fault", "Internal error: ",
          "sysrq: Trigger a crash", "SysRq : Trigger a crash", "Machine check", "watchdog: BUG", "divide error",
          "invalid opcode", "stack segment", "double fault", "Out of memory and no killable")  # fmt: skip
"""What a line of the log begins with that tells why the kernel ended."""
_WHO = re.compile(r"CPU: (\d+)(?: UID: \d+)? PID: (\d+) Comm: (.*?)(?: (?:Tainted|Not tainted|Kdump|Hardware)|$)")
LAST_SECONDS = 60
"""A cause lies no further back from the panic."""

TAINTS = (
    ("P", "proprietary module loaded"), ("F", "module forced in"), ("S", "out of specification"),
    ("R", "module forced out"), ("M", "machine check"), ("B", "bad page"), ("U", "asked for by user space"),
    ("D", "died before (oops or BUG)"), ("A", "ACPI table overridden"), ("W", "warned before"),
    ("C", "staging driver loaded"), ("I", "firmware bug worked around"), ("O", "module from outside the tree"),
    ("E", "unsigned module"), ("L", "soft lockup before"), ("K", "live patched"), ("X", "the distribution's own"),
    ("T", "built with struct randomisation"), ("N", "in-kernel test has run"), ("J", "mutating firmware call"),
)  # fmt: skip
"""Letter and meaning of each bit of ``tainted_mask``."""
DIED = "D"


@dataclass(frozen=True, slots=True)
class Taint:
    """A reason why the kernel is not as its makers made it."""

    letter: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Panic:
    """How the kernel ended; None what is not known."""

    message: str | None
    cause: str | None
    """What went before: the exception, or who asked for it."""
    cpu: int | None
    thread: int | None
    """The task that was running there."""
    pid: int | None
    name: str | None
    time: float | None
    """Seconds since the machine came up."""


def taints(kernel: Linux) -> tuple[Taint, ...] | None:
    """The kernel's taints; None where they are not found."""
    try:
        mask = kernel.word(kernel.place("tainted_mask"))
    except Error:
        return None
    named = (
        TAINTS[bit] if bit < len(TAINTS) else (str(bit), "unknown") for bit in range(kernel.bits) if mask >> bit & 1
    )
    return tuple(Taint(letter, meaning) for letter, meaning in named)


def panic_cpu(kernel: Linux) -> int | None:
    """The CPU that panicked; -1 where none did; None where the kernel does not tell."""
    for name in ("panic_cpu", "crashing_cpu"):
        try:
            data = kernel.memory.read(kernel.place(name), 4)
        except Error:
            continue
        found = int.from_bytes(data, "little", signed=True)
        if found >= 0 or name == "panic_cpu":
            return found
    return None


def panic(kernel: Linux) -> Panic | None:
    """How the kernel ended; None where it did not. Reads the log where it may have."""
    return kernel.part(_panic)


def _panic(kernel: Linux) -> Panic | None:
    cpu = panic_cpu(kernel)
    if cpu == -1 and not any(taint.letter == DIED for taint in taints(kernel) or ()):
        return None
    try:
        entries = list(kernel.log())
    except Error as error:
        kernel.target.note(f"how it ended: the log cannot be read: {error}")
        entries = []
    last = next((at for at in reversed(range(len(entries))) if entries[at].text.startswith(PANIC)), None)
    first = _cause(entries, len(entries) if last is None else last)
    if last is None and first is None and (cpu is None or cpu < 0):
        return None
    who = _who(entries, first if first is not None else last)
    if cpu is None or cpu < 0:
        cpu = who.cpu
    told = entries[last if last is not None else first or 0] if entries else None
    return Panic(
        message=_line(entries[last].text).partition(PANIC)[2] if last is not None else None,
        cause=_line(entries[first].text) if first is not None else None,
        cpu=cpu,
        thread=_thread(kernel, cpu),
        pid=who.pid,
        name=who.name,
        time=told.time if told is not None else None,
    )


def _line(text: str) -> str:
    return text.partition("\n")[0]


def _cause(entries: Sequence[LogEntry], end: int) -> int | None:
    """Where the log, before a position, first tells of the trouble that ended the kernel."""
    latest = entries[end - 1].time or 0 if end else 0
    for at in range(end):
        entry = entries[at]
        if latest - (entry.time or 0) <= LAST_SECONDS and _line(entry.text).startswith(CAUSES):
            return at
    return None


@dataclass(frozen=True, slots=True)
class _Who:
    cpu: int | None = None
    pid: int | None = None
    name: str | None = None


def _who(entries: Sequence[LogEntry], start: int | None) -> _Who:
    """The first task that the log names from a position on."""
    for entry in entries[start:] if start is not None else ():
        found = _WHO.search(entry.text)
        if found:
            return _Who(int(found[1]), int(found[2]), found[3])
    return _Who()


def _thread(kernel: Linux, cpu: int | None) -> int | None:
    return next((one.thread for one in kernel.cpus() if one.id == cpu), None)

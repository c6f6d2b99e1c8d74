"""CPUs: cpu_t, the threads on them and in their queues, and the registers that the dump holds of them.

Facts: <sys/cpuvar.h>, <sys/disp.h>.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.clock import lbolt
from kdbg.kernels.solaris.lists import follow, unreadable
from kdbg.kernels.solaris.registers import panic
from kdbg.kernels.solaris.threads import FREE, INTERRUPT_THREAD, Threads
from kdbg.records import Cpu
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_PRIORITIES = 4096
FLAGS = (
    "RUNNING", "READY", "QUIESCED", "EXISTS", "ENABLE", "OFFLINE", "POWEROFF", "FROZEN", "SPARE", "FAULTED", "DISABLED"
)  # fmt: skip
"""CPU_* of <sys/cpuvar.h>, from bit 0 on."""

MEMBERS = {
    "id": "cpu_id",
    "next": "cpu_next",
    "flags": "cpu_flags",
    "dispatcher": "cpu_disp",
    "thread": "cpu_thread",
    "idle_thread": "cpu_idle_thread",
    "base_spl": "cpu_base_spl",
    "run_run": "cpu_runrun",
    "kernel_run_run": "cpu_kprunrun",
    "last_switch": "cpu_last_swtch",
}
"""Our word -> member of cpu_t."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A thread in a CPU's run queue, or one that is pinned by its interrupt threads."""

    address: int
    priority: int
    command: str


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What a CPU is doing."""

    id: int
    address: int
    flags: int
    runnable: int
    """Threads in its queue."""
    base_spl: int
    priority: int | None
    """Of the thread on it; None where that cannot be read."""
    run_run: bool
    """Whether a user thread is to be preempted."""
    kernel_run_run: bool
    """Whether a kernel thread is to be preempted."""
    since_switch: int | None
    """Clock ticks since another thread was put on it; None where none ever was."""
    thread: int
    process: str
    """u_comm of the thread's process; "(idle)", "-" without a thread, "?" where it cannot be read."""
    interrupts: tuple[tuple[int, int], ...] = ()
    """(priority level, address) of its active interrupt threads, highest level first; only where asked for."""
    pinned: Queued | None = None
    """The thread that they have interrupted."""
    queue: tuple[Queued, ...] = ()
    """Its run queue, highest priority first; only where asked for."""

    @property
    def flag_names(self) -> tuple[str, ...]:
        """Names of the bits of ``flags``."""
        return tuple(name for bit, name in enumerate(FLAGS) if self.flags >> bit & 1)


class Cpus:
    """The CPUs of one kernel."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.layout = Layout(kernel.type("cpu_t"), MEMBERS)

    def load(self, address: int) -> dict[str, Any]:
        """Members of the cpu_t at an address (`MEMBERS`). Raises `ReadError`."""
        return self.layout.read(self.kernel.memory.read, address)

    def walk(self) -> list[tuple[int, dict[str, Any]]]:
        """The CPUs by id: (address, members). After a panic the copy ``panic_cpu`` stands for the CPU that panicked.

        Raises `StoppedError` where one cannot be read, other `Error`s where the walk cannot begin.
        """
        copy: int | None = None
        panicked: dict[str, Any] = {}
        if self.kernel.word_at("panicstr"):
            copy = self.kernel.symbol("panic_cpu").address
            panicked = self.load(copy)
        found = []
        for address, cpu in follow(self.kernel.word_at("cpu_list"), self.load, "next"):
            if copy is not None and cpu["id"] == panicked["id"]:
                found.append((copy, panicked))
            else:
                found.append((address, cpu))
        return sorted(found, key=lambda one: one[1]["id"])

    def info(self, address: int, cpu: dict[str, Any], interrupts: dict[int, int] | None = None) -> CpuInfo:
        """What a CPU is doing; with ``interrupts`` (level -> thread) its threads too.

        Raises `StoppedError` with the address of what could not be read: its queues, or a thread.
        """
        runnable, queue = self._queue(cpu["dispatcher"], interrupts is not None)
        threads = self.kernel.part(Threads)
        try:
            thread: dict[str, Any] | None = threads.load(cpu["thread"])
        except ReadError:
            thread = None
        levels = tuple(sorted((interrupts or {}).items(), reverse=True))
        return CpuInfo(
            id=cpu["id"],
            address=address,
            flags=cpu["flags"],
            runnable=runnable,
            base_spl=cpu["base_spl"],
            priority=thread["priority"] if thread else None,
            run_run=bool(cpu["run_run"]),
            kernel_run_run=bool(cpu["kernel_run_run"]),
            since_switch=lbolt(self.kernel) - cpu["last_switch"] if cpu["last_switch"] else None,
            thread=cpu["thread"],
            process=self._process(cpu, thread),
            interrupts=levels,
            pinned=self._pinned(levels, cpu["idle_thread"]),
            queue=queue,
        )

    def _process(self, cpu: dict[str, Any], thread: dict[str, Any] | None) -> str:
        if cpu["thread"] == cpu["idle_thread"]:
            return "(idle)"
        if not cpu["thread"]:
            return "-"
        command = self.kernel.part(Threads).process_facts(thread["process"])[1] if thread else None
        return "?" if command is None else command

    def _pinned(self, levels: tuple[tuple[int, int], ...], idle: int) -> Queued | None:
        """The thread that the lowest of the interrupt threads has pinned."""
        if not levels:
            return None
        threads = self.kernel.part(Threads)
        pinned = _whole(threads.load, levels[-1][1])["interrupted"]
        if not pinned:
            return None
        found = _whole(threads.load, pinned)
        command = "(idle)" if pinned == idle else threads.process_facts(found["process"])[1] or "?"
        return Queued(pinned, found["priority"], command)

    def _queue(self, dispatcher: int, with_threads: bool) -> tuple[int, tuple[Queued, ...]]:
        """How many threads wait in a CPU's queues, and the threads, highest priority first."""
        try:
            queues = self.kernel.load("disp_t", dispatcher)
            count, runnable = queues.disp_npri, queues.disp_nrunnable
        except ReadError as error:
            raise unreadable(dispatcher, error) from error
        if not runnable or not with_threads:
            return runnable, ()
        layout = Layout(self.kernel.type("dispq_t"), {"first": "dq_first"})
        threads, found, start, seen = self.kernel.part(Threads), [], int(queues.disp_q), set[int]()
        for priority in range(min(count, MOST_PRIORITIES) - 1, -1, -1):
            first = layout.read(self.kernel.memory.read, start + priority * layout.size)["first"]
            for address, thread in follow(first, threads.load, "link"):
                if address in seen:
                    break
                seen.add(address)
                command = threads.process_facts(thread["process"])[1] or "?"
                found.append(Queued(address, thread["priority"], command))
        return runnable, tuple(found)

    def interrupt_threads(self) -> dict[int, dict[int, int]]:
        """The active interrupt threads: CPU id -> priority level -> thread."""
        found: dict[int, dict[int, int]] = {}
        for address, thread in self.kernel.part(Threads).walk():
            if thread["flag"] & INTERRUPT_THREAD and thread["state"] != FREE and thread["bound_cpu"]:
                cpu = self.load(thread["bound_cpu"])["id"]
                found.setdefault(cpu, {}).setdefault(thread["pil"], address)
        return found


def _whole(load: Any, address: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = load(address)
    except ReadError as error:
        raise unreadable(address, error) from error
    return found


def cpus(kernel: Solaris) -> Iterator[Cpu]:
    """The CPUs by id with the registers of their contexts; where the kernel's list breaks, the contexts by position."""
    try:
        known = kernel.part(Cpus).walk()
    except Error as error:
        kernel.target.note(f"list of CPUs: {error}; CPUs are numbered by their place in the dump")
        contexts = kernel.target.image.contexts
        yield from (Cpu(at, registers) for at, registers in enumerate(contexts))
        return
    panicked = kernel.part(_panic_registers)
    for address, cpu in known:
        registers = context_of(kernel, cpu["id"]) or panicked.get(cpu["id"], {})
        yield Cpu(cpu["id"], registers, cpu["thread"], address)


def _panic_registers(kernel: Solaris) -> dict[int, Mapping[str, int]]:
    """The registers that a dump without contexts has: those that the panicking CPU wrote down, by its id."""
    told = None if kernel.target.image.contexts else panic(kernel)
    if told is None:
        return {}
    try:
        cpu = kernel.part(Cpus).load(kernel.symbol("panic_cpu").address)["id"]
    except Error:
        return {}
    return {cpu: dict(told.registers)}


def context_of(kernel: Solaris, cpu: int) -> Mapping[str, int] | None:
    """The registers that the dump holds of the CPU with an id; None where it has none."""
    return kernel.part(_contexts).get(cpu)


def _contexts(kernel: Solaris) -> dict[int, Mapping[str, int]]:
    """Contexts by CPU id: by the kernel's GS base where it is told, by the stack in use where ids are not positions."""
    contexts = list(kernel.target.image.contexts)
    try:
        known = kernel.part(Cpus).walk()
    except Error:
        known = []
    ids, addresses = [cpu["id"] for _, cpu in known], {address: cpu["id"] for address, cpu in known}
    found = {addresses[base]: context for context in contexts if (base := context.get("gs_base", 0)) in addresses}
    left = [(at, context) for at, context in enumerate(contexts) if not any(context is one for one in found.values())]
    if sorted(ids) != list(range(len(contexts))):
        for _, context in left:
            owner = _owner(kernel, known, context)
            if owner is not None:
                found.setdefault(owner, context)
    for at, context in left:
        if not any(context is one for one in found.values()):
            found.setdefault(at, context)
    return found


def _owner(kernel: Solaris, known: list[tuple[int, dict[str, Any]]], context: Mapping[str, int]) -> int | None:
    """Id of the CPU on whose thread's stack a context's stack pointer lies."""
    sp, threads = context.get("rsp", context.get("esp", 0)), kernel.part(Threads)
    for _, cpu in known:
        try:
            thread = threads.load(cpu["thread"])
        except ReadError:
            continue
        if thread["stack_base"] <= sp <= thread["stack_top"]:
            return int(cpu["id"])
    return None

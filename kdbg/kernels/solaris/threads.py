"""Threads: kthread_t and what hangs on it.

Facts: <sys/thread.h>, <sys/taskq_impl.h>, <sys/sobject.h>; members are asked for by name, so that a kernel whose
structures lie differently is read by its own types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.solaris.lists import StoppedError, follow
from kdbg.records import Thread
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

FREE, SLEEP, RUN, ONPROC, ZOMBIE, STOPPED, WAIT = 0, 1, 2, 4, 8, 0x10, 0x20
STATES = {FREE: "free", SLEEP: "sleep", RUN: "run", ONPROC: "onproc", ZOMBIE: "zomb", STOPPED: "stopped", WAIT: "wait"}
"""TS_* of <sys/thread.h>."""
INTERRUPT_THREAD, PANIC = 0x0001, 0x0800
"""T_INTR_THREAD and T_PANIC: bits of t_flag."""
LOADED = 0x0001
"""TS_LOAD: bit of t_schedflag that tells a thread in memory."""

SYNC_TYPES = {0: "<none>", 1: "mutex", 2: "rwlock", 3: "cv", 4: "sema", 5: "user", 6: "user_pi", 7: "shuttle"}
"""SOBJ_* of <sys/sobject.h>."""
SYNC_OPS = {
    "mutex": "mutex_sobj_ops",
    "rwlock": "rw_sobj_ops",
    "cv": "cv_sobj_ops",
    "sema": "sema_sobj_ops",
    "user": "lwp_sobj_ops",
    "user_pi": "lwp_sobj_pi_ops",
    "shuttle": "shuttle_sobj_ops",
}
"""Names of the kernel's sobj_ops_t of each type."""

MOST_THREADS = 4_000_000

MEMBERS = {
    "state": "t_state",
    "flag": "t_flag",
    "process_flag": "t_proc_flag",
    "scheduler_flag": "t_schedflag",
    "priority": "t_pri",
    "effective_priority": "t_epri",
    "pil": "t_pil",
    "interrupted": "t_intr",
    "process": "t_procp",
    "lwp": "t_lwp",
    "credentials": "t_cred",
    "wait_channel": "t_lwpchan.lc_wchan",
    "turnstile": "t_ts",
    "inherited": "t_prioinv",
    "sync_ops": "t_sobj_ops",
    "signal_queue": "t_sigqueue",
    "signals_pending": "t_sig",
    "signals_held": "t_hold",
    "dispatch_time": "t_disp_time",
    "bound_id": "t_bind_cpu",
    "preempt": "t_preempt",
    "tid": "t_tid",
    "name_at": "t_name?",
    "taskq": "t_taskq?",
    "start_pc": "t_startpc",
    "pc": "t_pcb.val[0]",
    "sp": "t_pcb.val[1]",
    "stack_top": "t_stk",
    "stack_base": "t_stkbase",
    "next": "t_next",
    "forward": "t_forw",
    "link": "t_link",
    "class_id": "t_cid",
    "bound_cpu": "t_bound_cpu",
    "cpu": "t_cpu",
}
"""Our word -> member of kthread_t. ``t_pcb`` is a label_t: <sys/machtypes.h> puts pc and sp first, in both widths."""


@dataclass(frozen=True, slots=True)
class SolarisThread(Thread):
    """A thread with what its kthread_t tells. Addresses are 0 where there is nothing."""

    process: int = 0
    lwp: int = 0
    credentials: int = 0
    priority: int = 0
    effective_priority: int = 0
    class_id: int = 0
    flag: int = 0
    process_flag: int = 0
    scheduler_flag: int = 0
    pil: int = 0
    interrupted: int = 0
    """The thread that this interrupt thread has pinned."""
    wait_channel: int = 0
    turnstile: int = 0
    inherited: int = 0
    """Turnstiles whose priority it has inherited."""
    sync_ops: int = 0
    """Operations of the synchronisation object on which it is blocked."""
    signal_queue: int = 0
    signals_pending: int = 0
    signals_held: int = 0
    dispatch_time: int = 0
    """Clock tick at which it was put on a queue or a CPU."""
    bound_id: int = -1
    """Id of the CPU to which it is bound; -1: none."""
    preempt: int = 0
    start_pc: int = 0
    pc: int = 0
    """Saved when it left the CPU."""
    sp: int = 0
    stack_top: int = 0
    stack_base: int = 0
    thread_name: str | None = None
    """The name given to it (t_name), where the kernel has names."""
    command: str = ""
    """u_comm of its process."""

    @property
    def in_memory(self) -> bool:
        """Whether its stack is in memory (TS_LOAD)."""
        return bool(self.scheduler_flag & LOADED)

    @property
    def panicked(self) -> bool:
        """Whether it is the thread that panicked (T_PANIC)."""
        return bool(self.flag & PANIC)


class Threads:
    """The threads of one kernel: layout of kthread_t, and names that many threads share."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self.layout = Layout(kernel.type("kthread_t"), MEMBERS)
        self._read = kernel.memory.read
        self._mask = (1 << kernel.bits) - 1
        self._processes: dict[int, tuple[int | None, str | None]] = {}
        self._taskqs: dict[int, str] = {}
        self._cpus: dict[int, int | None] = {}

    # one thread

    def load(self, address: int) -> dict[str, Any]:
        """Members of the kthread_t at an address (`MEMBERS`). Raises `ReadError`: it is read as a whole."""
        found = self.layout.read(self._read, address)
        found["pc"] &= self._mask
        found["sp"] &= self._mask
        return found

    def record(self, address: int, loaded: dict[str, Any] | None = None) -> SolarisThread:
        """The thread whose kthread_t lies at an address. Raises `ReadError`."""
        found = dict(loaded or self.load(address))
        pid, command = self.process_facts(found["process"])
        name_at, cpu = found.pop("name_at"), found.pop("cpu")
        for left_out in ("next", "forward", "link", "bound_cpu"):
            del found[left_out]
        found["state"] = state_name(found["state"])
        found["taskq"] = found["taskq"] or None
        try:
            thread_name = self.kernel.string(name_at, 128) if name_at else None
        except ReadError:
            thread_name = None
        record = SolarisThread(
            address=address,
            pid=pid,
            name="",
            cpu=self._cpu_id(cpu),
            thread_name=thread_name,
            command=command or "",
            **found,
        )
        object.__setattr__(record, "name", self.describe(record))
        return record

    def describe(self, thread: SolarisThread, with_command: bool = True) -> str:
        """What a thread is called: process and number, its own name, its task queue, or the function it began with."""
        if thread.tid == 0:
            if thread.thread_name is not None:
                return thread.thread_name
            queue = self.taskq_name(thread.taskq or 0)
            return f"tq:{queue}" if queue else f"{self.label(thread.start_pc)}()"
        text = f"{thread.command}/{thread.tid}" if with_command else str(thread.tid)
        return f"{text} [{thread.thread_name}]" if thread.thread_name else text

    def process_facts(self, address: int) -> tuple[int | None, str | None]:
        """(pid, u_comm) of a process; None for what cannot be read."""
        if address not in self._processes:
            pid = command = None
            try:
                process = self.kernel.load("proc_t", address)
                command = process.p_user.u_comm.string()
                pid = process.p_pidp.pid_id
            except (Error, TypeError):
                pass
            self._processes[address] = (pid, command)
        return self._processes[address]

    def taskq_name(self, address: int) -> str:
        """Name of a task queue; "" where there is none or it cannot be read."""
        if address not in self._taskqs:
            try:
                self._taskqs[address] = self.kernel.load("taskq_t", address).tq_name.string() if address else ""
            except (ReadError, TypeNotFound):
                self._taskqs[address] = ""
        return self._taskqs[address]

    def _cpu_id(self, address: int) -> int | None:
        if address not in self._cpus:
            try:
                self._cpus[address] = self.kernel.at("cpu_t", address).cpu_id if address else None
            except Error:
                self._cpus[address] = None
        return self._cpus[address]

    def label(self, address: int) -> str:
        """An address as symbol and offset, in the manner of the language's ``%a``."""
        if address == 0:
            return "0"
        try:
            symbol, offset = self.kernel.target.nearest(address)
        except SymbolNotFound:
            return f"{address:#x}"
        name = self.kernel.target.qualified(symbol)
        return name if offset == 0 else f"{name}+{offset:#x}" if offset > 9 else f"{name}+{offset}"

    # many threads

    def walk(self, process: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """All threads in the order of the kernel's list, or those of one process: (address, `MEMBERS`).

        Raises `StoppedError` where one cannot be read, other `Error`s where the walk cannot begin.
        """
        if process:
            first, member = int(self.kernel.load("proc_t", process).p_tlist), "forward"
        else:
            first, member = self.kernel.word_at("allthreads"), "next"
        return follow(first, self.load, member, self.kernel.target.note)


def state_name(state: int) -> str:
    """The name of a thread's state."""
    return STATES.get(state) or f"inval/{state:02x}"


def sync_name(kernel: Solaris, ops: int) -> str:
    """The type of the synchronisation object whose operations lie at an address."""
    if ops == 0:
        return "<none>"
    try:
        number = int(kernel.load("sobj_ops_t", ops).sobj_type)
    except ReadError:
        return "??"
    return SYNC_TYPES.get(number) or f"<unk:{number & 0xFFFFFFFF:02x}>"


def threads(kernel: Solaris, start: int | None = None) -> Iterator[SolarisThread]:
    """All threads in the order of the kernel's list, or the one whose kthread_t lies at ``start``."""
    part = kernel.part(Threads)
    if start is not None:
        yield part.record(start)
        return
    try:
        for address, found in part.walk():
            yield part.record(address, found)
    except StoppedError as broken:
        kernel.target.note(f"list of threads: it ends at {broken}")


# lists besides that of all threads


def deathrow(kernel: Solaris, name: str) -> Iterator[int]:
    """Threads that have ended and wait to be reaped (``thread_deathrow``, ``lwp_deathrow``), by t_forw.

    Raises `StoppedError`.
    """
    part = kernel.part(Threads)
    return (address for address, _ in follow(kernel.word_at(name), part.load, "forward"))


def sleep_queue_of(channel: int, count: int) -> int:
    """Number of the sleep queue of a wait channel: SQHASHINDEX of <sys/sleepq.h>."""
    return (channel >> 2 ^ channel >> 13 ^ channel >> 24) & count - 1


def wait_channels(kernel: Solaris) -> Iterator[int]:
    """The channels on which threads sleep: each once, queue by queue. Raises `StoppedError`."""
    threads, channels = set[int](), set[int]()
    for first in _sleep_queues(kernel):
        for address, found in _sleepers(kernel, first):
            if address in threads:
                break
            threads.add(address)
            if found["wait_channel"] not in channels:
                channels.add(found["wait_channel"])
                yield found["wait_channel"]


def waiting_on(kernel: Solaris, channel: int) -> Iterator[int]:
    """The threads that sleep on a channel. Raises `StoppedError`."""
    queues = _sleep_queues(kernel)
    for address, found in _sleepers(kernel, queues[sleep_queue_of(channel, len(queues))]):
        if found["wait_channel"] == channel:
            yield address


def _sleep_queues(kernel: Solaris) -> list[int]:
    """First thread of each sleep queue. Raises `Error` where the queues cannot be read."""
    heads = kernel.variable_value("sleepq_head").load()
    try:
        return [int(head.sq_queue.sq_first) for head in heads]
    except AttributeError:  # a damaged type of the variable: numbers where structures should be
        raise TypeNotFound("sleepq_head", "no such member of structure or union") from None


def _sleepers(kernel: Solaris, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The threads of a sleep queue, up to one that sleeps no more."""
    for address, found in follow(first, kernel.part(Threads).load, "link"):
        if not found["wait_channel"]:
            return
        yield address, found


def taskq_threads(kernel: Solaris, taskq: int) -> Iterator[int]:
    """The threads that serve a task queue: those that it lists, or, where it is dynamic, those that name it; 0: of any.

    Raises `ReadError` where its list cannot be read, `StoppedError` where the list of all threads breaks.
    """
    listed = _listed_threads(kernel, taskq) if taskq else None
    if listed is not None:
        return (address for address in listed if address)
    return (
        address for address, found in kernel.part(Threads).walk() if found["taskq"] and taskq in (0, found["taskq"])
    )


TASKQ_DYNAMIC = 0x0004
"""Of tq_flags (<sys/taskq.h>): its threads come and go."""


def _listed_threads(kernel: Solaris, taskq: int) -> list[int] | None:
    try:
        queue = kernel.load("taskq_t", taskq)
    except ReadError:
        return None
    if queue.tq_flags & TASKQ_DYNAMIC:
        return None
    count, word = queue.tq_nthreads, kernel.bits // 8
    # a union: the one thread, or the list of all
    listed = queue.tq_thr if queue.has("tq_thr") else queue
    prefix = "_" if listed.has("_tq_thread") else ""
    if queue.tq_nthreads_max == 1:
        return [int(listed[f"{prefix}tq_thread"])][:count]
    if not 0 <= count <= MOST_THREADS:
        raise ReadError(taskq, f"{count} threads of a task queue")
    data = kernel.memory.read(int(listed[f"{prefix}tq_threadlist"]), count * word)
    return [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data), word)]

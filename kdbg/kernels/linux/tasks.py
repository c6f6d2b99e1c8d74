"""Tasks: task_struct and what hangs on it; threads and processes are both tasks.

A process is known by its leader, the task whose pid is the tgid. Leaders hang on ``init_task.tasks``, each one's
threads on its ``signal->thread_head`` (before 3.14 and where that is missing: ``thread_group``). The idle tasks of the
CPUs hang nowhere: init_task is the first CPU's, the others' are told by the per-CPU run queues.

Sources: include/linux/sched.h (task_struct; TASK_* and EXIT_*), include/linux/sched/signal.h; fs/proc/array.c
(task_state_array: the letters and words; proc_task_name), kernel/kthread.c (struct kthread.full_name).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.linux.lists import nodes, offset_of
from kdbg.records import Process, Thread
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

STATES = ("running", "sleeping", "disk sleep", "stopped", "tracing stop", "dead", "zombie", "parked", "idle")
"""The state by the number of its highest bit, 0 for none; in the words of /proc/PID/status."""
LETTERS = "RSDTtXZPI"
_REPORTED, _IDLE, _IDLE_INDEX = 0x7F, 0x402, 8
_LOCK_WAIT, _FROZEN = 0x1000, 0x8000
"""TASK_RTLOCK_WAIT and TASK_FROZEN are shown as uninterruptible sleep."""

COMM_SIZE, MOST_NAME = 16, 256
"""TASK_COMM_LEN; bytes of a thread's whole name at most."""
WORKER, KERNEL_THREAD = 0x20, 0x200000
"""PF_WQ_WORKER and PF_KTHREAD of task_struct.flags."""

MEMBERS = {
    "state": "__state?", "state_before": "state?", "exit_state": "exit_state", "flags": "flags", "pid": "pid",
    "tgid": "tgid", "name": "comm", "stack": "stack", "mm": "mm", "active_mm": "active_mm",
    "parent": "real_parent", "leader": "group_leader", "signal": "signal", "credentials": "real_cred",
    "files": "files", "namespaces": "nsproxy", "priority": "prio", "started": "start_time",
    "next": "tasks.next", "cpu": "thread_info.cpu?", "cpu_before": "cpu?", "on_cpu": "on_cpu?",
    "sp": "thread.sp?", "sp_arm": "thread.cpu_context.sp?", "fp_arm": "thread.cpu_context.fp?",
    "pc_arm": "thread.cpu_context.pc?",
}  # fmt: skip
"""Our word -> member of task_struct."""


@dataclass(frozen=True, slots=True)
class LinuxThread(Thread):
    """A task with what its task_struct tells. Addresses are 0 where there is nothing."""

    process: int = 0
    """Address of the task that leads its process."""
    parent: int = 0
    stack: int = 0
    """The lowest address of its kernel stack; 0 where it has given it back."""
    mm: int = 0
    flags: int = 0
    priority: int = 0
    sp: int = 0
    """Saved when it left the CPU."""
    on_cpu: bool = False
    """Whether it is running on a CPU."""
    credentials: int = 0
    files: int = 0
    signal: int = 0
    started: int = 0
    """Nanoseconds since the machine came up."""
    whole_name: str = ""
    """As /proc shows it; ``name`` is ``comm``, 15 bytes, in which long names of the kernel's threads are cut."""

    @property
    def worker(self) -> bool:
        """Whether it is a worker of the kernel's work queues."""
        return bool(self.flags & WORKER)

    @property
    def of_kernel(self) -> bool:
        """Whether it is a thread of the kernel's own."""
        return bool(self.flags & KERNEL_THREAD) or not self.pid

    @property
    def letter(self) -> str:
        """Its state as ps shows it."""
        return LETTERS[STATES.index(self.state)] if self.state in STATES else "?"


@dataclass(frozen=True, slots=True)
class LinuxProcess(Process):
    """A process by its leading task; None where what it points to cannot be read."""

    state: str = "?"
    """A letter (`LETTERS`)."""
    parent_pid: int = 0
    group: int | None = None
    session: int | None = None
    uid: int | None = None
    flags: int = 0
    started: int = 0
    parent: int = 0
    mm: int = 0
    arguments: str = ""
    """Its command line, where that was asked for and can be read; else its name."""
    depth: int = 0
    """How many ancestors it has, where that was asked."""


class Tasks:
    """The tasks of one kernel: layout of task_struct, and the walks over them."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        of = kernel.type("struct task_struct")
        self.layout = Layout(of, MEMBERS)
        self.tasks_at = offset_of(of, "tasks")
        self._group = of.member("thread_group").offset if of.has("thread_group") else None
        self._node = of.member("thread_node").offset if of.has("thread_node") else None
        signal = kernel.type("struct signal_struct")
        self._head = signal.member("thread_head").offset if signal.has("thread_head") else None
        self._read = kernel.memory.read

    def load(self, address: int) -> dict[str, Any]:
        """Members of the task_struct at an address (`MEMBERS`). Raises `ReadError`: it is read as a whole."""
        return self.layout.read(self._read, address)

    def record(self, address: int) -> LinuxThread:
        """The thread whose task_struct lies at an address. Raises `ReadError`."""
        found = self.load(address)
        state = found["state"] if found["state"] is not None else found["state_before"] or 0
        cpu = found["cpu"] if found["cpu"] is not None else found["cpu_before"]
        sp = found["sp"] if found["sp"] is not None else found["sp_arm"] or 0
        name = found["name"].encode("latin-1").decode("utf-8", "replace")
        return LinuxThread(
            address=address,
            pid=found["tgid"],
            tid=found["pid"],
            name=name,
            state=state_name(state, found["exit_state"]),
            cpu=cpu,
            process=found["leader"],
            parent=found["parent"],
            stack=found["stack"],
            mm=found["mm"],
            flags=found["flags"],
            priority=found["priority"],
            sp=sp,
            on_cpu=bool(found["on_cpu"]),
            credentials=found["credentials"],
            files=found["files"],
            signal=found["signal"],
            started=found["started"],
            whole_name=self._whole(address, found, name),
        )

    def _whole(self, address: int, found: dict[str, Any], name: str) -> str:
        """The name of one of the kernel's own threads as /proc shows it, where ``comm`` has no room for it."""
        flags: int = found["flags"]
        if len(found["name"]) < COMM_SIZE - 1 or flags & (KERNEL_THREAD | WORKER) != KERNEL_THREAD:
            return name
        try:
            whole = self.kernel.at("struct kthread", self.kernel.word(address + self._kthread_at)).full_name
            return str(whole.string(MOST_NAME)) if int(whole) else name
        except Error:  # before 5.17 it is kept nowhere
            return name

    @functools.cached_property
    def _kthread_at(self) -> int:
        """Offset of the pointer to struct kthread. Raises `TypeNotFound` before 5.17."""
        return self.layout.type.member("worker_private").offset

    # walks

    def first(self) -> int:
        """Address of init_task. Raises `SymbolNotFound`."""
        return self.kernel.place("init_task")

    def leaders(self) -> Iterator[int]:
        """Addresses of the tasks that lead processes, init_task (the kernel's own) first."""
        first = self.first()
        yield first
        for node in nodes(self.kernel, first + self.tasks_at, "tasks"):
            yield node - self.tasks_at

    def threads_of(self, leader: int) -> Iterator[int]:
        """Addresses of a process's tasks, the leader first where it is among them."""
        kernel, signal = self.kernel, 0
        if self._head is not None and self._node is not None:
            try:
                signal = self.load(leader)["signal"]
            except ReadError as error:
                kernel.target.note(f"tasks: {leader:x}: {error.reason}")
        if signal and self._node is not None and self._head is not None:
            found = False
            for node in nodes(kernel, signal + self._head, f"threads of {leader:x}"):
                found = True
                yield node - self._node
            if found:
                return
        yield leader
        if self._group is not None:
            for node in nodes(kernel, leader + self._group, f"threads of {leader:x}"):
                yield node - self._group

    def walk(self) -> Iterator[int]:
        """Addresses of all tasks: the idle ones of the CPUs, then process by process."""
        seen = set[int]()
        for address in self.idle():
            seen.add(address)
            yield address
        for leader in self.leaders():
            if leader in seen:
                continue
            for address in self.threads_of(leader):
                if address not in seen:
                    seen.add(address)
                    yield address

    def idle(self) -> Iterator[int]:
        """Addresses of the tasks that run where nothing else does, a CPU each."""
        first = self.first()
        yield first
        try:
            offset = self.kernel.type("struct rq").member("idle").offset
            for area in self.kernel.per_cpu_places("runqueues"):
                task = self.kernel.word(area + offset)
                if task and task != first:
                    yield task
        except Error:
            return

    # processes

    def process(self, address: int) -> LinuxProcess:
        """The process that the task at an address leads. Raises `ReadError`."""
        thread = self.record(address)
        parent = self._number("struct task_struct", thread.parent, "tgid")
        group, session = self._ids(address, thread.signal)
        return LinuxProcess(
            address=address,
            pid=thread.pid or 0,
            name=thread.name,
            state=thread.letter,
            parent_pid=parent or 0,
            group=group,
            session=session,
            uid=self._number("struct cred", thread.credentials, "uid.val"),
            flags=thread.flags,
            started=thread.started,
            parent=thread.parent,
            mm=thread.mm,
            arguments=thread.whole_name,
        )

    def _ids(self, task: int, signal: int) -> tuple[int | None, int | None]:
        """(process group, session) by signal->pids (4.19 on) or the task's own; PIDTYPE_PGID and _SID by name."""
        found: list[int | None] = []
        for name in ("PIDTYPE_PGID", "PIDTYPE_SID"):
            try:
                at = dict(self.kernel.type("enum pid_type").enumerators)[name]
                holder = self.kernel.at("struct signal_struct", signal)
                pid = holder.pids[at] if holder.has("pids") else self.kernel.at("struct task_struct", task).pids[at].pid
                found.append(int(pid.numbers[0].nr) if pid else 0)
            except (Error, KeyError, AttributeError, TypeError):
                found.append(None)
        return found[0], found[1]

    def _number(self, type_name: str, address: int, path: str) -> int | None:
        if not address:
            return None
        try:
            value: Any = self.kernel.at(type_name, address)
            for part in path.split("."):
                value = value[part]
            return int(value)
        except (Error, TypeError):
            return None

    def by_pid(self, pid: int) -> int | None:
        """Address of the task that leads the process with an id, or of the thread with it; None where there is none."""
        for leader in self.leaders():
            if self._number("struct task_struct", leader, "tgid") == pid:
                return leader
        return self.of_tid(pid)

    def living(self, address: int) -> LinuxThread:
        """The task at an address; of a process whose leader has ended, a thread that lives on. Raises `ReadError`."""
        task = self.record(address)
        if task.mm or task.of_kernel or task.state not in ("zombie", "dead"):
            return task
        threads = (self.record(one) for one in self.threads_of(address))
        return next((one for one in threads if one.mm), task)

    def of_tid(self, tid: int) -> int | None:
        """Address of the task with an id, None where there is none."""
        return next((one for one in self.walk() if self._number("struct task_struct", one, "pid") == tid), None)

    def children(self) -> dict[int, list[int]]:
        """Process -> the processes that it has begun, in the order of the kernel's list."""
        found: dict[int, list[int]] = {}
        first = self.first()
        leader_of: dict[int, int] = {}
        for address in self.leaders():
            if address == first:
                continue
            parent = self._number("struct task_struct", address, "real_parent") or 0
            if parent not in leader_of:
                leader_of[parent] = self._number("struct task_struct", parent, "group_leader") or parent
            found.setdefault(leader_of[parent], []).append(address)
        return found


def state_name(state: int, exit_state: int) -> str:
    """The word for a task's state."""
    if state & _IDLE == _IDLE:
        return STATES[_IDLE_INDEX]
    shown = (state | exit_state) & _REPORTED
    if state & (_LOCK_WAIT | _FROZEN):
        shown = 2
    return STATES[shown.bit_length()]


def threads(kernel: Linux, start: int | None = None) -> Iterator[LinuxThread]:
    """All tasks, or the one at ``start``; one that cannot be read is left out with a note."""
    part = kernel.part(Tasks)
    if start is not None:
        yield part.record(start)
        return
    for address in part.walk():
        try:
            yield part.record(address)
        except ReadError as error:
            kernel.target.note(f"task {address:x}: {error.reason}")


def processes(kernel: Linux) -> Iterator[LinuxProcess]:
    """All processes by their leaders, in the order of the kernel's list; the kernel's own (pid 0) is left out."""
    part = kernel.part(Tasks)
    first = part.first()
    for address in part.leaders():
        if address == first:
            continue
        try:
            yield part.process(address)
        except ReadError as error:
            kernel.target.note(f"process {address:x}: {error.reason}")


def find_init_task(kernel: Linux) -> int:
    """Where init_task lies, in kernels whose data has no names: by its name, its pid, and its list of tasks.

    Raises `SymbolNotFound`, `TypeNotFound`.
    """
    of = kernel.type("struct task_struct")
    name_at, pid_at, tasks_at = (offset_of(of, path) for path in ("comm", "pid", "tasks"))
    word, mapping = kernel.bits // 8, kernel.mapping
    for segment in mapping.data():
        for hit in mapping.search(segment, b"swapper"):
            address = hit - name_at
            try:
                following = kernel.word(address + tasks_at)
                good = kernel.word(following + word) == address + tasks_at
                if good and not int.from_bytes(kernel.memory.read(address + pid_at, 4), "little"):
                    return address
            except Error:
                continue
    raise SymbolNotFound("init_task")

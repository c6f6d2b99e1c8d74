"""What the tasks of a Linux kernel wait for.

A task that waits has put a structure on its own stack and hung it on what it waits for: struct mutex_waiter,
rwsem_waiter, swait_queue (of a completion), wait_queue_entry, futex_q ... Each holds the address of the task: by it,
and by links that lead back, it is found; the list that it hangs on leads to the lock. The functions on the stack tell
which kind to look for.

Sources: kernel/locking/mutex.h, kernel/locking/rwsem.c, kernel/locking/semaphore.c, include/linux/swait.h,
include/linux/wait.h, include/linux/completion.h, kernel/futex/futex.h, include/linux/filelock.h; kernel/sched/core.c
(get_wchan: the first function outside of the scheduler's text), include/linux/sched.h (struct sched_info).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kdbg.errors import Error, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.lists import offset_of
from kdbg.kernels.linux.locks import LOCKS, Lock
from kdbg.kernels.linux.tasks import LinuxThread, Tasks
from kdbg.symbols.layouts import Layout
from kdbg.symbols.table import STT_FUNC

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.records import Frame
    from kdbg.symbols.value import Value

MOST_STACK = 1 << 17
MOST_QUEUED = 100_000
NANOSECONDS = 1_000_000_000

_BY_NAME = (
    ("rt_mutex", r"_*rt_mutex_\w+|futex_lock_pi\w*|rtlock_\w+"),
    ("mutex", r"_*(ww_)?mutex_lock\w*"),
    ("rwsem", r"rwsem_down_\w+|_*down_(read|write)(_\w+)?"),
    ("semaphore", r"_*down(_interruptible|_killable|_timeout|_common)?"),
    ("completion", r"wait_for_completion\w*|__wait_for_common|do_wait_for_common"),
    ("futex", r"_*futex_wait\w*"),
    ("percpu rwsem", r"percpu_rwsem_wait|_*percpu_down_\w+"),
    ("page", r"folio_wait_bit\w*|_*folio_lock\w*|wait_on_page_\w+|_*lock_page\w*"),
    ("bit", r"(out_of_line_)?_*wait_on_bit\w*"),
    ("file lock", r"(locks|flock|posix)_lock_\w*wait|fcntl_setlk\w*|do_lock_file_wait"),
    ("I/O", r"io_schedule\w*|blk_mq_get_tag|rq_qos_wait|submit_bio_wait"),
)
"""Kind of wait, and the functions that tell it: static ones come with suffixes of the compiler's."""
KINDS = tuple((kind, re.compile(rf"(?:{names})(?:\.\w+)*")) for kind, names in _BY_NAME)
CONTENDED = frozenset({"mutex", "rwsem", "semaphore", "rt_mutex", "percpu rwsem", "file lock"})
"""Kinds of wait for something that somebody else holds."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a task waits for."""

    kind: str
    """mutex, rwsem, semaphore, rt_mutex, completion, futex, page, bit, file lock, I/O, queue; "": not known."""
    function: str | None
    """The function that waits: the first outside of the scheduler, as /proc/PID/wchan shows it."""
    caller: str | None
    """The function that asked for the lock."""
    object: int | None
    """Address of the lock, completion or queue; of a futex the user's."""
    lock: Lock | None = None
    """The lock as it stands, where it is one that tells of its owner."""
    mode: str | None = None
    """Of an rwsem: whether it is wanted to "read" or to "write"."""
    owner: int | None = None
    """The task that holds it."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A task that waits, and for what."""

    address: int
    pid: int
    tid: int
    name: str
    state: str
    kind: str
    mode: str | None
    function: str | None
    caller: str | None
    object: int | None
    label: str | None
    """The object's symbol, where it is a variable."""
    owner: int | None
    owner_pid: int | None
    owner_name: str | None
    readers: int | None
    """How many readers hold an rwsem."""
    since: float | None
    """Seconds since the machine came up (by the scheduler's clock) when it last got a CPU."""
    waited: float | None
    """Seconds from then to the dump."""
    deadlock: bool = False
    """Whether what holds its lock waits, one behind the other, for a lock that it holds itself."""


class Waits:
    """The waits of one kernel's tasks."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.tasks = kernel.part(Tasks)
        self._word = kernel.bits // 8
        self._scheduler = [_range(kernel, f"__{name}_text_start", f"__{name}_text_end") for name in ("sched", "lock")]
        self._stack_size = _stack_size(kernel)
        task = kernel.type("struct task_struct")
        arrival = {"since": "sched_info.last_arrival?", "ran": "se.exec_start?", "pi": "pi_blocked_on?"}
        self._clock = Layout(task, arrival)

    # records

    def blocked(self, thread: LinuxThread, frames: Sequence[Frame]) -> Blocked:
        """The record of a task, by its stack."""
        wait = self.of(thread, frames)
        since, waited = self.waited(thread.address)
        owner = self._thread(wait.owner)
        return Blocked(
            address=thread.address,
            pid=thread.pid or 0,
            tid=thread.tid or 0,
            name=thread.name,
            state=thread.state,
            kind=wait.kind,
            mode=wait.mode,
            function=wait.function,
            caller=wait.caller,
            object=wait.object,
            label=self._label(wait.object),
            owner=wait.owner,
            owner_pid=owner.tid if owner else None,
            owner_name=owner.name if owner else None,
            readers=wait.lock.readers if wait.lock and wait.lock.kind == "rwsem" else None,
            since=since,
            waited=waited,
        )

    def _thread(self, address: int | None) -> LinuxThread | None:
        try:
            return self.tasks.record(address) if address else None
        except Error:
            return None

    def _label(self, address: int | None) -> str | None:
        if address is None or not self.kernel.in_kernel(address):
            return None
        found = self.kernel.symbols.nearest(address)
        if found is None or not found[0].size or found[1] >= found[0].size:
            return None
        return found[0].name + (f"+{found[1]:#x}" if found[1] else "")

    def waited(self, task: int) -> tuple[float | None, float | None]:
        """(when it last got a CPU, how long ago that is) in seconds, by the scheduler's clock."""
        from kdbg.kernels.linux.clock import scheduler_clock

        try:
            told = self._clock.read(self.kernel.memory.read, task)
        except ReadError:
            return None, None
        since, now = told["since"] or told["ran"], self.kernel.part(scheduler_clock)
        if not since:
            return None, None
        return since / NANOSECONDS, max(now - since, 0) / NANOSECONDS if now else None

    # what one waits for

    def of(self, thread: LinuxThread, frames: Sequence[Frame]) -> Wait:
        """What a task waits for, by its stack. What cannot be found out is None in it."""
        function, caller, kind = self.functions(frames)
        wait = Wait(kind, function, caller, None)
        try:
            pi = self._clock.read(self.kernel.memory.read, thread.address)["pi"]
            if pi:
                lock = int(self.kernel.at("struct rt_mutex_waiter", pi).lock)
                return self._of_lock("rt_mutex", lock, wait, thread)
            return self._by_structure(kind, thread, wait)
        except Error as error:
            self.kernel.target.note(f"task {thread.address:x}: what it waits for: {error}")
            return wait

    def functions(self, frames: Sequence[Frame]) -> tuple[str | None, str | None, str]:
        """(function outside of the scheduler, function that asked for the lock, kind) by the frames of a stack."""
        outside = [one for one in frames if one.symbol and not self._in_scheduler(one.pc)]
        function = outside[0].symbol if outside else None
        for at, frame in enumerate(frames):
            kind = next((kind for kind, names in KINDS if frame.symbol and names.fullmatch(frame.symbol)), None)
            if kind is None or (kind == "I/O" and at + 1 < len(frames)):
                continue
            callers = (one.symbol for one in frames[at + 1 :] if one.symbol and not _is_kind(one.symbol, kind))
            return function, next(callers, None), kind
        io = any(one.symbol and _is_kind(one.symbol, "I/O") for one in frames)
        return function, outside[1].symbol if len(outside) > 1 else None, "I/O" if io else ""

    def _in_scheduler(self, pc: int) -> bool:
        return any(start <= pc - 1 < end for start, end in self._scheduler)

    def _by_structure(self, kind: str, thread: LinuxThread, wait: Wait) -> Wait:
        """By what the task has put on its stack."""
        if kind in ("mutex", "rwsem", "semaphore"):
            node = self._find(thread, f"struct {kind}_waiter", "task", "list")
            if node is not None:
                head = self._head(node, thread, f"struct {kind}_waiter", "task", "list")
                holder = {"mutex": "mutex", "rwsem": "rw_semaphore", "semaphore": "semaphore"}[kind]
                if head is not None:
                    lock = head - self.kernel.type(f"struct {holder}").member("wait_list").offset
                    return self._of_lock(kind, lock, wait, thread)
            return wait
        if kind == "futex":
            return replace(wait, object=self._futex(thread))
        if kind == "completion":
            return replace(wait, object=self._completion(thread))
        found = self._find(thread, "struct wait_queue_entry", "private", "entry")
        if found is None:
            return wait
        queue = self._queue(found)
        if queue is None:
            return replace(wait, kind=kind or "queue")
        if kind == "file lock":
            return self._file_lock(queue, wait)
        return replace(wait, kind=kind or "queue", object=queue)

    def _of_lock(self, kind: str, address: int, wait: Wait, thread: LinuxThread) -> Wait:
        lock = LOCKS[kind](self.kernel, address)
        mode = next((one.mode for one in lock.waiters if one.task == thread.address), "") or None
        return replace(wait, kind=kind, object=address, lock=lock, mode=mode, owner=lock.owner)

    # structures on stacks

    def _stack(self, thread: LinuxThread) -> tuple[int, bytes]:
        """(address, bytes) of the part of a task's stack that is in use. Raises `ReadError`."""
        end = thread.stack + self._stack_size
        start = thread.sp if thread.stack <= thread.sp < end else thread.stack
        return start, self.kernel.memory.read(start, end - start)

    def _find(self, thread: LinuxThread, type_name: str, task: str, node: str) -> int | None:
        """Address of the innermost structure on a task's stack that holds the task and hangs on a list."""
        of, kernel = self.kernel.type(type_name), self.kernel
        task_at, node_at = offset_of(of, task), offset_of(of, node)
        start, data = self._stack(thread)
        wanted = thread.address.to_bytes(self._word, "little")
        at = data.find(wanted)
        while at >= 0:
            address = start + at - task_at
            known = at % self._word == 0 and self._hangs(address + node_at)
            if known and (task != "private" or self._is_function(kernel, address)):
                return address
            at = data.find(wanted, at + 1)
        return None

    def _hangs(self, node: int) -> bool:
        """Whether a list_head's neighbours lead back to it, and it is not alone."""
        try:
            data = self.kernel.memory.read(node, 2 * self._word)
            following, before = struct.unpack("<2Q" if self._word == 8 else "<2I", data)
            if following == node or not (self.kernel.in_kernel(following) and self.kernel.in_kernel(before)):
                return False
            return self.kernel.word(before) == node == self.kernel.word(following + self._word)
        except ReadError:
            return False

    def _is_function(self, kernel: Linux, entry: int) -> bool:
        """Whether a wait_queue_entry's function is one."""
        pointer = kernel.word(entry + kernel.type("struct wait_queue_entry").member("func").offset)
        found = kernel.symbols.nearest(pointer) if kernel.in_kernel(pointer) else None
        return found is not None and found[0].type == STT_FUNC and not found[1]

    def _head(self, waiter: int, thread: LinuxThread, type_name: str, task: str, node: str) -> int | None:
        """The list_head that is no waiter's: a waiter lies on the stack of the task that it names."""
        of = self.kernel.type(type_name)
        task_at, node_at = offset_of(of, task), offset_of(of, node)
        for at in self._around(waiter + node_at):
            if not self._is_waiter(at - node_at, task_at):
                return at
        return None

    def _is_waiter(self, address: int, task_at: int) -> bool:
        try:
            task = self.kernel.word(address + task_at)
            if not self.kernel.in_kernel(task):
                return False
            stack = self.tasks.load(task)["stack"]
        except Error:
            return False
        return bool(stack <= address < stack + self._stack_size)

    def _around(self, node: int) -> Iterator[int]:
        """The other elements of the ring that a list_head is in, bounded. Raises `ReadError`."""
        at, seen = self.kernel.word(node), {node}
        while at not in seen:
            if len(seen) > MOST_QUEUED or not self.kernel.in_kernel(at):
                return
            seen.add(at)
            yield at
            at = self.kernel.word(at)

    def _queue(self, entry: int) -> int | None:
        """Address of the wait_queue_head that a wait_queue_entry hangs on: the element without a function."""
        of = self.kernel.type("struct wait_queue_entry")
        node_at = of.member("entry").offset
        for at in self._around(entry + node_at):
            try:
                if self._is_function(self.kernel, at - node_at):
                    continue
            except ReadError:
                pass
            return at - self.kernel.type("struct wait_queue_head").member("head").offset
        return None

    def _completion(self, thread: LinuxThread) -> int | None:
        """Address of the completion; its queue is a simple one since 5.7."""
        completion = self.kernel.type("struct completion")
        wait = completion.member("wait")
        if wait.type.has("task_list"):
            found = self._find(thread, "struct swait_queue", "task", "task_list")
            head = self._head(found, thread, "struct swait_queue", "task", "task_list") if found is not None else None
            return None if head is None else head - wait.offset - wait.type.member("task_list").offset
        found = self._find(thread, "struct wait_queue_entry", "private", "entry")
        queue = self._queue(found) if found is not None else None
        return None if queue is None else queue - wait.offset

    def _futex(self, thread: LinuxThread) -> int | None:
        """The user's address of the futex, or its offset in the file that it lies in."""
        of = self.kernel.type("struct futex_q")
        task_at, list_at = of.member("task").offset, offset_of(of, "list.node_list")
        start, data = self._stack(thread)
        wanted = thread.address.to_bytes(self._word, "little")
        at = data.find(wanted)
        while at >= 0:
            address = start + at - task_at
            if at % self._word == 0 and address >= start and self._hangs(address + list_at):
                key = self.kernel.load("struct futex_q", address).key.both
                return _futex_address(key)
            at = data.find(wanted, at + 1)
        return None

    def _file_lock(self, queue: int, wait: Wait) -> Wait:
        """The lock whose queue it is (``fl_wait``, since 6.9 in struct file_lock_core) and who holds what it wants."""
        try:
            of, prefix = self.kernel.type("struct file_lock_core"), "flc"
        except TypeNotFound:
            of, prefix = self.kernel.type("struct file_lock"), "fl"
        address = queue - of.member(f"{prefix}_wait").offset
        value: Any = self.kernel.at(of.spelling, address)
        blocker = int(value[f"{prefix}_blocker"])
        owner = None
        if blocker:
            owner = self.tasks.of_tid(int(self.kernel.at(of.spelling, blocker)[f"{prefix}_pid"]))
        return replace(wait, object=blocker or address, owner=owner)


def deadlocked(blocked: Sequence[Blocked]) -> set[int]:
    """The tasks, of those that are blocked, that wait for each other in a circle."""
    owner_of = {one.address: one.owner for one in blocked if one.owner is not None}
    found = set[int]()
    for start in owner_of:
        chain, at = [start], owner_of[start]
        while at in owner_of and at not in chain:
            chain.append(at)
            at = owner_of[at]
        if at == start:
            found.update(chain)
    return found


def _futex_address(key: Value) -> int:
    """Of union futex_key: where a process has it, or for one that lies in a file its place there.

    ``offset`` is the place in the page; its two lowest bits say what the key is of (FUT_OFF_INODE, FUT_OFF_MMSHARED).
    """
    word, offset = int(key.word), int(key.offset)
    return (word << 12 if offset & 1 else word) + (offset & ~3)


def _is_kind(symbol: str, kind: str) -> bool:
    return any(names.fullmatch(symbol) for one, names in KINDS if one == kind)


def _range(kernel: Linux, start: str, end: str) -> tuple[int, int]:
    try:
        return kernel.image_symbol(start).address, kernel.image_symbol(end).address
    except SymbolNotFound:
        return 0, 0


def _stack_size(kernel: Linux) -> int:
    """THREAD_SIZE: bytes of init_task's stack, where it has a name."""
    for name in ("init_stack", "init_thread_union"):
        try:
            size = kernel.image_symbol(name).size
        except SymbolNotFound:
            continue
        if 4096 <= size <= MOST_STACK and not size & (size - 1):
            return size
    return 16384 if kernel.bits == 64 else 8192

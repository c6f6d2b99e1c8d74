"""The work queues of a Linux kernel: queues, the pools of workers that serve them, and the work that runs or waits.

Work goes onto a queue's pool_workqueue, one for each pool that serves it; from there to the pool's ``worklist``, or,
when the queue has enough at work, to ``inactive_works``. A worker holds what it does in ``current_work``. Kernels whose
data has no names are asked by the workers' tasks: a rescuer's leads to its queue, and all queues hang on one list.

Sources: kernel/workqueue.c (struct workqueue_struct, pool_workqueue, worker_pool; WQ_* in include/linux/workqueue.h,
WORK_STRUCT_PWQ: bit 2 of work_struct.data, above the flags stands the pool_workqueue), kernel/workqueue_internal.h
(struct worker), kernel/kthread.c (struct kthread: the worker is its ``data``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, SymbolNotFound
from kdbg.kernels.linux.lists import elements, nodes
from kdbg.kernels.linux.tasks import Tasks
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.value import Value

FLAGS = ((1, "bh"), (2, "unbound"), (4, "freezable"), (8, "reclaim"), (16, "highpri"), (32, "cpu_intensive"),
         (64, "sysfs"), (128, "power_efficient"), (1 << 15, "destroying"), (1 << 16, "draining"),
         (1 << 17, "ordered"))  # fmt: skip
POOL_FLAGS = ((1, "bh"), (4, "disassociated"))
"""POOL_BH of 6.9 and later, when pool_workqueue had become ``plugged``; before that bit 0 was something passing."""
HAS_QUEUE = 4
"""WORK_STRUCT_PWQ: the work is on a queue's pool_workqueue."""
RUNNING, PENDING, INACTIVE = "running", "pending", "inactive"


@dataclass(frozen=True, slots=True)
class Work:
    """A work item."""

    address: int
    """Of its work_struct."""
    state: str
    """running; pending: the next free worker takes it; inactive: its queue has enough at work."""
    function: str
    queue: str
    """Name of its work queue; "" where it does not tell."""
    pool: int
    """Id of the pool."""
    worker: int | None
    """The task that does it, or is to do it next."""
    worker_tid: int | None
    worker_name: str | None


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of workers."""

    address: int
    id: int
    cpu: int | None
    """The CPU that it belongs to; None for one that serves several."""
    node: int
    nice: int | None
    """Priority of its workers."""
    flags: tuple[str, ...]
    workers: int
    idle: int
    busy: tuple[Work, ...]
    pending: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """A work queue."""

    address: int
    name: str
    flags: tuple[str, ...]
    max_active: int | None
    """How much of its work may be done at a time on a pool."""
    active: int
    """Works that run or are pending."""
    pools: tuple[int, ...]
    """Ids of the pools that serve it."""
    rescuer: int | None
    """The task that helps when there is no memory for workers."""
    works: tuple[Work, ...]
    """Its works: those that run, then those that wait."""


class WorkQueues:
    """The work queues of one kernel."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._queue = kernel.type("struct workqueue_struct")
        self._serving = kernel.type("struct pool_workqueue")
        self._pool = kernel.type("struct worker_pool")
        self._work = Layout(kernel.type("struct work_struct"), {"data": "data.counter", "func": "func"})
        self._names: dict[int, str] = {}
        """pool_workqueue -> name of its queue."""
        self._pools: dict[int, Pool | None] = {}

    # queues

    def queues(self) -> list[Queue]:
        """All work queues in the kernel's order, with their works. Raises `Error`."""
        kernel = self.kernel
        found: list[tuple[int, Value, list[Value]]] = []
        for address in self._addresses():
            try:
                queue, serving = kernel.load("struct workqueue_struct", address), []
                for place in elements(kernel, queue.address_of("pwqs"), "struct pool_workqueue", "pwqs_node",
                                      f"pools of the work queue {address:x}"):  # fmt: skip
                    self._names[place] = queue["name"].string()
                    serving.append(kernel.load("struct pool_workqueue", place))
                found.append((address, queue, serving))
            except Error as error:
                kernel.target.note(f"work queue {address:x}: {error}")
        return [self._record(*one) for one in found]

    def _record(self, address: int, queue: Value, serving: list[Value]) -> Queue:
        name, works, pools = queue["name"].string(), list[Work](), list[int]()
        for one in serving:
            pool = self.pool(int(one.pool))
            if pool is not None:
                works += [work for work in (*pool.busy, *pool.pending) if work.queue == name and work not in works]
                if pool.id not in pools:
                    pools.append(pool.id)
            works += self._listed(one.address_of("inactive_works"), INACTIVE, pool.id if pool else -1)
        flags, rescuer = int(queue.flags), int(queue.rescuer)
        most = next((int(queue[one]) for one in ("max_active", "saved_max_active") if queue.has(one)), None)
        return Queue(
            address=address,
            name=name,
            flags=tuple(word for bit, word in FLAGS if flags & bit),
            max_active=most,
            active=sum(int(one.nr_active) for one in serving),
            pools=tuple(sorted(pools)),
            rescuer=int(queue.rescuer.task) if rescuer else None,
            works=tuple(sorted(works, key=lambda work: (RUNNING, PENDING, INACTIVE).index(work.state))),
        )

    def _addresses(self) -> list[int]:
        kernel, offset = self.kernel, self._queue.member("list").offset
        try:
            return [node - offset for node in nodes(kernel, kernel.place("workqueues"), "workqueues")]
        except SymbolNotFound:
            pass
        for worker in self._workers():
            rescued = int(kernel.at("struct worker", worker).rescue_wq)
            if rescued:
                ring = [rescued, *(node - offset for node in nodes(kernel, rescued + offset, "workqueues"))]
                return [address for address in ring if self._is_queue(address)]
        raise SymbolNotFound("workqueues")

    def _is_queue(self, address: int) -> bool:
        """Whether what hangs on the list of work queues is one, and not the list's head."""
        try:
            head = address + self._queue.member("pwqs").offset
            first = self.kernel.word(head) - self._serving.member("pwqs_node").offset
            return int(self.kernel.at("struct pool_workqueue", first).wq) == address
        except Error:
            return False

    def _workers(self) -> Iterator[int]:
        """Struct worker of each task that is one."""
        kernel, part = self.kernel, self.kernel.part(Tasks)
        task = kernel.type("struct task_struct")
        private = task.member("worker_private" if task.has("worker_private") else "set_child_tid").offset
        for address in part.walk():
            try:
                if part.record(address).worker:
                    yield int(kernel.at("struct kthread", kernel.word(address + private))["data"])
            except Error:
                continue

    # pools

    def pools(self) -> list[Pool]:
        """All pools that serve a work queue, by their ids. Raises `Error`."""
        self.queues()
        return sorted((pool for pool in self._pools.values() if pool is not None), key=lambda pool: pool.id)

    def pool(self, address: int) -> Pool | None:
        """The pool at an address; None (with a note) where it cannot be read."""
        if address not in self._pools:
            try:
                self._pools[address] = self._read_pool(address)
            except Error as error:
                self.kernel.target.note(f"worker pool {address:x}: {error}")
                self._pools[address] = None
        return self._pools[address]

    def _read_pool(self, address: int) -> Pool:
        kernel, pool = self.kernel, self.kernel.load("struct worker_pool", address)
        number, cpu = int(pool.id), int(pool.cpu)
        busy = []
        for worker in elements(
            kernel, pool.address_of("workers"), "struct worker", "node", f"workers of pool {number}"
        ):
            value = kernel.load("struct worker", worker)
            if int(value.current_work):
                busy.append(self._running(value, number))
            busy += self._listed(value.address_of("scheduled"), PENDING, number, int(value.task))
        flags, attributes = int(pool.flags) & (-1 if self._serving.has("plugged") else ~1), pool.attrs
        return Pool(
            address=address,
            id=number,
            cpu=cpu if cpu >= 0 else None,
            node=int(pool.node),
            nice=int(attributes.nice) if attributes else None,
            flags=tuple(word for bit, word in POOL_FLAGS if flags & bit),
            workers=int(pool.nr_workers),
            idle=int(pool.nr_idle),
            busy=tuple(busy),
            pending=tuple(self._listed(pool.address_of("worklist"), PENDING, number)),
        )

    # works

    def _running(self, worker: Value, pool: int) -> Work:
        task = int(worker.task)
        name, tid = self._task(task)
        queue = self._names.get(int(worker.current_pwq), "")
        return Work(
            int(worker.current_work), RUNNING, self._function(int(worker.current_func)), queue, pool, task, tid, name
        )

    def _listed(self, head: int, state: str, pool: int, task: int | None = None) -> list[Work]:
        kernel, found = self.kernel, []
        name, tid = self._task(task) if task else (None, None)
        for address in elements(kernel, head, "struct work_struct", "entry", f"works at {head:x}"):
            try:
                told = self._work.read(kernel.memory.read, address)
            except Error as error:
                kernel.target.note(f"work {address:x}: {error}")
                continue
            queue = self._queue_of(told["data"])
            found.append(Work(address, state, self._function(told["func"]), queue, pool, task, tid, name))
        return found

    def _queue_of(self, data: int) -> str:
        """Name of the queue of a work: above the flags of its data stands the pool_workqueue, aligned to its size."""
        if not data & HAS_QUEUE:
            return ""
        data &= (1 << self.kernel.bits) - 1
        return next((self._names[data & -(1 << bit)] for bit in (8, 9, 10, 7) if data & -(1 << bit) in self._names), "")

    def _task(self, address: int) -> tuple[str | None, int | None]:
        try:
            told = self.kernel.part(Tasks).record(address)
        except Error:
            return None, None
        return told.name, told.tid

    def _function(self, pointer: int) -> str:
        found = self.kernel.symbols.nearest(pointer)
        return f"{pointer:#x}" if found is None else found[0].name + (f"+{found[1]:#x}" if found[1] else "")

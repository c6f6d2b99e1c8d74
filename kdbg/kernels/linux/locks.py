"""The sleeping locks of a Linux kernel: who holds them and who waits.

Sources: include/linux/mutex.h and kernel/locking/mutex.c (MUTEX_FLAG_*: the three lowest bits of ``owner``),
include/linux/rwsem.h and kernel/locking/rwsem.c (RWSEM_*: bits of ``count`` and ``owner`` since 5.2),
include/linux/semaphore.h, include/linux/rtmutex.h (bit 0 of ``owner``: there are waiters), kernel/locking/
rtmutex_common.h; include/linux/rwbase_rt.h.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdbg.errors import Error, TypeNotFound
from kdbg.kernels.linux.lists import elements, offset_of
from kdbg.kernels.linux.trees import in_order

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.value import Value

FLAGS = 7
MUTEX_FLAGS = ((1, "waiters"), (2, "handoff"), (4, "pickup"))
WRITER_LOCKED, READER_SHIFT = 1, 8
RWSEM_FLAGS = ((2, "waiters"), (4, "handoff"))
READER_OWNED = 1
READER_BIAS, WRITER_BIAS = 1 << 31, 1 << 30
"""Of rwbase_rt.readers (include/linux/rwbase_rt.h): readers may come in; a writer has it."""
MOST_WAITERS = 100_000


@dataclass(frozen=True, slots=True)
class Waiter:
    """A task that waits for a lock."""

    task: int
    name: str
    pid: int
    mode: str = ""
    """Of an rwsem: "read" or "write"."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as it stands."""

    address: int
    kind: str
    """mutex, rwsem, semaphore or rt_mutex."""
    held: bool
    owner: int | None
    """The task that holds it; None where nobody does, or the lock does not tell: readers and semaphores."""
    owner_name: str | None
    owner_pid: int | None
    readers: int | None
    """How many hold an rwsem together; of a semaphore how many more may have it."""
    flags: tuple[str, ...]
    waiters: tuple[Waiter, ...]
    """In the order in which they will get it."""


def mutex(kernel: Linux, address: int) -> Lock:
    """The mutex at an address. Raises `Error`; kernels with PREEMPT_RT have an rt_mutex in its place."""
    value = kernel.at("struct mutex", address)
    if value.has("rtmutex"):
        return rt_mutex(kernel, value.address_of("rtmutex"))
    word = int(value.owner.counter) & _mask(kernel)
    waiters = _listed(kernel, value.address_of("wait_list"), "struct mutex_waiter")
    return _lock(kernel, address, "mutex", word & ~FLAGS, None, _named(word, MUTEX_FLAGS), waiters)


def rwsem(kernel: Linux, address: int) -> Lock:
    """The rw_semaphore at an address. Raises `Error`."""
    value = kernel.at("struct rw_semaphore", address)
    if value.has("rwbase"):
        return _rwbase(kernel, address, value.rwbase)
    waiters = _listed(kernel, value.address_of("wait_list"), "struct rwsem_waiter")
    owner = value.owner
    recent = not owner.is_pointer  # since 5.2 a number whose lowest bits are flags, as are those of count
    word = int(owner.counter) & _mask(kernel) if recent else int(owner)
    count = int(value.count.counter) & _mask(kernel)
    if not recent:
        writer = 0 if word & READER_OWNED else word & ~FLAGS
        return _lock(kernel, address, "rwsem", writer, None, (), waiters, bool(count))
    readers = (count & (1 << kernel.bits - 1) - 1) >> READER_SHIFT
    writer = word & ~FLAGS if count & WRITER_LOCKED else 0
    held = bool(count & WRITER_LOCKED or readers)
    return _lock(kernel, address, "rwsem", writer, readers, _named(count, RWSEM_FLAGS), waiters, held)


def _rwbase(kernel: Linux, address: int, base: Value) -> Lock:
    """With PREEMPT_RT an rwsem counts its readers beside an rt_mutex, which writers and those that wait take."""
    inner = rt_mutex(kernel, base.address_of("rtmutex"))
    count = int(base.readers.counter) & 0xFFFFFFFF
    written = bool(count & WRITER_BIAS) and not count & READER_BIAS
    readers = 0 if written else count & WRITER_BIAS - 1
    return replace(inner, address=address, kind="rwsem", held=written or readers > 0 or inner.held, readers=readers)


def semaphore(kernel: Linux, address: int) -> Lock:
    """The semaphore at an address. Raises `Error`."""
    value = kernel.at("struct semaphore", address)
    waiters = _listed(kernel, value.address_of("wait_list"), "struct semaphore_waiter")
    return _lock(kernel, address, "semaphore", 0, int(value.count), (), waiters, not int(value.count))


def rt_mutex(kernel: Linux, address: int) -> Lock:
    """The rt_mutex_base (before 5.15 rt_mutex) at an address; futexes that pass priorities on have one, too."""
    try:
        value = kernel.at("struct rt_mutex_base", address)
    except TypeNotFound:
        value = kernel.at("struct rt_mutex", address)
    of = kernel.type("struct rt_mutex_waiter")
    node = offset_of(of, "tree.entry" if of.has("tree") else "tree_entry")  # since 6.4 with its priority beside it
    root = int(value.waiters.rb_root.rb_node)
    tasks = (int(kernel.at("struct rt_mutex_waiter", at - node).task) for at in in_order(kernel, root, "rt_mutex"))
    waiters = tuple(_waiter(kernel, task) for task in tasks)
    return _lock(kernel, address, "rt_mutex", int(value.owner) & ~1, None, (), waiters)


LOCKS = {"mutex": mutex, "rwsem": rwsem, "semaphore": semaphore, "rt_mutex": rt_mutex}


def _lock(kernel: Linux, address: int, kind: str, owner: int, readers: int | None, flags: tuple[str, ...],
          waiters: tuple[Waiter, ...], held: bool | None = None) -> Lock:  # fmt: skip
    told = _waiter(kernel, owner) if owner else None
    return Lock(
        address=address,
        kind=kind,
        held=bool(owner) if held is None else held,
        owner=owner or None,
        owner_name=told.name if told else None,
        owner_pid=told.pid if told else None,
        readers=readers,
        flags=flags,
        waiters=waiters,
    )


def _listed(kernel: Linux, head: int, waiter: str) -> tuple[Waiter, ...]:
    found = []
    for address in elements(kernel, head, waiter, "list", f"waiters of the lock at {head:x}"):
        try:
            value = kernel.load(waiter, address)
            mode = _mode(kernel, value) if waiter == "struct rwsem_waiter" else ""
            found.append(_waiter(kernel, int(value.task), mode))
        except Error as error:
            kernel.target.note(f"waiter {address:x}: {error}")
        if len(found) >= MOST_WAITERS:
            break
    return tuple(found)


def _mode(kernel: Linux, waiter: Value) -> str:
    names = {number: name for name, number in kernel.type("enum rwsem_waiter_type").enumerators}
    return "read" if names.get(int(waiter["type"]), "").endswith("READ") else "write"


def _waiter(kernel: Linux, task: int, mode: str = "") -> Waiter:
    from kdbg.kernels.linux.tasks import Tasks

    try:
        told = kernel.part(Tasks).record(task)
    except Error:
        return Waiter(task, "?", -1, mode)
    return Waiter(task, told.name, told.tid or 0, mode)


def _named(word: int, flags: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
    return tuple(name for bit, name in flags if word & bit)


def _mask(kernel: Linux) -> int:
    """The bits of a word: an atomic_long_t is signed."""
    return (1 << kernel.bits) - 1

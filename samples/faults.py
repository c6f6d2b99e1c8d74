"""Faults planted into a built Solaris domain: what a triage has to find, each under its name.

    domain = standard().build()
    fault = lock_cycle(domain, "shell", "tail")
    fault.threads, fault.locks                          # what the finding names

Sources of the facts: <sys/mutex_impl.h>, <sys/kmem_impl.h>, <sys/taskq_impl.h>, <sys/cpuvar.h>, Xen's public xen.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from samples.solaris import Domain
from samples.threads import LBOLT

TICKS = 100
"""A second of the clock."""
HELD_SINCE = 20 * TICKS
PIL_HIGH = 15
HYPERCALL_MULTICALL = 13
"""__HYPERVISOR_multicall."""


@dataclass(frozen=True)
class Fault:
    """What was planted."""

    name: str
    """Of the finding."""
    threads: tuple[int, ...] = ()
    locks: tuple[int, ...] = ()
    addresses: tuple[int, ...] = ()
    cpus: tuple[int, ...] = ()


def _sleep_on(domain: Domain, label: str, lock: int, kind: str = "mutex", since: int = 0) -> int:
    """Put a thread to sleep on a lock, since so many ticks; returns its address."""
    address = domain.planned.thread(label).address
    thread = domain.structure("kthread_t", address)
    thread["t_state"] = 1
    thread["t_lwpchan.lc_wchan"] = lock
    thread["t_sobj_ops"] = domain.image.symbols[f"{kind}_sobj_ops"].address
    thread["t_disp_time"] = LBOLT - since
    return address


def _mutex(domain: Domain, owner: int, waiters: bool = True) -> int:
    """A mutex that a thread holds; returns its address."""
    return domain.image.words([owner | int(waiters)])


def _rwlock(domain: Domain, owner: int) -> int:
    """A readers/writer lock that a thread holds as a writer."""
    return domain.image.words([owner | 0x4 | 0x1])


def lock_cycle(domain: Domain, one: str = "shell", other: str = "tail") -> Fault:
    """Two threads of which each waits for what the other one holds: a mutex, and a readers/writer lock."""
    first, second = (domain.planned.thread(label).address for label in (one, other))
    mutex, rwlock = _mutex(domain, second), _rwlock(domain, first)
    _sleep_on(domain, one, mutex)
    _sleep_on(domain, other, rwlock, "rw")
    return Fault("lock.cycle", tuple(sorted((first, second))), (mutex, rwlock))


def owner_gone(domain: Domain, waiter: str = "shell") -> Fault:
    """A mutex whose owner is no thread, and a thread that waits for it."""
    gone = domain.planned.thread(waiter).address + 0x100000
    mutex = _mutex(domain, gone)
    return Fault("lock.owner-gone", (_sleep_on(domain, waiter, mutex),), (mutex,), (gone,))


def blocked_long(domain: Domain, waiter: str = "shell", owner: str = "tail") -> Fault:
    """A thread that has waited for twenty seconds for a mutex that another one holds, who does something else."""
    mutex = _mutex(domain, domain.planned.thread(owner).address)
    return Fault("thread.blocked-long", (_sleep_on(domain, waiter, mutex, since=HELD_SINCE),), (mutex,))


def stuck_taskq(domain: Domain, name: str = "system_taskq") -> Fault:
    """A task queue with two tasks that wait, whose threads have not run for twenty seconds."""
    queue = next(one for one in domain.planned.taskqs if one.name == name)
    head = domain.structure("taskq_t", queue.address).at("tq_task")
    first, second = (domain.image.new("taskq_ent_t") for _ in range(2))
    ring = (head, first.address, second.address)
    for at, address in enumerate(ring):
        entry = domain.structure("taskq_ent_t", address)
        entry["tqent_next"], entry["tqent_prev"] = ring[(at + 1) % 3], ring[at - 1]
    for thread in queue.threads:
        domain.structure("kthread_t", thread)["t_disp_time"] = LBOLT - HELD_SINCE
    return Fault("taskq.stuck", tuple(queue.threads), (), (queue.address,))


def overwritten_redzone(domain: Domain, cache: str = "audited_cache") -> Fault:
    """An allocated buffer of which somebody wrote over the end."""
    made = domain.caches[cache]
    buffer = next(one.address for one in made.buffers.values() if one.state == "allocated")
    domain.structure("kmem_buftag_t", buffer + made.tag_at)["bt_redzone"] = 0x4141414141414141
    return Fault("kmem.corrupt", (), (), (buffer, buffer + made.tag_at))


def changed_after_free(domain: Domain, cache: str = "audited_cache", offset: int = 24) -> Fault:
    """A free buffer in which somebody still wrote."""
    made = domain.caches[cache]
    buffer = next(one.address for one in made.buffers.values() if one.state == "free" and not one.magazine)
    domain.poke(buffer + offset, b"\x2a")
    return Fault("kmem.corrupt", (), (), (buffer, buffer + offset))


def stack_overflow(domain: Domain, label: str = "flusher") -> Fault:
    """A thread whose saved stack pointer lies below its stack."""
    planned = domain.planned.thread(label)
    pointer = planned.stack_base - 0x40
    domain.structure("kthread_t", planned.address)["t_pcb.val[1]"] = pointer
    return Fault("stack.overflow", (planned.address,), (), (pointer,))


def broken_list(domain: Domain, label: str = "shell") -> Fault:
    """A thread whose link leads to nowhere."""
    domain.structure("kthread_t", domain.planned.thread(label).address)["t_next"] = 0x1000
    return Fault("list.corrupt", (), (), (0x1000,))


def exposed_page(domain: Domain) -> Fault:
    """A page of the kernel that user mode may access."""
    page = domain.planned.thread("shell").stack_base & ~0xFFF
    domain.expose(page)
    return Fault("pte.kernel-user", (), (), (page,))


def user_not_global(domain: Domain, process: str = "bash", page: int = 0x8051000) -> Fault:
    """A user page without the global bit."""
    domain.forget_global(process, page)
    return Fault("pte.user-not-global", (), (), (page,))


def spinning(domain: Domain, cpu: int = 0) -> Fault:
    """A CPU that has not changed its thread for twenty seconds, with interrupts masked and the level raised."""
    planned = domain.planned.cpus[cpu]
    record = domain.structure("cpu_t", planned.address)
    record["cpu_last_swtch"] = LBOLT - HELD_SINCE
    record["cpu_m.mcpu_pri"] = PIL_HIGH
    return Fault("cpu.spinning", (planned.thread,), (), (), (cpu,))


def in_hypervisor(domain: Domain, cpu: int = 0) -> Fault:
    """A CPU that has stood in a hypercall for twenty seconds."""
    planned = domain.planned.cpus[cpu]
    domain.structure("cpu_t", planned.address)["cpu_last_swtch"] = LBOLT - HELD_SINCE
    page = domain.image.symbols["hypercall_page"].address
    name = "rip" if "rip" in planned.registers else "eip"
    planned.registers[name] = page + 32 * HYPERCALL_MULTICALL + 8
    return Fault("cpu.stuck-in-hypervisor", (planned.thread,), (), (), (cpu,))


def killed(domain: Domain, cpu: int = 0) -> Fault:
    """A vCPU that jumped to where nothing is mapped."""
    planned = domain.planned.cpus[cpu]
    planned.registers["rip" if "rip" in planned.registers else "eip"] = 0x1230
    return Fault("", (), (), (0x1230,), (cpu,))


FAULTS: Mapping[str, Callable[[Domain], Fault]] = {
    "lock_cycle": lock_cycle,
    "owner_gone": owner_gone,
    "blocked_long": blocked_long,
    "stuck_taskq": stuck_taskq,
    "overwritten_redzone": overwritten_redzone,
    "changed_after_free": changed_after_free,
    "stack_overflow": stack_overflow,
    "broken_list": broken_list,
    "exposed_page": exposed_page,
    "user_not_global": user_not_global,
    "spinning": spinning,
    "in_hypervisor": in_hypervisor,
}
"""Those that can be planted into a domain as `kdbg`'s tests build it."""

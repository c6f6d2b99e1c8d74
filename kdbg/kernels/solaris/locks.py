"""Mutexes and readers/writer locks: who holds them, and which threads wait for them.

A thread that waits for one is asleep with the lock's operations in t_sobj_ops and its address in t_wchan. Sources:
<sys/mutex_impl.h> (an adaptive mutex is a word: its owner's address, and bit 0 while somebody waits; in a spin mutex
bits 1 and 2 of the first byte are set), <sys/rwlock_impl.h> (rw_wwwh: bits 0 to 2 are RW_HAS_WAITERS, RW_WRITE_WANTED
and RW_WRITE_LOCKED; above them the writer's address, or the number of readers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import ReadError
from kdbg.kernels.solaris.threads import SLEEP, STATES, SolarisThread, sync_name

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MUTEX_WAITERS, MUTEX_DEAD = 0x1, 0x6
RW_WRITE_LOCKED, RW_FLAGS, RW_HOLD_SHIFT = 0x4, 0x7, 3
KINDS = ("mutex", "rwlock")
"""The kinds of lock that have an owner."""
MOST_KINDS = 1000
"""A kernel has seven; more are damage."""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock for which threads wait."""

    address: int
    kind: str
    """"mutex" or "rwlock"."""
    owner: int | None
    """Address of the thread that holds it; None where nobody does, or where readers do, who are not recorded."""
    readers: int
    waiters: tuple[int, ...]
    """Addresses of the threads that wait for it."""


class Locks:
    """The locks of one kernel."""

    def __init__(self, kernel: Solaris) -> None:
        self.kernel = kernel
        self._kinds: dict[int, str] = {}
        """Address of operations -> the kind of what they belong to."""

    def kind_waited_for(self, thread: SolarisThread) -> str | None:
        """The kind of lock that a thread waits for; None if it waits for none."""
        if thread.state != STATES[SLEEP] or not thread.wait_channel or not thread.sync_ops:
            return None
        if thread.sync_ops not in self._kinds and len(self._kinds) < MOST_KINDS:
            self._kinds[thread.sync_ops] = sync_name(self.kernel, thread.sync_ops)
        kind = self._kinds.get(thread.sync_ops)
        return kind if kind in KINDS else None

    def owner(self, kind: str, address: int) -> tuple[int | None, int]:
        """(owner, readers) of a lock. Raises `ReadError`."""
        word = self.kernel.word(address)
        if kind == "rwlock":
            holder = word & ~RW_FLAGS
            return (holder or None, 0) if word & RW_WRITE_LOCKED else (None, holder >> RW_HOLD_SHIFT)
        if word & MUTEX_DEAD:  # a spin mutex: nobody sleeps on one, and it has no owner
            return None, 0
        return (word & ~RW_FLAGS) or None, 0

    def waited_for(self, threads: Iterable[SolarisThread]) -> Iterator[HeldLock]:
        """The locks that these threads wait for; one that cannot be read has no owner, and a note says so."""
        waiting: dict[tuple[str, int], list[int]] = {}
        for thread in threads:
            kind = self.kind_waited_for(thread)
            if kind is not None:
                waiting.setdefault((kind, thread.wait_channel), []).append(thread.address)
        for (kind, address), waiters in waiting.items():
            try:
                owner, readers = self.owner(kind, address)
            except ReadError as error:
                self.kernel.target.note(f"{kind} {address:x}: {error.reason}")
                owner, readers = None, 0
            yield HeldLock(address, kind, owner, readers, tuple(waiters))

"""Processes that are dead and not yet reaped, with their parents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import Call, Table, Walk, WalkError, dcmd, decimal, padded_pointer, text, walker
from kdbg.kernels.kernel import Kernel

SZOMB = 3
"""Of p_stat (<sys/proc.h>)."""


@dataclass(frozen=True, slots=True)
class Zombie:
    """A process that nobody has waited for."""

    address: int
    pid: int
    parent: int
    name: str


ZOMBIES = Table(
    [
        padded_pointer("ADDR", "address"),
        decimal("PID", "pid", 6),
        decimal("PPID", "parent", 6),
        text("NAME", "name", 16),
    ]
)


def find_zombies(kernel: Kernel) -> Iterator[Zombie]:
    """The zombies in the order of the kernel's list."""
    for process in kernel.processes():
        proc = kernel.at("proc_t", process.address)
        if proc.p_stat == SZOMB:
            yield Zombie(process.address, process.pid, proc.p_ppid, process.name)


@dcmd("zombies", "list processes that nobody has reaped", table=ZOMBIES, needs=("solaris",), example="::zombies")
def zombies(call: Call) -> Iterator[Zombie]:
    """All of them."""
    return find_zombies(call.kernel)


@walker("zombie", "addresses of the zombies' proc_t")
def zombie(walk: Walk) -> Iterator[int]:
    """From the first one on: there is nowhere else to begin."""
    if walk.start is not None:
        raise WalkError("zombie walk has no starting point")
    return (one.address for one in find_zombies(walk.kernel))

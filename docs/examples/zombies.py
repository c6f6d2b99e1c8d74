"""Processes that are dead and not yet reaped, with their parents."""

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registry import Call, Table, decimal, dcmd, padded_pointer, text


@dataclass(frozen=True, slots=True)
class Zombie:
    address: int
    pid: int
    parent: int
    name: str


ZOMBIES = Table([padded_pointer("ADDR", "address"), decimal("PID", "pid", 6), decimal("PPID", "parent", 6), text("NAME", "name", 16)])


@dcmd("zombies", "list processes that nobody has reaped", table=ZOMBIES, needs=("kernel",), example="::zombies")
def zombies(call: Call) -> Iterator[Zombie]:
    for process in call.kernel.processes():
        proc = call.kernel.at("proc_t", process.address)
        if proc.p_stat == 3:  # SZOMB of <sys/proc.h>
            yield Zombie(process.address, process.pid, proc.p_ppid, process.name)

"""The threads of a process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdbg.dcmds.process.signals import signal_name
from kdbg.dcmds.registry import NONE, OPTIONAL, Call, Table, Walk, dcmd, decimal, label, pointer, text, walker
from kdbg.errors import CommandError, Error
from kdbg.formats.process_notes import LINUX

MODULE = "process"


@dataclass(frozen=True, slots=True)
class ThreadLine:
    """A thread of the process."""

    address: int
    """Its id: what other commands take for its address."""
    tid: int
    state: str
    signal: str | None
    pc: int
    sp: int
    name: str


_TABLE = Table([
    decimal("TID", "tid", 8), text("STATE", "state", 10), text("SIGNAL", "signal", 8), pointer("SP", "sp"),
    text("NAME", "name", 16), label("PC", "pc", 0),
])  # fmt: skip


@dcmd("threads", "list the threads", address=NONE, needs=("process",), module=MODULE, table=_TABLE,
      help="In a pipe each becomes its id, which ::regs, ::stack and ::findstack take.",
      example="::threads | ::findstack")  # fmt: skip
def threads(call: Call) -> Iterator[ThreadLine]:
    """The threads, the one that the core is about first in a core of Linux."""
    target: Any = call.target
    system, main = target.core.notes.system, target.core.notes.representative
    for one in target.threads():
        lwp = target.lwp(one.tid)
        found = lwp.registers
        pc, sp = (next((found[name] for name in names if name in found), 0) for names in _POINTERS)
        # Linux notes the signal of the whole process with every thread.
        signal = lwp.signal if lwp is main or system != LINUX else 0
        name = signal_name(signal, system) if signal else None
        yield ThreadLine(one.tid, one.tid, one.state, name, pc, sp, one.name)


_POINTERS = (("rip", "eip", "pc"), ("rsp", "esp", "sp"))


@dcmd("$l", "show the id of the thread that the core is about", address=NONE, needs=("process",), module=MODULE,
      example="$l")  # fmt: skip
def thread_id(call: Call) -> None:
    """Its id."""
    target: Any = call.target
    try:
        call.session.out.line(str(target.lwp().tid))
    except Error as error:
        raise CommandError(str(error)) from None


@dcmd("$L", "list the ids of the threads", address=OPTIONAL, needs=("process",), module=MODULE, example="$L")
def thread_ids(call: Call) -> None:
    """Their ids, in a sentence."""
    target: Any = call.target
    ids = [str(one.tid) for one in target.threads()]
    if not ids:
        told = "no lwps are"
    elif len(ids) == 1:
        told = f"lwpid {ids[0]} is the only lwp"
    else:
        told = f"lwpids {', '.join(ids[:-1])}{' and ' if len(ids) > 1 else ''}{ids[-1]} are"
    call.session.out.line(f"{told} in core of process {target.core.notes.pid or 0}.")


@walker("thread", "ids of the threads", module=MODULE)
def thread(walk: Walk) -> Iterator[int]:
    """The id of each thread."""
    target: Any = walk.target
    for one in target.threads():
        yield one.tid

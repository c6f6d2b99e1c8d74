"""Dcmds for processes and kernels, where what is looked at is neither: they say so."""

from __future__ import annotations

from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, dcmd
from kdbg.errors import CommandError

NOT_SUPPORTED = "command is not supported by current target"
NO_PROCESS = "no process active"
NO_VICTIM = "no victim process is currently under control"
NOT_ATTACHED = "debugger is not currently attached to a process or core file"


def _of_a_process(call: Call) -> bool:
    """Whether it is a program without a process, as mdb sees an ELF file or no file."""
    return call.target.kind in ("object", "none")


@dcmd("stack,$c,$C", "show the stack", address=OPTIONAL, synopsis="[cnt]", words=None)
def stack(call: Call) -> None:
    """There is no stack."""
    raise CommandError(NO_PROCESS if _of_a_process(call) else NOT_SUPPORTED)


@dcmd("stackregs", "show the stack with registers", address=OPTIONAL, words=None)
def stack_with_registers(call: Call) -> None:
    """There is no stack."""
    raise CommandError(NOT_SUPPORTED)


@dcmd("$l", "show the id of the representative thread", plain_usage=True, words=None)
def thread_id(call: Call) -> None:
    """A program that does not run has thread 0."""
    if not _of_a_process(call):
        raise CommandError(NOT_SUPPORTED)
    call.session.out.line("0")


@dcmd("$i,$y,$X,$Y,:A,:i,attach", "for processes", plain_usage=True, words=None)
def of_processes(call: Call) -> None:
    """There is no process."""
    raise CommandError(NOT_SUPPORTED)


@dcmd("kill,:k", "end the process that is looked at", plain_usage=True, words=None)
def kill(call: Call) -> None:
    """There is none."""
    raise CommandError(NO_VICTIM if _of_a_process(call) else NOT_SUPPORTED)


@dcmd("release,:R", "let go of the process that is looked at", plain_usage=True, words=None)
def release(call: Call) -> None:
    """There is none."""
    raise CommandError(NOT_ATTACHED if _of_a_process(call) else NOT_SUPPORTED)


@dcmd("context,$p", "look at another context", address=REQUIRED, words=0)
def context(call: Call) -> None:
    """There is one context only."""
    if not _of_a_process(call):
        raise CommandError(NOT_SUPPORTED)

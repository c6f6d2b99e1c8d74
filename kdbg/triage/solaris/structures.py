"""Lists that lead nowhere, and stacks that have grown past their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdbg.errors import Error, SymbolNotFound, TypeNotFound
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.threads import Threads
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

MOST = 1_000_000
Walk = Callable[[Any], Iterator[Any]]
LISTS: tuple[tuple[str, str, Walk], ...] = (
    ("threads", "::walk thread", lambda kernel: kernel.part(Threads).walk()),
    ("processes", "::walk proc", lambda kernel: kernel.processes()),
    ("modules", "::walk modctl", lambda kernel: kernel.modules()),
    ("kmem caches", "::walk kmem_cache", lambda kernel: kmem(kernel).cache_addresses()),
    ("log messages", "::msgbuf", lambda kernel: kernel.log()),
)
"""(what, command, the walk) of the lists that everything rests on."""


@analyser("lists", "lists that lead nowhere", finds=("list.corrupt",), needs=("solaris",))
def lists(case: Case) -> Iterator[Finding]:
    """Each of the kernel's main lists that cannot be followed to its end."""
    for what, command, walk in LISTS:
        before = len(case.target.notes)
        count, broken, at = 0, None, 0
        try:
            for _ in walk(case.kernel):
                case.check()
                count += 1
                if count >= MOST:
                    broken = f"it has more than {MOST} elements"
                    break
        except StoppedError as error:
            broken, at = str(error), error.address
        except (TypeNotFound, SymbolNotFound):
            continue  # of this kernel it cannot be told
        except Error as error:
            broken = str(error)
        notes = [note for note in case.target.notes[before:] if "list" in note or "ends at" in note]
        broken = broken or (notes[0] if notes else None)
        if broken:
            yield case.finding(
                "list.corrupt",
                f"the list of {what} breaks off after {count}: {broken}",
                command,
                [Evidence(note, command) for note in notes[:4]],
                addresses=[at] if at else [],
            )


@analyser("kernel stacks", "stacks that have grown past their end", finds=("stack.overflow",), needs=("solaris",))
def kernel_stacks(case: Case) -> Iterator[Finding]:
    """Each thread whose stack pointer lies outside its stack."""
    running = {cpu.thread: cpu.registers for cpu in case.target.cpus() if cpu.thread}
    for thread in case.threads:
        case.check()
        base, top = getattr(thread, "stack_base", 0), getattr(thread, "stack_top", 0)
        if not base < top:
            continue
        registers = running.get(thread.address)
        pointer = registers.get("rsp", registers.get("esp", 0)) if registers else getattr(thread, "sp", 0)
        interrupted = registers is not None and not base - (top - base) <= pointer <= top
        if not pointer or interrupted or base <= pointer <= top:
            continue  # a CPU may run on an interrupt's stack, or on its own
        where = "below its beginning" if pointer < base else "above its top"
        yield case.finding(
            "stack.overflow",
            f"the stack pointer of {case.who(thread.address)} is {pointer:x}, {where} ({base:x} to {top:x})",
            f"{thread.address:x}::findstack -v",
            threads=[thread.address],
            addresses=[pointer],
        )

"""Lists that lead nowhere, and stacks that have grown past their end."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.threads import Threads
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.lists import Walk, list_findings
from kdbg.triage.report import Finding

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
    yield from list_findings(case, LISTS)


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

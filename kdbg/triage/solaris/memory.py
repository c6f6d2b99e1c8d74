"""The object allocator and the arenas: memory that was overwritten, memory that ran out."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.errors import Error
from kdbg.kernels.solaris.integrity import CONTENT, CorruptBuffer, corrupt_buffers
from kdbg.kernels.solaris.vmem import vmem
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

WAITS_FOR_MEMORY = frozenset(
    {"page_create_throttle", "page_create_wait", "vmem_xalloc", "kmem_alloc_sleep", "anon_resvmem"}
)
"""Functions in which a thread sleeps until there is memory."""
SLEEPS = frozenset({"cv_wait", "cv_timedwait", "swtch", "delay"})
HEAP = ("heap", "kmem_va", "kmem_default", "kmem_oversize")
"""Arenas of the kernel's heap: without room there nothing goes on."""
NEARLY_ALL = 0.99


@analyser("buffers", "buffers that were overwritten", finds=("kmem.corrupt",), needs=("solaris",), budget=20.0)
def buffers(case: Case) -> Iterator[Finding]:
    """Each buffer whose redzone, tag or pattern is not as it should be."""
    for found in corrupt_buffers(case.kernel, case.target.note):
        case.check()
        yield case.finding(
            "kmem.corrupt",
            _sentence(found),
            f"{found.address:x}::whatis -v",
            [Evidence(f"the first wrong byte is at {found.at:x}", f"{found.at & ~7:x},2/nJ")],
            addresses=[found.address, found.at],
        )


def _sentence(found: CorruptBuffer) -> str:
    state = "allocated" if found.allocated else "free"
    what = "was changed after it was freed" if found.what == CONTENT else f"has a corrupt {found.what}"
    return f"{state} buffer {found.address:x} of {found.cache_name} {what}"


@analyser("memory", "memory that ran out", finds=("kmem.exhausted",), needs=("solaris",))
def memory(case: Case) -> Iterator[Finding]:
    """A heap without room, or threads that sleep until there is memory; few free pages alone are no fault."""
    facts = list(_arenas(case))
    waiting = [thread.address for thread in case.threads if thread.state == "sleep" and _waits(case, thread.address)]
    facts += [
        Evidence(f"{case.who(thread)} sleeps until there is memory", f"{thread:x}::findstack -v")
        for thread in waiting[:8]
    ]
    if facts:
        facts += _free_pages(case)
        yield case.finding(
            "kmem.exhausted", f"memory ran out: {facts[0].text}", facts[0].command, facts, threads=waiting
        )


def _free_pages(case: Case) -> Iterator[Evidence]:
    """Fewer free pages than are kept for the pager (vm/vm_system: freemem, throttlefree, minfree)."""
    try:
        free = int(case.kernel.variable("freemem"))
        limit = int(case.kernel.variable("throttlefree"))
    except (Error, TypeError):
        return
    if 0 <= free <= limit and limit:
        yield Evidence(f"{free} pages are free, and below {limit} all but the pager have to wait", "freemem/E")


def _arenas(case: Case) -> Iterator[Evidence]:
    try:
        arenas = list(vmem(case.kernel).arenas())
    except Error:
        return
    for arena in arenas:
        if arena.name in HEAP and arena.total and arena.failed and arena.in_use >= NEARLY_ALL * arena.total:
            yield Evidence(
                f"arena {arena.name} has {arena.in_use} of {arena.total} bytes in use and refused {arena.failed} times",
                f"{arena.address:x}::vmem",
            )


def _waits(case: Case, thread: int) -> bool:
    functions = [frame.function for frame in case.stack(thread)[:8]]
    return any(function in WAITS_FOR_MEMORY for function in functions)

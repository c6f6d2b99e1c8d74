"""Lists of free objects that were overwritten, and tasks that get no memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdbg.kernels.linux.slub import SlabPages
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding
from kdbg.triage.signature import bare

MOST_SHOWN = 8


@analyser("slabs", "free objects that were overwritten", finds=("kmem.corrupt",), needs=("linux", "types"), budget=20.0)
def slabs(case: Case) -> Iterator[Finding]:
    """Each cache whose lists of free objects lead astray."""
    case.kernel.part(SlabPages)  # what of it cannot be told of this kernel is no fault of the dump's
    for found in case.target.run("::kmem_verify"):
        case.check()
        problems: Any = getattr(found, "problems", ())
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            yield case.finding(
                "kmem.corrupt",
                f"slab cache {found.name}: {problems[0]}{more}",
                f"{found.address:x}::kmem_verify",
                [Evidence(str(problem)) for problem in problems[:MOST_SHOWN]],
                addresses=[found.address],
            )


WAITS_FOR_MEMORY = frozenset({
    "out_of_memory", "oom_kill_process", "__alloc_pages_slowpath", "throttle_direct_reclaim", "__alloc_pages_may_oom",
    "should_reclaim_retry", "pagefault_out_of_memory",
})  # fmt: skip
"""Functions of mm/page_alloc.c, vmscan.c and oom_kill.c to which a task comes only where no page is free for it."""
MANY = 3
"""So many at once are no chance."""


@analyser("memory", "memory that ran out", finds=("kmem.exhausted",), needs=("linux", "types"))
def memory(case: Case) -> Iterator[Finding]:
    """Tasks that get no page: one that looks for a task to kill, or several that wait for pages to become free."""
    waiting: dict[int, str] = {}
    for thread, frames in case.stacks():
        named = (bare(frame.function) for frame in frames if frame.function)
        place = next((function for function in named if function in WAITS_FOR_MEMORY), None)
        if place is not None:
            waiting[thread.address] = place
    kills = any("out_of_memory" in place or "oom" in place for place in waiting.values())
    if not kills and len(waiting) < MANY:
        return
    facts = [
        Evidence(f"{case.who(task)} is in {place}", f"{task:x}::findstack -v")
        for task, place in list(waiting.items())[:MOST_SHOWN]
    ]
    yield case.finding("kmem.exhausted", f"memory ran out: {facts[0].text}", "::memstat", facts, threads=list(waiting))

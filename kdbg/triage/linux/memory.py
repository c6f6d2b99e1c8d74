"""The slab allocator: lists of free objects that were overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdbg.kernels.linux.slub import SlabPages
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

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

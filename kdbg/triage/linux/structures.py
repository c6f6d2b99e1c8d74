"""Lists that lead nowhere, and stacks that have grown past their end.

Sources: include/uapi/linux/magic.h (STACK_END_MAGIC), include/linux/sched/task_stack.h (end_of_stack: the lowest word
of a stack, behind thread_info where that lies there).
"""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.errors import Error
from kdbg.kernels.linux.slabs import slab_caches
from kdbg.kernels.linux.tasks import LinuxThread
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.lists import Walk, list_findings
from kdbg.triage.report import Finding

STACK_END = 0x57AC6E9D
MOST_STACK = 1 << 17
LISTS: tuple[tuple[str, str, Walk], ...] = (
    ("tasks", "::walk thread", lambda kernel: kernel.threads()),
    ("modules", "::modinfo", lambda kernel: kernel.modules()),
    ("slab caches", "::kmem_cache", slab_caches),
    ("log messages", "::msgbuf", lambda kernel: kernel.log()),
)
"""(what, command, the walk) of the lists that everything rests on."""


@analyser("lists", "lists that lead nowhere", finds=("list.corrupt",), needs=("linux", "types"))
def lists(case: Case) -> Iterator[Finding]:
    """Each of the kernel's main lists that cannot be followed to its end."""
    yield from list_findings(case, LISTS)


@analyser("kernel stacks", "stacks that have grown past their end", finds=("stack.overflow",), needs=("linux", "types"))
def kernel_stacks(case: Case) -> Iterator[Finding]:
    """Each task whose stack's last word was overwritten."""
    end = _end_of_stack(case)
    for thread in case.threads:
        case.check()
        if not isinstance(thread, LinuxThread) or not thread.stack:
            continue
        try:
            word = case.kernel.memory.read(thread.stack + end, 4)
        except Error:
            continue
        below = 0 < thread.sp < thread.stack and thread.stack - thread.sp < MOST_STACK
        if int.from_bytes(word, "little") == STACK_END and not below:
            continue
        what = (
            f"its stack pointer {thread.sp:x} lies below it" if below else f"the mark at {thread.stack + end:x} is gone"
        )
        yield case.finding(
            "stack.overflow",
            f"the stack of {case.who(thread.address)} has grown past its end: {what}",
            f"{thread.address:x}::findstack -v",
            threads=[thread.address],
            addresses=[thread.stack + end],
        )


def _end_of_stack(case: Case) -> int:
    """Where the mark lies in a stack: behind thread_info, unless that is part of task_struct."""
    task = case.kernel.type("struct task_struct")
    return 0 if task.has("thread_info") else int(case.kernel.type("struct thread_info").size)

"""Lists that lead nowhere, and stacks that have grown past their end.

Sources: include/uapi/linux/magic.h (STACK_END_MAGIC), include/linux/sched/task_stack.h (end_of_stack: the lowest word
of a stack, behind thread_info where that lies there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdbg.errors import Error, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.slabs import slab_caches
from kdbg.kernels.linux.tasks import LinuxThread
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

STACK_END = 0x57AC6E9D
MOST_STACK = 1 << 17
Walk = Callable[[Any], Iterator[Any]]
LISTS: tuple[tuple[str, str, Walk], ...] = (
    ("tasks", "::walk thread", lambda kernel: kernel.threads()),
    ("modules", "::modinfo", lambda kernel: kernel.modules()),
    ("slab caches", "::kmem_cache", slab_caches),
    ("log messages", "::msgbuf", lambda kernel: kernel.log()),
)
"""(what, command, the walk) of the lists that everything rests on."""
BROKEN = ("breaks off", "ends at", "loop", "circle", "leads", "comes a second time", "cannot be followed")
"""In a note: a list that was not followed to its end."""


@analyser("lists", "lists that lead nowhere", finds=("list.corrupt",), needs=("linux", "types"))
def lists(case: Case) -> Iterator[Finding]:
    """Each of the kernel's main lists that cannot be followed to its end."""
    for what, command, walk in LISTS:
        before, count, broken = len(case.target.notes), 0, None
        try:
            for _ in walk(case.kernel):
                case.check()
                count += 1
        except (TypeNotFound, SymbolNotFound):
            continue  # of this kernel it cannot be told
        except Error as error:
            broken = str(error)
        notes = [note for note in case.target.notes[before:] if any(word in note for word in BROKEN)]
        broken = broken or next(iter(notes), None)
        if broken:
            yield case.finding(
                "list.corrupt",
                f"the list of {what} breaks off after {count}: {broken}",
                command,
                [Evidence(note, command) for note in notes[:4]],
            )


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

"""The CPUs' areas and run queues by their form: a pointer to the CPU's idle task, then one to the thread that stops it.

Sources: kernel/sched/sched.h (struct rq: curr, idle, stop), kernel/fork.c (fork_idle: swapper/N), arch/x86/kernel/
setup_percpu.c (__per_cpu_offset; the areas lie one behind another), arch/x86/include/asm/percpu.h (fs or gs).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy

from kdbg.kernels.linux.probe.samples import some, words_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.kernels.linux.probe.table import Table

LARGEST_AREA, MOST_CPUS = 1 << 25, 512
STATIC = 1 << 25
"""Bytes of an image, or of an area, in which per-CPU variables are looked for."""
WINDOW = 1 << 20


def probe(table: Table) -> None:
    """Find ``__per_cpu_offset`` and the run queues; struct rq is known by these three members alone."""
    for address, offsets in _tables(table.kernel):
        place = _idle(table, offsets)
        if place is not None:
            table.heads["__per_cpu_offset"] = address
            table.heads["runqueues"] = place - table.word
            for at, name in enumerate(("curr", "idle", "stop")):
                table.member("rq", name, "struct task_struct *", at * table.word)
            return
    table.missing.append("runqueues (idle tasks of other CPUs)")


def _tables(kernel: Linux) -> Iterator[tuple[int, list[int]]]:
    """(address, offsets of the CPUs) of what may be __per_cpu_offset: one of them is what a CPU has in fs or gs."""
    word, register = kernel.bits // 8, "fs_base" if kernel.bits == 32 else "gs_base"
    contexts = kernel.target.image.contexts
    known = [context.get(register, 0) for context in contexts[:MOST_CPUS]]
    at = next((number for number, base in enumerate(known) if base and kernel.in_kernel(base)), None)
    if at is None and kernel.bits == 32:  # offsets from where the image has its part, so they may be small
        at = next((number for number, base in enumerate(known) if base and base % 4096 == 0), None)
    if at is None:
        return
    for segment in kernel.mapping.segments:  # it is written while the kernel starts, and read-only then
        for hit in kernel.mapping.search(segment, known[at].to_bytes(word, "little")):
            address = hit - at * word
            data = some(kernel, address, len(known) * word)
            offsets = [int.from_bytes(data[start : start + word], "little") for start in range(0, len(data), word)]
            steps = [following - before for before, following in pairwise(offsets)]
            if len(offsets) == len(known) and all(0 < step < LARGEST_AREA and step % 4096 == 0 for step in steps):
                yield address, offsets


def _idle(table: Table, offsets: list[int]) -> int | None:
    """Where the pointer to the idle task is, as an address that the offsets are added to."""
    kernel, word = table.kernel, table.word
    first, mask = table.heads["init_task"], (1 << kernel.bits) - 1
    image = kernel.symbols.image
    start = image.first if image is not None and kernel.bits == 32 else 0
    for begin in range(start, start + STATIC, WINDOW):
        data = some(kernel, offsets[0] + begin & mask, WINDOW)
        words = numpy.frombuffer(data[: len(data) // word * word], "<u8" if word == 8 else "<u4")
        for at in numpy.flatnonzero(words == first).tolist():
            place = begin + at * word
            if all(_is_queue(table, offset + place & mask, cpu) for cpu, offset in enumerate(offsets)):
                return place
    return None


def _is_queue(table: Table, place: int, cpu: int) -> bool:
    """Whether the idle task and the stopping thread of a CPU are pointed to from there."""
    comm = table.offset("task_struct", "comm") or 0
    idle, stop = words_of(table.kernel, [place, place + table.word])
    names = [some(table.kernel, task + comm, 16).partition(b"\0")[0] for task in (idle, stop)]
    return names[0] in (b"swapper", b"swapper/%d" % cpu) and names[1] == b"migration/%d" % cpu

"""The work queues of a Linux kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError
from kdbg.kernels.linux.workqueues import INACTIVE, PENDING, RUNNING, Pool, Queue, Work, WorkQueues


def _works(works: tuple[Work, ...], view: View) -> list[str]:
    width, lines = view.pointer_width, []
    for one in works:
        by = f" by {one.worker_name}/{one.worker_tid} {one.worker:x}" if one.worker else ""
        queue = f" of {one.queue}" if one.queue else ""
        lines.append(f"    {one.state:<8} {one.address:0{width}x} {one.function}{queue}{by}, pool {one.pool}")
    return lines


@dataclass(frozen=True, slots=True)
class QueueTable(Table):
    """Work queues, a line each; ``detailed``: with their works."""

    detailed: bool = False

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'ADDR':<{view.pointer_width}} {'NAME':<24} RUN PEND INACT MAX POOLS FLAGS"

    def row(self, record: Queue, view: View) -> str:
        """A queue: how many of its works are in each state."""
        counts = [sum(work.state == state for work in record.works) for state in (RUNNING, PENDING, INACTIVE)]
        most = "-" if record.max_active is None else str(record.max_active)
        line = (
            f"{record.address:0{view.pointer_width}x} {record.name:<24} {counts[0]:>3} {counts[1]:>4} {counts[2]:>5} "
            f"{most:>3} {len(record.pools):>5} {','.join(record.flags) or '-'}"
        )
        return "\n".join([line, *(_works(record.works, view) if self.detailed else ())])


@dataclass(frozen=True, slots=True)
class PoolTable(Table):
    """Pools of workers, a line each; ``detailed``: with what they do."""

    detailed: bool = False

    def heading(self, view: View) -> str:
        """The headings."""
        return f"{'ADDR':<{view.pointer_width}} POOL CPU NICE WORKERS IDLE RUN PEND FLAGS"

    def row(self, record: Pool, view: View) -> str:
        """A pool."""
        cpu, nice = ("-" if one is None else str(one) for one in (record.cpu, record.nice))
        line = (
            f"{record.address:0{view.pointer_width}x} {record.id:>4} {cpu:>3} {nice:>4} {record.workers:>7} "
            f"{record.idle:>4} {len(record.busy):>3} {len(record.pending):>4} {','.join(record.flags) or '-'}"
        )
        return "\n".join([line, *(_works((*record.busy, *record.pending), view) if self.detailed else ())])


@dcmd(
    "workqueues,workqueue",
    "list the work queues and their work",
    address=OPTIONAL,
    synopsis="[-ipv]",
    needs=("kernel",),
    module="linux",
    options=[
        flag("i", "only those that have work"),
        flag("p", "the pools of workers instead"),
        flag("v", "with each work: what it calls, who does it"),
    ],
    table=lambda call: (PoolTable if call.options.p else QueueTable)(detailed=bool(call.options.v)),
    help="Work queues with how much of their work runs, is pending, or is held back because enough of it runs. With -p "
    "the pools that do the work: their CPU, how many workers they have and how many of these are idle. An address: the "
    "queue or pool that lies there.",
    example="::workqueues -iv",
)
def workqueues(call: Call) -> Iterator[Queue | Pool]:
    """All queues or pools, or one."""
    with about("work queues", call.kernel):
        part: WorkQueues = call.kernel.part(WorkQueues)
        records: list[Queue] | list[Pool] = part.pools() if call.options.p else part.queues()
    if call.explicit and all(record.address != call.address for record in records):
        raise CommandError(
            f"{call.address:x} is the address of no {'pool of workers' if call.options.p else 'work queue'}"
        )
    for record in records:
        works = record.works if isinstance(record, Queue) else (*record.busy, *record.pending)
        if (not call.explicit or record.address == call.address) and (works or not call.options.i):
            yield record

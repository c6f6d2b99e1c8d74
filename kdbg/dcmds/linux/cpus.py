"""The CPUs of a Linux kernel and their run queues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag
from kdbg.errors import CommandError
from kdbg.kernels.linux.runqueues import CpuInfo, cpu_infos


@dataclass(frozen=True, slots=True)
class CpuTable(Table):
    """A row for each CPU; ``detailed``: below it the processor's name and the tasks that wait."""

    detailed: bool = False

    def heading(self, view: View) -> str:
        """The headings, those of Solaris where there is the same to tell."""
        width = view.pointer_width
        return f" ID {'ADDR':<{width}} NRUN PRI {'SWITCHES':>10} {'SWITCH':>10} {'THREAD':<{width}} PROC"

    def row(self, record: CpuInfo, view: View) -> str:
        """A CPU."""
        width = view.pointer_width
        since = "-" if record.since is None else f"t-{record.since:.3f}s"
        lines = [
            f"{record.id:>3} {record.address:0{width}x} {record.runnable:>4} {record.priority:>3} "
            f"{record.switches:>10} {since:>10} {record.thread:0{width}x} {record.name}/{record.tid}"
        ]
        if self.detailed:
            if record.model:
                lines.append(f"      {record.model}")
            if record.behind is not None and record.behind >= 1:
                lines.append(f"      its clock was last looked at {record.behind:.3f}s before the latest of all")
            if record.queue:
                lines.append(f"      |\n      +-->  PRI {'THREAD':<{width}} PROC")
            lines += [
                f"            {one.priority:>3} {one.address:0{width}x} {one.name}/{one.tid}" for one in record.queue
            ]
        return "\n".join(lines)


@dcmd(
    "cpuinfo",
    "show what the CPUs are doing",
    address=OPTIONAL,
    synopsis="[-v]",
    needs=("kernel",),
    module="linux",
    options=[flag("v", "with the processor's name and the tasks that wait for the CPU")],
    table=lambda call: CpuTable(detailed=bool(call.options.v)),
    pipe=lambda record: record.thread,
    help="A row for each CPU: its run queue, how many tasks want it, how often it has changed from one to another, for "
    "how long the task on it has been there. An id, or the address of a run queue, shows that CPU alone.",
    example="::cpuinfo -v",
    hint=False,
)
def cpuinfo(call: Call) -> Iterator[CpuInfo]:
    """All CPUs, or one."""
    with about("CPUs", call.kernel):
        found = list(cpu_infos(call.kernel, with_queues=bool(call.options.v)))
    if not found:
        raise CommandError("the run queues of the CPUs are not found")
    matching = [one for one in found if not call.explicit or call.address in (one.id, one.address)]
    if not matching:
        raise CommandError(f"{call.address:x} is neither a CPU's id nor the address of its run queue")
    yield from matching

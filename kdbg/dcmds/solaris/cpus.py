"""CPUs: what they do, their stacks and their registers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdbg.dcmds.registers import Registers, registers_text
from kdbg.dcmds.registry import OPTIONAL, Call, Table, View, dcmd, flag, number
from kdbg.dcmds.solaris.stack import DEFAULT_ARGUMENTS, FrameTable, argument_limit
from kdbg.dcmds.solaris.walkers import cpu_problem
from kdbg.errors import CommandError, Error, ReadError, UsageError
from kdbg.kernels.contexts import context_registers
from kdbg.kernels.solaris.cpus import CpuInfo, Cpus, context_of
from kdbg.kernels.solaris.lists import StoppedError
from kdbg.kernels.solaris.stacks import Unwinder
from kdbg.records import Frame


def _columns(pointer: int) -> tuple[int, int]:
    """Columns before the lists of threads, and before the line that leads to the flags."""
    return 3 + pointer + 9, 3 + pointer + 4


@dcmd(
    "cpuinfo",
    "show what the CPUs are doing",
    address=OPTIONAL,
    synopsis="[-v]",
    needs=("kernel",),
    module="genunix",
    options=[flag("v", "with flags, interrupt threads and run queue")],
    table=lambda call: CpuTable(detailed=bool(call.options.v)),
    example="::cpuinfo -v",
    help=(
        "A row for each CPU: its flags, length of its queue, priorities, and the thread and process on it. An "
        "address or an id shows that CPU alone; -v adds the state of its queue and interrupt threads."
    ),
    hint=False,
)
def cpuinfo(call: Call) -> Iterator[CpuInfo]:
    """All CPUs, or the one with an id or address."""
    cpus: Cpus = call.kernel.part(Cpus)
    wanted = call.address_given
    known = _known(call, cpus)
    interrupts = cpus.interrupt_threads() if call.options.v else None
    matching = [one for one in known if wanted in (None, one[0], one[1]["id"])]
    if wanted is not None:
        matching = matching[:1]
        if not matching:
            try:
                matching = [(wanted, cpus.load(wanted))]
            except ReadError:
                raise CommandError(f"{wanted:x} is neither a valid CPU ID nor a valid cpu_t address") from None
    for address, cpu in matching:
        try:
            yield cpus.info(address, cpu, None if interrupts is None else interrupts.get(cpu["id"], {}))
        except StoppedError as broken:
            what = "disp_t" if broken.address == cpu["dispatcher"] else "kthread_t"
            raise CommandError(f"failed to read {what} at {broken.address:x}: {broken.reason}") from None


def _known(call: Call, cpus: Cpus) -> list[tuple[int, dict[str, int]]]:
    try:
        return cpus.walk()
    except Error as error:
        call.warn(cpu_problem(error))
        raise CommandError("can't walk cpus: failed to initialize walk") from None


@dataclass(frozen=True, slots=True)
class CpuTable(Table):
    """A row for each CPU; or, ``detailed``, a block: headings, row, below it flags (left) and threads (right)."""

    detailed: bool = False

    def heading(self, view: View) -> str | None:
        """The headings; blocks have their own."""
        return None if self.detailed else _heading(view)

    def row(self, record: CpuInfo, view: View) -> str:
        """A CPU."""
        if not self.detailed:
            return _row(record, view)
        lines = [_heading(view), _row(record, view)]
        left, right = _flag_lines(record, view), _thread_lines(record, view)
        blank = " " * _columns(view.pointer_width)[0]
        lines += [(left[at] if at < len(left) else blank) + line for at, line in enumerate(right)]
        return "\n".join([*lines, *left[len(right) :], ""])


def _heading(view: View) -> str:
    width = view.pointer_width
    return f" ID {'ADDR':<{width}} FLG NRUN BSPL PRI RNRN KRNRN SWITCH {'THREAD':<{width}} PROC"


def _row(record: CpuInfo, view: View) -> str:
    priority = "-" if record.priority is None else str(record.priority)
    since = f"{'-':<6}" if record.since_switch is None else f"t-{record.since_switch:<4}"
    preempt = f"{'yes' if record.run_run else 'no':>4} {'yes' if record.kernel_run_run else 'no':>5}"
    width = view.pointer_width
    return (
        f"{record.id:>3} {record.address:0{width}x} {record.flags:>3x} {record.runnable:>4} {record.base_spl:>4} "
        f"{priority:>3} {preempt} {since} {record.thread:0{width}x} {record.process}"
    )


def _flag_lines(record: CpuInfo, view: View) -> list[str]:
    before, bar = _columns(view.pointer_width)
    width = 3 + view.pointer_width
    names = [f"{name:>{width}} {'<--+' if at == 0 else ''}" for at, name in enumerate(record.flag_names)]
    return [line.ljust(before) for line in ([" " * bar + "|"] if names else []) + names]


def _thread_lines(record: CpuInfo, view: View) -> list[str]:
    width, lines = view.pointer_width, []
    bar = "|" if record.runnable else " "
    if record.interrupts:
        lines += [f"{bar}    |", f"{bar}    +--> PIL THREAD"]
        lines += [f"{bar}         {level:>3} {thread:0{width}x}" for level, thread in record.interrupts]
        if record.pinned is not None:
            lines.append(f"{bar}           - {record.pinned.address:0{width}x} {record.pinned.command}")
    if record.runnable:
        lines += ["|", f"+-->  PRI {'THREAD':<{width}} PROC"]
        lines += [f"      {one.priority:>3} {one.address:0{width}x} {one.command}" for one in record.queue]
    return lines


# stacks and registers


def _cpu_id(call: Call) -> int:
    """The CPU that a call means: by ``-c``, by the address of its structure, or the first."""
    if call.options.c is not None:
        return int(call.options.c)
    if not call.explicit:
        return 0
    try:
        return int(call.kernel.part(Cpus).load(call.address)["id"])
    except ReadError:
        raise CommandError(f"failed to find cpuid for cpu at {call.address:x}: no mapping for address") from None


@dcmd(
    "cpustack",
    "show the stack of a CPU",
    address=OPTIONAL,
    synopsis="[-v] [-c cpuid] [cnt]",
    module="kernel",
    options=[flag("v", "with frame pointers"), number("c", "cpuid", "of that CPU")],
    words=None,
    needs=("kernel",),
    table=lambda call: _frame_table(call),
    example="::cpustack -c 0",
    help=(
        "Shows the stack of a CPU from the registers that the dump holds of it, outermost frame last. An "
        "address names the CPU structure."
    ),
    hint=False,
)
def cpustack(call: Call) -> Iterator[Frame]:
    """The frames from the CPU's frame pointer on; its program counter itself is not shown."""
    cpu = _cpu_id(call)
    context = context_of(call.kernel, cpu)
    if context is None:
        raise CommandError(f"failed to get regs for cpu {cpu}")
    unwinder: Unwinder = call.kernel.part(Unwinder)
    yield from unwinder.frames(context.get("rbp", context.get("ebp", 0)))


def _frame_table(call: Call) -> Table:
    return FrameTable(with_pointer=bool(call.options.v), limit=argument_limit(call, DEFAULT_ARGUMENTS))


@dcmd(
    "cpuregs",
    "show the registers of a CPU",
    address=OPTIONAL,
    synopsis="[-c cpuid]",
    module="kernel",
    options=[number("c", "cpuid", "of that CPU")],
    needs=("kernel",),
    text=registers_text,
    example="::cpuregs -c 1",
    help="Shows the registers that the dump holds of a CPU: those of the virtual CPU when the dump was taken.",
    hint=False,
)
def cpuregs(call: Call) -> Iterator[Registers]:
    """The registers that the dump holds of the CPU."""
    if call.explicit and call.options.c is not None:
        raise UsageError("")
    cpu = _cpu_id(call)
    context = context_of(call.kernel, cpu)
    if context is None:
        raise CommandError(f"failed to get regs for cpu {cpu}")
    yield Registers(context_registers(context), cpu)

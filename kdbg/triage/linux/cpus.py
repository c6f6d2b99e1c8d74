"""CPUs that get nowhere.

A CPU's run queue has a clock (struct rq of kernel/sched/sched.h), which goes on with every tick and every change of
task: one that stands while those of others go on tells a CPU that takes no interrupts any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kdbg.errors import Error
from kdbg.kernels.linux.runqueues import run_queues
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import CpuState, Evidence, Finding, StackFrame
from kdbg.triage.signature import bare

NANOSECONDS = 1e9
LONG = 10.0
"""Seconds without a tick."""
INTERRUPT_FLAG = 0x200
"""IF of x86's flags; of arm64's pstate the mask has the other sense (PSR_I_BIT)."""
MASKED = 0x80
SPINNING = frozenset({
    "native_queued_spin_lock_slowpath", "queued_spin_lock_slowpath", "__pv_queued_spin_lock_slowpath", "_raw_spin_lock",
    "_raw_spin_lock_irq", "_raw_spin_lock_irqsave", "queued_read_lock_slowpath", "queued_write_lock_slowpath",
    "smp_call_function_many_cond", "smp_call_function_single", "csd_lock_wait", "multi_cpu_stop", "osq_lock",
    "pv_wait", "kvm_wait", "xen_qlock_wait",
})  # fmt: skip
"""Functions that wait in a loop: for a spin lock, for other CPUs' answers."""
HYPERCALLS = ("xen_hypercall_", "hypercall_page", "kvm_hypercall", "hv_do_hypercall")
WAITS_IN_HYPERVISOR = frozenset({"xen_hypercall_sched_op"})
"""Where an idle CPU of a Xen guest waits."""
DEEP = 4


@analyser("CPUs", "CPUs that get nowhere", finds=("cpu.spinning", "cpu.stuck-in-hypervisor"), needs=("linux", "types"))
def cpus(case: Case) -> Iterator[Finding]:
    """Each busy CPU that has had no tick for long, or spins with interrupts off."""
    if case.failure is not None:
        return  # the other CPUs were stopped
    clocks = _clocks(case)
    latest = max(clocks.values(), default=0)
    by_id = {cpu.id: cpu.registers for cpu in case.target.cpus()}
    for position, cpu in enumerate(case.cpus):
        case.check()
        if cpu.doing in ("idle", "user code") or not by_id.get(cpu.id):
            continue
        silent = (latest - clocks[cpu.id]) / NANOSECONDS if clocks.get(cpu.id) else 0.0
        frames = case.named(case.account.cpu_frames(position))
        finding = _in_hypervisor(case, cpu, silent, frames) or _spinning(case, cpu, silent, by_id[cpu.id], frames)
        if finding is not None:
            yield finding


def _clocks(case: Case) -> dict[int, int]:
    """CPU -> nanoseconds of its run queue's clock."""
    found = {}
    for number, address in run_queues(case.kernel).items():
        try:
            found[number] = int(case.kernel.at("struct rq", address).clock)
        except Error:
            continue
    return found


def _in_hypervisor(case: Case, cpu: CpuState, silent: float, frames: tuple[StackFrame, ...]) -> Finding | None:
    place = frames[0].function if frames else None
    if not place or not place.startswith(HYPERCALLS) or place in WAITS_IN_HYPERVISOR or silent < LONG:
        return None
    return _finding(case, cpu, "cpu.stuck-in-hypervisor", f"has stood in {place} for {silent:.0f} s", frames)


def _spinning(
    case: Case, cpu: CpuState, silent: float, registers: Mapping[str, int], frames: tuple[StackFrame, ...]
) -> Finding | None:
    named = (bare(frame.function) for frame in frames[:DEEP] if frame.function)
    waits = next((function for function in named if function in SPINNING), None)
    off = interrupts_off(registers)
    if silent < LONG and not (off and waits):
        return None
    facts = ["with interrupts off" if off else "", f"without a tick for {silent:.0f} s" if silent >= LONG else ""]
    where = waits or next((frame.function for frame in frames if frame.function), "the kernel")
    what = f"runs {cpu.name or 'the kernel'} {' and '.join(fact for fact in facts if fact)}, in {where}"
    return _finding(case, cpu, "cpu.spinning", what, frames)


def _finding(case: Case, cpu: CpuState, name: str, what: str, frames: tuple[StackFrame, ...]) -> Finding:
    shown = " < ".join(frame.function for frame in frames[:6] if frame.function)
    return case.finding(
        name,
        f"CPU {cpu.id} {what}",
        f"::cpustack -c {cpu.id}",
        [Evidence(f"its stack is {shown}", f"::cpuregs -c {cpu.id}")] if shown else (),
        threads=[cpu.thread] if cpu.thread else [],
        cpus=[cpu.id],
    )


def interrupts_off(registers: Mapping[str, int]) -> bool:
    """Whether interrupts are off on a CPU, by its flags; a paravirtual guest's flags do not tell."""
    if "pstate" in registers:
        return bool(registers["pstate"] & MASKED)
    flags = registers.get("rflags", registers.get("eflags"))
    return flags is not None and not flags & INTERRUPT_FLAG

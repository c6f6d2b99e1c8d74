"""CPUs that get nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kdbg.errors import Error
from kdbg.kernels.solaris.cpus import CpuInfo, Cpus
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding, StackFrame

INTERRUPT_FLAG = 0x200
"""IF of the flags register."""
TICKS = 100
LONG = 10 * TICKS
"""Ticks without another thread after which a CPU is taken to be stuck."""
HIGH_LEVEL = 10
"""LOCK_LEVEL of <sys/machlock.h>: at this level and above no thread is put on the CPU."""
SPINNING = frozenset({
    "lock_set", "lock_set_spin", "lock_set_spl", "lock_set_spl_spin", "disp_lock_enter", "disp_lock_enter_high",
    "mutex_vector_enter", "lock_spin_try", "xc_serv", "xc_common", "xc_do_call", "xc_call", "xc_sync", "thread_lock",
})  # fmt: skip
"""Functions that wait in a loop: for a spin lock, for other CPUs' answers."""
HYPERCALL_PAGE, HYPERCALL_SIZE = "hypercall_page", 32
SCHED_OP = frozenset({6, 29})
"""__HYPERVISOR_sched_op_compat and __HYPERVISOR_sched_op of Xen's xen.h: an idle CPU waits in there."""


@analyser(
    "CPUs", "CPUs that get nowhere", finds=("cpu.spinning", "cpu.stuck-in-hypervisor"), needs=("solaris", "vcpus")
)
def cpus(case: Case) -> Iterator[Finding]:
    """Each CPU that is not idle and has had the same thread for long, or spins with interrupts off."""
    if case.failure is not None:
        return  # the other CPUs were stopped, and all stand where a panic puts them
    part = case.kernel.part(Cpus)
    registers = {cpu.id: cpu.registers for cpu in case.target.cpus()}
    for position, (address, members) in enumerate(part.walk()):
        case.check()
        info = part.info(address, members)
        if info.process == "(idle)" or not registers.get(info.id):
            continue
        frames = case.named(case.account.cpu_frames(position))
        finding = _stuck_in_hypervisor(case, info, registers[info.id]) or _spinning(
            case, info, registers[info.id], frames
        )
        if finding is not None:
            yield finding


def _place(registers: Mapping[str, int]) -> int:
    return registers.get("rip", registers.get("eip", 0))


def _stuck_in_hypervisor(case: Case, info: CpuInfo, registers: Mapping[str, int]) -> Finding | None:
    """A CPU that has been in a hypercall since long ago, other than the one in which an idle CPU waits."""
    try:
        page = case.kernel.symbol(HYPERCALL_PAGE).address
    except Error:
        return None
    number, _ = divmod(_place(registers) - page, HYPERCALL_SIZE)
    if not 0 <= number < 4096 // HYPERCALL_SIZE or number in SCHED_OP or (info.since_switch or 0) < LONG:
        return None
    return case.finding(
        "cpu.stuck-in-hypervisor",
        f"CPU {info.id} has stood in hypercall {number} for {(info.since_switch or 0) / TICKS:.0f} s in {info.process}",
        f"::cpustack -c {info.id}",
        [Evidence(f"its place is {case.where(_place(registers))}", f"::cpuregs -c {info.id}")],
        threads=[info.thread],
        cpus=[info.id],
    )


def _spinning(
    case: Case, info: CpuInfo, registers: Mapping[str, int], frames: tuple[StackFrame, ...]
) -> Finding | None:
    """A CPU in the kernel that lets nothing else run and does not move on."""
    reasons = []
    if interrupts_off(case, info, registers):
        reasons.append("with interrupts off")
    level, raised = _level(case, info)
    if level >= HIGH_LEVEL:
        reasons.append(f"at interrupt level {level}")
    waits = next((frame.function for frame in frames[:4] if frame.function in SPINNING), None)
    long = (info.since_switch or 0) >= LONG and (raised or level < HIGH_LEVEL)
    if not reasons or not (long or waits) or not _in_kernel(case, _place(registers)):
        return None
    since = f" for {(info.since_switch or 0) / TICKS:.0f} s" if long else ""
    where = f", in {waits or case.where(_place(registers))}"
    return case.finding(
        "cpu.spinning",
        f"CPU {info.id} runs {info.process} {' and '.join(reasons)}{since}{where}",
        f"::cpustack -c {info.id}",
        [Evidence(f"its place is {case.where(_place(registers))}", f"::cpuregs -c {info.id}")],
        threads=[info.thread],
        cpus=[info.id],
    )


def _level(case: Case, info: CpuInfo) -> tuple[int, bool]:
    """The interrupt level of a CPU, and whether its thread raised it: else an interrupt of that level is being served.

    mcpu_pri is the level, cpu_intr_actv has a bit for each level that is being served.
    """
    try:
        cpu = case.kernel.at("cpu_t", info.address)
        current, served = int(cpu.cpu_m.mcpu_pri), int(cpu.cpu_intr_actv).bit_length() - 1
    except Error:
        return info.base_spl, False
    return max(current, info.base_spl), current > max(served, info.base_spl)


def _in_kernel(case: Case, place: int) -> bool:
    try:
        case.target.nearest(place)
    except Error:
        return False
    return True


def interrupts_off(case: Case, info: CpuInfo, registers: Mapping[str, int]) -> bool:
    """Whether interrupts are off on a CPU: of a paravirtual domain the mask in the page shared with Xen tells."""
    if not case.target.image.paravirtual:
        return not registers.get("rflags", registers.get("eflags", INTERRUPT_FLAG)) & INTERRUPT_FLAG
    try:
        cpu = case.kernel.at("cpu_t", info.address)
        return bool(cpu.cpu_m.mcpu_vcpu_info.evtchn_upcall_mask)
    except Error:
        return False

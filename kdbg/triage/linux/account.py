"""What a Linux kernel tells of its end: panic_cpu, the log, what runs on the CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kdbg.errors import Error
from kdbg.kernels.linux.clock import clocks
from kdbg.kernels.linux.panic import panic
from kdbg.kernels.linux.tasks import LinuxThread
from kdbg.records import Cpu, Frame, LogEntry, Thread
from kdbg.triage.account import Account, Failure, Machine
from kdbg.triage.report import CpuState, Kind

OUT_OF_MEMORY = ("Out of memory", "System is deadlocked on memory", "out of memory:")
SYSRQ = ("sysrq", "SysRq")
IDLE_FUNCTIONS = frozenset({
    "native_safe_halt", "default_idle", "default_idle_call", "mwait_idle", "intel_idle", "acpi_idle_enter",
    "cpuidle_idle_call",
    "do_idle", "xen_safe_halt", "pv_native_safe_halt", "cpu_do_idle", "arch_cpu_idle", "amd_e400_idle", "cpuidle_enter",
    "cpuidle_enter_state", "cpu_startup_entry",
})  # fmt: skip

IDLE_DEEP = 3
"""Frames among which one of them is: a paravirtual CPU waits in a call of the hypervisor."""


class LinuxAccount(Account):
    """Of a Linux kernel."""

    family = "linux"
    crash_path = frozenset({
        # the panic itself, kexec, and what waits behind it (kernel/panic.c, crash_core.c, arch/*/kernel/crash*.c)
        "panic", "vpanic", "nmi_panic", "check_panic_on_warn", "crash_kexec", "__crash_kexec", "machine_kexec",
        "crash_setup_regs",
        "machine_crash_shutdown", "native_machine_crash_shutdown", "crash_smp_send_stop", "panic_smp_self_stop",
        "nmi_panic_self_stop", "delay_tsc", "__delay", "__const_udelay", "__udelay", "delay_halt", "delay_loop",
        "mdelay",
        "__mdelay", "emergency_restart", "machine_restart", "native_machine_emergency_restart",
        "machine_emergency_restart",
        "panic_print_sys_info", "atomic_notifier_call_chain", "notifier_call_chain", "xen_panic_event", "xen_reboot",
        "HYPERVISOR_sched_op", "xen_hypercall_sched_op", "do_kimage_alloc_init", "native_halt", "stop_this_cpu",
        # Xen: a guest's call, and what the hypervisor does for a domain 0 that ends (xen/common/kexec.c, shutdown.c)
        "xen_hypercall_pv", "xen_hypercall_hvm", "xen_hypercall_amd", "xen_hypercall_intel", "xen_hypercall_kexec_op",
        "xen_emergency_restart", "kexec_crash_save_cpu", "kexec_crash",
        "hwdom_shutdown", "domain_shutdown", "do_sched_op", "do_kexec_op", "do_kexec_op_internal", "pv_hypercall",
        "hvm_hypercall", "lstar_enter",
        # oops and the faults before it (arch/x86/kernel/dumpstack.c, traps.c, mm/fault.c)
        "oops_begin", "oops_end", "die", "__die", "__die_body", "__die_header", "die_addr", "show_regs", "no_context",
        "bad_area", "bad_area_nosemaphore", "__bad_area_nosemaphore", "__bad_area", "page_fault_oops",
        "kernelmode_fixup_or_oops", "do_user_addr_fault", "do_kern_addr_fault", "exc_page_fault", "asm_exc_page_fault",
        "page_fault", "async_page_fault", "do_page_fault", "__do_page_fault", "handle_page_fault", "do_trap",
        "do_error_trap", "exc_invalid_op", "asm_exc_invalid_op", "handle_bug", "do_invalid_op", "invalid_op",
        "fixup_bug",
        "exc_general_protection", "asm_exc_general_protection", "do_general_protection", "general_protection",
        "exc_divide_error", "asm_exc_divide_error", "exc_double_fault", "asm_exc_double_fault", "handle_stack_overflow",
        "exc_nmi", "asm_exc_nmi", "nmi", "end_repeat_nmi", "do_nmi", "default_do_nmi", "nmi_handle",
        "unknown_nmi_error",
        "perf_event_nmi_handler", "nmi_cpu_backtrace", "crash_nmi_callback", "common_exception", "error_code",
        # watchdogs, up to the interrupted function (kernel/watchdog.c)
        "watchdog_timer_fn", "watchdog_overflow_callback", "watchdog_hardlockup_check", "perf_event_overflow",
        "__perf_event_overflow", "handle_pmi_common", "intel_pmu_handle_irq", "__run_hrtimer", "__hrtimer_run_queues",
        "hrtimer_interrupt", "local_apic_timer_interrupt", "smp_apic_timer_interrupt", "apic_timer_interrupt",
        "__sysvec_apic_timer_interrupt", "sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt",
        # arm64 (arch/arm64/mm/fault.c, kernel/traps.c, entry-common.c)
        "die_kernel_fault", "__do_kernel_fault", "do_translation_fault", "do_mem_abort", "el1_abort", "el1_undef",
        "el1_dbg",
        "el1h_64_sync", "el1h_64_sync_handler", "el1_sync", "do_undefinstr", "bug_handler", "brk_handler",
        "call_break_hook",
        "do_debug_exception", "arm64_serror_panic", "ipi_cpu_crash_stop", "local_cpu_stop",
        "machine_crash_nonpanic_core",
    })  # fmt: skip
    waiting = frozenset({
        "__schedule", "schedule", "schedule_timeout", "schedule_preempt_disabled", "schedule_hrtimeout_range",
        "io_schedule",
        "io_schedule_timeout", "__mutex_lock", "__mutex_lock_slowpath", "__mutex_lock_killable_slowpath",
        "__mutex_lock_interruptible_slowpath", "mutex_lock", "mutex_lock_killable", "mutex_lock_interruptible",
        "rwsem_down_read_slowpath", "rwsem_down_write_slowpath", "down_read", "down_write", "down_read_killable",
        "down_write_killable", "down_read_interruptible", "__down", "___down_common", "__down_common", "down",
        "wait_for_completion", "__wait_for_common", "wait_for_common", "rt_mutex_slowlock", "rt_mutex_lock",
        "__rt_mutex_lock", "__switch_to", "context_switch",
    })  # fmt: skip

    def machine(self) -> Machine:
        """The system's names, its build, its clocks."""
        kernel = self.target.kernel
        uname, told = kernel.uname, clocks(kernel)
        noted = kernel.vmcoreinfo
        build = getattr(noted, "build_id", None) if noted is not None else None
        return Machine(
            kernel.describe(), uname.get("release"), build or uname.get("version"), uname.get("nodename"), told.uptime,
            told.time,
        )  # fmt: skip

    def failure(self) -> Failure | None:
        """The panic, if there was one. An oops that the kernel went on after is told by its log."""
        kernel = self.target.kernel
        found = panic(kernel)
        if found is None or (found.message is None and found.cpu is None):
            return None
        message = found.message or "a crash without a message"
        told = f"panic: {message}" if not found.cause or found.cause in message else f"panic: {message} ({found.cause})"
        kind = Kind.OUT_OF_MEMORY if any(words in told for words in OUT_OF_MEMORY) else Kind.PANIC
        registers = self._registers(found.cpu)
        try:
            frames = tuple(self.target.cpu_stack(registers)) if registers else ()
        except Error:
            frames = ()
        asked = any(words in told for words in SYSRQ)
        return Failure(
            kind, told, found.thread, found.cpu, dict(registers), frames, "::panicinfo", "sysrq" if asked else None
        )

    def _registers(self, number: int | None) -> Mapping[str, int]:
        return next((cpu.registers for cpu in self.target.cpus() if cpu.id == number), {})

    def threads(self) -> Iterator[Thread]:
        """All tasks."""
        return self.target.threads()  # type: ignore[no-any-return]

    def frames(self, thread: int) -> Sequence[Frame]:
        """The stack of a task. Raises `Error`."""
        return self.target.stack(thread)  # type: ignore[no-any-return]

    def stacks(self, threads: Sequence[Thread]) -> Iterator[tuple[int, Sequence[Frame]]]:
        """The stacks of many tasks, all steps of which are done together."""
        from kdbg.kernels.linux.unwind_many import task_stacks

        for one in task_stacks(self.target.kernel, (thread for thread in threads if isinstance(thread, LinuxThread))):
            yield one.thread.address, one.frames

    def cpu_frames(self, cpu: int) -> Sequence[Frame]:
        """The stack of a CPU from its registers."""
        found = list(self.target.cpus())
        return self.target.cpu_stack(found[cpu].registers) if cpu < len(found) else ()

    def cpus(self) -> Iterator[CpuState]:
        """What each CPU was doing."""
        for cpu in self.target.cpus():
            thread = self._thread(cpu.thread)
            yield CpuState(cpu.id, cpu.thread, thread.name if thread else "", self._doing(cpu, thread))

    def _thread(self, address: int | None) -> LinuxThread | None:
        if address is None:
            return None
        try:
            return next(iter(self.target.kernel.threads(address)), None)
        except Error:
            return None

    def _doing(self, cpu: Cpu, thread: LinuxThread | None) -> str:
        place = next((cpu.registers[name] for name in ("rip", "pc", "eip") if name in cpu.registers), 0)
        if place and not self.target.kernel.in_kernel(place):
            return "user code"
        if thread is not None and thread.tid:
            return ""
        try:
            frames = self.target.cpu_stack(cpu.registers)[:IDLE_DEEP]
        except Error:
            return ""
        return "idle" if any(frame.symbol in IDLE_FUNCTIONS for frame in frames) else ""

    def log(self) -> Iterator[LogEntry]:
        """The kernel's ring buffer."""
        return self.target.log()  # type: ignore[no-any-return]


account = LinuxAccount
"""What `kdbg.triage.account_of` makes."""

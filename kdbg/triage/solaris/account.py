"""What a Solaris or illumos kernel tells of its end: panicbuf, panic_thread, the CPUs' threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kdbg.errors import Error
from kdbg.kernels.solaris.clock import hrtime
from kdbg.kernels.solaris.registers import panic
from kdbg.records import Frame, LogEntry, Thread
from kdbg.triage.account import Account, Failure, Machine
from kdbg.triage.report import CpuState, Kind

NANOSECONDS = 1e9


class SolarisAccount(Account):
    """Of a Solaris or illumos kernel."""

    family = "solaris"
    crash_path = frozenset({
        "vpanic", "panic", "panicsys", "fm_panic", "vcmn_err", "cmn_err", "die", "trap", "cmntrap", "_cmntrap",
        "assfail", "assfail3", "mutex_panic", "rw_panic", "kmem_error", "kmem_panic", "kmem_slab_error", "debug_enter",
        "xpv_panic", "nmiint", "av_dispatch_nmivect", "panic_idle", "deadman",
    })  # fmt: skip
    waiting = frozenset({
        "swtch", "_swtch", "_resume_from_idle", "turnstile_block", "mutex_vector_enter", "rw_enter_sleep", "sema_p",
        "cv_wait", "cv_timedwait", "cv_wait_sig", "cv_timedwait_sig", "cv_reltimedwait", "cv_wait_sig_swap",
        "cv_wait_sig_swap_core", "cv_timedwait_hires", "cv_timedwait_sig_hires",
    })  # fmt: skip

    def machine(self) -> Machine:
        """The system's names, the boot's uuid, how long it ran."""
        kernel, uname = self.target.kernel, self.target.kernel.uname
        try:
            uptime = hrtime(kernel) / NANOSECONDS
        except Error:
            uptime = None
        return Machine(
            kernel=kernel.describe(),
            release=uname.get("release"),
            build=uname.get("version"),
            host=uname.get("nodename"),
            uptime=uptime,
        )

    def failure(self) -> Failure | None:
        """The panic, if the kernel wrote one down."""
        kernel = self.target.kernel
        below, noted = bool(kernel.hypervisor_panicked), getattr(self.target.image, "panic_string", None) or ""
        if not (below or noted or self._number(lambda: kernel.word_at("panicstr"))):
            return None
        told = panic(kernel)
        message = (told.message if told is not None else "") or noted
        if below:
            message = f"the hypervisor panicked: {message}" if message else "the hypervisor panicked"
        message = message or "the kernel panicked"
        thread = self._number(lambda: int(kernel.word_at("panic_thread")))
        cpu = self._number(lambda: int(kernel.load("cpu_t", kernel.symbol("panic_cpu").address).cpu_id))
        registers = kernel.registers()
        try:
            frames = tuple(kernel.cpu_stack(registers))
        except Error:
            frames = ()
        shown = {name: value for name, value in registers.items() if value or name in ("rip", "eip")}
        return Failure(Kind.PANIC, f"panic: {message}", thread or None, cpu, shown, frames, "::panicinfo",
                       "hypervisor" if below else None)  # fmt: skip

    def _number(self, read: Any) -> int | None:
        try:
            return int(read())
        except Error:
            return None

    def threads(self) -> Iterator[Thread]:
        """All threads, by the names of their processes."""
        return self.target.threads()  # type: ignore[no-any-return]

    def frames(self, thread: int) -> Sequence[Frame]:
        """The stack of a thread. Raises `Error`."""
        return self.target.stack(thread)  # type: ignore[no-any-return]

    def cpu_frames(self, cpu: int) -> Sequence[Frame]:
        """The stack of a CPU: from its registers where the dump has them, else of its thread."""
        found = list(self.target.cpus())
        if cpu >= len(found):
            return ()
        if found[cpu].registers:
            return self.target.cpu_stack(found[cpu].registers)  # type: ignore[no-any-return]
        return self.target.stack(found[cpu].thread) if found[cpu].thread else ()

    def cpus(self) -> Iterator[CpuState]:
        """What each CPU was doing."""
        from kdbg.kernels.solaris.cpus import Cpus

        part = self.target.kernel.part(Cpus)
        for address, members in part.walk():
            told = part.info(address, members)
            doing = "idle" if told.process == "(idle)" else ""
            yield CpuState(told.id, told.thread or None, told.process, doing)

    def log(self) -> Iterator[LogEntry]:
        """The messages in the kernel's buffer."""
        return self.target.log()  # type: ignore[no-any-return]


account = SolarisAccount
"""What `kdbg.triage.account_of` makes."""

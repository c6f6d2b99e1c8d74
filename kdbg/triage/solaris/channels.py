"""Event channels and interrupts."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.errors import Error, TypeNotFound
from kdbg.kernels.solaris.clock import hrtime
from kdbg.kernels.solaris.cpus import Cpus
from kdbg.kernels.solaris.eventchannels import EventChannels
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Finding

BUSY = 0.9
"""Share of a CPU's time in interrupts from which on it is a storm."""


@analyser("event channels", "events that are not delivered", finds=("evtchn.pending-masked",), needs=("solaris",))
def event_channels(case: Case) -> Iterator[Finding]:
    """Each channel with a handler that has an event and is masked."""
    if not case.kernel.has_symbol("evtchn_to_irq"):
        return
    for channel in case.kernel.part(EventChannels).assigned():
        case.check()
        if channel.pending and channel.masked and channel.handlers:
            yield case.finding(
                "evtchn.pending-masked",
                f"event channel {channel.evtchn} ({channel.type}, {', '.join(channel.handlers)}) has an event and is "
                "masked",
                "::evtchns",
                cpus=[channel.cpu] if channel.cpu is not None and channel.cpu >= 0 else [],
            )


@analyser("interrupts", "CPUs that do nothing but interrupts", finds=("irq.storm",), needs=("solaris",))
def interrupts(case: Case) -> Iterator[Finding]:
    """Each CPU that has spent nearly all of its time in interrupts (cpu_intracct of <sys/cpuvar.h>, nanoseconds)."""
    lived = hrtime(case.kernel)
    if lived <= 0:
        return
    for address, members in case.kernel.part(Cpus).walk():
        try:
            spent = sum(int(one) for one in case.kernel.at("cpu_t", address).cpu_intracct)
        except (Error, TypeNotFound, TypeError):
            continue
        if BUSY * lived <= spent <= lived:
            yield case.finding(
                "irq.storm",
                f"CPU {members['id']} has spent {100 * spent / lived:.0f} % of its time in interrupts",
                f"::cpuinfo -v {members['id']}",
                cpus=[members["id"]],
            )

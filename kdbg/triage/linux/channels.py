"""Event channels of Xen guests, and interrupts."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.errors import Error
from kdbg.kernels.linux.clock import clocks
from kdbg.kernels.linux.event_channels import event_channels
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case, Unsuited
from kdbg.triage.report import Finding

BUSY = 0.9
"""Share of a CPU's time in interrupts from which on it is a storm."""
IRQ_TIME = ("CPUTIME_SOFTIRQ", "CPUTIME_IRQ")
"""Of enum cpu_usage_stat (include/linux/kernel_stat.h)."""
NANOSECONDS = 1e9
POLLED = frozenset({"dummy_handler"})
"""Of the channels by which spinning CPUs are woken: always masked, as they are polled (arch/x86/xen/spinlock.c)."""
YOUNG = 60.0
"""Seconds since the start before which shares mean nothing."""


@analyser("event channels", "events that are not delivered", finds=("evtchn.pending-masked",), needs=("linux", "types"))
def event_channels_of_guest(case: Case) -> Iterator[Finding]:
    """Each channel with a handler that has an event and is masked."""
    try:
        channels = list(event_channels(case.kernel))
    except Error as error:
        raise Unsuited(str(error)) from None
    for channel in channels:
        case.check()
        if channel.pending and channel.masked and set(channel.handlers) - POLLED:
            yield case.finding(
                "evtchn.pending-masked",
                f"event channel {channel.evtchn} ({channel.name}, {', '.join(channel.handlers)}) has an event and is "
                "masked",
                "::evtchns",
                cpus=[channel.cpu] if channel.cpu is not None else [],
                addresses=[channel.address],
            )


@analyser("interrupts", "CPUs that do nothing but interrupts", finds=("irq.storm",), needs=("linux", "types"))
def interrupts(case: Case) -> Iterator[Finding]:
    """Each CPU that has spent nearly all of its time in interrupts (kernel_cpustat)."""
    up = clocks(case.kernel).uptime or 0.0
    if up < YOUNG:
        raise Unsuited(f"it had run for {up:.0f} s only")
    numbers = dict(case.kernel.type("enum cpu_usage_stat").enumerators)
    for number, address in enumerate(case.kernel.per_cpu_places("kernel_cpustat")):
        try:
            spent = case.kernel.at("struct kernel_cpustat", address).cpustat
            share = sum(int(spent[numbers[name]]) for name in IRQ_TIME if name in numbers) / NANOSECONDS / up
        except Error:
            continue
        if BUSY <= share <= 1.1:
            yield case.finding(
                "irq.storm",
                f"CPU {number} has spent {100 * share:.0f} % of its time in interrupts",
                "::interrupts",
                cpus=[number],
            )

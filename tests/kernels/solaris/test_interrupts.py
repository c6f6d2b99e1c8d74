"""Event channels of built domains and of the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbg.kernels.solaris.eventchannels import EventChannels
from kdbg.kernels.solaris.interrupts import InterruptError, apic_interrupts
from samples.plan import ChannelSpec
from samples.solaris import SolarisDomain, standard


@pytest.mark.parametrize(("bits", "shuffle"), [(64, None), (32, None), (64, 21), (32, 22)])
def test_channels_as_planned(bits: int, shuffle: int | None, open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(bits, shuffle=shuffle))
    found = {channel.evtchn: channel for channel in target.kernel.part(EventChannels).assigned()}
    assert set(found) == {channel.number for channel in target.planned.channels}
    for planned in target.planned.channels:
        channel = found[planned.number]
        assert (channel.type, channel.irq, channel.ipl) == (planned.type, planned.irq, planned.ipl)
        assert (channel.cpu, channel.handlers) == (planned.cpu, (planned.handler,))
        assert (channel.masked, channel.pending) == (planned.masked, planned.pending)


def test_without_the_shared_page_nothing_is_known_of_masks(open_domain: Callable[..., Any]) -> None:
    channels = list(open_domain(standard(shared_page="xen")).kernel.part(EventChannels).assigned())
    assert channels
    assert {(channel.masked, channel.pending) for channel in channels} == {(None, None)}


def test_the_shared_page_may_lie_in_a_section_of_its_own(open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(shared_page="xen"), format="elf")
    found = {channel.evtchn: channel for channel in target.kernel.part(EventChannels).assigned()}
    for planned in target.planned.channels:
        assert (found[planned.number].masked, found[planned.number].pending) == (planned.masked, planned.pending)


def test_a_kernel_that_does_not_know_the_shared_page(open_domain: Callable[..., Any]) -> None:
    with pytest.raises(InterruptError, match="failed to read HYPERVISOR_shared_info: unknown symbol name"):
        EventChannels(open_domain(standard(shared_page="unmapped")).kernel)


def test_a_channel_to_which_nothing_belongs(domain: Any) -> None:
    channel = domain.kernel.part(EventChannels).channel(0)
    assert (channel.type, channel.irq, channel.cpu, channel.handlers) == ("unassigned", None, None, ())


def test_interrupts_between_cpus_have_their_level_elsewhere(
    open_domain: Callable[..., Any], domain_builder: type[SolarisDomain]
) -> None:
    target = open_domain(domain_builder().channel(ChannelSpec(3, "ipi", 300, 0)))
    (channel,) = target.kernel.part(EventChannels).assigned()
    assert channel.type == "ipi"


def test_a_kernel_without_channels_says_which_table_is_missing(sample: Callable[[str], Any]) -> None:
    with pytest.raises(InterruptError, match="failed to read irq_info: unknown symbol name"):
        EventChannels(sample("hvm.elf").kernel)


def test_interrupts_of_the_apic(sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    found = {interrupt.irq: interrupt for interrupt in apic_interrupts(sample("hvm.elf").kernel)}
    planned = {entry["irq"]: entry for entry in facts("hvm.elf")["interrupts"]}
    assert set(found) == set(planned)
    for irq, entry in planned.items():
        assert found[irq].ipl == entry["ipl"]


@pytest.mark.parametrize("name", ["domu-sxc16.core", "domu32.elf"])
def test_channels_of_the_samples(name: str, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    found = {channel.evtchn: channel for channel in sample(name).kernel.part(EventChannels).assigned()}
    for planned in facts(name)["evtchns"]:
        channel = found[planned["evtchn"]]
        assert (channel.type, channel.irq, channel.ipl) == (planned["type"], planned["irq"], planned["ipl"])
        assert (channel.cpu, ",".join(channel.handlers)) == (planned["cpu"], planned["isr"])

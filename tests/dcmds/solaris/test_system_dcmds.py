"""::status, ::time, ::panicinfo, ::msgbuf, ::modinfo, ::modctl, ::objects, ::evtchns, ::interrupts, and the walkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samples.solaris import standard


def test_status_of_a_sample(say: Any, sample: Callable[[str], Any]) -> None:
    first, second, third = say(sample("domu-sxc16.core"), "::status").splitlines()
    assert first.startswith("debugging domain crash dump ")
    assert first.endswith("domu-sxc16.core (64-bit) from sxc16")
    assert (second, third) == ("operating system: 5.11 onnv-johnlev (i86pc)", "image uuid: (not set)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::time", "0xcd0974e7e07"),
        ("::time -l", "0x157feb"),
        ("::time -d", "0t14090031234567"),
        ("::time -dl", "0t1409003"),
    ],
)
def test_time_stands_still(text: str, shown: str, say: Any, sample: Callable[[str], Any]) -> None:
    assert say(sample("domu-sxc16.core"), text) == f"{shown}\n"


def test_panicinfo(say: Any, sample: Callable[[str], Any]) -> None:
    lines = say(sample("domu-panic.elf"), "::panicinfo").splitlines()
    assert lines[:2] == ["             cpu                0", "          thread ffffff01d6f09c00"]
    assert lines[2].startswith("         message BAD TRAP: type=e")
    assert lines[3] == "             rdi ffffff01d0015518"


def test_panicinfo_without_a_panic(say: Any, sample: Callable[[str], Any]) -> None:
    last = say(sample("domu-sxc16.core"), "::panicinfo").splitlines()[-1]
    assert last == "kdbg: failed to read 'panicbuf': unknown symbol name"


@pytest.mark.parametrize("bits", [64, 32])
def test_messages(bits: int, open_domain: Callable[..., Any], say: Any) -> None:
    target = open_domain(standard(bits))
    assert say(target, "::msgbuf") == "MESSAGE".ljust(70) + "\n" + "".join(target.planned.messages)


def test_modules(say: Any, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    target = sample("domu32.core")
    for command in ("::modinfo", "::objects"):
        found = {row.name: row.base for row in target.run(command)}
        assert found == {module["name"]: int(module["text"], 16) for module in facts("domu32.core")["modules"]}
    files = [row.file for row in target.run("::modctl")]
    assert files == [module["file"] for module in facts("domu32.core")["modules"]]


def test_event_channels(say: Any, sample: Callable[[str], Any]) -> None:
    assert say(sample("domu-panic.core"), "3::evtchns -d").splitlines() == [
        "Type          Evtchn IRQ IPL CPU Masked Pending Driver Name(s) ",
        "virq:debug    3      256 15  0   1      1       xen_debug_handler",
    ]
    assert say(sample("domu-panic.core"), "1234::evtchns") == "kdbg: Invalid event channel 4660.\n"


def test_a_kernel_without_event_channels_has_no_such_command(say: Any, sample: Callable[[str], Any]) -> None:
    assert say(sample("hvm.core"), "::evtchns") == "kdbg: invalid command '::evtchns': unknown dcmd name\n"


def test_interrupts_of_a_domain_and_of_the_apic(say: Any, sample: Callable[[str], Any]) -> None:
    assert say(sample("domu-sxc16.core"), "::interrupts").splitlines()[:3] == [
        "IRQ  Vect Evtchn IPL Bus    Trg Type   CPU Share APIC/INT# ISR(s) ",
        "256  -    1      15  -      Edg virq   all -     -         xen_debug_handler",
        "257  -    1      1   -      Edg evtchn 0   -     -         xenbus_intr",
    ]
    assert say(sample("hvm.core"), "::interrupts -d").splitlines()[:2] == [
        "IRQ  Vect IPL Bus    Trg Type   CPU Share APIC/INT# Driver Name(s) ",
        "4    0x30 12  ISA    Edg Fixed  0   1     0x0/0x4   xencons#0",
    ]


def test_walkers_yield_what_was_planned(domain: Any) -> None:
    planned = domain.planned
    assert list(domain.walk("thread")) == [thread.address for thread in planned.threads]
    assert set(domain.walk("proc")) == {process.address for process in planned.processes}
    assert list(domain.walk("cpu")) == [cpu.address for cpu in planned.cpus]
    assert set(domain.walk("taskq_thread", planned.taskqs[0].address)) == set(planned.taskqs[0].threads)
    assert list(domain.walk("modctl")) == [module.address for module in domain.modules()]


def test_sleepers_by_what_they_wait_for(sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    target = sample("domu-sxc16.core")
    channels = list(target.walk("wchan"))
    assert len(channels) == len(set(channels))
    waiting = {address for channel in channels for address in target.walk("wchan", channel)}
    planned = {int(thread["addr"], 16) for thread in facts("domu-sxc16.core")["threads"] if thread.get("wchan")}
    assert waiting
    assert waiting <= planned


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234::walk thread", "kdbg: failed to read proc at 1234: no mapping for address\n"),
        ("::walk blocked", "kdbg: must specify a sobj * for blocked walk: failed to initialize walk\n"),
        ("1234::walk proc", "kdbg: failed to read proc at 1234: no mapping for address\n"),
    ],
)
def test_walks_that_cannot_begin(text: str, message: str, say: Any, domain: Any) -> None:
    assert message in say(domain, text)


def test_vectors_of_each_cpu_in_the_columns_of_apix() -> None:
    from kdbg.dcmds.solaris.interrupts import ApixTable
    from kdbg.kernels.solaris.interrupts import Interrupt

    view: Any = None
    fixed = Interrupt(9, "Fixed", 9, "0", "PCI", True, ("acpi_isr",), ("acpi_isr",), 0x20, None, 1, "0x0/0x9")
    message = Interrupt(None, "MSI", 6, "1", "PCI", False, ("e1000g_intr",), ("e1000g#0",), 0x61, None, 1, "-")
    table = ApixTable(drivers=True)
    assert table.heading(view) == "CPU/Vect  IRQ IPL Bus    Trg Type   Share APIC/INT# Driver Name(s) "
    assert table.row(fixed, view) == "0/0x20    9   9   PCI    Lvl Fixed  1     0x0/0x9   acpi_isr"
    assert table.row(message, view) == "1/0x61    -   6   PCI    Edg MSI    1     -         e1000g#0"

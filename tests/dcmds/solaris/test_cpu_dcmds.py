"""::cpuinfo, ::cpustack, ::cpuregs, $r, $c and $C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samples.solaris import standard

HEADING = " ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC\n"


def test_cpuinfo_of_the_live_sample(say: Any, sample: Callable[[str], Any]) -> None:
    row = "  0 fffffffffbc4b7f0  1b   40    9 169  yes   yes t-1408926 ffffff00010bfc80 sched\n"
    assert say(sample("domu-sxc16.core"), "::cpuinfo") == HEADING + row
    assert say(sample("domu-sxc16.core"), "0::cpuinfo") == HEADING + row


def test_cpuinfo_v_shows_flags_interrupts_and_queue(say: Any, sample: Callable[[str], Any]) -> None:
    lines = say(sample("domu-sxc16.core"), "::cpuinfo -v").splitlines()
    assert lines[2:10] == [
        "                       |    |    |",
        "            RUNNING <--+    |    +--> PIL THREAD",
        "              READY         |          10 ffffff00010bfc80",
        "             EXISTS         |           - ffffff0001593c80 sched",
        "             ENABLE         |",
        "                            +-->  PRI THREAD           PROC",
        "                                   99 ffffff0001832c40 sched",
        "                                   60 ffffff0001856c40 sched",
    ]
    assert lines[-1] == ""


def test_the_panicking_cpu_is_shown_as_its_copy(say: Any, sample: Callable[[str], Any]) -> None:
    target = sample("domu-panic.core")
    copy = target.symbol("panic_cpu").address
    assert [f"{row.address:x}" for row in target.run("::cpuinfo")] == [f"{copy:x}", "ffffff01d0001000"]


def test_an_address_that_is_no_cpu(say: Any, domain: Any) -> None:
    assert say(domain, "1234::cpuinfo") == "kdbg: 1234 is neither a valid CPU ID nor a valid cpu_t address\n"


@pytest.mark.parametrize("bits", [64, 32])
def test_cpustack_is_what_is_behind_the_running_function(bits: int, open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(bits))
    for cpu in target.planned.cpus:
        found = [(frame.symbol, frame.offset, frame.arguments) for frame in target.run(f"::cpustack -c {cpu.id}")]
        assert found == [(frame.symbol, frame.offset, frame.arguments) for frame in cpu.frames]
        assert target.run(f"{cpu.address:x}::cpustack") == target.run(f"::cpustack -c {cpu.id}")


def test_arguments_are_shown_up_to_the_number(say: Any, sample: Callable[[str], Any]) -> None:
    target = sample("domu-panic.core")
    assert say(target, "$c").splitlines()[3] == "trap+0x5d7(ffffff0001843b20, 30, 0)"
    assert say(target, "$c 2").splitlines()[3] == "trap+0x5d7(ffffff0001843b20, 30)"
    assert say(target, "$C 2").splitlines()[3] == "ffffff0001843b10 trap+0x5d7(ffffff0001843b20, 30, 0)"
    assert say(target, "$C 0").splitlines()[3] == "ffffff0001843b10 trap+0x5d7()"


def test_a_stack_that_ends_badly_leaves_its_line_unfinished(say: Any, domain: Any) -> None:
    assert say(domain, "10$c") in ("10 [no mapping for address]", "10 [no mapping for address]\n")


def test_cpus_that_are_not_there(say: Any, domain: Any) -> None:
    assert say(domain, "::cpustack -c 9") == "kdbg: failed to get regs for cpu 9\n"
    assert say(domain, "1234::cpuregs") == "kdbg: failed to find cpuid for cpu at 1234: no mapping for address\n"


def test_cpuregs_tell_what_the_context_holds(say: Any, sample: Callable[[str], Any]) -> None:
    text = say(sample("domu-panic.core"), "::cpuregs -c 1")
    assert "%rip = 0xfffffffffb8014da hypercall_page+0x3aa\n" in text
    assert text.endswith("%cr3 = 0x181e000\n")


def test_regs_in_both_widths(say: Any, sample: Callable[[str], Any]) -> None:
    wide, narrow = say(sample("domu-sxc16.core"), "::regs"), say(sample("domu32.core"), "$r")
    assert wide.startswith("%rax = 0x0000000000000000                 %r9  = 0x0000000000000000 \n")
    assert "%rip = 0xfffffffffb886098 cyclic_fire+0x48\n" in wide
    assert narrow.startswith("%cs = 0xe019            %eax = 0x00000000 \n")
    assert "%eip = 0xf4c86098 cyclic_fire+0x48\n" in narrow
    assert "  status=<of,df,IF,tf,sf,zf,af,pf,cf>\n" in narrow


@pytest.mark.parametrize("text", ["1::regs", "::regs x"])
def test_regs_want_nothing(text: str, say: Any, domain: Any) -> None:
    assert say(domain, text) == "Usage: regs \n"

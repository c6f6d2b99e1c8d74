"""Layouts: chosen members of a structure, all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import kdbg
from kdbg.symbols.layouts import Layout
from samples.solaris import standard


@pytest.mark.parametrize(("bits", "shuffle"), [(64, None), (32, None), (64, 31)])
def test_members_are_those_that_values_have(bits: int, shuffle: int | None, open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(bits, shuffle=shuffle))
    address, kernel = target.planned.process("bash").address, target.kernel
    layout = Layout(kernel.type("proc_t"), {"parent": "p_parent", "name": "p_user.u_comm", "flag": "p_flag"})
    value = kernel.load("proc_t", address)
    assert layout.read(kernel.memory.read, address) == {
        "parent": int(value.p_parent),
        "name": "bash",
        "flag": value.p_flag,
    }


def test_signed_members_keep_their_sign(domain: Any) -> None:
    layout = Layout(domain.kernel.type("kthread_t"), {"priority": "t_pri"})
    idle = domain.planned.thread("idle0").address
    assert layout.read(domain.kernel.memory.read, idle)["priority"] == -1


def test_elements_of_arrays(domain: Any) -> None:
    kernel, address = domain.kernel, domain.planned.thread("shell").address
    layout = Layout(kernel.type("kthread_t"), {"pc": "t_pcb.val[0]"})
    found = layout.read(kernel.memory.read, address)["pc"]
    assert found & (1 << 64) - 1 == domain.planned.thread("shell").frames[0].pc


def test_a_member_that_may_be_absent_is_none(domain: Any) -> None:
    layout = Layout(domain.kernel.type("kthread_t"), {"state": "t_state", "other": "t_nosuch?"})
    assert layout.unpack(bytes(layout.size))["other"] is None


@pytest.mark.parametrize("path", ["t_nosuch", "t_pcb.val[99]", "t_state[0]"])
def test_a_member_that_is_not_there_is_an_error(path: str, domain: Any) -> None:
    with pytest.raises(kdbg.TypeNotFound):
        Layout(domain.kernel.type("kthread_t"), {"it": path})


def test_bit_fields_and_members_of_unions(sample: Callable[[str], Any]) -> None:
    kernel = sample("domu-sxc16.core").kernel
    of = kernel.type("irq_info_t")
    layout = Layout(of, {"channel": "ii_u.evtchn", "index": "ii_u.index", "kind": "ii_type", "ipl": "ii_u2.ipl"})
    found = layout.unpack(bytes.fromhex("34 12 04 09"))
    assert found == {"channel": 0x1234, "index": 0x1234, "kind": 4, "ipl": 9}
    bus = Layout(kernel.type("iflag_t"), {"bus": "bustype"})
    assert bus.unpack(b"\xff")["bus"] == 0xF

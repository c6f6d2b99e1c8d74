"""Processes, CPUs, registers and messages of built domains and of the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbg.kernels.solaris.processes import Processes
from kdbg.kernels.solaris.registers import panic, representative_registers
from samples.solaris import standard

FORMS = [(64, True, None), (32, True, None), (64, False, 3), (32, True, 4)]


@pytest.mark.parametrize(("bits", "paravirtual", "shuffle"), FORMS)
def test_processes_with_their_ids(
    bits: int, paravirtual: bool, shuffle: int | None, open_domain: Callable[..., Any]
) -> None:
    target = open_domain(standard(bits, paravirtual, shuffle=shuffle))
    found = {process.name: process for process in target.processes()}
    assert set(found) == {process.name for process in target.planned.processes}
    for planned in target.planned.processes:
        process = found[planned.name]
        assert (process.address, process.pid, process.parent_pid) == (planned.address, planned.pid, planned.ppid)


def test_parents_come_before_their_children(domain: Any) -> None:
    seen: set[int] = set()
    for process in domain.processes():
        assert process.parent == 0 or process.parent in seen
        seen.add(process.address)


def test_a_process_by_its_id(domain: Any) -> None:
    part = domain.kernel.part(Processes)
    assert part.by_pid(565) == domain.planned.process("bash").address
    assert part.by_pid(566) is None


def test_ancestors_of_a_process(domain: Any) -> None:
    above, broken = domain.kernel.part(Processes).ancestors(domain.planned.process("tail").address)
    assert above == [domain.planned.process(name).address for name in ("sched", "init", "bash")]
    assert broken is None


def test_a_child_that_is_its_own_parent_is_left_out(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    bash = built.planned.process("bash").address
    built.structure("proc_t", built.planned.process("tail").address)["p_child"] = bash
    target = open_domain(built)
    names = [process.name for process in target.processes()]
    assert names.count("bash") == 1
    assert "leads back" in target.notes[-1]


def test_a_child_that_cannot_be_read_is_told(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    bash = built.planned.process("bash").address
    built.structure("proc_t", bash)["p_child"] = 0x1234
    target = open_domain(built)
    assert "tail" not in {process.name for process in target.processes()}
    assert f"proc {bash:x} has invalid p_child 1234; skipping" in target.notes


@pytest.mark.parametrize(("bits", "paravirtual", "shuffle"), FORMS)
def test_cpus_with_their_registers(
    bits: int, paravirtual: bool, shuffle: int | None, open_domain: Callable[..., Any]
) -> None:
    target = open_domain(standard(bits, paravirtual, shuffle=shuffle))
    found = target.cpus()
    assert [(cpu.id, cpu.address, cpu.thread) for cpu in found] == [
        (cpu.id, cpu.address, cpu.thread) for cpu in target.planned.cpus
    ]
    for cpu, planned in zip(found, target.planned.cpus, strict=True):
        for name, value in planned.registers.items():
            assert cpu.registers.get(name, value) == value


def test_a_cpu_without_a_context_has_no_registers(open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(cpus=2), format="elf", vcpus=1)
    first, second = target.cpus()
    assert first.registers
    assert not second.registers


def test_cpus_are_numbered_by_position_where_their_list_breaks(open_domain: Callable[..., Any]) -> None:
    built = standard(cpus=2).build()
    built.structure("cpu_t", built.planned.cpus[0].address)["cpu_next"] = 0x1234
    target = open_domain(built)
    assert [cpu.id for cpu in target.cpus()] == [0, 1]
    assert "list of CPUs" in target.notes[-1]


def test_registers_of_a_panic_come_from_its_buffer(sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    kernel, planned = sample("domu-panic.elf").kernel, facts("domu-panic.elf")["panic"]
    found = panic(kernel)
    assert found is not None
    assert found.message == planned["message"]
    assert dict(found.registers) == {name: int(value, 16) for name, value in planned["regs"].items()}
    assert representative_registers(kernel) == dict(found.registers)


def test_without_a_panic_they_are_those_of_the_first_vcpu(domain: Any) -> None:
    assert panic(domain.kernel) is None
    first = domain.planned.cpus[0].registers
    assert domain.registers()["rip"] == first["rip"]


@pytest.mark.parametrize("bits", [64, 32])
def test_messages_in_order(bits: int, open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(bits))
    assert [entry.text for entry in target.log()] == [text.rstrip("\n") for text in target.planned.messages]


def test_messages_of_a_sample(sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    text = "\n".join(entry.text for entry in sample("domu32.core").log())
    assert text.splitlines() == facts("domu32.core")["msgbuf"].splitlines()


class _OldKernel:
    """The variables of a kernel that counts its ticks in lbolt64."""

    def __init__(self, **variables: int) -> None:
        self.variables = variables

    def has_symbol(self, name: str) -> bool:
        return name in self.variables

    def variable(self, name: str) -> int:
        import kdbg

        if name not in self.variables:
            raise kdbg.SymbolNotFound(name)
        return self.variables[name]


def test_ticks_of_kernels_before_lb_info() -> None:
    from kdbg.kernels.solaris.clock import lbolt

    old: Any = _OldKernel(lbolt64=0x1234, lbolt=0x34)
    panicked: Any = _OldKernel(panic_lbolt64=0x1200, lbolt64=0x1234)
    assert (lbolt(old), lbolt(panicked)) == (0x1234, 0x1200)

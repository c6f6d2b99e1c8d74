"""Cores by other hands against the facts that came with them: see samples/files/README.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import kdbg

SOLARIS = ["domu-sxc16.core", "domu-sxc16.elf", "domu-panic.core", "domu-panic.elf", "hvm.core", "hvm.elf",
           "domu32.core", "domu32.elf", "domu32-tools64.elf"]  # fmt: skip
XEN = ["xen-tiny.core", "xen-tiny-4v.core", "xen-tiny-pvh.core", "xen-tiny-pvh32.core"]

GENERAL = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
           "rip", "rflags", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip", "eflags"}  # fmt: skip

Case = tuple[Any, dict[str, Any]]


def number(text: Any) -> int:
    """A number of a facts file: numbers in strings are hexadecimal."""
    return text if isinstance(text, int) else int(text, 16)


@pytest.fixture(params=SOLARIS)
def solaris(request: pytest.FixtureRequest, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> Case:
    """A Solaris core and its facts."""
    return sample(request.param), facts(request.param)


@pytest.fixture(params=XEN)
def xen(request: pytest.FixtureRequest, sample: Callable[[str], Any], facts: Callable[[str], Any]) -> Case:
    """A core by Xen's own tools and its facts."""
    return sample(request.param), facts(request.param)


# --- Solaris --------------------------------------------------------------------------------------


def test_what_it_is(solaris: Case) -> None:
    target, facts = solaris
    uname = facts["uname"]
    assert target.info.host == uname["nodename"]
    assert target.info.kernel == f"SunOS {uname['release']} {uname['version']}"
    assert target.info.bits == facts.get("word_size", 64)
    assert target.info.paravirtual == (facts["platform"] == "i86xpv")
    assert target.info.cpus == facts["ncpu"]


def test_registers(solaris: Case) -> None:
    target, facts = solaris
    cpus = {cpu.id: cpu for cpu in target.cpus()}
    for vcpu in facts["vcpu"]:
        registers = cpus[vcpu.get("cpu", vcpu["id"])].registers
        expected = {name: number(value) for name, value in vcpu["registers"].items()}
        assert {name: registers[name] for name in expected} == expected
        if "cr3" in vcpu:
            assert registers["cr3"] == number(vcpu["cr3"])


def test_symbols_local_ones_too(solaris: Case) -> None:
    target, facts = solaris
    expected, found = {}, {}
    for module, symbols in facts["symbols"].items():
        for name, symbol in symbols.items():
            expected[f"{module}`{name}"] = (number(symbol["addr"]), number(symbol["size"]))
            answer = target.symbol(f"{module}`{name}")
            found[f"{module}`{name}"] = (answer.address, answer.size)
    assert found == expected


def test_modules(solaris: Case) -> None:
    target, facts = solaris
    assert [(m.name, m.base) for m in target.modules()] == [(m["name"], number(m["text"])) for m in facts["modules"]]


def test_types(solaris: Case) -> None:
    target, facts = solaris
    sizes = facts["types"]["sizes"]
    assert {name: target.type(name).size for name in sizes} == sizes


def test_threads(solaris: Case) -> None:
    target, facts = solaris
    expected = {(number(t["addr"]), t["pid"]) for t in facts["threads"]}
    assert {(t.address, t.pid) for t in target.threads()} == expected


def test_stacks_and_their_arguments(solaris: Case) -> None:
    target, facts = solaris
    for thread in facts["threads"]:
        if not thread.get("stack"):
            continue
        frames = target.stack(number(thread["addr"]))
        assert [f"{f.symbol}+{f.offset:x}" for f in frames] == [f["at"] for f in thread["stack"]], thread["addr"]
        expected = [[number(a) for a in f["args"]] for f in thread["stack"]]
        assert [list(f.arguments) for f in frames] == expected, thread["addr"]


def test_processes(solaris: Case) -> None:
    target, facts = solaris
    expected = {(number(p["addr"]), p["pid"], p["comm"]) for p in facts["processes"]}
    assert {(p.address, p.pid, p.name) for p in target.processes()} == expected


def test_kernel_translations(solaris: Case) -> None:
    target, facts = solaris
    for entry in facts["translations_kernel"]:
        found = target.translate(number(entry["va"]))
        assert found.pfn == number(entry["pfn"])
        assert found.physical == number(entry["pa"])
        if "mfn" in entry and target.info.paravirtual:
            assert found.mfn == number(entry["mfn"])


def test_unmapped_kernel_addresses(solaris: Case) -> None:
    target, facts = solaris
    for va in facts["unmapped_kernel"]:
        with pytest.raises(kdbg.Unmapped):
            target.translate(number(va))


def test_user_pages(solaris: Case) -> None:
    target, facts = solaris
    for user in facts["translations_user"].values():
        for page in user["pages"]:
            found = target.translate(number(page["va"]), process=user["pid"])
            assert found.pfn == number(page["pfn"])
            assert target.read_physical(found.physical, 16).hex() == page["first16"]


def test_messages(solaris: Case) -> None:
    target, facts = solaris
    text = "".join(entry.text for entry in target.log())
    for line in facts["msgbuf"].splitlines():
        assert line in text


# --- Xen ------------------------------------------------------------------------------------------


def contexts(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The vCPUs that have a context, in the core's order."""
    return [vcpu for vcpu in facts["vcpus"] if "rip" in vcpu or "eip" in vcpu]


def root_of(target: Any, facts: dict[str, Any], entry: dict[str, Any]) -> int:
    """The value of the register whose tables a translation of the facts went through."""
    position = [vcpu["vcpu"] for vcpu in contexts(facts)].index(entry["vcpu"])
    root: int = target.cpus()[position].registers["user_cr3" if entry.get("root") == "user" else "cr3"]
    return root


def test_registers_as_the_hypervisor_saw_them(xen: Case) -> None:
    target, facts = xen
    for cpu, vcpu in zip(target.cpus(), contexts(facts), strict=True):
        expected = {name: number(value) for name, value in vcpu.items() if name in GENERAL}
        assert expected
        assert {name: cpu.registers[name] for name in expected} == expected


def test_translations_as_the_hypervisor_made_them(xen: Case) -> None:
    target, facts = xen
    for entry in facts["translations"]:
        root = root_of(target, facts, entry)
        if entry["frame"] is None:
            with pytest.raises(kdbg.Unmapped):
                target.translate(number(entry["va"]), root=root)
            continue
        found = target.translate(number(entry["va"]), root=root)
        assert (found.mfn if target.info.paravirtual else found.pfn) == number(entry["frame"])
        if entry.get("bytes"):
            assert target.read_physical(found.physical, len(entry["bytes"]) // 2).hex() == entry["bytes"]


def test_machine_frames(xen: Case) -> None:
    target, facts = xen
    for pfn, count, mfn in facts.get("p2m_runs", []):
        for step in range(count):
            assert target.pfn_to_mfn(number(pfn) + step) == number(mfn) + step
            assert target.mfn_to_pfn(number(mfn) + step) == number(pfn) + step
    if "p2m_valid_entries" in facts:
        assert len(target.pages) == facts["p2m_valid_entries"]


def test_page_table_entries_as_the_guest_wrote_them(xen: Case) -> None:
    """Entries of 64-bit paravirtual leaves come back with the bits that Xen sets; frames are as announced."""
    target, facts = xen
    guest = facts["guest_report"]
    if not target.info.paravirtual:
        pytest.skip("told by paravirtual guests")
    root = target.cpus()[0].registers["cr3"]
    for page in guest["@map"][:16]:
        if "mfn" in page:
            assert target.translate(number(page["va"]), root=root).mfn == number(page["mfn"])


def test_a_guest_without_a_known_kernel_still_opens(xen: Case) -> None:
    target, _ = xen
    assert target.info.kernel in (None, "")
    with pytest.raises(kdbg.Error):
        list(target.threads())

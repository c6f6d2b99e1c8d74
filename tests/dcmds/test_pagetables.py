"""Page tables and frames: as mdb shows them, and our own two commands, on planned anomalies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from samples.solaris import standard
from tests.dcmds.texts import said

P0 = 0xFFFFFFFFFBCC00C0
"""Of domu-sxc16, as are the frames below."""


@pytest.fixture
def sxc16(sample: Callable[[str], Any]) -> Any:
    return sample("domu-sxc16.core")


def test_vatopfn_shows_every_level_from_the_lowest(sxc16: Any) -> None:
    assert said(sxc16, "p0::vatopfn") == (
        "        level=0 htable=0xffffff01c806a900 pte=0x8000000001553063\n"
        "        level=1 htable=0xffffff01c806a1f8 pte=0x1f88027\n"
        "        level=2 htable=0xffffff01c806a090 pte=0x17ae027\n"
        "        level=3 htable=0xffffff01c806a000 pte=0x1262027\n"
        "Virtual address 0xfffffffffbcc00c0 maps pfn 0x4a2 (mfn 0x1553)\n"
    )


def test_vatopfn_of_what_is_not_mapped(sxc16: Any) -> None:
    assert said(sxc16, "1234::vatopfn").endswith("pte=0x0\nAddress 1234 is unmapped.\n")


def test_frames_go_down_a_pipe(sxc16: Any) -> None:
    assert said(sxc16, "p0::vatopfn | ::pfntomfn", "1553::mfntopfn") == "1553\n4a2\n"


def test_frames_that_there_are_not(sxc16: Any) -> None:
    assert said(sxc16, "1234::pfntomfn", "2::mfntopfn") == "kdbg: Invalid pfn 1234\nkdbg: Invalid mfn 2\n"
    assert said(sxc16, "::pfntomfn") == "kdbg: PFN missing\nUsage: address::pfntomfn \n"


def test_a_machine_of_its_own_has_one_kind_of_frame(sample: Callable[[str], Any]) -> None:
    hvm = sample("hvm.elf")
    assert said(hvm, "fffff::pfntomfn", "55::mfntopfn") == "fffff\n55\n"
    assert "mfn" not in said(hvm, "p0::vatopfn")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("8000000000000063::pte", "pte=0x8000000000000063: mfn=0x0 noexec write \n"),
        ("12000e3::pte -l 1", "pte=0x12000e3: mfn=0x1200 largepage mod ref write \n"),
        ("1234::pte", "pte=0x1234: mfn=0x1 nosync user uncached !VALID \n"),
        ("1234063::pte -l 9", "kdbg: invalid level 9\n"),
        ("0::pte", ""),
        ("::pte", "Usage: address::pte [-l N]\n"),
    ],
)
def test_pte_takes_entries_apart(sxc16: Any, command: str, text: str) -> None:
    assert said(sxc16, command) == text


def test_vtop(sxc16: Any) -> None:
    assert said(sxc16, "p0::vtop") == "virtual fffffffffbcc00c0 mapped to physical 4a20c0\n"
    assert said(sxc16, "0::vtop") == (
        "Address 0 is unmapped.\nkdbg: failed to get physical mapping: no mapping for address\n"
    )


def test_ptwalk_goes_down_to_the_page(sxc16: Any) -> None:
    records = list(sxc16.run("p0::ptwalk"))
    steps, end = records[:-1], records[-1]
    assert [(step.level, step.name) for step in steps] == [(3, "pml4"), (2, "pdpt"), (1, "pd"), (0, "pt")]
    assert steps[-1].entry == 0x8000000001553063
    assert steps[-1].flags == ("present", "write", "ref", "mod", "noexec")
    assert [step.pfn for step in steps] == [0x510, 0x521, 0x529, 0x52E]
    assert end.text == "fffffffffbcc00c0 is in a page of 4K: mfn 1553, pfn 4a2, physical 4a20c0"


def test_ptwalk_says_where_it_ends(sxc16: Any) -> None:
    end = sxc16.run("0::ptwalk")[-1]
    assert end.text == "0 is not mapped: level 3 (pml4 frame 1282, entry 0x0) is 0"


def test_ptwalk_in_another_address_space(open_domain: Callable[..., Any]) -> None:
    domain = open_domain(standard())
    bash = domain.planned.process("bash")
    for address, pfn in bash.pages.items():
        assert f"pfn {pfn:x}," in domain.run(f"{address:x}::ptwalk -a {bash.address_space:x}")[-1].text
    assert "is not mapped" in domain.run("8050000::ptwalk")[-1].text


KINDS = pytest.mark.parametrize(("bits", "paravirtual"), [(64, True), (64, False), (32, True), (32, False)])


@KINDS
def test_ptescan_finds_kernel_pages_that_users_may_use(
    open_domain: Callable[..., Any], bits: int, paravirtual: bool
) -> None:
    built = standard(bits, paravirtual).build()
    exposed = built.caches["foo_cache"].slabs[0].base
    built.expose(exposed)
    domain = open_domain(built)
    (leaf,) = domain.run("::ptescan -l kernel-user")
    assert (leaf.va, leaf.finding) == (exposed, "kernel-user")
    assert leaf.pfn == domain.translate(exposed).pfn
    assert "user" in leaf.flags
    assert leaf.entry == domain.translate(exposed).entry


def test_ptescan_finds_user_pages_that_are_not_global(open_domain: Callable[..., Any]) -> None:
    built = standard().build()
    built.forget_global("bash", 0x8051000)
    domain = open_domain(built)
    assert [leaf.va for leaf in domain.run("::ptescan -p 0t565 -l user-not-global")] == [0x8051000]
    assert said(domain.target, "::ptescan -p 0t565 -l user-not-global").startswith("wrong here: in a 64-bit")
    assert not domain.run("::ptescan -l user-not-global")


def test_ptescan_lists_writable_text(sxc16: Any) -> None:
    modules = [(module.base, module.base + module.size) for module in sxc16.modules()]
    found = list(sxc16.run("::ptescan -l writable-text"))
    assert found
    for leaf in found:
        assert "write" in leaf.flags
        assert any(start < leaf.va + 4096 and leaf.va < end for start, end in modules)


def test_ptescan_counts_every_leaf_once(sxc16: Any) -> None:
    counts = list(sxc16.run("::ptescan"))
    leaves = [row for row in counts if hasattr(row, "flags")]
    findings = {row.finding: row.count for row in counts if hasattr(row, "finding")}
    assert sum(row.count for row in leaves) == sum(len(batch) for batch in sxc16.space.leaves())
    assert findings["kernel-user"] == len(list(sxc16.run("::ptescan -l kernel-user"))) == 3


def test_ptescan_knows_its_findings(sxc16: Any) -> None:
    assert said(sxc16, "::ptescan -l nonsense") == (
        "kdbg: unknown finding nonsense: there are kernel-user, user-not-global, writable-text, writable-executable\n"
    )


def test_a_guest_without_a_known_kernel_translates(sample: Callable[[str], Any], facts: Callable[[str], Any]) -> None:
    target, truth = sample("xen-tiny.core"), facts("xen-tiny.core")
    entry = next(e for e in truth["translations"] if e["frame"] is not None and e.get("root") != "user")
    last = target.run(f"{int(str(entry['va']), 16):x}::vatopfn")[-1]
    assert last.mfn == int(str(entry["frame"]), 16)

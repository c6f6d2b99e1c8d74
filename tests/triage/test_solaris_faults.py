"""Each fault that is planted into a Solaris domain is found under its name, with its threads, locks and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

import kdbg
from kdbg.triage.report import Finding, Report
from samples.faults import FAULTS, Fault, killed, lock_cycle
from samples.kernel import WAITING
from samples.plan import ChannelSpec
from samples.solaris import CHANNELS, SolarisDomain, standard
from samples.xpv_dump import XpvDump

BUSY = (("taskq_d_thread", (0x7777,)), ("thread_start", ()))
WIDTHS = pytest.mark.parametrize("bits", [64, 32])


def plan(bits: int) -> SolarisDomain:
    """The standard domain with a thread that keeps CPU 0 busy."""
    return standard(bits).thread("busy", state="onproc", cpu=0, stack=BUSY).function("hypercall_page", "unix")


def triage(domain: SolarisDomain, folder: Path) -> Report:
    with kdbg.open(domain.write(folder)) as target:
        return target.triage()


def matches(finding: Finding, fault: Fault) -> bool:
    return (
        set(fault.threads) <= set(finding.threads)
        and set(fault.locks) <= set(finding.locks)
        and set(fault.addresses) <= set(finding.addresses)
        and fault.cpus == finding.cpus
    )


@WIDTHS
def test_a_healthy_domain_has_no_finding_but_a_masked_channel(bits: int, tmp_path: Path) -> None:
    report = triage(plan(bits), tmp_path)
    assert {finding.name for finding in report.findings} <= {"pte.writable-text"}
    assert report.verdict.kind == "live"
    assert {one.outcome.value for one in report.analyses} <= {"done", "skipped"}, report.analyses


@WIDTHS
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_under_its_name(name: str, bits: int, tmp_path: Path) -> None:
    if name == "user_not_global" and bits == 32:
        pytest.skip("only 64-bit paravirtual domains have global user pages")
    domain = plan(bits)
    fault = FAULTS[name](domain.build())
    report = triage(domain, tmp_path)
    found = report.found(fault.name)
    assert found, [finding.name for finding in report.findings]
    assert any(matches(finding, fault) for finding in found), found


@WIDTHS
def test_a_vcpu_that_stands_where_nothing_is_mapped_was_ended_by_the_hypervisor(bits: int, tmp_path: Path) -> None:
    domain = plan(bits)
    killed(domain.build())
    verdict = triage(domain, tmp_path).verdict
    assert verdict.kind == "killed-by-hypervisor"
    assert "vCPU 0 stood at 1230" in verdict.sentence


@WIDTHS
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.oom", "WARNING: Sorry, no swap space to grow stack for pid 571 (tail)\n"),
        ("log.hardware", "WARNING: /pci@0,0/ide@1/disk@0,0: Uncorrectable data error: Block 10\n"),
        ("log.warning", "WARNING: something is odd\n"),
    ],
)
def test_what_the_log_tells_is_found_with_its_line(name: str, text: str, bits: int, tmp_path: Path) -> None:
    (finding,) = triage(plan(bits).message(text), tmp_path).found(name)
    assert finding.evidence[0].text == text.strip()


@WIDTHS
def test_a_channel_with_an_event_that_is_masked(bits: int, tmp_path: Path) -> None:
    channel = ChannelSpec(5, "evtchn", 261, 9, "xdf_intr", "xdf", masked=True, pending=True)
    domain = plan(bits)
    for spec in (*CHANNELS, channel):
        domain.channel(spec)
    (finding,) = triage(domain, tmp_path).found("evtchn.pending-masked")
    assert "channel 5" in finding.summary
    assert finding.cpus == (0,)


@WIDTHS
def test_threads_that_sleep_until_there_is_memory(bits: int, tmp_path: Path) -> None:
    stack = (
        WAITING[0],
        WAITING[1],
        ("cv_wait", (0x1, 0x2)),
        ("vmem_xalloc", ()),
        ("kmem_alloc", (1, 2)),
        ("thread_start", ()),
    )
    domain = plan(bits).function("vmem_xalloc").thread("starved", stack=stack)
    domain.build()
    report = triage(domain, tmp_path)
    (finding,) = report.found("kmem.exhausted")
    assert finding.threads == (domain.planned.thread("starved").address,)
    assert report.verdict.kind == "out-of-memory"


@WIDTHS
def test_a_cpu_that_does_nothing_but_interrupts(bits: int, tmp_path: Path) -> None:
    domain = plan(bits)
    built = domain.build()
    lived = built.structure(
        "lbolt_info_t",
        int.from_bytes(built.image.space.read(built.image.symbols["lb_info"].address, bits // 8), "little"),
    )["lbi_debug_ts"]
    built.structure("cpu_t", built.planned.cpus[1].address)["cpu_intracct[1]"] = int(lived * 0.95)
    (finding,) = triage(domain, tmp_path).found("irq.storm")
    assert finding.cpus == (1,)


def test_a_core_that_lost_its_end_says_so(tmp_path: Path) -> None:
    path = plan(64).write(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with kdbg.open(path) as target:
        report = target.triage()
    assert {finding.name for finding in report.findings} >= {"dump.damaged", "dump.incomplete"}
    assert report.verdict.kind != "killed-by-hypervisor", "page tables that the dump lacks tell nothing"


@WIDTHS
def test_the_same_cause_has_the_same_signature_in_another_build(bits: int, tmp_path: Path) -> None:
    signatures = set()
    for shuffle in (None, 7):
        domain = standard(bits, shuffle=shuffle, node=f"host{shuffle}")
        lock_cycle(domain.build())
        folder = tmp_path / str(shuffle)
        folder.mkdir()
        signatures.add(triage(domain, folder).signature.digest)
    assert len(signatures) == 1


@pytest.mark.parametrize("hypervisor", [True, False])
def test_a_dump_of_xvm_tells_which_of_the_two_panicked(hypervisor: bool, tmp_path: Path) -> None:
    with kdbg.open(XpvDump(hypervisor=hypervisor).write(tmp_path / "vmcore.0")) as target:
        verdict = target.triage().verdict
    assert verdict.kind == "panic"
    assert ("the hypervisor panicked" in verdict.sentence) == hypervisor


@WIDTHS
def test_a_process_whose_child_lies_nowhere(bits: int, tmp_path: Path) -> None:
    domain = plan(bits)
    built = domain.build()
    built.structure("proc_t", built.planned.process("bash").address)["p_child"] = 0x1000
    (finding,) = triage(domain, tmp_path).found("list.corrupt")
    assert "processes" in finding.summary

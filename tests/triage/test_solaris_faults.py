"""Each fault that is planted into a Solaris domain is found under its name, with its threads, locks and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

import kdbg
from kdbg.triage.report import Finding, Report
from samples.faults import FAULTS, Fault
from samples.solaris import SolarisDomain, standard

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



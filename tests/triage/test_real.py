"""Small dumps of real guests, most of whose pages were left out: what is absent is no fault of the guest's."""

from __future__ import annotations

from pathlib import Path

import pytest

import kdbg
from kdbg.triage.report import Outcome, Report

REAL = Path(__file__).parents[2] / "samples" / "real"
CRASHED = ("lx61-kdump", "lx61-panic", "xen-linux-crash", "xen-host")
"""Those whose guest was asked to crash by sysrq."""
DUMPS = sorted(path.name for path in REAL.glob("*.xz"))


def triage(name: str) -> Report:
    with kdbg.open(REAL / name) as target:
        return target.triage()


@pytest.mark.parametrize("name", DUMPS)
def test_what_a_dump_lacks_is_no_finding(name: str) -> None:
    report = triage(name)
    assert [finding.summary for finding in report.findings] == []
    assert [one for one in report.analyses if one.outcome is Outcome.FAILED] == []
    assert (report.verdict.kind == "panic") == name.startswith(CRASHED)


def test_a_crash_that_was_asked_for_has_one_signature_on_bare_metal_in_a_guest_and_in_a_host() -> None:
    reports = [triage(name) for name in DUMPS if name.startswith(CRASHED)]
    assert len(reports) == len(CRASHED)
    assert {report.signature.text for report in reports} == {
        "panic (sysrq): sysrq_handle_crash < __handle_sysrq < write_sysrq_trigger < proc_reg_write < vfs_write"
    }

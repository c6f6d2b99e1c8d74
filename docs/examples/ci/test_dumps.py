"""What has to hold of every dump that our tests leave behind."""

from __future__ import annotations

from kdbg.triage.report import Severity


def test_no_memory_of_the_kernel_is_corrupt(kdbg_report):
    assert not kdbg_report.found("kmem.corrupt")


def test_nothing_new_is_wrong(kdbg_report):
    errors = [one.summary for one in kdbg_report.findings if one.severity is Severity.ERROR]
    assert kdbg_report.known or not errors


def test_the_daemon_was_running(kdbg_dump):
    assert any(process.name.startswith("init") for process in kdbg_dump.processes())

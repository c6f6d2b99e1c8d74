"""From a dump to a verdict: what happened, whether it is known, what to look at first.

    report = kdbg.open("core.domu").triage()
    print(report.verdict.sentence, report.signature.digest)
    for finding in report.findings:
        print(finding.severity, finding.name, finding.summary, finding.command)

A `Case` is what is known of the dump, an `Account` what its kernel tells of its end, analysers look for what is wrong
(`kdbg.triage.analysers`), and `Report` is what comes of it. The views of it stand in `kdbg.triage.views`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kdbg.triage.report import SCHEMA, Identity, Report

if TYPE_CHECKING:
    from kdbg.triage.account import Account
    from kdbg.triage.known import Issue

MOST_NOTES = 50


def triage(
    target: Any,
    known: Sequence[Issue] = (),
    budget: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Look a dump over. ``budget``: seconds for each analyser, if not its own; ``progress`` is told what is done.

    Does not raise for what is in the dump: what cannot be read is in the report's notes and analyses.
    """
    from dataclasses import replace

    from kdbg.triage.analysers import analysers
    from kdbg.triage.case import Case
    from kdbg.triage.context import cpu_states, log_of_interest, named_threads
    from kdbg.triage.known import known_issues
    from kdbg.triage.memorymap import memory_map
    from kdbg.triage.running import run_all
    from kdbg.triage.verdict import key_thread, sign, verdict

    account = account_of(target)
    case = Case(target, account)
    findings, analyses = run_all(case, analysers(account.family), budget, progress)
    found = verdict(case, findings)
    thread = key_thread(case, findings, found)
    report = Report(
        SCHEMA,
        identify(target, account),
        found,
        sign(case, findings, found, thread),
        thread,
        cpu_states(case),
        log_of_interest(case, findings),
        tuple(findings),
        (),
        tuple(case.groups),
        tuple(case.locks),
        memory_map(target),
        tuple(analyses),
        tuple(dict.fromkeys(target.notes))[:MOST_NOTES],
        named_threads(case, findings),
    )
    fitting, untried = known_issues(report, known)
    return replace(report, known=fitting, notes=report.notes + untried)


def account_of(target: Any) -> Account:
    """What tells of the dump: by its kernel's family, or as the core of a process."""
    from importlib import import_module

    from kdbg.triage.account import Account
    from kdbg.triage.analysers import OF_FAMILY

    family = "process" if target.kind == "process" else target.kernel.family if target.kernel is not None else None
    if family not in OF_FAMILY:
        return Account(target)
    made: Account = import_module(f"kdbg.triage.{family}.account").account(target)
    return made


def identify(target: Any, account: Account) -> Identity:
    """What the dump is of."""
    info, machine = target.info, account.machine()
    return Identity(
        file=info.file,
        format=info.format,
        architecture=info.architecture,
        bits=info.bits,
        complete=info.complete,
        pages=info.pages,
        missing=info.missing,
        damage=info.damage,
        kernel=machine.kernel or info.kernel,
        release=machine.release,
        build=machine.build,
        host=machine.host or info.host,
        time=info.time if info.time is not None else machine.time,
        uptime=machine.uptime,
        cpus=info.cpus,
        memory_size=info.memory_size,
    )

"""From what the system wrote down and what was found to one sentence, and to the thread that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kdbg.errors import Error, Unmapped
from kdbg.triage.account import Failure
from kdbg.triage.case import Case
from kdbg.triage.report import CodeLine, Evidence, Finding, KeyThread, Kind, Severity, Signature, Sure, Verdict
from kdbg.triage.signature import bare, reliable, signature

CAUSES = (
    ("kmem.exhausted", Kind.OUT_OF_MEMORY, Sure.LIKELY),
    ("lock.cycle", Kind.DEADLOCK, Sure.LIKELY),
    ("lock.owner-gone", Kind.DEADLOCK, Sure.POSSIBLE),
    ("cpu.spinning", Kind.HANG, Sure.LIKELY),
    ("cpu.stuck-in-hypervisor", Kind.HANG, Sure.POSSIBLE),
    ("taskq.stuck", Kind.HANG, Sure.POSSIBLE),
    ("workqueue.stuck", Kind.HANG, Sure.POSSIBLE),
    ("thread.blocked-long", Kind.HANG, Sure.POSSIBLE),
    ("irq.storm", Kind.HANG, Sure.POSSIBLE),
    ("log.oom", Kind.OUT_OF_MEMORY, Sure.POSSIBLE),
)
"""What a finding means for a system that did not fail, the strongest first."""
CODE_LINES = 6


def verdict(case: Case, findings: Sequence[Finding]) -> Verdict:
    """What happened."""
    failure = case.failure
    if failure is not None:
        return Verdict(failure.kind, failure.message, Sure.CERTAIN, _evidence(failure, findings))
    killed = _killed(case)
    if killed is not None:
        return killed
    for name, kind, sure in CAUSES:
        found = [one for one in findings if one.name == name]
        if found:
            more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
            return Verdict(kind, found[0].summary + more, sure, tuple(map(_as_evidence, found[:4])))
    bad = [one for one in findings if one.severity is Severity.ERROR]
    if case.account.family is None:
        return Verdict(Kind.UNKNOWN, "no kernel that kdbg knows was found in the dump", Sure.POSSIBLE)
    if bad:
        first = bad[0].summary
        return Verdict(
            Kind.UNKNOWN, f"the system had not failed, but {first}", Sure.POSSIBLE, tuple(map(_as_evidence, bad[:4]))
        )
    if not case.threads:
        return Verdict(Kind.UNKNOWN, "the kernel's threads cannot be read: nothing tells how it was", Sure.POSSIBLE)
    return Verdict(Kind.LIVE, "the system was running and nothing is found to be wrong with it", Sure.LIKELY)


def _killed(case: Case) -> Verdict | None:
    """The end of a Xen domain that could not go on: a vCPU in the kernel whose place is not mapped in its own tables.

    Xen ends a domain whose fault it cannot deliver (domain_crash of xen/common/domain.c); no kernel writes that down.
    """
    if not case.target.capabilities() >= {"vcpus"} or "Xen" not in case.target.image.format:
        return None
    for number, registers in enumerate(case.target.image.contexts):
        place = registers.get("rip", registers.get("eip", 0))
        why = _unmapped(case, place, [registers[name] for name in ("cr3", "user_cr3") if registers.get(name)])
        if why is not None:
            facts = (Evidence(f"vCPU {number} stands at {place:x}: {why}", f"::cpuregs -c {number}"),)
            sentence = f"the hypervisor ended the domain: vCPU {number} stood at {place:x}, where nothing is mapped"
            return Verdict(Kind.KILLED, sentence, Sure.LIKELY, facts)
    return None


def _unmapped(case: Case, place: int, roots: Sequence[int]) -> str | None:
    """Why an address is mapped in none of the spaces; None where it is in one, or where that cannot be told."""
    why = None
    for root in roots if place else ():
        try:
            case.target.translate(place, root=root)
        except Unmapped as error:
            if error.absent:
                return None  # a page table that the dump lacks
            why = str(error)
        except Error:
            return None
        else:
            return None
    return why


def _evidence(failure: Failure, findings: Sequence[Finding]) -> tuple[Evidence, ...]:
    bad = [one for one in findings if one.severity is Severity.ERROR]
    return (Evidence("the system wrote it down itself", failure.command), *map(_as_evidence, bad[:3]))


def _as_evidence(finding: Finding) -> Evidence:
    return Evidence(f"{finding.name}: {finding.summary}", finding.command)


def key_thread(case: Case, findings: Sequence[Finding], found: Verdict) -> KeyThread | None:
    """The thread that matters: that of the failure, that which a finding blames, or that of the first busy CPU."""
    failure = case.failure
    if failure is not None:
        frames = case.named(failure.frames)
        if failure.thread is None:
            return KeyThread(0, None, None, "", "", "the CPU that failed", failure.cpu, frames, failure.registers)
        made = _thread(case, failure.thread, "the thread that failed")
        return _with_code(
            case, replace(made, cpu=failure.cpu, stack=frames or made.stack, registers=dict(failure.registers))
        )
    for name, kind, _ in CAUSES:
        for finding in findings:
            if finding.name == name and kind is found.kind and finding.threads:
                return _with_code(case, _thread(case, finding.threads[0], f"{name} names it"))
    for cpu in case.cpus:
        if cpu.thread and cpu.doing not in ("idle", ""):
            return _with_code(case, _thread(case, cpu.thread, f"it was on CPU {cpu.id}"))
    return None


def _thread(case: Case, address: int, how: str) -> KeyThread:
    known = case.by_address.get(address)
    stack = case.stack(address)
    if known is None:
        return KeyThread(address, None, None, "", "", how, stack=stack)
    return KeyThread(address, known.pid, known.tid, known.name, known.state, how, known.cpu, stack)


def _with_code(case: Case, thread: KeyThread) -> KeyThread:
    """With the instructions around the place where it failed: behind the entry of the trap, if there was one."""
    path = case.account.crash_path
    place = next((frame for frame in thread.stack if frame.function and bare(frame.function) not in path), None)
    if place is None:
        return thread
    try:
        lines = case.target.run(f"{place.pc:x}::dis -w -n {CODE_LINES}")
    except Error:
        return thread
    code = tuple(CodeLine(line.address, line.instruction.strip(), line.address == place.pc) for line in lines)
    return replace(thread, code=code)


def sign(case: Case, findings: Sequence[Finding], found: Verdict, thread: KeyThread | None) -> Signature:
    """The signature of what happened."""
    if found.kind in (Kind.LIVE, Kind.UNKNOWN):
        return signature(found.kind)
    drop = case.account.crash_path
    if found.kind is Kind.DEADLOCK:
        drop |= case.account.waiting
        stacks = sorted(
            reliable(case.stack(each), drop)[:2]
            for one in findings
            if one.name in ("lock.cycle", "lock.owner-gone")
            for each in one.threads[:4]
        )
        return signature(found.kind, [name for names in stacks[:3] for name in names])
    cause = case.failure.cause if case.failure is not None else None
    if case.failure is None:
        drop |= case.account.waiting
    return signature(found.kind, reliable(thread.stack, drop) if thread else (), cause)

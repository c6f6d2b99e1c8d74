"""Page tables that allow what they should not: the leaves that `kdbg.vm.scan` calls odd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from kdbg.errors import Error
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case, Unsuited
from kdbg.triage.report import Evidence, Finding, Severity
from kdbg.vm.modes import WRITE
from kdbg.vm.scan import LeafCount, Scan

MOST_SHOWN = 8
MOST_SPACES = 4096
SUMMARIES = {
    "kernel-user": "user mode may access {count} page{s} of the kernel's half",
    "writable-text": "{count} page{s} of the kernel's text can be written to",
}
PER_PROCESS = "user-not-global"


@analyser("pages", "page tables that allow too much", finds=("pte.kernel-user", "pte.writable-text"), needs=("dump",))
def pages(case: Case) -> Iterator[Finding]:
    """The kernel's own space."""
    from kdbg.kernels.leaves import leaf_scan

    scan = leaf_scan(case.target)
    if not scan.has_findings:
        raise Unsuited("its page tables are not x86's")
    for name, summary in SUMMARIES.items():
        leaves = list(scan.find(name))
        case.check()
        if name == "writable-text" and case.account.family == "linux" and not _knows_no_execute(scan):
            continue  # a module's text and data lie together, and nothing tells them apart
        if leaves:
            told, severity = summary.format(count=len(leaves), s="s" if len(leaves) != 1 else ""), None
            if name == "writable-text" and not _protects_text(case, scan.texts):
                told, severity = f"the kernel does not protect its text: {told}", Severity.NOTE
            yield case.finding(
                f"pte.{name}",
                told,
                f"::ptescan -l {name}",
                [
                    Evidence(f"{leaf.va:x} {' '.join(leaf.flags)}", f"{leaf.va:x}::ptwalk")
                    for leaf in leaves[:MOST_SHOWN]
                ],
                severity=severity,
                addresses=[leaf.va for leaf in leaves[:MOST_SHOWN]],
            )


def _knows_no_execute(scan: Scan) -> bool:
    """Whether any page must not be executed: an old 32-bit CPU cannot tell."""
    return any("noexec" in row.flags for row in scan.counts() if isinstance(row, LeafCount))


def _protects_text(case: Case, texts: Iterable[tuple[int, int]]) -> bool:
    """Whether the kernel keeps any of its text from being written to: some never do, and then a page is no surprise."""
    for start, _ in texts:
        try:
            if not case.target.translate(start).entry & WRITE:
                return True
        except Error:
            continue
    return False


@analyser(
    "user pages",
    "user pages of a 64-bit paravirtual domain without the global bit",
    finds=("pte.user-not-global",),
    needs=("kernel",),
)
def user_pages(case: Case) -> Iterator[Finding]:
    """The processes' spaces: in a 64-bit paravirtual domain the guest's kernel gives every user leaf that bit."""
    from kdbg.kernels.leaves import leaf_scan

    if not case.target.image.paravirtual or case.target.bits != 64 or case.account.family != "solaris":
        raise Unsuited("only a 64-bit paravirtual Solaris domain gives user pages that bit")
    for process in islice(case.target.processes(), MOST_SPACES):
        case.check()
        try:
            leaves = list(leaf_scan(case.target, case.target.space_for(process=process)).find(PER_PROCESS))
        except Error:
            continue  # a process without an address space, or one that is not in the dump
        if leaves:
            yield case.finding(
                f"pte.{PER_PROCESS}",
                f"{len(leaves)} user page{'s' if len(leaves) != 1 else ''} of {process.name} (pid {process.pid}) lack"
                f"{'s' if len(leaves) == 1 else ''} the global bit",
                f"::ptescan -p 0t{process.pid} -l {PER_PROCESS}",
                [Evidence(f"{leaf.va:x} {' '.join(leaf.flags)}") for leaf in leaves[:MOST_SHOWN]],
                addresses=[leaf.va for leaf in leaves[:MOST_SHOWN]],
            )

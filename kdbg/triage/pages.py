"""Page tables that allow what they should not: the leaves that `kdbg.vm.scan` calls odd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from kdbg.errors import Error
from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case, Unsuited
from kdbg.triage.report import Evidence, Finding, Severity
from kdbg.vm.modes import WRITE
from kdbg.vm.scan import Leaf, LeafCount, Scan

MOST_SHOWN = 8
MOST_SPACES = 4096
PER_PROCESS = "user-not-global"


@analyser("kernel's half", "pages of the kernel's half that user mode may access", ("pte.kernel-user",), ("dump",))
def kernel_half(case: Case) -> Iterator[Finding]:
    """The kernel's own space."""
    leaves = list(_kernel_scan(case).find("kernel-user"))
    if leaves:
        summary = f"user mode may access {len(leaves)} page{_plural(leaves)} of the kernel's half"
        yield _finding(case, "kernel-user", leaves, summary)


@analyser("kernel's text", "text of the kernel that can be written to", ("pte.writable-text",), ("kernel",))
def kernel_text(case: Case) -> Iterator[Finding]:
    """The text of the kernel and of its modules in the kernel's own space."""
    scan = _kernel_scan(case)
    if not scan.texts:
        raise Unsuited("nothing tells where the kernel's text lies")
    if case.account.family == "linux" and not _knows_no_execute(scan):
        raise Unsuited("a module's text and data lie together, and its CPU cannot tell them apart")
    leaves = list(scan.find("writable-text"))
    if leaves:
        summary = f"{len(leaves)} page{_plural(leaves)} of the kernel's text can be written to"
        if _protects_text(case, scan.texts):
            yield _finding(case, "writable-text", leaves, summary)
        else:
            told = f"the kernel does not protect its text: {summary}"
            yield _finding(case, "writable-text", leaves, told, Severity.NOTE)


def _kernel_scan(case: Case) -> Scan:
    """The leaves of the kernel's own space. Raises `Unsuited`."""
    from kdbg.kernels.leaves import leaf_scan

    try:
        scan = leaf_scan(case.target)
    except Error as error:
        raise Unsuited(str(error)) from None
    if not scan.has_findings:
        raise Unsuited("its page tables are not x86's")
    return scan


def _finding(
    case: Case, name: str, leaves: Sequence[Leaf], summary: str, severity: Severity | None = None, process: str = ""
) -> Finding:
    """A finding about leaves; ``process``: the option that chooses the one whose they are."""
    shown = leaves[:MOST_SHOWN]
    facts = [
        Evidence(f"{leaf.va:x} {' '.join(leaf.flags)}", None if process else f"{leaf.va:x}::ptwalk") for leaf in shown
    ]
    command, addresses = f"::ptescan {process}-l {name}", [leaf.va for leaf in shown]
    return case.finding(f"pte.{name}", summary, command, facts, severity=severity, addresses=addresses)


def _plural(leaves: Sequence[Leaf]) -> str:
    return "s" if len(leaves) != 1 else ""


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
            lack = "lack" if len(leaves) != 1 else "lacks"
            summary = (
                f"{len(leaves)} user page{_plural(leaves)} of {process.name} (pid {process.pid}) {lack} the global bit"
            )
            yield _finding(case, PER_PROCESS, leaves, summary, process=f"-p 0t{process.pid} ")

"""What the log tells: memory that ran out, hardware that fails, warnings of the kernel's own.

The words are those of the kernels' sources: Linux mm/oom_kill.c, arch/x86/kernel/cpu/mce, drivers/edac, drivers/ata,
drivers/scsi, block/blk-core.c, kernel/panic.c (__warn), kernel/watchdog.c, kernel/hung_task.c; illumos uts/common/os
(cmn_err's WARNING), fm (fault management's messages), vm (anon reservations).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdbg.triage.analysers import analyser
from kdbg.triage.case import Case
from kdbg.triage.report import Evidence, Finding

MOST_QUOTED = 8
_PATTERNS = (
    (
        "log.oom",
        "the log tells that memory ran out",
        r"invoked oom-killer|Out of memory: Killed process|Memory cgroup out of memory|page allocation failure"
        r"|Out of memory and no killable processes|no swap space to grow stack|Sorry, no swap space"
        r"|unable to reserve swap|out of swap space|kmem_alloc.*failed|vmem_.*(exhausted|out of)",
    ),
    (
        "log.hardware",
        "the log tells of failing hardware",
        r"Hardware Error|Machine check events logged|\bmce: \[|EDAC .*\b[UC]E\b|I/O error|Medium Error|media error"
        r"|Uncorrectable|uncorrectable|failed command: |link is slow to respond|NMI: (PCI|IOCK)|SUNW-MSG-ID"
        r"|Parity error|PCIe Bus Error|thermal.*(critical|threshold)",
    ),
    (
        "log.warning",
        "the log has a warning of the kernel's own",
        r"^WARNING: |WARNING: CPU: |BUG: |Oops(:| -)|INFO: task .* blocked for more than|rcu.*detected stall"
        r"|soft lockup|hard LOCKUP|hung_task|general protection fault|refcount_t: |list_(add|del) corruption"
        r"|kernel BUG at|UBSAN: |KASAN: ",
    ),
)
FINDINGS = tuple((name, summary, re.compile(pattern)) for name, summary, pattern in _PATTERNS)


@analyser("log", "what the log tells", finds=tuple(name for name, _, _ in _PATTERNS))
def log(case: Case) -> Iterator[Finding]:
    """A finding of each kind with the lines that told so."""
    for name, summary, pattern in FINDINGS:
        lines = []
        for entry in case.log:
            case.check()
            if pattern.search(entry.text):
                lines.append(entry.text)
        if lines:
            times = "once" if len(lines) == 1 else f"{len(lines)} times"
            facts = [Evidence(text, "::msgbuf") for text in lines[:MOST_QUOTED]]
            yield case.finding(name, f"{summary}, {times}: {lines[0].strip()}", "::msgbuf", facts)

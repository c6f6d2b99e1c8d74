"""Run analysers, each within its budget: done, skipped, cut short or failed, and none at the cost of the others."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType

from kdbg.errors import Error, SymbolNotFound, TypeNotFound, is_absence
from kdbg.triage.analysers import Analyser
from kdbg.triage.case import Case, OutOfTime, Unsuited
from kdbg.triage.report import Analysis, Finding, Outcome, Severity

GRACE = 1.5
"""How many times its budget an analyser may take that does not look at the clock, before it is interrupted."""
MOST_FINDINGS = 100
"""Of one analyser."""
ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def run_all(
    case: Case,
    analysers: Sequence[Analyser],
    budget: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Finding], list[Analysis]]:
    """What the analysers find, the worst first, and what became of each.

    ``budget``: seconds for one, if not its own; ``progress`` is told the name of each that begins.
    """
    findings: list[Finding] = []
    became: list[Analysis] = []
    able = case.target.capabilities() | _types(case)
    for one in analysers:
        lacking = [need for need in one.needs if need not in able]
        if lacking:
            became.append(Analysis(one.name, Outcome.SKIPPED, f"the dump has no {', no '.join(lacking)}"))
            continue
        if progress is not None:
            progress(one.name)
        found, told = run(case, one, budget)
        findings.extend(found)
        became.append(told)
    return sorted(findings, key=lambda finding: ORDER[finding.severity]), became


def _types(case: Case) -> frozenset[str]:
    try:
        return frozenset({"types"} if case.kernel is not None and case.kernel.types is not None else ())
    except (Error, NotImplementedError):
        return frozenset()


def run(case: Case, one: Analyser, budget: float | None = None) -> tuple[list[Finding], Analysis]:
    """What an analyser finds, and what became of it."""
    allowed = one.budget if budget is None else budget
    found: list[Finding] = []
    outcome, why = Outcome.DONE, ""
    start = time.monotonic()
    case.allow(allowed)
    try:
        with interrupted_after(allowed * GRACE):
            for finding in one.run(case):
                found.append(replace(finding, analyser=one.name))
                if len(found) >= MOST_FINDINGS:
                    outcome, why = Outcome.CUT_SHORT, f"it has {MOST_FINDINGS} findings"
                    break
    except OutOfTime:
        outcome, why = Outcome.CUT_SHORT, f"it took longer than {allowed:g} s"
    except (Unsuited, TypeNotFound, SymbolNotFound) as error:
        outcome, why = Outcome.SKIPPED, str(error)
    except Error as error:
        outcome, why = Outcome.SKIPPED if is_absence(error) else Outcome.FAILED, str(error)
    except RecursionError:
        outcome, why = Outcome.FAILED, "structures lie too deep in each other"
    except Exception as error:  # a fault of the analyser's: the report says so, the others go on
        outcome, why = Outcome.FAILED, f"internal error: {type(error).__name__}: {error}"
    finally:
        case.allow(None)
    return found, Analysis(one.name, outcome, why, round(time.monotonic() - start, 3), len(found))


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in what does not look at the clock: only the main thread of a program can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_: int, __: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""How an analyser is declared, and which there are.

    @analyser("locks", "who waits for whom", finds=("lock.cycle", "lock.owner-gone"), needs=("solaris", "types"))
    def locks(case: Case) -> Iterator[Finding]:
        for circle in find_circles(case):
            yield case.finding("lock.cycle", ...)

Ours stand in a table of modules, by what they need; third parties' come from the entry points of the group
``kdbg.analysers``, each of which gives such a function. An analyser may take its time up to a budget; one that fails
does not fail the rest (`kdbg.triage.running`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.triage.catalogue import CATALOGUE

if TYPE_CHECKING:
    from kdbg.triage.case import Case
    from kdbg.triage.report import Finding

GROUP = "kdbg.analysers"
"""Of the entry points."""
BUDGET = 5.0
"""Seconds that an analyser may take if it does not say otherwise."""

MODULES = ("kdbg.triage.dumps", "kdbg.triage.pages", "kdbg.triage.logs", "kdbg.triage.stacks")
"""Those of any dump."""
OF_FAMILY: dict[str, tuple[str, ...]] = {
    "solaris": ("kdbg.triage.solaris",),
    "linux": ("kdbg.triage.linux",),
    "process": ("kdbg.triage.process",),
}
"""Those that know a kernel: packages whose ``ANALYSERS`` names modules."""


@dataclass(frozen=True, slots=True)
class Analyser:
    """A function that looks for something wrong, with what it needs and can give."""

    name: str
    summary: str
    run: Callable[[Case], Iterator[Finding]]
    finds: tuple[str, ...]
    """Names of the findings that it can give."""
    needs: tuple[str, ...] = ()
    """What the dump has to have: "solaris", "linux", "process", "kernel", "types", "vcpus" ..."""
    budget: float = BUDGET


def analyser(
    name: str, summary: str, finds: Sequence[str], needs: Sequence[str] = (), budget: float = BUDGET
) -> Callable[[Callable[[Case], Iterator[Finding]]], Analyser]:
    """Declare an analyser. A finding of ours has to be in the catalogue; others' begin with a name of their own."""

    def declare(run: Callable[[Case], Iterator[Finding]]) -> Analyser:
        return Analyser(name, summary, run, tuple(finds), tuple(needs), budget)

    return declare


def declared(module: str) -> list[Analyser]:
    """The analysers that a module declares, in the order in which it does."""
    from importlib import import_module

    return [one for one in vars(import_module(module)).values() if isinstance(one, Analyser)]


def analysers(family: str | None) -> list[Analyser]:
    """All analysers for a dump with a kernel of that family, ours first."""
    from importlib import import_module

    modules = list(MODULES)
    for package in OF_FAMILY.get(family or "", ()):
        modules.extend(import_module(package).ANALYSERS)
    return [one for module in modules for one in declared(module)] + third_parties()


def third_parties() -> list[Analyser]:
    """Those of installed packages; what cannot be loaded becomes one that says so when it is run."""
    from importlib.metadata import entry_points

    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            made = point.load()
            if not isinstance(made, Analyser):
                raise TypeError(f"{point.value} is no analyser")
        except Exception as error:  # of another's package: whatever it is, it is that one's and not ours
            made = _broken(point.name, error)
        found.append(made)
    return found


def _broken(name: str, error: Exception) -> Analyser:
    def run(case: Case) -> Iterator[Finding]:
        raise error

    return Analyser(name, "cannot be loaded", run, ())


def unknown_findings(found: Sequence[Analyser]) -> list[str]:
    """Names that our analysers say they can give and the catalogue does not have."""
    return sorted({name for one in found for name in one.finds} - set(CATALOGUE))

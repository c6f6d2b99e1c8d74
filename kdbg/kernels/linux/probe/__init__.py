"""Types of a kernel that carries none (no BTF): found by the form of what lies in its memory.

Nothing here knows a version or a configuration. A member is what the kernel's sources say of it: the ring of tasks in
which each leads its own group, the number that is different for all of them, the pointer to a stack that begins with
the magic word ... ; it is looked for among many structures of its kind side by side
(`kdbg.kernels.linux.probe.samples`) and taken where it holds for all of them. What is found becomes a container of
types like any other (`kdbg.symbols.btf_write`), so that all that reads a kernel by its types reads this one too; what
is not found is missing there, and said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbg.errors import Error, TypeNotFound
from kdbg.kernels.linux.probe.table import Heads, Table

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.btf import BtfContainer


def probed_types(kernel: Linux, why: str) -> BtfContainer:
    """The types that were found, with a note of what was not; ``why`` the kernel's own are not had.

    Raises `TypeNotFound` where not even tasks were found.
    """
    table = Table(kernel)
    if not probe(table):
        raise TypeNotFound("vmlinux", f"{why}, and no tasks were found by their form")
    kernel.part(Heads).update(table.heads)
    missing = f"; not found: {', '.join(table.missing)}" if table.missing else ""
    kernel.target.note(f"{why}: members were found by their form{missing}")
    return table.container()


def found_by_form(kernel: Linux) -> bool:
    """Whether that is what the kernel's types are, as far as they were asked for."""
    return bool(kernel.part(Heads))


def probe(table: Table) -> bool:
    """Find what there is; False where not even tasks are found."""
    from kdbg.kernels.linux.probe import cpus, declared, files, memory, pages, slabs, tasks

    declared.declare(table)
    if not tasks.probe(table, slabs.probe(table)):
        return False
    for topic in (cpus.probe, files.probe, memory.probe, pages.probe):  # areas are known by the files that they show
        try:
            topic(table)
        except Error as error:
            table.missing.append(str(error))
    return True

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


def probed_types(kernel: Linux) -> BtfContainer:
    """The types that were found, with a note of what was not. Raises `TypeNotFound` where not even tasks were."""
    from kdbg.kernels.linux.probe import cpus, declared, files, memory, pages, slabs, tasks

    table = Table(kernel)
    declared.declare(table)
    if not tasks.probe(table, slabs.probe(table)):
        raise TypeNotFound(
            "vmlinux", "the kernel carries no types (no BTF in its image), and no tasks were found by their form"
        )
    for probe in (cpus.probe, files.probe, memory.probe, pages.probe):  # areas are known by the files that they show
        try:
            probe(table)
        except Error as error:
            kernel.target.note(f"types by their form: {error}")
    kernel.part(Heads).update(table.heads)
    if table.missing:
        kernel.target.note(f"no BTF: types were found by their form; not found: {', '.join(table.missing)}")
    return table.container()

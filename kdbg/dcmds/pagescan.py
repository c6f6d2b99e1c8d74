"""Our own dcmds on page tables: the way of one address, and the leaves of a whole address space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.pagetables import space_of
from kdbg.dcmds.registry import NONE, REQUIRED, Call, Column, Table, View, dcmd, decimal, number, pointer, text, word
from kdbg.errors import CommandError, Unmapped
from kdbg.kernels.leaves import leaf_scan
from kdbg.records import Text
from kdbg.vm.modes import flag_names
from kdbg.vm.scan import FINDINGS, FindingCount, LeafCount

if TYPE_CHECKING:
    from kdbg.vm.space import AddressSpace


@dataclass(frozen=True, slots=True)
class TableStep:
    """One table on the way of an address."""

    level: int
    name: str
    """Of the level: pml4, pdpt, pd, pt."""
    frame: int
    """Of the table, as page tables hold frames."""
    pfn: int | None
    """Of the table, in the guest's count; None where no page of it has the frame."""
    index: int
    entry: int
    flags: tuple[str, ...]


_STEPS = Table(
    (
        decimal("LEVEL", "level", 5, left=True),
        text("TABLE", "name", 5),
        Column("FRAME", lambda step, _: f"{step.frame:x}", 12),
        Column("PFN", lambda step, _: "-" if step.pfn is None else f"{step.pfn:x}", 10),
        Column("INDEX", lambda step, _: f"{step.index:x}", 5),
        Column("ENTRY", lambda step, _: f"{step.entry:016x}", 16),
        Column("FLAGS", lambda step, _: " ".join(step.flags), 0, left=True),
    )
)


def step_heading(call: Call, view: View) -> str:
    """The headings of tables on the way."""
    return _STEPS.heading(view) or ""


def step_text(record: Any, view: View) -> str | None:
    """A table on the way, or where it ends."""
    return str(record.text) if isinstance(record, Text) else _STEPS.row(record, view)


@dcmd(
    "ptwalk",
    "walk the page tables for an address",
    address=REQUIRED,
    synopsis="[-a as]",
    options=[number("a", "as", "in the address space of this struct as")],
    heading=step_heading,
    text=step_text,
    help="Every level's table, the entry in it and the entry's flags by name, from the top down to where it ends.",
    example="fffffffffbc4b7f0::ptwalk",
    module="kdbg",
)
def ptwalk(call: Call) -> Iterator[TableStep | Text]:
    """The tables on the way of the address, and where it leads or why it ends."""
    yield from walk_steps(call.address, space_of(call))


def walk_steps(address: int, space: AddressSpace) -> Iterator[TableStep | Text]:
    """The tables on the way of an address in a space, and where it leads or why it ends."""
    image, mode = space.image, space.mode
    walk = space.walk(address)
    for step in walk.steps:
        pfn = image.mfn_to_pfn(step.frame) if image.paravirtual else step.frame
        flags = tuple(flag_names(mode, step.entry & ~mode.frame_mask))
        yield TableStep(step.level, mode.levels[step.level].name, step.frame, pfn, step.index, step.entry, flags)
    try:
        found = space.translate(address)
    except Unmapped:
        yield Text(f"{address:x} is not mapped: {walk.ended}")
        return
    machine = "" if found.mfn is None else f"mfn {found.mfn:x}, "
    guest = "no page of the guest" if found.pfn is None else f"pfn {found.pfn:x}"
    place = "" if found.physical is None else f", physical {found.physical:x}"
    missing = f"; {found.missing}" if found.missing else ""
    yield Text(f"{address:x} is in a page of {_size(found.page_size)}: {machine}{guest}{place}{missing}")


def _size(size: int) -> str:
    for unit, name in ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if size >= unit:
            return f"{size // unit}{name}"
    return str(size)


_COUNTS = Table(
    (
        decimal("LEAVES", "count", 10),
        Column("SIZE", lambda row, _: _size(row.page_size), 4),
        Column("AT", lambda row, _: "kernel" if row.kernel else "user", 6, left=True),
        Column("FLAGS", lambda row, _: " ".join(row.flags), 0, left=True),
    )
)

_LEAVES = Table(
    (
        pointer("VA", "va"),
        Column("PFN", lambda leaf, _: "-" if leaf.pfn is None else f"{leaf.pfn:x}", 10),
        Column("MFN", lambda leaf, _: "-" if leaf.mfn is None else f"{leaf.mfn:x}", 10),
        Column("SIZE", lambda leaf, _: _size(leaf.page_size), 4),
        Column("ENTRY", lambda leaf, _: f"{leaf.entry:016x}", 16),
        Column("FLAGS", lambda leaf, _: " ".join(leaf.flags), 0, left=True),
    )
)


def scan_text(record: Any, view: View) -> str | None:
    """A count, or a leaf of a finding."""
    if isinstance(record, FindingCount):
        return f"{record.count:10d} {record.finding}"
    return _COUNTS.row(record, view) if isinstance(record, LeafCount) else _LEAVES.row(record, view)


def scan_heading(call: Call, view: View) -> str:
    """The headings of counts or of leaves."""
    finding = call.options.l
    if finding is None:
        return _COUNTS.heading(view) or ""
    lines = []
    if finding == "user-not-global":
        image = call.target.image  # type: ignore[attr-defined]
        wrong = image.paravirtual and call.target.bits == 64
        lines.append(
            "wrong here: in a 64-bit paravirtual guest every user leaf has the global bit"
            if wrong
            else "usual here: only a 64-bit paravirtual guest's user leaves have the global bit"
        )
    return "\n".join([*lines, _LEAVES.heading(view) or ""])


@dcmd(
    "ptescan",
    "count the leaves of an address space by their bits",
    address=NONE,
    synopsis="[-p pid] [-l finding]",
    options=[
        number("p", "pid", "of this process, not the kernel"),
        word("l", "finding", "list the leaves of a finding"),
    ],
    heading=scan_heading,
    text=scan_text,
    pipe=lambda record: getattr(record, "va", None),
    help="All present leaves are counted, whatever their size, and what looks wrong among them: -l lists that.\n"
    "kernel-user: at a kernel address, and user mode may use it (and Xen did not make it so itself);\n"
    "user-not-global: at a user address without the global bit, wrong in a 64-bit paravirtual guest only;\n"
    "writable-text: program text of the kernel that may be written;\n"
    "writable-executable: at a kernel address, and may be written and executed.",
    example="::ptescan -l kernel-user",
    module="kdbg",
)
def ptescan(call: Call) -> Iterator[Any]:
    """Counts, or the leaves of a finding."""
    options = call.options
    target: Any = call.target
    if options.l is not None and options.l not in FINDINGS:
        raise CommandError(f"unknown finding {options.l}: there are {', '.join(FINDINGS)}")
    space = target.space if options.p is None else target.space_for(process=options.p)
    scan = leaf_scan(target, space)
    yield from scan.counts() if options.l is None else scan.find(options.l)

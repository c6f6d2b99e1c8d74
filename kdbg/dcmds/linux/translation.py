"""Dcmds on page tables of a Linux kernel and its processes: as those for every dump, with processes by their ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.pagescan import TableStep, scan_heading, scan_text, step_heading, step_text, walk_steps
from kdbg.dcmds.pagetables import Level, Place, by_tables, place_text
from kdbg.dcmds.registry import NONE, REQUIRED, Call, View, dcmd, number, word
from kdbg.errors import CommandError
from kdbg.kernels.leaves import leaf_scan
from kdbg.kernels.linux.areas import space_of_mm
from kdbg.kernels.linux.regions import Regions
from kdbg.lang.errors import Silent
from kdbg.records import Text
from kdbg.vm.modes import PRESENT, PagingMode, flag_names
from kdbg.vm.scan import FINDINGS

if TYPE_CHECKING:
    from kdbg.vm.space import AddressSpace

MODULE = "linux"
SPACE = (number("p", "pid", "in the process with this id"), number("a", "mm", "in the space of this struct mm_struct"))
"""Options that choose an address space."""
PROT_NONE_X86 = 1 << 8
"""_PAGE_PROTNONE, in an entry that is not present; its frame is inverted (pte_needs_invert, since 4.19)."""


def space_of(call: Call) -> AddressSpace:
    """The address space that -p or -a names, or the kernel's own. Raises `CommandError`."""
    target: Any = call.target
    options = call.options
    if options.p is not None and options.a is not None:
        raise CommandError(f"{call.name}: only one of -p and -a can be given")
    with about(f"{call.name}", call.kernel):
        if options.p is not None:
            return target.space_for(process=options.p)  # type: ignore[no-any-return]
        return target.space if options.a is None else space_of_mm(call.kernel, options.a)


@dcmd(
    "vtop",
    "give the physical address that an address leads to",
    address=REQUIRED,
    synopsis="[-p pid | -a mm]",
    options=SPACE,
    needs=("kernel",),
    text=lambda record, view: f"virtual {record.address:x} mapped to physical {record.physical:x}",
    pipe=lambda record: record.physical,
    module=MODULE,
    help="In the kernel's own address space, or in that of a process: -p tells its id (0t1234 for decimal), -a the "
    "address of its mm_struct.",
    example="400000::vtop -p 0t1",
)
def vtop(call: Call) -> Iterator[Place]:
    """The guest-physical address."""
    with about("failed to get physical mapping", call.kernel):
        found = space_of(call).translate(call.address)
    if found.pfn is None or found.physical is None:
        raise CommandError(f"failed to get physical mapping: no page of the guest has frame {found.mfn or 0:x}")
    yield Place(call.address, found.pfn, found.mfn, found.physical)


@dcmd(
    "vatopfn",
    "give the frame that an address leads to, with each level's entry, the lowest first",
    address=REQUIRED,
    synopsis="[-p pid | -a mm]",
    options=SPACE,
    needs=("kernel",),
    text=place_text,
    pipe=lambda record: record.pfn if isinstance(record, Place) else None,
    module=MODULE,
    help="Walks the page tables and shows the entry of each level and the frame at the end; -p and -a as with ::vtop. "
    "::ptwalk shows the flags by name as well.",
    example="400000::vatopfn -p 0t1",
)
def vatopfn(call: Call) -> Iterator[Level | Place | Text]:
    """The way of the address through the page tables."""
    yield from by_tables(call, space_of(call))


@dcmd(
    "ptwalk",
    "walk the page tables for an address",
    address=REQUIRED,
    synopsis="[-p pid | -a mm]",
    options=SPACE,
    needs=("kernel",),
    heading=step_heading,
    text=step_text,
    module=MODULE,
    help="Every level's table, the entry in it and the entry's flags by name, from the top down to where it ends; -p "
    "and -a as with ::vtop.",
    example="400000::ptwalk -p 0t1",
)
def ptwalk(call: Call) -> Iterator[TableStep | Text]:
    """The tables on the way of the address, and where it leads or why it ends."""
    yield from walk_steps(call.address, space_of(call))


@dcmd(
    "ptescan",
    "count the leaves of an address space by their bits",
    address=NONE,
    synopsis="[-p pid | -a mm] [-l finding]",
    options=[*SPACE, word("l", "finding", "list the leaves of a finding")],
    needs=("kernel",),
    heading=scan_heading,
    text=scan_text,
    pipe=lambda record: getattr(record, "va", None),
    module=MODULE,
    help="All present leaves are counted, whatever their size, and what looks wrong among them: -l lists that.\n"
    "kernel-user: at a kernel address, and user mode may use it (x86 has one such page for vsyscalls);\n"
    "user-not-global: at a user address without the global bit, as usual;\n"
    "writable-text: program text of the kernel or a module that may be written;\n"
    "writable-executable: at a kernel address, and may be written and executed.",
    example="::ptescan -l writable-text",
)
def ptescan(call: Call) -> Iterator[Any]:
    """Counts, or the leaves of a finding."""
    finding = call.options.l
    if finding is not None and finding not in FINDINGS:
        raise CommandError(f"unknown finding {finding}: there are {', '.join(FINDINGS)}")
    target: Any = call.target
    scan = leaf_scan(target, space_of(call), call.kernel.part(Regions).texts())
    yield from scan.counts() if finding is None else scan.find(finding)


# entries


@dataclass(frozen=True, slots=True)
class Entry:
    """A page-table entry taken apart."""

    entry: int
    level: int
    frame: int
    machine: bool
    """Whether it holds a machine frame."""
    flags: tuple[str, ...]
    valid: bool
    note: str = ""
    """What an entry that is not present holds."""


def take_apart(mode: PagingMode, entry: int, level: int, machine: bool) -> Entry:
    """An entry of that level of a paging mode."""
    flags = tuple(flag_names(mode, entry & ~mode.frame_mask))
    if entry & PRESENT:
        leaf = level == 0 or mode.levels[level].is_leaf(entry)
        frame = mode.leaf_frame_address(entry, level) if leaf else mode.table_address(entry)
        return Entry(entry, level, frame >> 12, machine, flags, True)
    x86 = any(name == "global" for _, name in mode.flags)
    if x86 and mode.entry_size == 8 and entry & PROT_NONE_X86:
        return Entry(entry, level, (~entry & mode.frame_mask) >> 12, machine, flags, False, "in memory, PROT_NONE")
    if x86 and mode.entry_size == 8 and entry:
        # arch/x86/include/asm/pgtable_64.h: type in bits 59 to 63, the offset's complement below it
        offset = (~entry << 5 & (1 << 64) - 1) >> 14
        return Entry(entry, level, 0, machine, (), False, f"swap or migration: type {entry >> 59:x}, offset {offset:x}")
    return Entry(entry, level, 0, machine, (), False, "" if entry else "none")


def _entry_text(record: Entry, view: View) -> str:
    frame = f"{'mfn' if record.machine else 'pfn'}=0x{record.frame:x} " if record.frame or record.valid else ""
    note = f"({record.note})" if record.note else ""
    return f"pte=0x{record.entry:x}: {frame}{' '.join(record.flags)}{'' if record.valid else ' !VALID '}{note}".rstrip()


@dcmd(
    "pte",
    "take a page-table entry apart",
    address=REQUIRED,
    synopsis="[-l N]",
    options=[number("l", "N", "the level of its table, 0 the lowest")],
    needs=("kernel",),
    text=_entry_text,
    module=MODULE,
    help="Shows the bits of a page-table entry by name, and the frame that it holds; of one that is not present, what "
    "the kernel keeps in it. -l tells the level it is of, 0 for a 4K page.",
    example="8000000001da8063::pte",
)
def pte(call: Call) -> Iterator[Entry]:
    """The entry that the address is."""
    target: Any = call.target
    mode, level = target.space.mode, call.options.l or 0
    if level >= max(len(mode.levels), 1):
        raise CommandError(f"invalid level {level}")
    if not mode.levels:
        raise Silent
    yield take_apart(mode, call.address, level, target.image.paravirtual)

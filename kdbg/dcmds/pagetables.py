"""Dcmds on page tables and frames, for every dump: what an address leads to, what an entry says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import (
    OPTIONAL,
    REQUIRED,
    REQUIRED_AFTER_OPTIONS,
    Call,
    View,
    dcmd,
    number,
)
from kdbg.errors import CommandError, ReadError
from kdbg.lang.errors import Abort, Silent
from kdbg.lang.formats_numbers import digits
from kdbg.records import Text
from kdbg.vm.modes import NO_EXECUTE

if TYPE_CHECKING:
    from kdbg.kernels.solaris.hat import Hats
    from kdbg.vm.space import AddressSpace

PAGE_SHIFT = 12
PT_ADDRESS, PT_ADDRESS_LARGE = 0x000F_FFFF_FFFF_F000, 0x000F_FFFF_FFFF_E000
VALID, WRITABLE, USER, WRITE_THROUGH, NO_CACHE, REFERENCED, MODIFIED, LARGE, GLOBAL = (1 << bit for bit in range(9))
NO_SYNC, NO_CONSIST, PAT_LARGE = 0x200, 0x400, 0x1000
"""Bits of an entry; the software bits are those of <vm/hat_pte.h>."""
CACHING = ("wrback", "wrthru", "uncached", "uncached", "wrback", "wrthru", "wrcombine", "uncached")
"""What the bits PAT, PCD and PWT mean as Solaris sets the page attribute table."""


def _hats(call: Call) -> Hats | None:
    """The kernel's own books of its page tables, where it is one that has them."""
    kernel = call.target.kernel
    return None if kernel is None else kernel.page_tables()


def space_of(call: Call) -> AddressSpace:
    """The address space that -a names (a struct as), or the kernel's own."""
    target: Any = call.target
    if not call.options.a:
        return target.space  # type: ignore[no-any-return]
    return target.require_kernel().space_of_as(call.options.a)  # type: ignore[no-any-return]


# frames


@dataclass(frozen=True, slots=True)
class Frames:
    """A guest frame and the machine frame it has."""

    pfn: int
    mfn: int


def _image(call: Call) -> Any:
    """The image whose pfns are meant: in the dump of a Xen host, that of domain 0."""
    target: Any = call.target
    return (target if target.kernel is None else target.kernel.target).image


def _mfn_of(call: Call, pfn: int) -> int | None:
    books = _hats(call)
    if books is not None and books.has_frames:
        return books.mfn_of(pfn)
    image = _image(call)
    return image.pfn_to_mfn(pfn) if image.paravirtual else pfn


def _pfn_of(call: Call, mfn: int) -> int | None:
    books = _hats(call)
    if books is not None and books.has_frames:
        return books.pfn_of(mfn)
    image = _image(call)
    return image.mfn_to_pfn(mfn) if image.paravirtual else mfn


@dcmd(
    "pfntomfn",
    "give the machine frame of a guest frame",
    address=REQUIRED,
    missing="PFN missing",
    words=None,
    text=lambda record, view: digits(record.mfn, view.session.radix),
    pipe=lambda record: record.mfn,
    example="4a1::pfntomfn",
    module="unix",
    help=(
        "A paravirtual domain numbers its pages by pfn, the machine below it by mfn. This leads from the "
        "former to the latter."
    ),
    hint=False,
)
def pfntomfn(call: Call) -> Iterator[Frames]:
    """The machine frame of the pfn; in a machine of its own it is the same."""
    mfn = _mfn_of(call, call.address)
    if mfn is None:
        raise Abort(f"Invalid pfn {digits(call.address, call.session.radix)}")
    yield Frames(call.address, mfn)


@dcmd(
    "mfntopfn",
    "give the guest frame that has a machine frame",
    address=REQUIRED,
    missing="MFN missing",
    words=None,
    text=lambda record, view: digits(record.pfn, view.session.radix),
    pipe=lambda record: record.pfn,
    example="1324::mfntopfn",
    module="unix",
    help=(
        "Leads from the frame of the machine, as page tables of a paravirtual domain hold it, to the page of "
        "the domain."
    ),
    hint=False,
)
def mfntopfn(call: Call) -> Iterator[Frames]:
    """The first pfn that has the machine frame."""
    pfn = _pfn_of(call, call.address)
    if pfn is None:
        raise CommandError(f"Invalid mfn {digits(call.address, call.session.radix)}")
    yield Frames(pfn, call.address)


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
    caching: str | None
    """How the page is cached, if not as usual."""
    valid: bool


def _entry_text(record: Entry, view: View) -> str:
    radix = view.session.radix
    frame = f"{'mfn' if record.machine else 'pfn'}=0x{digits(record.frame, radix)}"
    words = f"pte=0x{digits(record.entry, radix)}: {frame} "
    words += "".join(flag + " " for flag in record.flags)
    return words + (record.caching or "") + ("" if record.valid else " !VALID ")


def take_apart(entry: int, level: int, no_execute: int, global_bit: int, machine: bool) -> Entry:
    """An entry of that level; ``no_execute``, ``global_bit``: the bits that the kernel uses for these, 0 for none."""
    large = level > 0 and entry & LARGE
    flags = (
        (no_execute, "noexec"),
        (NO_CONSIST, "noconsist"),
        (NO_SYNC, "nosync"),
        (global_bit, "global"),
        (LARGE if level else 0, "largepage"),
        (MODIFIED if level else 0, "mod"),
        (REFERENCED if level else 0, "ref"),
        (USER, "user"),
        (WRITABLE, "write"),
    )
    attribute = entry & PAT_LARGE and large if level else entry & LARGE
    index = (4 if attribute else 0) + (2 if entry & NO_CACHE else 0) + (1 if entry & WRITE_THROUGH else 0)
    return Entry(
        entry,
        level,
        (entry & (PT_ADDRESS_LARGE if large else PT_ADDRESS)) >> PAGE_SHIFT,
        machine,
        tuple(name for bit, name in flags if entry & bit),
        CACHING[index] if index else None,
        bool(entry & VALID),
    )


@dcmd(
    "pte",
    "take a page-table entry apart",
    address=REQUIRED,
    synopsis="[-l N]",
    options=[number("l", "N", "the level of its table, 0 the lowest")],
    text=_entry_text,
    example="8000000001da8063::pte",
    module="unix",
    help=(
        "Shows the bits of a page-table entry by name, and the frame that it holds. -l tells the level it is "
        "of, 0 for a 4K page."
    ),
    hint=False,
)
def pte(call: Call) -> Iterator[Entry]:
    """The entry that the address is."""
    level = call.options.l or 0
    books = _hats(call)
    target: Any = call.target
    no_execute, global_bit, most = NO_EXECUTE, GLOBAL, max(len(target.space.mode.levels) - 1, 0)
    machine = target.image.paravirtual
    if books is not None:
        if books.mmu is None:
            raise Silent
        no_execute, global_bit, most = books.mmu.pt_nx, books.mmu.pt_global, books.mmu.max_level
        machine = books.paravirtual
    if level > most:
        raise CommandError(f"invalid level {level}")
    if call.address:
        yield take_apart(call.address, level, no_execute, global_bit, machine)


# translations


@dataclass(frozen=True, slots=True)
class Level:
    """An entry on the way of an address."""

    level: int
    entry: int
    htable: int | None
    """Address of the kernel's htable_t, where it has such; else ``frame`` names the table."""
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads."""

    address: int
    pfn: int | None
    """None where it is a page of the hypervisor's, or of a domain whose pfns are not known."""
    mfn: int | None
    physical: int


def place_text(record: Any, view: View) -> str:
    """An entry, the place at the end, or why there is none."""
    radix = view.session.radix
    if isinstance(record, Level):
        table = f"table=0x{record.frame:x}" if record.htable is None else f"htable=0x{record.htable:x}"
        return f"\tlevel={record.level} {table} pte=0x{digits(record.entry, radix)}"
    if isinstance(record, Place):
        if record.pfn is None:
            return f"Virtual address 0x{record.address:x} maps mfn 0x{digits(record.mfn or 0, radix)}"
        machine = "" if record.mfn is None else f" (mfn 0x{digits(record.mfn, radix)})"
        return f"Virtual address 0x{record.address:x} maps pfn 0x{digits(record.pfn, radix)}{machine}"
    return str(record.text)


@dcmd(
    "vatopfn",
    "give the frame that an address leads to, with each level's entry, the lowest first",
    address=REQUIRED_AFTER_OPTIONS,
    synopsis="[-a as]",
    options=[number("a", "as", "in the address space of this struct as")],
    text=place_text,
    pipe=lambda record: None if not isinstance(record, Place) else record.pfn if record.pfn is not None else record.mfn,
    example="fffffffffbc4b7f0::vatopfn",
    module="unix",
    help=(
        "Walks the page tables for an address and shows the entry of each level and the frame at the end. -a "
        "names the address space: the address of a struct as. ::ptwalk shows the flags by name as well."
    ),
    hint=False,
)
def vatopfn(call: Call) -> Iterator[Level | Place | Text]:
    """The way of the address through the page tables."""
    books = _hats(call)
    yield from _by_htables(call, books) if books is not None else by_tables(call, space_of(call))


def _by_htables(call: Call, books: Hats) -> Iterator[Level | Place | Text]:
    if books.mmu is None:
        raise Silent
    leaf: tuple[int, int] | None = None
    for step in books.path(call.address, call.options.a or 0):
        yield Level(step.level, step.entry, step.htable)
        if not step.entry & VALID:
            yield Text(f"Address {call.address:x} is unmapped.")
            raise Silent
        leaf = leaf or (step.level, step.entry)
    if leaf is None:
        raise Silent
    found = take_apart(leaf[1], leaf[0], 0, 0, books.paravirtual)
    yield _placed(call, found.frame, leaf[0], books)


def _placed(call: Call, frame: int, level: int, books: Hats) -> Place:
    pfn = _pfn_of(call, frame) if books.paravirtual else frame
    if pfn is None:
        raise CommandError(f"Invalid mfn {digits(frame, call.session.radix)}")
    offset = call.address & books.mmu.level_offset[level] if books.mmu is not None else 0
    return Place(call.address, pfn, frame if books.paravirtual else None, (pfn << PAGE_SHIFT) + offset)


def by_tables(call: Call, space: AddressSpace) -> Iterator[Level | Place | Text]:
    """The same for kernels that keep no books: by the tables alone."""
    walk = space.walk(call.address)
    for step in reversed(walk.steps):
        yield Level(step.level, step.entry, None, step.frame)
    if walk.page_address is None:
        yield Text(f"Address {call.address:x} is unmapped.")
        raise Silent
    found = space.translate(call.address)
    if found.physical is None:
        raise CommandError(f"Invalid mfn {walk.page_address >> PAGE_SHIFT:x}")
    yield Place(call.address, found.pfn, found.mfn, found.physical)


@dcmd(
    "vtop",
    "give the physical address that an address leads to",
    address=OPTIONAL,
    synopsis="[-a as]",
    options=[number("a", "as", "in the address space of this struct as")],
    text=lambda record, view: (
        record.text
        if isinstance(record, Text)
        else f"virtual {digits(record.address, view.session.radix)} mapped to physical "
        f"{digits(record.physical, view.session.radix)}"
    ),
    pipe=lambda record: getattr(record, "physical", None),
    example="fffffffffbc4b7f0::vtop",
    module="mdb",
    help="Gives the physical address of a virtual one. -a names the address space: the address of a struct as.",
    hint=False,
)
def vtop(call: Call) -> Iterator[Place | Text]:
    """The guest-physical address."""
    try:
        found = space_of(call).translate(call.address)
        if found.physical is not None:
            yield Place(call.address, found.pfn, found.mfn, found.physical)
            return
    except ReadError:
        pass
    books = _hats(call)
    path = books.path(call.address, call.options.a or 0) if books is not None else ()
    if any(not step.entry & VALID for step in path):
        yield Text(f"Address {call.address:x} is unmapped.")
    raise CommandError("failed to get physical mapping: no mapping for address")

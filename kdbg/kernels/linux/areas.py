"""The address spaces of processes: mm_struct, its page tables, and its areas with the files that they show.

Sources: include/linux/mm_types.h; lib/maple_tree.c and include/linux/maple_tree.h (6.1 on; before that areas hang on
mm_struct.mmap by vm_next); arch/x86/include/asm/pgtable.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdbg.errors import CommandError, Error, ReadError, Unmapped
from kdbg.formats.image import PAGE
from kdbg.kernels.linux.files import Paths
from kdbg.kernels.linux.maple import Maple
from kdbg.kernels.linux.tasks import Tasks
from kdbg.kernels.linux.userspace import UserSpace
from kdbg.symbols.layouts import Layout
from kdbg.symbols.value import Value

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.vm.space import AddressSpace

MOST_LINE = 1 << 15


def space_of_task(kernel: Linux, address: int) -> AddressSpace:
    """The user space of the task at an address. Raises `Error`; a thread of the kernel has none."""
    mm = kernel.part(Tasks).living(address).mm
    if not mm:
        raise CommandError(f"{address:x}: a task without an address space of its own")
    return space_of_mm(kernel, mm)


def space_of_mm(kernel: Linux, mm: int) -> AddressSpace:
    """The address space that an mm_struct describes. Raises `Error`."""
    return space_of_root(kernel, int(kernel.at("struct mm_struct", mm).pgd))


def space_of_root(kernel: Linux, root: int) -> AddressSpace:
    """The address space whose top page table lies at an address of the kernel's. Raises `Error`."""
    translation = kernel.space.translate(root)
    image = kernel.target.image
    frame = translation.mfn if image.paravirtual else translation.pfn
    if frame is None:
        raise Unmapped(root, "no frame for the top page table of a process")
    mode = kernel.space.mode
    if mode.upper_only:  # arm64: the lower half has a table of its own, of the same form
        mode = replace(mode, upper_only=False)
    return UserSpace(image, mode, frame << 12 | root & 0xFFF)


def command_line(kernel: Linux, mm: int) -> str:
    """The arguments of a process, blanks between them; "" where they cannot be read."""
    if not mm:
        return ""
    try:
        found = kernel.at("struct mm_struct", mm)
        start, end = found.arg_start, found.arg_end
        data = space_of_mm(kernel, mm).read(start, min(max(end - start, 0), MOST_LINE))
    except Error:
        return ""
    return data.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Area:
    """A range of a process's addresses."""

    address: int
    """Of its vm_area_struct."""
    start: int
    end: int
    flags: str
    """As /proc/PID/maps shows them: r, w, x, then s where it is shared, else p."""
    offset: int
    """Bytes into the file; 0 where it shows none."""
    path: str | None
    """The file that it shows; [heap], [stack] ... by what is known besides; None for neither."""
    vm_flags: int = 0


VM_FLAGS = ((1, "r"), (2, "w"), (4, "x"))
VM_SHARED, VM_MAYSHARE = 8, 0x80
MOST_AREAS = 1 << 20
_SPECIAL = re.compile(r"\[[a-z_]+\]")

MEMBERS = {"start": "vm_start", "end": "vm_end", "flags": "vm_flags", "offset": "vm_pgoff", "file": "vm_file",
           "operations": "vm_ops?", "private": "vm_private_data?", "next": "vm_next?"}  # fmt: skip


class Areas:
    """The areas of one kernel's address spaces."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self.layout = Layout(kernel.type("struct vm_area_struct"), MEMBERS)
        self.paths = kernel.part(Paths)

    def of(self, mm: int) -> Iterator[Area]:
        """The areas of an mm_struct, ascending. Raises `ReadError`, `TypeNotFound`."""
        kernel = self.kernel
        found = kernel.load("struct mm_struct", mm)
        if found.has("mm_mt"):
            addresses = Maple(kernel).entries(found.address_of("mm_mt"))
        else:
            addresses = self._linked(int(found.mmap))
        brk = (found.start_brk, found.brk)
        stack = found.start_stack
        for address in addresses:
            try:
                yield self._area(address, brk, stack, found)
            except ReadError as error:
                kernel.target.note(f"vm_area_struct {address:x} of mm_struct {mm:x}: {error.reason}")

    def _area(self, address: int, brk: tuple[int, int], stack: int, mm: Value) -> Area:
        told = self.layout.read(self.kernel.memory.read, address)
        flags, start, end, path = told["flags"], told["start"], told["end"], None
        if told["file"]:
            path = self.paths.of_file(told["file"])
        elif start <= brk[1] and end >= brk[0] and brk[0] != brk[1]:
            path = "[heap]"
        elif start <= stack < end:
            path = "[stack]"
        elif told["operations"] and told["private"] and (named := self._special(told["private"])):
            path = named
        elif mm.has("context") and mm.context.has("vdso") and start == int(mm.context.vdso):
            path = "[vdso]"
        shown = "".join(letter if flags & bit else "-" for bit, letter in VM_FLAGS)
        shown += "s" if flags & (VM_MAYSHARE | VM_SHARED) else "p"
        offset = told["offset"] * PAGE if told["file"] else 0
        return Area(address, start, end, shown, offset, path, flags)

    def _special(self, mapping: int) -> str | None:
        """What the kernel shows to every process ([vvar], [uprobes]): a vm_special_mapping begins with its name."""
        try:
            name = self.kernel.string(self.kernel.word(mapping), 32)
        except Error:
            return None
        return name if _SPECIAL.fullmatch(name) else None

    def _linked(self, first: int) -> Iterator[int]:
        """Before 6.1: by vm_next."""
        at, seen = first, set[int]()
        while at:
            if at in seen or len(seen) > MOST_AREAS:
                self.kernel.target.note(f"areas: the list leads back to {at:x}")
                return
            seen.add(at)
            yield at
            try:
                at = self.layout.read(self.kernel.memory.read, at)["next"]
            except ReadError as error:
                self.kernel.target.note(f"areas: the list ends at {at:x}: {error.reason}")
                return

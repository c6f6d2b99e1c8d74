"""Address spaces by their form: the areas that a tree (before 6.1 a list) holds, the page table that maps them.

Sources: include/linux/mm_types.h (mm_struct, vm_area_struct), include/linux/maple_tree.h, include/linux/mm.h (VM_*),
include/uapi/linux/auxvec.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy

from kdbg.errors import Error
from kdbg.kernels.linux.probe.declared import RANGE_GAPS, RANGE_SLOTS
from kdbg.kernels.linux.probe.samples import Column, Samples, share, some, words_of

if TYPE_CHECKING:
    from kdbg.kernels.linux.probe.table import Table

MM, AREA = "mm_struct", "vm_area_struct"
LARGEST, LARGEST_AREA = 1024, 256
MOST_SPACES, MOST_AREAS, MOST_DEPTH = 100, 2000, 16
MAY = 0x70
"""VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC: four bits above what each allows."""
VDSO = 33
"""AT_SYSINFO_EHDR."""
FLAGS = 0x300
"""MT_FLAGS_LOCK_EXTERN: what the trees of address spaces have in ma_flags, which lies before or behind ma_root."""
ADDRESSES = ("start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack", "arg_start",
             "arg_end", "env_start", "env_end")  # fmt: skip
"""Words of mm_struct that stand in this order."""

Areas = dict[int, list[int]]
"""Address space -> addresses of its areas."""


def probe(table: Table) -> None:
    """Find struct mm_struct and vm_area_struct."""
    at = table.offset("task_struct", "mm")
    found = [one for one in dict.fromkeys(words_of(table.kernel, table.tasks, at)) if one] if at is not None else []
    spaces = Samples(table.kernel, found[:MOST_SPACES], table.limit(MM, LARGEST))
    if not found:
        table.missing.append(f"{MM} (no process has one)")
        return
    areas = _by_tree(table, spaces) or _by_list(table, spaces)
    if areas is None:
        table.missing.append(f"{MM}.mm_mt")
        return
    owners = [(space, area) for space, some in areas.items() for area in some][:MOST_AREAS]
    _areas(table, owners)
    _tables(table, spaces, areas)
    _addresses(table, spaces, areas)


# areas


def _by_tree(table: Table, spaces: Samples) -> Areas | None:
    """By the root of a maple tree: the address of a node, marked, with its type."""

    def is_root(column: Column) -> bool:
        kinds = column >> 3 & 15
        marked = (column & 3 == 2) & (kinds >= 1) & (kinds <= 3)
        return bool(marked.all()) and bool(spaces.of_kernel(column & ~numpy.array(0xFF, column.dtype)).all())

    for root in spaces.each_word(is_root, 0, 512):
        held = {
            space: list(_leaves(table, entry, 0))
            for space, entry in zip(spaces.addresses, spaces.at(root).tolist(), strict=True)
        }
        ends = [(area, last) for some in held.values() for area, last in some]
        areas = [area for area, _ in ends]
        agree = [
            end - 1 == last for end, (_, last) in zip(words_of(table.kernel, areas, table.word), ends, strict=True)
        ]
        if areas and share(numpy.array(agree)) > 0.9:
            flags_first = root >= 4 and bool((spaces.int_at(root - 4) & FLAGS == FLAGS).all())
            before = 8 if flags_first else table.word  # behind ma_lock, and perhaps ma_flags
            table.member("maple_tree", "ma_root", "void *", before)
            table.member("maple_tree", "ma_flags", "unsigned int", 4 if flags_first else before + table.word)
            table.member(MM, "mm_mt", "struct maple_tree", root - before)
            return {space: [area for area, _ in some] for space, some in held.items()}
    return None


def _leaves(table: Table, entry: int, depth: int) -> Iterator[tuple[int, int]]:
    """(entry, last index) of what a node of a maple tree holds."""
    word, kind = table.word, entry >> 3 & 15
    slots = {1: RANGE_SLOTS, 2: RANGE_SLOTS, 3: RANGE_GAPS}.get(kind, {}).get(table.kernel.bits, 0)
    data = some(table.kernel, entry & ~0xFF, 256)
    if not slots or depth > MOST_DEPTH or len(data) < 256:
        return
    words = numpy.frombuffer(data, "<u8" if word == 8 else "<u4").tolist()
    pivots, held = words[1:slots], words[slots : 2 * slots]
    for at, below in enumerate(held):
        last = pivots[at] if at < len(pivots) else 0
        if kind == 1 and below and not below & 3 and last:
            yield below, last
        elif kind != 1 and below > 4096:
            yield from _leaves(table, below, depth + 1)
        if not last:
            return


def _by_list(table: Table, spaces: Samples) -> Areas | None:
    """Before 6.1: mm_struct.mmap points to the first area, vm_next (behind vm_start and vm_end) on to the others."""
    word = table.word
    found: Areas = {}
    for space, first in zip(spaces.addresses, spaces.at(0).tolist(), strict=True):
        at, end, held = first, 0, list[int]()
        while at and len(held) < MOST_AREAS:
            start, last, following = (words_of(table.kernel, [at], step * word)[0] for step in range(3))
            if not end <= start < last or start % 4096 or last % 4096:
                return None
            held.append(at)
            at, end = following, last
        found[space] = held
    if not any(found.values()):
        return None
    table.member(MM, "mmap", f"struct {AREA} *", 0)
    table.member(AREA, "vm_next", f"struct {AREA} *", 2 * word)
    table.member(AREA, "vm_prev", f"struct {AREA} *", 3 * word)
    return found


def _areas(table: Table, owners: list[tuple[int, int]]) -> None:
    """The members of areas: bounds, owner, rights, file."""
    put, word = table.member, table.word
    samples = Samples(table.kernel, [area for _, area in owners], table.limit(AREA, LARGEST_AREA))
    put(AREA, "vm_start", "unsigned long", 0)
    put(AREA, "vm_end", "unsigned long", word)
    spaces = numpy.array([space for space, _ in owners][: len(samples)], samples.words.dtype)
    put(AREA, "vm_mm", f"struct {MM} *", samples.first_word(lambda column: bool((column == spaces).all())))

    def are_rights(column: Column) -> bool:  # what is allowed is among what may be
        allowed, may = column & 7, column >> 4 & 7
        kinds = len(numpy.unique(allowed))
        return kinds > 2 and share((column & MAY) != 0) > 0.95 and share(allowed & ~may == 0) > 0.95

    put(AREA, "vm_flags", "unsigned long", samples.first_word(are_rights, 2 * word))
    inode, path = table.offset("file", "f_inode"), table.offset("file", "f_path")
    of_dentry = table.offset("dentry", "d_inode")
    if inode is None or path is None or of_dentry is None:
        table.missing.append(f"{AREA}.vm_file")
        return

    def are_files(column: Column) -> bool:
        shown = [one for one in numpy.unique(column).tolist() if one]
        if not shown or not all(map(table.kernel.in_kernel, shown)) or len(shown) > len(samples) // 2:
            return False
        dentries = words_of(table.kernel, shown, path + word)
        return words_of(table.kernel, shown, inode) == words_of(table.kernel, dentries, of_dentry) and all(dentries)

    file = put(AREA, "vm_file", "struct file *", samples.first_word(are_files, 2 * word))
    if file is not None:
        put(AREA, "vm_ops", "void *", file - 2 * word)
        put(AREA, "vm_pgoff", "unsigned long", file - word)
        put(AREA, "vm_private_data", "void *", file + word)


# address spaces


def _tables(table: Table, spaces: Samples, areas: Areas) -> None:
    """The top page table: pages of the process's areas are mapped by it."""
    from kdbg.kernels.linux.areas import space_of_root

    def maps(root: int, some: list[int]) -> bool:
        try:
            space = space_of_root(table.kernel, root)
        except Error:
            return False
        starts = words_of(table.kernel, some[:40])
        return any(space.walk(start).page_address is not None for start in starts)

    def is_table(column: Column) -> bool:
        roots = column.tolist()
        if len(set(roots)) < len(roots) or any(root % 32 or not table.kernel.in_kernel(root) for root in roots):
            return False
        some = [(root, areas[space]) for root, space in zip(roots, spaces.addresses, strict=True) if areas.get(space)]
        return all(maps(root, held) for root, held in some[:10])

    table.member(MM, "pgd", "void *", spaces.first_word(is_table, 0, 512))


def _addresses(table: Table, spaces: Samples, areas: Areas) -> None:
    """Where code, data, heap, stack, arguments and environment lie: ascending, the last five in one area, the stack."""
    word = table.word
    stacks = [_bounds(table, areas.get(space, [])) for space in spaces.addresses]

    def are_addresses(at: int) -> bool:
        good = []
        for row, bounds in enumerate(stacks):
            code, code_end, data, data_end, heap, brk, stack, *texts = (
                int(spaces.at(at + step * word)[row]) for step in range(len(ADDRESSES))
            )
            ascending = 0 < code <= code_end and data <= data_end and heap <= brk and stack <= texts[0]
            same = any(start <= stack < end and start < texts[3] <= end for start, end in bounds)
            good.append(ascending and same and texts == sorted(texts))
        return share(numpy.array(good)) > 0.9

    found = spaces.first_at(are_addresses, 0, spaces.size - (len(ADDRESSES) + 2) * word, word)
    for step, name in enumerate(ADDRESSES):
        table.member(MM, name, "unsigned long", found + step * word if found is not None else None)
    if found is not None:
        _vdso(table, spaces, found + len(ADDRESSES) * word)


def _bounds(table: Table, areas: list[int]) -> list[tuple[int, int]]:
    starts, ends = words_of(table.kernel, areas), words_of(table.kernel, areas, table.word)
    return list(zip(starts, ends, strict=True))


def _vdso(table: Table, spaces: Samples, vector: int) -> None:
    """mm_struct.context.vdso, as the auxiliary vector at an offset told it to the program."""
    word = table.word
    told = {}
    for row in range(len(spaces)):
        pairs = spaces.words[row, vector // word : vector // word + 48].tolist()
        vector_of = dict(zip(pairs[::2], pairs[1::2], strict=False))
        if VDSO in vector_of:
            told[row] = vector_of[VDSO]
    table.member(MM, "saved_auxv", "unsigned long [2]", vector)
    if not told:
        return

    def is_format(column: Column) -> bool:  # binfmt, the last word before: a structure in the image
        return all(table.kernel.mapping.holds(value) for value in column.tolist())

    start = spaces.first_word(is_format, vector + 40 * word)

    def is_vdso(column: Column) -> bool:
        return all(int(column[row]) == value for row, value in told.items())

    found = spaces.first_word(is_vdso, start + word) if start is not None else None
    if start is None or found is None:
        table.missing.append(f"{MM}.context.vdso")
        return
    table.member(MM, "context", "struct mm_context", start + word)
    table.member("mm_context", "vdso", "void *", found - start - word)

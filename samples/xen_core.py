"""Writers of the two formats of Xen domain cores.

`write_xc_core` writes what `xm dump-core` of Xen 3.0.4 wrote: a header of six words, contexts, frame index, pages.
`write_elf` writes what came after it: an ELF64 file without program headers whose sections are found by name.

Facts: Xen's docs/misc/dump-core-format.txt; xen/public/arch-x86/xen.h, xen-x86_64.h, xen-x86_32.h (vcpu_guest_context,
cpu_user_regs); tools/libxc of 3.0.4; and cores written by Xen 4.17. Nothing of kdbg is used here.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

PAGE = 4096
MAGIC_PV, MAGIC_HVM = 0xF00FEBED, 0xF00FEBEE
INVALID = 0xFFFFFFFFFFFFFFFF
CONTEXT64, CONTEXT32 = 5168, 2800
EM_386, EM_X86_64 = 3, 62
NOTE_NONE, NOTE_HEADER, NOTE_XEN_VERSION, NOTE_FORMAT_VERSION = range(0x2000000, 0x2000004)
CAPABILITIES = b"xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 "

FLAGS_KERNEL = 0x25
"""FPU valid, in kernel, online: what a vCPU in kernel mode of a paravirtual guest shows."""

_ORDER64 = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi")
_ORDER32 = ("ebx", "ecx", "edx", "esi", "edi", "ebp", "eax")
_REGISTERS64 = {
    name: 0x208 + 8 * position
    for position, name in enumerate(_ORDER64)
} | {"rip": 0x288, "cs": 0x290, "rflags": 0x298, "rsp": 0x2A0, "ss": 0x2A8, "es": 0x2B0, "ds": 0x2B8, "fs": 0x2C0,
     "gs": 0x2C8, "kernel_ss": 0x1368, "kernel_sp": 0x1370, "cr0": 0x1378, "user_cr3": 0x1380, "cr2": 0x1388,
     "cr3": 0x1390, "cr4": 0x1398, "fs_base": 0x1418, "gs_base": 0x1420, "gs_base_user": 0x1428}  # fmt: skip
_REGISTERS32 = {
    name: 0x204 + 4 * position for position, name in enumerate(_ORDER32)
} | {"eip": 0x224, "cs": 0x228, "eflags": 0x22C, "esp": 0x230, "ss": 0x234, "es": 0x238, "ds": 0x23C, "fs": 0x240,
     "gs": 0x244, "kernel_ss": 0xA94, "kernel_sp": 0xA98, "cr0": 0xA9C, "cr2": 0xAA4, "cr3": 0xAA8,
     "cr4": 0xAAC}  # fmt: skip
_SELECTORS = frozenset({"cs", "ss", "es", "ds", "fs", "gs"})


def context(registers: Mapping[str, int], bits: int = 64, flags: int = FLAGS_KERNEL) -> bytes:
    """A vcpu_guest_context: 5168 bytes in the 64-bit form, 2800 in the 32-bit one.

    ``registers`` are named as in the form (rax or eax ...); cr0, cr2, cr3, cr4, user_cr3 (64-bit), fs_base, gs_base,
    gs_base_user (64-bit), kernel_ss, kernel_sp besides.
    """
    data = bytearray(CONTEXT64 if bits == 64 else CONTEXT32)
    struct.pack_into("<Q" if bits == 64 else "<I", data, 0x200, flags)
    places, word = (_REGISTERS64, 8) if bits == 64 else (_REGISTERS32, 4)
    for name, value in registers.items():
        size = 2 if name in _SELECTORS else word
        data[places[name] : places[name] + size] = value.to_bytes(size, "little")
    return bytes(data)


@dataclass
class Core:
    """What either format holds."""

    contexts: list[bytes]
    frames: list[tuple[int, int]]
    """(pfn, mfn) of each page, in the order in which the pages are to lie; mfn is ignored in HVM cores.
    `INVALID` as pfn (HVM) or mfn (paravirtual) makes an entry without a page, whose page is zeros."""
    pages: Mapping[int, bytes | bytearray]
    """pfn -> 4096 bytes; a pfn of ``frames`` that is missing here is written as a hole of the file (zeros)."""
    paravirtual: bool = True
    bits: int = 64
    """Of the guest."""
    shared_info: bytes | None = None


def _words(values: Sequence[int], size: int) -> bytes:
    return struct.pack(f"<{len(values)}{'Q' if size == 8 else 'I'}", *(v & (1 << 8 * size) - 1 for v in values))


def _write_pages(file: BinaryIO, at: int, core: Core, order: Sequence[tuple[int, int]]) -> None:
    """Write each page at its place; what is missing stays a hole."""
    for position, (pfn, mfn) in enumerate(order):
        page = core.pages.get(pfn) if INVALID not in (pfn, mfn) else None
        if page is not None:
            file.seek(at + position * PAGE)
            file.write(page)
    file.truncate(at + len(order) * PAGE)


def write_xc_core(path: Path, core: Core, index: str = "pfn") -> Path:
    """Write the format of Xen 3.0.4.

    ``index`` is "pfn": entry i is the mfn of pfn i, pages that do not exist are zeros and have an entry of all ones
    (the tools of a Solaris dom0); or "mfn": entry i is the mfn of the i-th page, and no pfn is in the file (all other
    tools).
    Entries are machine words of the tools, here as wide as the guest's.
    """
    word = core.bits // 8
    order = list(core.frames)
    if index == "pfn":
        known = {pfn: mfn for pfn, mfn in core.frames if pfn != INVALID}
        order = [(pfn, known.get(pfn, INVALID)) for pfn in range(max(known) + 1)]
        entries = [mfn if core.paravirtual or mfn == INVALID else pfn for pfn, mfn in order]
    else:
        entries = [mfn if core.paravirtual else pfn for pfn, mfn in order]
    contexts = b"".join(core.contexts)
    contexts_at = 24
    index_at = contexts_at + len(contexts)
    pages_at = -(-(index_at + word * len(entries)) // PAGE) * PAGE
    magic = MAGIC_PV if core.paravirtual else MAGIC_HVM
    with path.open("wb") as file:
        file.write(struct.pack("<6I", magic, len(core.contexts), len(order), contexts_at, index_at, pages_at))
        file.write(contexts)
        file.write(_words(entries, word))
        _write_pages(file, pages_at, core, order)
    return path


@dataclass
class ElfShape:
    """How an ELF core is to be laid out; every order is allowed, since readers go by name."""

    frames_first: bool = False
    """The frame table and the section names before the pages, as Xen 3.x wrote them; Xen 4 writes them behind."""
    shuffle_sections: int | None = None
    """Seed for another order of the section headers."""
    shuffle_frames: int | None = None
    """Seed for an unsorted frame table."""
    invalid: int = 0
    """Number of all-ones entries at the table's end."""
    without: frozenset[str] = field(default_factory=frozenset)
    """Names of sections to leave out."""
    slot: int | None = None
    """Size of a context's slot (sh_entsize); a 32-bit guest's context by 64-bit tools stands in one of 5168 bytes."""
    machine: int | None = None
    """e_machine; None: as the guest's width says."""
    elf_bits: int = 64
    """ELF class; the first writers (early 2007) used 32 for 32-bit PAE guests."""
    vcpus: int | None = None
    """Number of contexts that the header note claims, where that is to be wrong."""
    format_version: int = 1
    extra_note: tuple[str, int, bytes] | None = None
    """One more note: name, type, descriptor."""


def _note(kind: int, data: bytes, name: str = "Xen") -> bytes:
    label = name.encode() + b"\0"
    return b"".join(
        (struct.pack("<3I", len(label), len(data), kind), label, bytes(-len(label) % 4), data, bytes(-len(data) % 4))
    )


def _notes(core: Core, pages: int, shape: ElfShape) -> bytes:
    magic = MAGIC_PV if core.paravirtual else MAGIC_HVM
    vcpus = len(core.contexts) if shape.vcpus is None else shape.vcpus
    version = struct.pack("<2Q16s144s1024s64s2Q", 4, 17, b".0", b"", CAPABILITIES, b"", 0xFFFF800000000000, PAGE)
    notes = [
        _note(NOTE_NONE, b""),
        _note(NOTE_HEADER, struct.pack("<4Q", magic, vcpus, pages, PAGE)),
        _note(NOTE_XEN_VERSION, version),
        _note(NOTE_FORMAT_VERSION, struct.pack("<Q", shape.format_version)),
    ]
    if shape.extra_note:
        name, kind, data = shape.extra_note
        notes.append(_note(kind, data, name))
    return b"".join(notes)


@dataclass
class _Section:
    name: str
    kind: int
    entry_size: int
    align: int
    data: bytes | None
    """None: the pages, which are written one by one."""
    size: int
    offset: int = 0


def write_elf(path: Path, core: Core, shape: ElfShape | None = None) -> Path:
    """Write the ELF format."""
    shape = shape or ElfShape()
    order = list(core.frames)
    if shape.shuffle_frames is not None:
        random.Random(shape.shuffle_frames).shuffle(order)
    order += [(INVALID, INVALID)] * shape.invalid
    if core.paravirtual:
        table = _Section(".xen_p2m", 1, 16, 8, _words([word for pair in order for word in pair], 8), 16 * len(order))
    else:
        table = _Section(".xen_pfn", 1, 8, 8, _words([pfn for pfn, _ in order], 8), 8 * len(order))
    slot = shape.slot or (CONTEXT64 if core.bits == 64 else CONTEXT32)
    contexts = b"".join(context.ljust(slot, b"\0") for context in core.contexts)
    notes = _notes(core, len(order), shape)
    sections = [
        _Section(".note.Xen", 7, 0, 0, notes, len(notes)),
        _Section(".xen_prstatus", 1, slot, 8, contexts, len(contexts)),
    ]
    if core.shared_info is not None:
        sections.append(_Section(".xen_shared_info", 1, PAGE, 8, core.shared_info, len(core.shared_info)))
    pages = _Section(".xen_pages", 1, PAGE, PAGE, None, PAGE * len(order))
    sections += [table, pages] if shape.frames_first else [pages, table]
    sections = [section for section in sections if section.name not in shape.without]
    names = b"\0.shstrtab\0" + b"".join(section.name.encode() + b"\0" for section in sections)
    strings = _Section(".shstrtab", 3, 0, 0, names, len(names))
    sections.insert(0 if shape.frames_first else len(sections), strings)
    wide = shape.elf_bits == 64
    header_size, section_size = (64, 64) if wide else (52, 40)
    position = header_size + section_size * (len(sections) + 1)
    for section in sections:
        align = max(section.align, 1)
        section.offset = position = -(-position // align) * align
        position += section.size
    # Xen's own order of the headers: the string table is section 1
    headers = [strings, *(section for section in sections if section is not strings)]
    if shape.shuffle_sections is not None:
        random.Random(shape.shuffle_sections).shuffle(headers)
    machine = shape.machine if shape.machine is not None else (EM_X86_64 if core.bits == 64 else EM_386)
    with path.open("wb") as file:
        ident = b"\x7fELF" + bytes((2 if wide else 1, 1, 1, 0, 1)) + bytes(7)
        string_index = 1 + headers.index(strings)
        sizes = (header_size, 56 if wide else 32, 0, section_size, len(headers) + 1, string_index)
        fields = (4, machine, 1, 0, 0, header_size, 0, *sizes)
        file.write(ident + struct.pack("<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH", *fields))
        file.write(bytes(section_size))
        for section in headers:
            name_at = names.index(b"\0" + section.name.encode() + b"\0") + 1
            values = (section.offset, section.size, 0, 0, section.align, section.entry_size)
            file.write(struct.pack("<IIQQQQIIQQ" if wide else "<10I", name_at, section.kind, 0, 0, *values))
        for section in sections:
            if section.data is None:
                _write_pages(file, section.offset, core, order)
            else:
                file.seek(section.offset)
                file.write(section.data)
        file.truncate(max(position, file.tell()))
    return path

"""Write an image as a core of a Xen domain: what `kdbg.formats.xen_elf` reads.

Contexts and notes of a Xen core are taken over as they are; of another dump they are made from its registers, and the
domain is a fully virtualised one.
"""

from __future__ import annotations

import struct
from typing import Any

from kdbg.errors import FormatError
from kdbg.formats.elf import EM_386, EM_X86_64, ET_CORE
from kdbg.formats.image import PAGE, Image
from kdbg.formats.writing import Frames, content_of, growing, page_bytes
from kdbg.formats.xen import HVM_MAGIC, PV_MAGIC, XenImage
from kdbg.formats.xen_context import SIZE64, Context64
from kdbg.formats.xen_elf import NOTE_FORMAT_VERSION, NOTE_HEADER, NOTE_NONE, XenElf

EHDR_SIZE, SHDR_SIZE = 64, 64
SHT_STRTAB, SHT_NOTE, SHT_PROGBITS = 3, 7, 1


def write(image: Image, path: str, frames: Frames | None = None) -> int:
    """Write the pages (all, or those of ``frames``); the number of pages written. Raises `FormatError`."""
    if image.architecture == "arm64":
        raise FormatError(path, "this format has registers of x86 only, the dump is of arm64: write elf or kdump")
    held = content_of(image, frames).held.tolist()
    contexts, slot = _contexts(image)
    sections: list[tuple[str, int, bytes, int, int]] = [
        (".note.Xen", SHT_NOTE, _notes(image, len(contexts) // slot if slot else 0, len(held)), 0, 4),
        (".xen_prstatus", SHT_PROGBITS, contexts, slot, 8),
    ]
    shared = image.shared_info if isinstance(image, XenElf) else None
    if shared is not None:
        sections.append((".xen_shared_info", SHT_PROGBITS, bytes(shared), PAGE, 8))
    sections.append(_frame_table(image, held))
    names = b"\0.shstrtab\0" + b"".join(name.encode() + b"\0" for name, *_ in sections) + b".xen_pages\0"
    with growing(path) as file:
        count = len(sections) + 3
        at = EHDR_SIZE + count * SHDR_SIZE
        headers = [bytes(SHDR_SIZE), _section(names, ".shstrtab", SHT_STRTAB, at, len(names), 0, 1)]
        body = names
        for name, kind, data, entsize, alignment in sections:
            body += bytes(-(at + len(body)) % alignment)
            headers.append(_section(names, name, kind, at + len(body), len(data), entsize, alignment))
            body += data
        pages_at = -(-(at + len(body)) // PAGE) * PAGE
        headers.append(_section(names, ".xen_pages", SHT_PROGBITS, pages_at, len(held) * PAGE, PAGE, PAGE))
        file.write(_header(image, count) + b"".join(headers) + body)
        file.write(bytes(pages_at - file.tell()))
        for frame in held:
            file.write(page_bytes(image, frame))
    return len(held)


def _header(image: Image, count: int) -> bytes:
    machine = EM_386 if image.bits == 32 and image.paravirtual else EM_X86_64
    ident = b"\x7fELF" + bytes((2, 1, 1, 0, 1)) + bytes(7)
    fields = (ET_CORE, machine, 1, 0, 0, EHDR_SIZE, 0, EHDR_SIZE, 56, 0, SHDR_SIZE, count, 1)
    return ident + struct.pack("<HHIQQQIHHHHHH", *fields)


def _section(names: bytes, name: str, kind: int, offset: int, size: int, entsize: int, alignment: int) -> bytes:
    at = names.index(b"\0" + name.encode() + b"\0") + 1
    return struct.pack("<IIQQQQIIQQ", at, kind, 0, 0, offset, size, 0, 0, alignment, entsize)


def _note(kind: int, data: bytes) -> bytes:
    return struct.pack("<III4s", 4, len(data), kind, b"Xen\0") + data


def _notes(image: Image, contexts: int, pages: int) -> bytes:
    magic = PV_MAGIC if image.paravirtual else HVM_MAGIC
    header = _note(NOTE_HEADER, struct.pack("<4Q", magic, contexts, pages, PAGE))
    kept = b""
    if isinstance(image, XenElf):
        kept = b"".join(_note(kind, data) for kind, data in image.other_notes())
    return _note(NOTE_NONE, b"") + header + (kept or _note(NOTE_FORMAT_VERSION, struct.pack("<Q", 1)))


def _contexts(image: Image) -> tuple[bytes, int]:
    """The contexts one after the other, and bytes of one."""
    if isinstance(image, XenImage):
        tables = image.tables
        size = tables.context_size
        return bytes(image.source.read(tables.contexts_at, size * tables.contexts, "contexts")), size
    return b"".join(Context64.build(_context(registers)) for registers in image.contexts), SIZE64


def _context(registers: Any) -> dict[str, Any]:
    """A context's members of registers by name; what is not known is 0."""

    def wide(name: str) -> int:
        found: int = registers.get(name, registers.get("e" + name[1:], 0)) & (1 << 64) - 1
        return found

    user = {
        name: wide(name) for name in "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi rip rflags rsp".split()
    }
    user |= {name: registers.get(name, 0) & 0xFFFF for name in "cs ss es ds fs gs".split()}
    user |= {"error_code": 0, "entry_vector": 0, "saved_upcall_mask": 0}
    control = [registers.get(f"cr{number}", 0) for number in range(8)]
    return {
        "fpu": bytes(512),
        "flags": 0x20,
        "user": user,
        "traps": bytes(4096),
        "gdt_frames": [0] * 16,
        "control": control,
        "debug": [registers.get(f"dr{number}", 0) for number in range(8)],
        "fs_base": registers.get("fs_base", 0),
        "gs_base_kernel": registers.get("gs_base", 0),
        "gs_base_user": registers.get("kernel_gs_base", 0),
    } | dict.fromkeys(
        ("ldt_base", "ldt_entries", "gdt_entries", "kernel_ss", "kernel_sp", "event_callback", "failsafe_callback",
         "syscall_callback", "vm_assist"), 0
    )  # fmt: skip


def _frame_table(image: Image, held: list[int]) -> tuple[str, int, bytes, int, int]:
    if not image.paravirtual:
        return ".xen_pfn", SHT_PROGBITS, struct.pack(f"<{len(held)}Q", *held), 8, 8
    pairs = [value for mfn in held for value in (_or_invalid(image.mfn_to_pfn(mfn)), mfn)]
    return ".xen_p2m", SHT_PROGBITS, struct.pack(f"<{len(pairs)}Q", *pairs), 16, 8


def _or_invalid(pfn: int | None) -> int:
    return (1 << 64) - 1 if pfn is None else pfn

"""The notes of a Linux dump, made from registers: what `kdbg.formats.linux_notes` reads."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64
from kdbg.formats.image import Image
from kdbg.formats.linux_image import LinuxImage
from kdbg.formats.linux_notes import (
    ERASE_INFO,
    NT_PRSTATUS,
    PID_AT,
    PRSTATUS,
    QEMU_CONTROL,
    QEMU_GENERAL,
    QEMU_SEGMENTS,
    QEMU_SIZE,
)

PRSTATUS_SIZE = {EM_X86_64: 336, EM_386: 144, EM_AARCH64: 392}
MACHINE_OF = {("x86-64", 64): EM_X86_64, ("x86", 64): EM_X86_64, ("x86", 32): EM_386, ("arm64", 64): EM_AARCH64}
MOST_NOTE_BYTES = 64 << 20
"""Of a dump's notes that are taken over."""
_MASK = (1 << 64) - 1


def machine_of(image: Image) -> int:
    """The ELF machine of an image."""
    told = getattr(image, "machine", None)
    return told if told is not None else MACHINE_OF.get((image.architecture, image.bits), EM_X86_64)


def note(owner: str, kind: int, data: bytes) -> bytes:
    """One ELF note, name and descriptor padded to 4 bytes."""
    name = owner.encode("latin-1") + b"\0"
    return (
        struct.pack("<III", len(name), len(data), kind)
        + name.ljust(-(-len(name) // 4) * 4, b"\0")
        + data.ljust(-(-len(data) // 4) * 4, b"\0")
    )


def erase_info_of(image: Image) -> bytes:
    """What makedumpfile told of the symbols that it erased, or b""."""
    return image.erase_info if isinstance(image, LinuxImage) else b""


def notes_of(image: Image, erased: bool = False) -> bytes:
    """The notes of an image: those that it brings, as they are; else made from its registers, with VMCOREINFO behind.

    ``erased``: with a note of what was erased, as ELF dumps have it.
    """
    parts = _brought(image) or _made(image)
    if image.vmcoreinfo and not any(b"VMCOREINFO\0" in part[:24] for part in parts):
        parts.append(note("VMCOREINFO", 0, vmcoreinfo_text(image.vmcoreinfo)))
    if erased and erase_info_of(image):
        parts.append(note(ERASE_INFO, 0, erase_info_of(image)))
    return b"".join(parts)


def _brought(image: Image) -> list[bytes]:
    """The notes of a Linux dump but what was erased, up to a bound of their bytes."""
    parts, left = list[bytes](), MOST_NOTE_BYTES
    for one in image.notes.notes if isinstance(image, LinuxImage) else ():
        left -= len(one.data)
        if one.owner != ERASE_INFO and left >= 0:
            parts.append(note(one.owner, one.type, bytes(one.data)))
    return parts


def _made(image: Image) -> list[bytes]:
    """Each CPU's status, and QEMU's state where control registers are known."""
    machine, contexts = machine_of(image), image.contexts
    parts = [note("CORE", NT_PRSTATUS, prstatus(registers, machine, at)) for at, registers in enumerate(contexts)]
    if machine != EM_AARCH64 and any("cr3" in registers for registers in contexts):
        parts += [note("QEMU", 0, qemu_state(registers)) for registers in contexts]
    return parts


def vmcoreinfo_text(values: Mapping[str, str]) -> bytes:
    """VMCOREINFO as the kernel writes it: a line for each key."""
    return "".join(f"{key}={value}\n" for key, value in values.items()).encode("latin-1")


def prstatus(registers: Mapping[str, int], machine: int, cpu: int) -> bytes:
    """An elf_prstatus of the registers; a pid where the dump told of one, else the CPU's number and one (as QEMU)."""
    at, form, names = PRSTATUS[machine]
    data = bytearray(PRSTATUS_SIZE[machine])
    struct.pack_into("<i", data, PID_AT[machine], registers.get("pid", cpu + 1))
    limit = 0xFFFFFFFF if machine == EM_386 else _MASK
    aliases = _aliases(registers, machine)
    struct.pack_into(form % len(names), data, at, *(aliases.get(name, 0) & limit for name in names))
    return bytes(data)


def _aliases(registers: Mapping[str, int], machine: int) -> Mapping[str, int]:
    """Registers by the names of elf_prstatus; a 32-bit guest's context may have the 64-bit names."""
    if machine != EM_386 or "eip" in registers:
        return registers
    return {**registers, **{"e" + name[1:]: value for name, value in registers.items() if name[0] == "r"}}


def qemu_state(registers: Mapping[str, int]) -> bytes:
    """QEMU's state of a CPU (version 1)."""
    data = bytearray(QEMU_SIZE)
    struct.pack_into("<II", data, 0, 1, QEMU_SIZE)
    general = [registers.get(name, registers.get("e" + name[1:], 0)) & _MASK for name in QEMU_GENERAL]
    struct.pack_into("<18Q", data, 8, *general)
    for at, name in enumerate(QEMU_SEGMENTS):
        fields = [registers.get(f"{name}{suffix}", 0) for suffix in ("", "_limit", "_flags", "_base")]
        struct.pack_into(
            "<4IQ", data, 152 + 24 * at, *(field & 0xFFFFFFFF for field in fields[:3]), 0, fields[3] & _MASK
        )
    struct.pack_into("<5Q", data, 392, *(registers.get(name, 0) & _MASK for name in QEMU_CONTROL))
    struct.pack_into("<Q", data, 432, registers.get("kernel_gs_base", 0) & _MASK)
    return bytes(data)


__all__: Sequence[str] = (
    "erase_info_of", "machine_of", "note", "notes_of", "prstatus", "qemu_state", "vmcoreinfo_text",
)  # fmt: skip

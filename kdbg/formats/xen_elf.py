"""Xen >= 3.1 `xm dump-core`, `xl dump-core`: an ELF file whose sections are found by name, in any order.

``.note.Xen`` tells the kind of domain and the counts, ``.xen_prstatus`` the vCPU contexts, ``.xen_p2m`` (PV: pfn and
mfn a page) or ``.xen_pfn`` (HVM, PVH: pfn a page) which pages ``.xen_pages`` holds, ``.xen_shared_info`` the page
that guest and hypervisor share.

Source: Xen's docs/misc/dump-core-format.txt; public/elfnote.h (XEN_ELFNOTE_DUMPCORE_*); tools/libxc xc_core.h.
"""

from __future__ import annotations

from collections.abc import Mapping

from construct import Bytes, Int64ul, Struct

from kdbg.errors import FormatError
from kdbg.formats import xen_context
from kdbg.formats.elf import EM_386, MAGIC, Elf, Section
from kdbg.formats.image import PAGE
from kdbg.formats.source import Source
from kdbg.formats.xen import HVM_MAGIC, PV_MAGIC, Tables, XenImage, column, guest_bits

SHT_NOTE = 7
FORMS = {xen_context.SIZE64: ".xen_prstatus", xen_context.SIZE32: ".xen_prstatus", 16: ".xen_p2m", 8: ".xen_pfn"}
"""Entry size of a section -> which it is, where the names are lost."""
NOTE_NONE, NOTE_HEADER, NOTE_XEN_VERSION, NOTE_FORMAT_VERSION = range(0x2000000, 0x2000004)

HeaderNote = Struct("magic" / Int64ul, "vcpus" / Int64ul, "pages" / Int64ul, "page_size" / Int64ul)

VersionNote = Struct(  # up to the platform parameters, whose width is that of the writer
    "major" / Int64ul,
    "minor" / Int64ul,
    "extra" / Bytes(16),
    "compiler" / Bytes(64),
    "compiled_by" / Bytes(16),
    "compile_domain" / Bytes(32),
    "compile_date" / Bytes(32),
    "capabilities" / Bytes(1024),
    "changeset" / Bytes(64),
)


class XenElf(XenImage):
    """A core of Xen 3.1 or later."""

    format = "Xen domain core (ELF)"

    @classmethod
    def recognises(cls, source: Source) -> str | None:
        """None if the file is one, else what was expected and what is there."""
        head = bytes(source.read(0, min(4, source.size)))
        if head != MAGIC:
            return f"wants an ELF header with a section .note.Xen, found {head.hex() or 'nothing'} at 0"
        try:
            return None if ".note.Xen" in _named(Elf(source)) else "wants a section .note.Xen, found none"
        except FormatError as error:
            return error.reason

    def __init__(self, source: Source) -> None:
        elf = Elf(source)
        self._sections = sections = _named(elf)
        notes = _wanted(source, sections, ".note.Xen")
        found = {note.type: note.data for note in elf.notes(notes.offset, notes.size) if note.owner == "Xen"}
        if NOTE_HEADER not in found or len(found[NOTE_HEADER]) < HeaderNote.sizeof():
            raise FormatError(source.name, ".note.Xen has no header note (type 2000001)", notes.offset)
        header = HeaderNote.parse(bytes(found[NOTE_HEADER][: HeaderNote.sizeof()]))
        if header.magic not in (PV_MAGIC, HVM_MAGIC):
            raise FormatError(
                source.name, f"header note: magic is {header.magic:x}, wants f00febed or f00febee", notes.offset
            )
        if header.page_size != PAGE:
            raise FormatError(
                source.name, f"header note: pages of {header.page_size} bytes, wants {PAGE}", notes.offset
            )
        self._notes = found
        paravirtual = header.magic == PV_MAGIC
        damage: list[str] = []
        if elf.names_cut:
            damage.append("cut off: the names of the sections; those that are here were told apart by their form")
        tables, slot = self._tables(source, sections, paravirtual, damage)
        bits = self._bits(source, elf, tables, slot)
        super().__init__(source, paravirtual, tables, bits)
        self.damage[:0] = damage
        self.hypervisor = _hypervisor(found)

    def _tables(
        self, source: Source, sections: Mapping[str, Section], paravirtual: bool, damage: list[str]
    ) -> tuple[Tables, int]:
        """Where things are; and bytes of a context's slot."""
        pages = _wanted(source, sections, ".xen_pages")
        name, width = (".xen_p2m", 16) if paravirtual else (".xen_pfn", 8)
        frames = _wanted(source, sections, name)
        count = frames.size // width
        if frames.offset + count * width > source.size:
            count = max(0, source.size - frames.offset) // width
            damage.append(f"cut off: {name} of {frames.size} bytes ends at {count} of {frames.size // width} entries")
        count = min(count, pages.size // PAGE)
        words = source.array(frames.offset if count else 0, 8, count * width // 8, name)
        contexts = sections.get(".xen_prstatus")
        slot = contexts.entsize if contexts is not None else 0
        if contexts is not None and slot < xen_context.SIZE32:
            slot = xen_context.SIZE64
        number = contexts.size // slot if contexts is not None else 0
        if contexts is not None and contexts.offset + number * slot > source.size:
            number = max(0, source.size - contexts.offset) // slot
            damage.append(f"cut off: .xen_prstatus holds {number} of {contexts.size // slot} contexts")
        return (
            Tables(
                contexts.offset if contexts is not None else 0,
                slot,
                number,
                pages.offset,
                count,
                column(words[0::2] if paravirtual else words, 8),
                column(words[1::2], 8) if paravirtual else None,
            ),
            slot,
        )

    @staticmethod
    def _bits(source: Source, elf: Elf, tables: Tables, slot: int) -> int:
        told = 32 if elf.machine == EM_386 or 0 < slot < xen_context.SIZE64 else 64
        if tables.mfns is None or not tables.contexts:
            return told
        return guest_bits(source, tables.contexts_at, slot, tables.mfns, told)

    @property
    def shared_info(self) -> memoryview | None:
        """The page shared by guest and hypervisor (struct shared_info of public/xen.h), or None."""
        section = self._sections.get(".xen_shared_info")
        if section is None or section.offset + section.size > self.source.size:
            return None
        return self.source.view[section.offset : section.offset + min(section.size, PAGE)]

    def other_notes(self) -> list[tuple[int, bytes]]:
        """(type, descriptor) of the notes that tell of the hypervisor and the format."""
        return [(kind, bytes(data)) for kind, data in self._notes.items() if kind not in (NOTE_NONE, NOTE_HEADER)]


def _named(elf: Elf) -> dict[str, Section]:
    """Sections by name. Xen 4 writes the names last: where the file ends before them, a section's form tells it."""
    found = {section.name: section for section in reversed(elf.sections)}
    if elf.names_cut:
        largest = max((s.size for s in elf.sections if s.entsize == PAGE), default=0)
        for section in elf.sections:
            if section.type == SHT_NOTE:
                found.setdefault(".note.Xen", section)
            elif section.entsize == PAGE:
                found.setdefault(".xen_pages" if section.size == largest else ".xen_shared_info", section)
            elif section.entsize in FORMS:
                found.setdefault(FORMS[section.entsize], section)
    return found


def _wanted(source: Source, sections: Mapping[str, Section], name: str) -> Section:
    section = sections.get(name)
    if section is None:
        raise FormatError(source.name, f"a Xen core without a section {name}")
    return section


def _hypervisor(notes: dict[int, memoryview]) -> dict[str, object]:
    """What the notes tell of the hypervisor."""
    told: dict[str, object] = {}
    version = notes.get(NOTE_XEN_VERSION)
    if version is not None and len(version) >= VersionNote.sizeof():
        parsed = VersionNote.parse(bytes(version[: VersionNote.sizeof()]))
        told["xen_version"] = f"{parsed.major}.{parsed.minor}{_string(parsed.extra)}"
        told["xen_capabilities"] = _string(parsed.capabilities).strip()
        told["xen_changeset"] = _string(parsed.changeset)
    form = notes.get(NOTE_FORMAT_VERSION)
    if form is not None and len(form) >= 8:
        number = int.from_bytes(form[:8], "little")
        told["format_version"] = f"{number >> 32}.{number & 0xFFFFFFFF}"
    return told


def _string(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1")

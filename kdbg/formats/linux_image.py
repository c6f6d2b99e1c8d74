"""What the images of Linux dumps have in common: notes, machines, VMCOREINFO."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from kdbg.formats.elf import EM_386, EM_AARCH64, EM_X86_64
from kdbg.formats.image import Image
from kdbg.formats.linux_notes import LinuxNotes
from kdbg.formats.source import Source
from kdbg.formats.xen_host import XenHost, host_of

ARCHITECTURES = {EM_X86_64: ("x86-64", 64), EM_386: ("x86", 32), EM_AARCH64: ("arm64", 64)}


class LinuxImage(Image):
    """Base of ELF vmcores and of makedumpfile's dumps."""

    def __init__(self, source: Source, machine: int, notes: LinuxNotes) -> None:
        super().__init__(source)
        self.machine = machine
        self.architecture, self.bits = ARCHITECTURES[machine]
        self.notes = notes
        self.vmcoreinfo = notes.vmcoreinfo

    @property
    def erase_info(self) -> bytes:
        """What makedumpfile tells of the symbols that it erased, as it wrote it; b"" where nothing was."""
        return self.notes.erase_info

    @functools.cached_property
    def host(self) -> XenHost | None:
        """What the dump tells of a hypervisor below all that it holds, if it is one of a Xen host."""
        return host_of(self, self.notes.xen)

    @property
    def contexts(self) -> Sequence[Mapping[str, int]]:
        """Registers of each CPU, in the order of the notes."""
        return self.notes.contexts

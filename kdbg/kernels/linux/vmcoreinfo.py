"""VMCOREINFO: what a Linux kernel writes down of itself for the readers of its dumps, as lines ``KEY=VALUE``.

It comes as a note of the dump; without one, the text still lies in the guest's memory at the start of a page.

Source: Documentation/admin-guide/kdump/vmcoreinfo.rst; kernel/crash_core.c, kernel/vmcore_info.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from kdbg.formats.image import PAGE, Image
from kdbg.formats.linux_notes import parse_vmcoreinfo

BEGIN = b"OSRELEASE="
_CALL = re.compile(r"(\w+)\(([^)]*)\)")


class VmCoreInfo(Mapping[str, str]):
    """The lines by key; those of one kind by their inner name (`symbols`, `of_kind`)."""

    def __init__(self, lines: Mapping[str, str]) -> None:
        self._values = lines

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def of_kind(self, kind: str, base: int) -> dict[str, int]:
        """The numbers of the lines ``kind(NAME)=VALUE``, by NAME; those that are none are left out."""
        found = {}
        for key, value in self._values.items():
            call = _CALL.fullmatch(key)
            if call and call[1] == kind:
                try:
                    found[call[2]] = int(value, 0 if value.startswith(("0x", "-0x")) else base)
                except ValueError:
                    continue
        return found

    @property
    def symbols(self) -> dict[str, int]:
        """Addresses of the symbols that it names."""
        return self.of_kind("SYMBOL", 16)

    @property
    def release(self) -> str:
        """OSRELEASE, "" where it is missing."""
        return self._values.get("OSRELEASE", "")


def of_page(page: bytes) -> VmCoreInfo | None:
    """The text at the start of a page (or of more bytes), or None if none begins there."""
    text = page.partition(b"\0")[0]
    if not text.startswith(BEGIN) or b"PAGESIZE=" not in text:
        return None
    return VmCoreInfo(parse_vmcoreinfo(text))


def scan(image: Image, release: str) -> VmCoreInfo | None:
    """The text of a kernel of that release in the memory of an image: all pages are looked at, so a last resort."""
    for pfn in image.pages:
        frame = image.pfn_to_mfn(pfn) if image.paravirtual else pfn
        found_here = image.peek(frame) if frame is not None else None
        if found_here is not None and found_here[: len(BEGIN)] == BEGIN:
            page = image.page_of_pfn(pfn) or found_here
            following = image.page_of_pfn(pfn + 1)
            found = of_page(bytes(page) + (bytes(following) if following is not None and page[PAGE - 1] else b""))
            if found is not None and found.release == release:
                return found
    return None

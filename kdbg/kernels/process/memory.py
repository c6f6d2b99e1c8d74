"""The memory of a process: what its core holds, and what the files of its objects have for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kdbg.errors import ReadError
from kdbg.formats.process_core import PF_W, ProcessCore, Region
from kdbg.kernels.process.files import Files
from kdbg.kernels.process.objects import Objects

CUT_OFF = "cut off: the core ends before it"
NO_MAPPING = "no mapping for address"


class ProcessMemory:
    """Memory by address. ``given``: files that belong to the core; ``note``: takes what is odd about them."""

    def __init__(self, core: ProcessCore, given: Sequence[str], note: Callable[[str], None]) -> None:
        self.core = core
        self.files = Files(given, note)
        self.objects = Objects(core, self.files, self.read)

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises `ReadError`."""
        parts = []
        while size > 0:
            part = self._part(address, size)
            parts.append(part)
            address += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, address: int, size: int) -> bytes:
        data = bytes(self.core.held(address, size))
        if data:
            return data
        region = self.core.region(address)
        if region is None:
            raise ReadError(address)
        data = self._left_out(region, address, min(size, region.end - address))
        if not data:
            raise ReadError(address, *self._why(region, address))
        return data

    def _left_out(self, region: Region, address: int, size: int) -> bytes:
        """What a file has in place of what the core left out: never of what may have been written to."""
        if region.flags & PF_W or address - region.address < region.told:
            return b""
        found = self.objects.at(address)
        return found.content(address, size) if found is not None else b""

    def _why(self, region: Region, address: int) -> tuple[str, str]:
        """Why an address cannot be read: for a person, and in the language's few words."""
        if address - region.address < region.told:
            return CUT_OFF, CUT_OFF
        found = self.objects.at(address)
        if found is None or not found.path:
            return "left out of the core", "left out of the core"
        return f"left out of the core; it is in {found.path}", f"left out of the core, it is in {found.path}"

"""What is kept of a kernel from one session to the next (`kdbg.diskcache`), by its build id.

Only what takes long to work out: where the records of the BTF lie, the names of kallsyms. Unwind tables are in order as
they lie in memory, and so are the offsets of kallsyms: they are used as they are.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdbg.diskcache import DiskCache
    from kdbg.kernels.linux.kernel import Linux


class Kept:
    """The things of one kind of one kernel."""

    def __init__(self, cache: DiskCache, name: str) -> None:
        self.name = name
        """What the names of all of them begin with."""
        self.get = cache.get
        self.put = cache.put


def kept(kernel: Linux, kind: str) -> Kept:
    """Where things of a kind are kept. Kernels without a build id in VMCOREINFO go by their release and version."""
    told = kernel.target.image.vmcoreinfo.get("BUILD-ID", "").lower()
    if len(told) < 8 or not set(told) <= set("0123456789abcdef"):
        told = f"{zlib.crc32(kernel.release.encode()):08x}-{zlib.crc32(kernel.version.encode()):08x}"
    return Kept(kernel.target.cache, f"{kind}-{told}")

"""The scan of an address space's leaves, with what the kernel in the dump tells of it: its half, its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.vm.scan import Scan

if TYPE_CHECKING:
    from kdbg.dump import Dump
    from kdbg.vm.space import AddressSpace


def leaf_scan(target: Dump, space: AddressSpace | None = None, texts: Sequence[tuple[int, int]] | None = None) -> Scan:
    """The leaves of a space; without one, of the kernel's own. ``texts``: of its program, where modules do not tell."""
    texts = _texts(target) if texts is None else texts
    return Scan(target.space if space is None else space, target.bits, _kernel_base(target), texts)


def _kernel_base(target: Dump) -> int | None:
    """Where a 32-bit kernel's addresses begin, if it tells."""
    if target.bits == 64 or target.kernel is None or target.kernel.family != "solaris":
        return None
    try:
        return target.kernel.word_at("kernelbase")
    except Error:
        return None


def _texts(target: Dump) -> list[tuple[int, int]]:
    """(start, end) of the kernel's text and of each module's."""
    if target.kernel is None:
        return []
    try:
        return list(target.kernel.texts())
    except Error:
        return []

"""All leaves of an address space, counted by their bits, and those that look wrong: array work.

Findings (facts: Intel SDM volume 3, chapter 4; Arm ARM, D8.4; Xen's treatment of a 64-bit paravirtual guest's leaves,
which it marks with bit 52 where they are the kernel's and with the global bit where they are the user's):

* ``kernel-user``: a leaf at a kernel address that user mode may use, and that Xen did not make so itself;
* ``user-not-global``: a leaf at a user address without the global bit (x86);
* ``writable-text``: a leaf of the kernel's program text that may be written and executed;
* ``writable-executable``: a leaf at any kernel address that may be written and executed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import CommandError
from kdbg.vm.modes import GLOBAL, flag_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdbg.vm.arrays import ArrayTranslation
    from kdbg.vm.space import AddressSpace

XEN_KERNEL = 1 << 52
"""The bit with which Xen marks a 64-bit paravirtual guest's kernel leaves."""
FINDINGS = ("kernel-user", "user-not-global", "writable-text", "writable-executable")

XEN_AREA_64 = (0xFFFF_8000_0000_0000, 0xFFFF_8800_0000_0000)
"""Slots 256 to 271 of a 64-bit paravirtual guest's top table: Xen's own, the tables' image of themselves among them."""
XEN_AREA_32 = (0xF580_0000, 1 << 32)
"""HYPERVISOR_VIRT_START_PAE of Xen's public header arch-x86/xen-x86_32.h."""
KERNEL_BASE_32 = 0xC000_0000

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LeafCount:
    """How many leaves have the same bits."""

    count: int
    page_size: int
    kernel: bool
    """Whether they lie at kernel addresses."""
    bits: int
    """The entries' bits outside the frame number."""
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many leaves a finding has."""

    finding: str
    count: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf that a finding names."""

    va: int
    pfn: int | None
    """Of the guest; None where no page of it has the machine frame."""
    mfn: int | None
    """In paravirtual domains, else None."""
    entry: int
    flags: tuple[str, ...]
    finding: str
    page_size: int


class Scan:
    """The leaves of one address space.

    ``kernel_base``: where kernel addresses begin. ``texts``: (start, end) of the kernel's program text.
    """

    def __init__(
        self, space: AddressSpace, bits: int, kernel_base: int | None = None, texts: Sequence[Span] = ()
    ) -> None:
        self.space = space
        self.bits = bits
        default = 1 << 63 if bits == 64 else KERNEL_BASE_32
        self.kernel_base = default if kernel_base is None else kernel_base
        self.texts = texts
        self._bits = {name: bit for bit, name in space.mode.flags}

    def spans(self) -> list[Span]:
        """What is scanned: everything but what the hypervisor keeps for itself."""
        if not self.space.image.paravirtual:
            return [(0, 1 << self.bits)]
        start, end = XEN_AREA_64 if self.bits == 64 else XEN_AREA_32
        return [span for span in ((0, start), (end, 1 << self.bits)) if span[0] < span[1]]

    def _batches(self) -> Iterator[ArrayTranslation]:
        for start, end in self.spans():
            yield from self.space.leaves(start, end)

    def counts(self) -> list[LeafCount | FindingCount]:
        """Leaves by their bits, the most first; then how many each finding has."""
        import numpy as np

        mode = self.space.mode
        extra = np.uint64(~mode.frame_mask & (1 << 64) - 1)
        found: Counter[tuple[int, bool, int]] = Counter()
        findings: Counter[str] = Counter()
        for batch in self._batches():
            kernel = batch.addresses >= np.uint64(self.kernel_base)
            for level in set(batch.levels.tolist()):
                for half in (False, True):
                    chosen = (batch.levels == level) & (kernel == half)
                    for value, number in _tally(batch.entries[chosen] & extra):
                        found[level, half, value] += number
            if self.has_findings:
                for finding in self._findings:
                    findings[finding] += int(self._matches(batch, finding).sum())
        rows: list[LeafCount | FindingCount] = [
            LeafCount(number, 1 << mode.levels[level].shift, half, value, tuple(flag_names(mode, value)))
            for (level, half, value), number in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        ]
        if self.has_findings:
            rows += [FindingCount(finding, findings[finding]) for finding in self._findings]
        return rows

    @property
    def _findings(self) -> tuple[str, ...]:
        return FINDINGS if self.has_global else tuple(name for name in FINDINGS if name != "user-not-global")

    @property
    def has_findings(self) -> bool:
        """Whether the findings mean something in this paging mode: its bits are known."""
        return "user" in self._bits

    @property
    def has_global(self) -> bool:
        """Whether its user leaves can be global (x86)."""
        return "global" in self._bits

    def find(self, finding: str) -> Iterator[Leaf]:
        """The leaves that a finding names, addresses ascending. Raises `CommandError`."""
        if finding not in FINDINGS:
            raise CommandError(f"unknown finding {finding}: there are {', '.join(FINDINGS)}")
        if not self.has_findings or (finding == "user-not-global" and not self.has_global):
            raise CommandError(f"{finding} is about x86 page tables, these are {self.space.mode.name}")
        if finding == "writable-text" and not self.texts:
            raise CommandError("writable-text: no kernel is known that tells where its text lies")
        rows: list[tuple[int, int, int, int]] = []
        for batch in self._batches():
            at = self._matches(batch, finding).nonzero()[0]
            columns = (batch.addresses, batch.frames, batch.entries, batch.levels)
            rows.extend(zip(*(column[at].tolist() for column in columns), strict=True))
        return self._leaves(sorted(rows), finding)

    def _leaves(self, rows: Iterable[tuple[int, int, int, int]], finding: str) -> Iterator[Leaf]:
        image, mode = self.space.image, self.space.mode
        for address, frame, entry, level in rows:
            pfn = image.mfn_to_pfn(frame) if image.paravirtual else frame
            mfn = frame if image.paravirtual else None
            flags = tuple(flag_names(mode, entry & ~mode.frame_mask))
            yield Leaf(address, pfn, mfn, entry, flags, finding, 1 << mode.levels[level].shift)

    def _matches(self, batch: ArrayTranslation, finding: str) -> NDArray[np.bool_]:
        import numpy as np

        kernel: NDArray[np.bool_] = batch.addresses >= np.uint64(self.kernel_base)
        entries = batch.entries
        found: NDArray[np.bool_] = np.zeros(len(entries), bool)
        if finding == "kernel-user":
            user = self._bits["user"] | (XEN_KERNEL if self.has_global else 0)
            found |= kernel & (entries & np.uint64(user) == np.uint64(self._bits["user"]))
            return found
        if finding == "user-not-global":
            if self.has_global:
                found |= ~kernel & (entries & np.uint64(GLOBAL) == np.uint64(0))
            return found
        if finding == "writable-executable":
            if self._bits.keys() & {"noexec", "pxn"}:
                found |= kernel & self._writable(entries) & self._executable(entries)
            return found
        sizes = np.array([1 << level.shift for level in self.space.mode.levels], np.uint64)[batch.levels]
        last = (1 << 64) - 1
        for start, end in self.texts:
            start, end = min(start, last), min(end, last)  # a damaged module may claim to end beyond all memory
            found |= (batch.addresses < np.uint64(end)) & (batch.addresses + (sizes - np.uint64(1)) >= np.uint64(start))
        found &= self._writable(entries) & self._executable(entries)
        return found

    def _writable(self, entries: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Leaves that may be written; arm64: not read-only, or so until the hardware notes that it is dirty (DBM)."""
        import numpy as np

        found: NDArray[np.bool_]
        write = self._bits.get("write")
        if write is not None:
            found = entries & np.uint64(write) != np.uint64(0)
            return found
        readonly, dirty = self._bits.get("readonly", 0), self._bits.get("dirty", 0)
        found = (entries & np.uint64(readonly) == np.uint64(0)) | (entries & np.uint64(dirty) != np.uint64(0))
        return found

    def _executable(self, entries: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Leaves that the kernel may execute; tables with entries of 4 bytes forbid that nowhere."""
        import numpy as np

        stopped = self._bits.get("noexec", 0) | self._bits.get("pxn", 0)
        found: NDArray[np.bool_] = entries & np.uint64(stopped) == np.uint64(0)
        return found


def _tally(values: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Each value and how often it comes; numpy's own ``unique`` would import a good part of numpy more."""
    import numpy as np

    if not len(values):
        return []
    ordered = np.sort(values)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    numbers = np.diff(np.append(starts, len(ordered)))
    return list(zip(ordered[starts].tolist(), numbers.tolist(), strict=True))

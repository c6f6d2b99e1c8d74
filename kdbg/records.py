"""The records that kdbg answers with: the schema of the Python API and of JSON.

Plain frozen dataclasses. Field names are an API: they stay. A field that does not apply, or whose value the dump does
not hold, is None; a record that knows why has a field ``absent`` with the reasons by field name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Translation:
    """Where a virtual address leads."""

    address: int
    physical: int | None
    """Guest-physical address; None where no page of the domain has the machine frame."""
    pfn: int | None
    mfn: int | None
    """The machine frame that the entry holds (paravirtual domains), else None."""
    page_size: int
    entry: int
    """The leaf entry; 0 where paging is off."""
    level: int
    """Of the leaf: 0 = 4K, 1 = 2M (4M), 2 = 1G."""
    missing: str | None
    """Why the page cannot be read from the dump, else None."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack."""

    pc: int
    sp: int
    """The frame's pointer: what mdb shows in the first column of ``$C``."""
    symbol: str | None
    """Bare name of the function."""
    offset: int
    module: str | None = None
    arguments: tuple[int, ...] = ()
    note: str | None = None
    """Why the stack ends here, or what is odd about the frame."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU of the machine with the registers of its context."""

    id: int
    """The kernel's id where a known kernel tells it, else the position among the contexts."""
    registers: Mapping[str, int]
    thread: int | None = None
    """Address of the thread on it, where the kernel is known."""
    address: int | None = None
    """Address of the kernel's structure."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of the kernel or of a process."""

    address: int
    pid: int | None
    tid: int | None
    name: str
    state: str
    cpu: int | None = None
    taskq: int | None = None
    """Address of the task queue that it serves, if any."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process."""

    address: int
    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the kernel."""

    name: str
    base: int
    """Of its text."""
    size: int
    address: int | None = None
    """Address of the structure that describes it (modctl, struct module)."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A message of the kernel's log."""

    time: float | None
    """Seconds: since boot or, where the log says so, since 1970; None where it has none."""
    text: str
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """What a command without a record of its own printed: one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Address:
    """What a walker yields."""

    address: int


@dataclass(frozen=True, slots=True)
class Info:
    """What a dump is."""

    file: str
    format: str
    architecture: str
    bits: int
    paravirtual: bool = False
    memory_size: int | None = None
    """Bytes of memory that the dump tells of."""
    pages: int = 0
    """Pages in the dump."""
    missing: int = 0
    """Pages that the dump tells of and does not hold."""
    missing_why: Mapping[str, int] = field(default_factory=dict)
    cpus: int = 0
    """CPU contexts in the dump."""
    complete: bool = True
    damage: tuple[str, ...] = ()
    """What is wrong with the file, a sentence each."""
    kernel: str | None = None
    host: str | None = None
    time: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    """What the format tells besides (version of the hypervisor, compression ...)."""

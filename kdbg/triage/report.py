"""The report of a triage: typed records. Text, JSON and everything else are views of them.

Field names are an API: JSON has them as they stand here, under a schema with a version (`SCHEMA`, published as
``docs/triage.schema.json`` by `kdbg.triage.schema`). `Address` fields become strings there (``"0xffffff01d6f09c00"``),
because half of the world's JSON readers round numbers of that size.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

SCHEMA = 1
"""Version of the schema. It grows by one with every change that is not an addition."""

Address = Annotated[int, "address"]


class Severity(enum.StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """It explains a failure, or is one."""
    WARNING = "warning"
    """It should not be so, and may be harmless."""
    NOTE = "note"
    """Good to know."""


class Sure(enum.StrEnum):
    """How sure a verdict is."""

    CERTAIN = "certain"
    """The system wrote it down itself."""
    LIKELY = "likely"
    """It follows from its structures."""
    POSSIBLE = "possible"
    """It fits what is seen; other causes would too."""


class Kind(enum.StrEnum):
    """What happened."""

    PANIC = "panic"
    CRASH = "crash"
    """Of a process, by a signal."""
    DEADLOCK = "deadlock"
    HANG = "hang"
    OUT_OF_MEMORY = "out-of-memory"
    KILLED = "killed-by-hypervisor"
    LIVE = "live"
    UNKNOWN = "unknown"


class Outcome(enum.StrEnum):
    """How an analyser ended."""

    DONE = "done"
    SKIPPED = "skipped"
    CUT_SHORT = "cut short"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact that something rests on."""

    text: str
    command: str | None = None
    """What shows it at the prompt."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or worth a look. The names are listed in `kdbg.triage.catalogue`."""

    name: str
    severity: Severity
    summary: str
    """One sentence."""
    command: str | None = None
    """What shows it at the prompt."""
    evidence: tuple[Evidence, ...] = ()
    threads: tuple[Address, ...] = ()
    """The threads concerned, the one to blame first."""
    locks: tuple[Address, ...] = ()
    addresses: tuple[Address, ...] = ()
    """Other places concerned: buffers, pages, structures."""
    cpus: tuple[int, ...] = ()
    analyser: str = ""
    """The name of the analyser that found it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the dump is of."""

    file: str
    format: str
    architecture: str
    bits: int
    complete: bool
    pages: int
    missing: int
    damage: tuple[str, ...] = ()
    kernel: str | None = None
    """System, release and version; of a process the program with its arguments."""
    release: str | None = None
    build: str | None = None
    """What tells builds apart: a build id, a version, the boot's image uuid."""
    host: str | None = None
    time: float | None = None
    """When it was taken: seconds since 1970."""
    uptime: float | None = None
    """Seconds since the system started."""
    cpus: int = 0
    memory_size: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened, in a sentence."""

    kind: Kind
    sentence: str
    sure: Sure
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class StackFrame:
    """A frame of a stack by its names."""

    pc: Address
    function: str | None
    """Bare name; None where no symbol covers the place."""
    offset: int = 0
    module: str | None = None
    note: str | None = None

    @property
    def text(self) -> str:
        """``module`function+0x10``, or the number."""
        if self.function is None:
            return f"0x{self.pc:x}"
        name = f"{self.module}`{self.function}" if self.module else self.function
        return f"{name}+0x{self.offset:x}" if self.offset else name


@dataclass(frozen=True, slots=True)
class CodeLine:
    """An instruction."""

    address: Address
    text: str
    current: bool = False
    """Whether it is the one at which the thread was."""


@dataclass(frozen=True, slots=True)
class KeyThread:
    """The thread that matters."""

    address: Address
    pid: int | None
    tid: int | None
    name: str
    state: str
    how: str
    """How it was found: a sentence."""
    cpu: int | None = None
    stack: tuple[StackFrame, ...] = ()
    registers: Mapping[str, Address] = field(default_factory=dict)
    code: tuple[CodeLine, ...] = ()
    """Around the place at which it failed or stands."""


@dataclass(frozen=True, slots=True)
class CpuState:
    """What a CPU was doing."""

    id: int
    thread: Address | None
    name: str
    """Of the process or task; "" where none is known."""
    doing: str
    """In a word or two: "idle", "user code", "panic", the function that it was in."""
    stack: tuple[StackFrame, ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the log."""

    time: float | None
    level: int | None
    text: str


@dataclass(frozen=True, slots=True)
class StackGroup:
    """Threads that stand at the same place."""

    count: int
    thread: Address
    """One of them."""
    names: tuple[str, ...]
    """Of their processes, each once, the most frequent first."""
    state: str
    stack: tuple[str, ...]
    """Functions, the innermost first."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock with the threads at it."""

    address: Address
    kind: str
    name: str
    """By its symbol, else ""."""
    owners: tuple[Address, ...] = ()
    waiters: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class ThreadName:
    """Whose thread an address is."""

    address: Address
    pid: int | None
    name: str


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """The memory of the machine as the dump has it: equal stretches of physical memory, one character each."""

    stretch: int
    """Pages in each: a power of two."""
    cells: str
    """``#`` all present, ``+`` some, ``.`` lost, ``x`` excluded on purpose, `` `` nothing known: no memory, mostly."""
    present: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    """Pages by the reason why they are not there."""
    page_tables: int | None = None
    """Pages that are page tables of the kernel's own space."""
    table_cells: str = ""
    """How much of each stretch they are, in tenths: `` `` nothing, ``1`` a tenth or less ... ``9``, ``#`` all of it."""
    present_cells: str = ""
    """The same of the pages that are present."""
    excluded_cells: str = ""
    """The same of those that were left out on purpose."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What became of an analyser."""

    name: str
    outcome: Outcome
    why: str = ""
    """Why it was skipped, cut short, or failed."""
    seconds: float = 0.0
    findings: int = 0


@dataclass(frozen=True, slots=True)
class Signature:
    """What makes two failures the same. The algorithm: `kdbg.triage.signature`."""

    version: int
    kind: str
    frames: tuple[str, ...]
    """Functions, the innermost first."""
    text: str
    digest: str
    """16 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Known:
    """A known issue that fits."""

    name: str
    link: str | None
    word: str | None
    by: str
    """What made it fit: a sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that a triage tells of a dump."""

    schema: int
    identity: Identity
    verdict: Verdict
    signature: Signature
    thread: KeyThread | None
    cpus: tuple[CpuState, ...] = ()
    log: tuple[LogLine, ...] = ()
    """The part of the log that belongs to it."""
    findings: tuple[Finding, ...] = ()
    """The worst first."""
    known: tuple[Known, ...] = ()
    stacks: tuple[StackGroup, ...] = ()
    locks: tuple[Lock, ...] = ()
    memory: MemoryMap | None = None
    analyses: tuple[Analysis, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read, a sentence each."""
    threads: tuple[ThreadName, ...] = ()
    """Those that findings, locks and CPUs have by their addresses."""

    def found(self, name: str) -> list[Finding]:
        """The findings of that name."""
        return [finding for finding in self.findings if finding.name == name]

    def text(self) -> str:
        """The report as a screenful of text."""
        from kdbg.triage.views import view

        return view("text")(self)

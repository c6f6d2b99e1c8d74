"""What a domain is planned to hold, and what came of it: the facts that tests assert."""

from __future__ import annotations

from dataclasses import dataclass, field

TS_STATES = {"free": 0, "sleep": 1, "run": 2, "onproc": 4, "zomb": 8, "stopped": 16}
"""t_state by name (sys/thread.h)."""

Call = tuple[str, tuple[int, ...]]
"""A function on a stack and its arguments."""


@dataclass
class ThreadSpec:
    """A thread to be built."""

    label: str
    process: str = "sched"
    stack: tuple[Call, ...] = ()
    """Newest first."""
    state: str = "sleep"
    cpu: int | None = None
    """The CPU on which it runs (state "onproc")."""
    taskq: str | None = None
    priority: int = 60
    wait_channel: int = 0
    sobj: str | None = None
    """What it sleeps on: "cv", "mutex", "rwlock", "sema"."""
    name: str | None = None
    """t_name."""
    stack_size: int = 0x2000
    interrupt_level: int = 0
    """t_pil of an interrupt thread; 0: not one."""
    pins: str | None = None
    """Label of the thread that it has interrupted, whose newest function called the oldest of this one's stack."""


@dataclass
class ProcessSpec:
    """A process to be built."""

    name: str
    pid: int
    parent: str = "sched"
    arguments: str = ""
    uid: int = 0
    pages: dict[int, bytes] = field(default_factory=dict)
    """User address of a page -> its content."""


@dataclass
class CacheSpec:
    """A kmem cache to be built, with the numbers of buffers in each state."""

    name: str
    size: int
    audit: bool = False
    allocated: int = 0
    freed: int = 0
    loaded: int = 0
    """Free, in the loaded magazine of CPU 0."""
    depot: int = 0
    """Free, in full magazines."""


@dataclass
class ChannelSpec:
    """An event channel to be built."""

    number: int
    type: str
    """"evtchn", "virq:timer", "virq:debug", "ipi", "device"."""
    irq: int
    ipl: int
    handler: str = ""
    module: str = "unix"
    cpu: int = 0
    masked: bool = False
    pending: bool = False


@dataclass(frozen=True)
class PlannedFrame:
    """A frame of a stack as built."""

    pc: int
    fp: int
    symbol: str
    offset: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class PlannedThread:
    """A thread as built."""

    label: str
    address: int
    pid: int
    tid: int
    process: str
    state: str
    stack_base: int
    stack_top: int
    frames: tuple[PlannedFrame, ...]
    """The first one's pc is the saved pc (the register's for a running thread)."""
    taskq: int | None = None
    cpu: int | None = None


@dataclass(frozen=True)
class PlannedProcess:
    """A process as built."""

    name: str
    pid: int
    ppid: int
    address: int
    address_space: int
    root: int
    """pfn of its top page table."""
    user_root: int | None
    """pfn of the table of user mode (64-bit paravirtual domains)."""
    pages: dict[int, int]
    """User address of a page -> pfn."""


@dataclass(frozen=True)
class PlannedCpu:
    """A CPU as built."""

    id: int
    address: int
    thread: int
    registers: dict[str, int]
    frames: tuple[PlannedFrame, ...]
    """Behind the running function: what ::cpustack shows."""


@dataclass(frozen=True)
class PlannedTaskq:
    """A task queue as built."""

    name: str
    address: int
    threads: tuple[int, ...]


@dataclass
class Planned:
    """Everything that a built domain is known to hold."""

    threads: list[PlannedThread] = field(default_factory=list)
    """In the order of the kernel's list."""
    processes: list[PlannedProcess] = field(default_factory=list)
    cpus: list[PlannedCpu] = field(default_factory=list)
    taskqs: list[PlannedTaskq] = field(default_factory=list)
    channels: list[ChannelSpec] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    node: str = ""

    def thread(self, label: str) -> PlannedThread:
        """The thread of that label."""
        return next(thread for thread in self.threads if thread.label == label)

    def process(self, name: str) -> PlannedProcess:
        """The process of that name."""
        return next(process for process in self.processes if process.name == name)

    @property
    def taskq_threads(self) -> set[int]:
        """Addresses of the threads that serve task queues."""
        return {thread.address for thread in self.threads if thread.taskq}

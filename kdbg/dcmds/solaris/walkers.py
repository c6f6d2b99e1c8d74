"""Walkers over threads, processes, CPUs and modules, and what goes wrong with them in mdb's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kdbg.dcmds.registry import Walk, WalkError, walker
from kdbg.errors import Error, ReadError, SymbolNotFound
from kdbg.kernels.solaris.cpus import Cpus
from kdbg.kernels.solaris.lists import StoppedError, follow
from kdbg.kernels.solaris.processes import Processes
from kdbg.kernels.solaris.threads import Threads, deathrow, taskq_threads, wait_channels, waiting_on

GENUNIX = "genunix"


def each_thread(walk: Walk, process: int = 0) -> Iterator[int]:
    """The addresses of all threads, or of those of a process; told where it breaks. Raises `WalkError`."""
    try:
        threads = walk.kernel.part(Threads).walk(process)
    except ReadError as error:
        what = f"failed to read proc at {process:x}" if process else "failed to read 'allthreads'"
        raise WalkError(f"{what}: {error.reason}") from None
    except Error as error:
        raise WalkError(f"failed to read 'allthreads': {error.reason}") from None
    yield from _told((address for address, _ in threads), walk.warn, "failed to read thread at {:x}")


def _told(addresses: Iterator[int], warn: Callable[[str], None], text: str) -> Iterator[int]:
    try:
        yield from addresses
    except StoppedError as broken:
        warn(f"{text.format(broken.address)}: {broken.reason}")


@walker("thread", "all threads, or those of a process", module=GENUNIX)
def threads(walk: Walk) -> Iterator[int]:
    """By t_next; those of a process by t_forw."""
    return each_thread(walk, walk.start or 0)


@walker("proc", "all processes, or a process and those below it", module=GENUNIX)
def processes(walk: Walk) -> Iterator[int]:
    """From p0, by p_child and p_sibling."""
    part: Processes = walk.kernel.part(Processes)
    start = walk.start or 0
    if not start:
        try:
            start = part.first()
        except SymbolNotFound as error:
            raise WalkError(f"failed to read 'practive': {error.reason}") from None
    try:
        walk.kernel.variable("nproc")
    except Error as error:
        raise WalkError(f"failed to read 'nproc': {error.reason}") from None
    return part.walk(start, walk.warn)


def cpu_problem(error: Error) -> str:
    """Why the CPUs cannot be walked, in mdb's words."""
    if isinstance(error, StoppedError):
        return f"failed to read cpu at {error.address:x}: {error.reason}"
    if isinstance(error, SymbolNotFound):
        return f"failed to read '{error.name}': {error.reason}"
    return f"failed to read 'panic_cpu': {error.reason}"


@walker("cpu", "all CPUs by id", module=GENUNIX)
def cpus(walk: Walk) -> Iterator[int]:
    """By cpu_next, sorted; where to begin cannot be chosen."""
    try:
        found = walk.kernel.part(Cpus).walk()
    except Error as error:
        raise WalkError(cpu_problem(error)) from None
    return (address for address, _ in found)


@walker("modctl", "all modules, or those from one on", module="krtld")
def modules(walk: Walk) -> Iterator[int]:
    """By mod_next, until the ring closes."""
    from kdbg.dcmds.solaris.modules import modctl_loader

    first = walk.start or walk.kernel.symbol("modules").address
    ring = follow(first, modctl_loader(walk.kernel), "next", walk.target.note)
    return _told((address for address, _ in ring), walk.warn, "failed to read modctl at {:x}")


@walker("taskq_thread", "the threads of a task queue, or of all", module=GENUNIX)
def taskq_thread(walk: Walk) -> Iterator[int]:
    """Those that the queue lists; of a dynamic one those that name it."""
    queue = walk.start or 0
    try:
        found = taskq_threads(walk.kernel, queue)
    except ReadError as error:
        raise WalkError(f"unable to read threadlist for taskq_t {queue:x}: {error.reason}") from None
    except Error as error:
        raise WalkError(f"failed to read 'allthreads': {error.reason}") from None
    return _told(found, walk.warn, "failed to read thread at {:x}")


def _deathrow(walk: Walk, name: str) -> Iterator[int]:
    try:
        found = deathrow(walk.kernel, name)
    except Error as error:
        raise WalkError(f"couldn't read symbol '{name}': {error.reason}") from None
    return _told(found, walk.warn, "couldn't read deathrow thread at {:x}")


@walker("thread_deathrow", "threads that wait to be reaped", module=GENUNIX)
def thread_deathrow(walk: Walk) -> Iterator[int]:
    """By t_forw."""
    return _deathrow(walk, "thread_deathrow")


@walker("lwp_deathrow", "threads of processes that wait to be reaped", module=GENUNIX)
def lwp_deathrow(walk: Walk) -> Iterator[int]:
    """By t_forw."""
    return _deathrow(walk, "lwp_deathrow")


@walker("deathrow", "all threads that wait to be reaped", module=GENUNIX)
def both_deathrows(walk: Walk) -> Iterator[int]:
    """Both lists."""
    for name in ("thread_deathrow", "lwp_deathrow"):
        yield from _deathrow(walk, name)


@walker("wchan", "the channels on which threads sleep, or the threads that sleep on one", module=GENUNIX)
def wchan(walk: Walk) -> Iterator[int]:
    """By sleep queue, each channel once."""
    try:
        walk.kernel.symbol("sleepq_head")
        found = waiting_on(walk.kernel, walk.start) if walk.start else wait_channels(walk.kernel)
        yield from _told(found, walk.warn, "failed to read thread at {:x}")
    except SymbolNotFound as error:
        raise WalkError(f"failed to read sleepq: {error.reason}") from None


@walker("blocked", "the threads that are blocked on a synchronisation object", module=GENUNIX)
def blocked(walk: Walk) -> Iterator[int]:
    """Threads whose turnstile is the object's; it ends at the first thread whose turnstile cannot be read."""
    if not walk.start:
        raise WalkError("must specify a sobj * for blocked walk: failed to initialize walk")
    part: Threads = walk.kernel.part(Threads)
    try:
        for address, thread in part.walk():
            try:
                turnstile = walk.kernel.load("turnstile_t", thread["turnstile"])
            except ReadError as error:
                walk.warn(f"couldn't read {address:x}'s turnstile at {thread['turnstile']:x}: {error.reason}")
                return
            if turnstile.ts_waiters and int(turnstile.ts_sobj) == walk.start:
                yield address
    except StoppedError as broken:
        walk.warn(f"failed to read thread at {broken.address:x}: {broken.reason}")

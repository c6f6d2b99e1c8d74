"""Transactions of audited caches: the log, a buffer's history, what a thread allocated and freed.

Source: <sys/kmem_impl.h> (kmem_log_header_t, kmem_bufctl_audit_t).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.kmem import kmem
from kdbg.kernels.solaris.kmem_structures import Bufctl, Warn
from kdbg.kernels.solaris.lists import Guard, StoppedError
from kdbg.sorting import qsorted
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_LOG = 1 << 28
"""Bytes beyond which a log's size is taken for rubbish."""


def log_entries(kernel: Solaris, log: int = 0) -> Iterator[Bufctl]:
    """The entries of a log (the transaction log, or the header at ``log``), newest first. Raises `StoppedError`."""
    if not log:
        try:
            log = kernel.word_at("kmem_transaction_log")
        except Error as error:
            raise StoppedError("failed to read 'kmem_transaction_log'", False, 0, error.reason) from None
        if not log:
            raise StoppedError("log is disabled", False, 0)
    form = Layout(
        kernel.type("kmem_log_header_t"), {"base": "lh_base", "chunksize": "lh_chunksize", "chunks": "lh_nchunks"}
    )
    allocator = kmem(kernel)
    try:
        header = form.read(kernel.memory.read, log)
    except ReadError as error:
        raise StoppedError(f"failed to read log header at {log:x}", False, log, error.reason) from None
    base, chunksize, chunks = header["base"], header["chunksize"], header["chunks"]
    try:
        if not 0 <= chunksize * chunks <= MOST_LOG:
            raise ReadError(base)
        data = kernel.memory.read(base, chunksize * chunks)
    except ReadError as error:
        raise StoppedError(f"failed to read log at base {base:x}", False, log, error.reason) from None
    size = allocator.audit_size
    starts = range(0, len(data), chunksize or 1)
    places = [at for start in starts for at in range(start, start + (chunksize // size - 1) * size, size)]
    found = [allocator.audit_from(data[at : at + size], base + at) for at in places]
    yield from qsorted(found, _newest)


def _newest(entry: Bufctl) -> int:
    timestamp = entry.timestamp
    return -(timestamp - (1 << 64) if timestamp >> 63 else timestamp)


def history(kernel: Solaris, address: int) -> Iterator[Bufctl]:
    """The transactions of a buffer, from its bufctl (or that one's entry in the log) back. Raises `StoppedError`."""
    allocator = kmem(kernel)
    try:
        first = allocator.audit(address)
    except ReadError as error:
        raise StoppedError(f"unable to read bufctl at {address:x}", False, address, error.reason) from None
    at = address
    if first.lastlog:
        try:
            twin = allocator.audit(first.lastlog)
        except ReadError:
            pass
        else:
            same = ("buffer", "cache", "slab", "timestamp", "thread")
            if all(getattr(twin, name) == getattr(first, name) for name in same):
                at = first.lastlog
    before, guard = 0, Guard("bufctl")
    while at:
        try:
            entry = allocator.audit(at)
        except ReadError as error:
            raise StoppedError(f"unable to read bufctl at {at:x}", True, at, error.reason) from None
        if (entry.buffer, entry.cache, entry.slab) != (first.buffer, first.cache, first.slab):
            return
        if before and -_newest(entry) >= before:
            return
        guard(at)
        yield entry
        before, at = -_newest(entry), entry.lastlog


def allocated_by(kernel: Solaris, thread: int, warn: Warn) -> Iterator[Bufctl]:
    """The bufctls of allocated buffers whose last transaction was the thread's, newest first. Raises `StoppedError`."""
    allocator = kmem(kernel)
    return _by_thread(kernel, thread, warn, lambda cache: allocator.allocated(cache, warn, bufctls=True))


def freed_by(kernel: Solaris, thread: int, warn: Warn) -> Iterator[Bufctl]:
    """The bufctls of free buffers whose last transaction was the thread's, newest first. Raises `StoppedError`."""
    allocator = kmem(kernel)
    return _by_thread(kernel, thread, warn, lambda cache: allocator.free(cache, warn, bufctls=True))


def _by_thread(kernel: Solaris, thread: int, warn: Warn, walk: Callable[[int], Iterator[object]]) -> Iterator[Bufctl]:
    allocator = kmem(kernel)
    found: list[Bufctl] = []
    for cache in list(allocator.caches()):
        try:
            for buffer in walk(cache.address):
                # A bufctl without an audit's members belongs to no thread.
                if cache.audited:
                    entry = allocator.audit(buffer.bufctl)  # type: ignore[attr-defined]
                    if entry.thread == thread:
                        found.append(entry)
        except StoppedError as stop:
            warn(str(stop))
            if not stop.started:
                warn(f"couldn't walk bufctl for cache {cache.address:x}: failed to initialize walk")
                break
        except ReadError as error:
            warn(f"unable to read bufctl at {error.address:x}: {error.reason}")
    yield from qsorted(found, _newest)

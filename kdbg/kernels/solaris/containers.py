"""Open files of a process; zones, projects and tasks.

Sources: <sys/user.h> (uf_info_t, uf_entry_t), <sys/zone.h>, <sys/project.h>, <sys/task.h>.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.solaris.lists import StoppedError, chain, list_elements
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.solaris.kernel import Solaris

MOST_FILES = 1 << 20


def open_files(kernel: Solaris, process: int, all_slots: bool = False) -> Iterator[int]:
    """Addresses of the open files of a process by descriptor; ``all_slots``: 0 for those that are not open.

    Raises `StoppedError`.
    """
    layout = kernel.part(_files)
    try:
        found = layout.read(kernel.memory.read, process)
    except ReadError as error:
        text = f"failed to read proc structure at {process:x}"
        raise StoppedError(text, False, process, error.reason) from None
    if not found["count"]:
        return
    entry = kernel.type("uf_entry_t")
    at, word = entry.member("uf_file").offset, kernel.bits // 8
    try:
        if not 0 < found["count"] <= MOST_FILES:
            raise ReadError(found["list"])
        slots = kernel.memory.read(found["list"], found["count"] * entry.size)
    except ReadError as error:
        text = f"failed to read file array at {found['list']:x}"
        raise StoppedError(text, False, process, error.reason) from None
    for start in range(at, len(slots), entry.size):
        file = int.from_bytes(slots[start : start + word], "little")
        if file or all_slots:
            yield file


def _files(kernel: Solaris) -> Layout:
    members = {"count": "p_user.u_finfo.fi_nfiles", "list": "p_user.u_finfo.fi_list"}
    return Layout(kernel.type("proc_t"), members)


def zones(kernel: Solaris, start: int = 0) -> Iterator[int]:
    """Addresses of the active zones, or of the elements of the list_t at ``start``. Raises `StoppedError`."""
    if not start:
        try:
            start = kernel.symbol("zone_active").address
        except Error as error:
            raise StoppedError("failed to find 'zone_active'", False, 0, error.reason) from None
    return list_elements(kernel, start)


def projects(kernel: Solaris, start: int = 0) -> Iterator[int]:
    """Addresses of all projects, from the system's own (or ``start``) round the ring. Raises `StoppedError`."""
    if not start:
        try:
            start = kernel.word_at("proj0p")
        except Error as error:
            raise StoppedError("failed to read 'proj0p'", False, 0, error.reason) from None
    layout = kernel.part(_project)
    found = chain(kernel, start, layout, "next", lambda at: f"failed to read project at {at:x}", end=-1)
    return (address for address, _ in found)


def _project(kernel: Solaris) -> Layout:
    return Layout(kernel.type("kproject_t"), {"next": "kpj_next"})


def task_processes(kernel: Solaris, task: int) -> Iterator[int]:
    """Addresses of the processes of a task. Raises `StoppedError`."""
    try:
        first = int(kernel.load("task_t", task).tk_memb_list)
    except ReadError as error:
        raise StoppedError(f"failed to read task at {task:x}", False, task, error.reason) from None
    layout = kernel.part(_task_link)
    found = chain(kernel, first, layout, "next", lambda at: f"failed to read proc at {at:x}", end=-1)
    return (address for address, _ in found)


def _task_link(kernel: Solaris) -> Layout:
    return Layout(kernel.type("proc_t"), {"next": "p_tasknext"})

"""Files of a Linux kernel: those that a process has open, and the mounted file systems."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.dcmds.linux.failing import about
from kdbg.dcmds.linux.threads import read_thread
from kdbg.dcmds.registry import OPTIONAL, REQUIRED, Call, Table, dcmd, decimal, hexadecimal, padded_pointer, text
from kdbg.errors import CommandError, UsageError
from kdbg.kernels.linux.files import Mount, OpenFile, mounts, open_files
from kdbg.kernels.linux.tasks import Tasks

MODULE = "linux"

FILES = Table((decimal("FD", "fd", 5), padded_pointer("FILE", "address"), padded_pointer("INODE", "inode"),
               hexadecimal("POS", "position", 9), text("NAME", "path", 0)))  # fmt: skip


@dcmd(
    "pfiles",
    "show the open files of a process",
    address=REQUIRED,
    needs=("kernel",),
    module=MODULE,
    table=FILES,
    help="Each descriptor with its struct file, inode, position and path.",
    example="0t1::pid2proc | ::pfiles",
)
def pfiles(call: Call) -> Iterator[OpenFile]:
    """The open files of the process that the task at the address belongs to."""
    thread = read_thread(call, call.address, living=True)
    if not thread.files:
        call.warn(f"{call.address:x} ({thread.name}): it has no open files any more")
        return
    with about(f"{call.address:x} ({thread.name})", call.kernel):
        yield from open_files(call.kernel, thread.files)


@dcmd(
    "fd",
    "find the file of a descriptor",
    address=REQUIRED,
    synopsis="fd",
    words=None,
    needs=("kernel",),
    module=MODULE,
    table=FILES,
    help="The file that the process at the address has open by that number.",
    example="0t1::pid2proc | ::fd 2",
)
def fd(call: Call) -> Iterator[OpenFile]:
    """One open file of a process."""
    if len(call.words) != 1:
        raise UsageError("")
    word = call.words[0]
    number = call.session.number(word) if isinstance(word, str) else word
    for found in pfiles(call):
        if found.fd == number:
            yield found
            return
    raise CommandError(f"{call.address:x}: no open file {number}")


MOUNTS = Table((padded_pointer("ADDR", "address"), text("TYPE", "type", 11), text("SOURCE", "source", 20),
                text("MOUNTPOINT", "target", 0)))  # fmt: skip


@dcmd(
    "mounts,vfs",
    "list the mounted file systems",
    address=OPTIONAL,
    needs=("kernel",),
    module=MODULE,
    table=MOUNTS,
    help="What is mounted in the machine's first namespace, or in that of the process at the address.",
    example="::mounts",
)
def show_mounts(call: Call) -> Iterator[Mount]:
    """The mounts of the first process's namespace, or of that of the task at the address."""
    kernel = call.kernel
    with about("mounts", call.kernel):
        part: Tasks = kernel.part(Tasks)
        task = call.address if call.explicit else _first_process(part)
        namespaces = part.load(task)["namespaces"]
        if not namespaces:
            raise CommandError(f"{task:x}: it has left its namespaces")
        yield from mounts(kernel, int(kernel.at("struct nsproxy", namespaces).mnt_ns))


def _first_process(part: Tasks) -> int:
    """Process 1: the kernel's own mounts are its own; else init_task."""
    return part.by_pid(1) or part.first()

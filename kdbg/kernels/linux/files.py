"""Files of a Linux kernel: paths by dentries and mounts, open files, mounted file systems.

Sources: include/linux/dcache.h, include/linux/fs.h, include/linux/fdtable.h, fs/mount.h; fs/d_path.c (a path goes up
from dentry to dentry, at a file system's root over to the place where it is mounted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import Error, ReadError
from kdbg.kernels.linux.lists import nodes, offset_of
from kdbg.symbols.layouts import Layout

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_PARTS = 4096
"""Names in a path."""
MOST_NAME = 256
MOST_FILES = 1 << 20


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open file of a process."""

    fd: int
    address: int
    """Of its struct file."""
    path: str
    position: int
    flags: int
    inode: int
    """Address of its inode."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system."""

    address: int
    """Of its struct mount."""
    source: str
    target: str
    type: str
    flags: int
    super_block: int


class Paths:
    """Paths of one kernel's dentries, each dentry read once."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._read = kernel.memory.read
        dentry = kernel.type("struct dentry")
        self._dentry = Layout(dentry, {"parent": "d_parent", "name": "d_name.name", "length": "d_name.len",
                                       "inode": "d_inode", "ops": "d_op", "super_block": "d_sb"})  # fmt: skip
        mount = kernel.type("struct mount")
        self.mount_at = offset_of(mount, "mnt")
        self.mount = Layout(mount, {"parent": "mnt_parent", "place": "mnt_mountpoint", "root": "mnt.mnt_root",
                                    "super_block": "mnt.mnt_sb", "flags": "mnt.mnt_flags",
                                    "source": "mnt_devname"})  # fmt: skip
        self._file = Layout(kernel.type("struct file"), {"dentry": "f_path.dentry", "mount": "f_path.mnt",
                                                         "position": "f_pos", "flags": "f_flags",
                                                         "inode": "f_inode"})  # fmt: skip
        self._known: dict[int, dict[str, int | str]] = {}

    def of_file(self, address: int) -> str:
        """The path of a struct file; what cannot be read of it is told in it."""
        try:
            found = self._file.read(self._read, address)
            return self.of(found["mount"], found["dentry"])
        except ReadError as error:
            return f"<{error.reason}>"

    def of(self, mount: int, dentry: int) -> str:
        """The path of a dentry in the file system mounted at a vfsmount. Raises `ReadError`."""
        parts: list[str] = []
        at = mount - self.mount_at
        here = self.mount.read(self._read, at)
        for _ in range(MOST_PARTS):
            told = self._entry(dentry)
            if dentry == here["root"] or told["parent"] == dentry:
                if here["parent"] == at or dentry != here["root"]:
                    return self._whole(parts, told, dentry == here["root"])
                dentry, at = here["place"], here["parent"]
                here = self.mount.read(self._read, at)
                continue
            parts.append(str(told["name"]))
            dentry = int(told["parent"])
        return "<too deep>"

    def _whole(self, parts: list[str], top: dict[str, int | str], rooted: bool) -> str:
        """A path from its parts; what hangs in no tree (pipes, sockets, anonymous inodes) is named by its kind."""
        path = "/" + "/".join(reversed(parts))
        if rooted and not (top["ops"] and not parts):
            return path
        return self._special(top) or path

    def _special(self, top: dict[str, int | str]) -> str | None:
        try:
            block = self.kernel.at("struct super_block", int(top["super_block"]))
            kind = block.s_type.name.string()
            number = self.kernel.at("struct inode", int(top["inode"])).i_ino
        except Error:
            return None
        if kind == "tmpfs" and top["name"] not in ("", "/"):  # memfd_create, shared anonymous memory
            return f"/{top['name']} (deleted)"
        known = {"sockfs": f"socket:[{number}]", "pipefs": f"pipe:[{number}]", "nsfs": f"{top['name']}:[{number}]"}
        if kind == "anon_inodefs":
            return f"anon_inode:{top['name']}"
        return known.get(kind)

    def _entry(self, address: int) -> dict[str, int | str]:
        found = self._known.get(address)
        if found is None:
            told = self._dentry.read(self._read, address)
            length = min(told["length"], MOST_NAME)
            told["name"] = self._read(told["name"], length).decode("utf-8", "replace") if length else ""
            if len(self._known) > 1 << 18:
                self._known.clear()
            found = self._known[address] = told
        return found

    def open_file(self, fd: int, address: int) -> OpenFile:
        """The record of a struct file. Raises `ReadError`."""
        told = self._file.read(self._read, address)
        return OpenFile(fd, address, self.of_file(address), told["position"], told["flags"], told["inode"])


def file_pointers(kernel: Linux, files: int) -> Iterator[tuple[int, int]]:
    """(descriptor, address of the struct file) of what a files_struct has open. Raises `ReadError`, `TypeNotFound`."""
    word = kernel.bits // 8
    table = kernel.at("struct files_struct", files).fdt.load()
    count = min(table.max_fds, MOST_FILES)
    slots = kernel.memory.read(int(table.fd), count * word)
    for fd in range(count):
        address = int.from_bytes(slots[fd * word : (fd + 1) * word], "little")
        if address:
            yield fd, address


def open_files(kernel: Linux, files: int) -> Iterator[OpenFile]:
    """The files of a files_struct by their descriptors. Raises `ReadError`, `TypeNotFound`."""
    paths = kernel.part(Paths)
    for fd, address in file_pointers(kernel, files):
        try:
            yield paths.open_file(fd, address)
        except ReadError as error:
            kernel.target.note(f"file {fd} of files_struct {files:x}: {error.reason}")


def mounts(kernel: Linux, namespace: int) -> Iterator[Mount]:
    """The mounts of a mnt_namespace, in the kernel's order. Raises `ReadError`, `TypeNotFound`."""
    paths = kernel.part(Paths)
    for address in _mount_addresses(kernel, namespace):
        try:
            told = paths.mount.read(kernel.memory.read, address)
            above = told["parent"]
            target = "/" if above == address else paths.of(above + paths.mount_at, told["place"])
            block = kernel.at("struct super_block", told["super_block"])
            kind = block.s_type.name.string()
            if block.has("s_subtype") and int(block.s_subtype):
                kind += f".{block.s_subtype.string()}"
            source = kernel.string(told["source"], 4096) if told["source"] else "none"
            yield Mount(address, source, target, kind, told["flags"], told["super_block"])
        except Error as error:
            kernel.target.note(f"mount {address:x}: {error}")


def _mount_addresses(kernel: Linux, namespace: int) -> Iterator[int]:
    """By the namespace's list, from 6.8 on by its tree."""
    value, mount = kernel.at("struct mnt_namespace", namespace), kernel.type("struct mount")
    if value.has("list"):
        offset = mount.member("mnt_list").offset
        return (node - offset for node in nodes(kernel, value.address_of("list"), "mounts"))
    from kdbg.kernels.linux.trees import in_order

    offset = mount.member("mnt_node").offset
    return (node - offset for node in in_order(kernel, int(value.mounts.rb_node), "mounts"))

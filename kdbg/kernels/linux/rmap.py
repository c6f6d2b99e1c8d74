"""From a page back to what it belongs to: the file whose page it is, the processes that have it mapped.

Sources: include/linux/fs.h (address_space.host, i_mmap), include/linux/rmap.h (anon_vma.rb_root of anon_vma_chains),
include/linux/mm_types.h (vm_area_struct), mm/rmap.c (vma_address: start + (index - vm_pgoff) pages).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from kdbg.errors import Error
from kdbg.kernels.linux.areas import space_of_mm
from kdbg.kernels.linux.files import Paths
from kdbg.kernels.linux.lists import offset_of
from kdbg.kernels.linux.pagekinds import PageRecord
from kdbg.kernels.linux.tasks import Tasks
from kdbg.kernels.linux.trees import in_order

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_AREAS = 10_000


@dataclass(frozen=True, slots=True)
class PageUser:
    """A process that has a page mapped."""

    task: int
    """Of the process's leader, 0 where none has the mm_struct any more."""
    pid: int
    name: str
    address: int
    """Where the page lies in the process."""
    area: int
    """Address of the vm_area_struct."""


class ReverseMap:
    """Files and users of one kernel's pages. Raises `TypeNotFound`."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._files: dict[int, str] = {}
        self._owners: dict[int, tuple[int, int, str]] | None = None

    def file_of(self, mapping: int) -> str:
        """The path of the file whose pages an address_space holds; what cannot be told of it stands in <>."""
        if mapping not in self._files:
            try:
                self._files[mapping] = self._path(mapping)
            except Error as error:
                self._files[mapping] = f"<{error.reason}>"
        return self._files[mapping]

    def _path(self, mapping: int) -> str:
        kernel = self.kernel
        host = kernel.at("struct address_space", mapping).host
        if not host:
            return "<no file: the kernel's own>"
        inode = host.load()
        block = inode.i_sb
        kind, number = block.s_type.name.string(), int(inode.i_ino)
        if kind == "bdev":
            device = int(inode.i_rdev)
            return f"<block device {device >> 20}:{device & 0xFFFFF}>"
        first = int(inode.i_dentry.first)
        if not first:
            return f"<{kind} inode {number}>"
        dentry = first - offset_of(kernel.type("struct dentry"), "d_u.d_alias")
        mounted = int(block.s_mounts.next)
        if mounted != block.address_of("s_mounts"):
            mount = mounted - offset_of(kernel.type("struct mount"), "mnt_instance")
            paths = kernel.part(Paths)
            return paths.of(mount + paths.mount_at, dentry)
        name = kernel.at("struct dentry", dentry).d_name.name.string()
        return f"{kind}: {name}"

    def users(self, page: PageRecord) -> Iterator[PageUser]:
        """The processes that have a page of a file or an anonymous one mapped, with the place: each is checked."""
        for area in islice(self._areas(page), MOST_AREAS):
            try:
                found = self.kernel.load("struct vm_area_struct", area)
                start, mm = found.vm_start, int(found.vm_mm)
                address = start + (page.index - found.vm_pgoff << 12)
                if not start <= address < found.vm_end:
                    continue
                if space_of_mm(self.kernel, mm).translate(address).pfn != page.pfn:
                    continue
                task, pid, name = self._owner(mm)
                yield PageUser(task, pid, name, address, area)
            except Error:
                continue

    def _areas(self, page: PageRecord) -> Iterator[int]:
        """Addresses of the vm_area_structs that may show a page."""
        kernel = self.kernel
        if page.kind == "anon":
            root = kernel.at("struct anon_vma", page.mapping).rb_root
            link = kernel.type("struct anon_vma_chain")
            node_at, area_at = offset_of(link, "rb"), offset_of(link, "vma")
            for node in in_order(kernel, _top(root), "anon_vma"):
                try:
                    yield kernel.word(node - node_at + area_at)
                except Error:
                    continue
            return
        root = kernel.at("struct address_space", page.mapping).i_mmap
        node_at = offset_of(kernel.type("struct vm_area_struct"), "shared.rb")
        yield from (node - node_at for node in in_order(kernel, _top(root), "i_mmap"))

    def _owner(self, mm: int) -> tuple[int, int, str]:
        if self._owners is None:
            self._owners, part = {}, self.kernel.part(Tasks)
            for leader in part.leaders():
                try:
                    task = part.living(leader)
                except Error:
                    continue
                if task.mm:
                    self._owners.setdefault(task.mm, (leader, task.pid or 0, task.name))
        return self._owners.get(mm, (0, 0, "?"))


def _top(root: object) -> int:
    """The first node of an rb_root_cached (since 4.14) or an rb_root."""
    from kdbg.symbols.value import Value

    assert isinstance(root, Value)
    return int(root.rb_root.rb_node if root.has("rb_root") else root.rb_node)

"""The types of a Linux kernel: the BTF in its image, and that of each module on top of it.

The image's BTF lies between ``__start_BTF`` and ``__stop_BTF``; where data has no names (kernels without
CONFIG_KALLSYMS_ALL) it is found by its header in the read-only data. The modules' hang on the list ``btf_modules``
(5.11 on), all types in them counted on from the image's.

BTF tells no types of global variables but those of per-CPU ones. `VARIABLES` has those that are needed by name; what it
says is checked against BTF as any other name of a type is.

Sources: Documentation/bpf/btf.rst; kernel/bpf/btf.c (btf_module_notify); include/asm-generic/vmlinux.lds.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, FormatError, ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.keeping import kept
from kdbg.kernels.linux.lists import nodes, offset_of
from kdbg.symbols.btf import HEADER, LARGEST, MAGIC, BtfContainer
from kdbg.symbols.model import Type
from kdbg.symbols.space import TypeSpace
from kdbg.symbols.table import STT_FUNC

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux
    from kdbg.symbols.table import Symbol

MAIN = "vmlinux"
NONE = "the kernel carries no types (no BTF in its image)"
NO_IMAGE = "the kernel's image is not in the dump, and its types with it"
PATTERN = struct.pack("<HBBII", MAGIC, 1, 0, HEADER.size, 0)
"""How the image's BTF begins: magic, version, flags, length of the header, offset of the types."""
PLAUSIBLE = 1 << 16
"""Bytes that a kernel's types have at least: a small BTF (a program's) is passed over."""

_LIST, _MUTEX = "struct list_head", "struct mutex"
VARIABLES = {
    "init_task": "struct task_struct", "init_mm": "struct mm_struct", "init_cred": "struct cred",
    "init_nsproxy": "struct nsproxy", "init_uts_ns": "struct uts_namespace", "init_pid_ns": "struct pid_namespace",
    "init_user_ns": "struct user_namespace", "init_ipc_ns": "struct ipc_namespace",
    "init_net": "struct net", "init_css_set": "struct css_set", "init_files": "struct files_struct",
    "init_fs": "struct fs_struct", "net_namespace_list": _LIST, "slab_caches": _LIST, "slab_mutex": _MUTEX,
    "modules": _LIST, "module_mutex": _MUTEX, "super_blocks": _LIST, "file_systems": "struct file_system_type *",
    "vmap_area_list": _LIST, "workqueues": _LIST, "btf_modules": _LIST, "pci_root_buses": _LIST,
    "cgrp_dfl_root": "struct cgroup_root", "iomem_resource": "struct resource", "ioport_resource": "struct resource",
    "prb": "struct printk_ringbuffer *", "printk_rb_static": "struct printk_ringbuffer", "log_buf": "char *",
    "log_buf_len": "unsigned int", "saved_command_line": "char *", "tainted_mask": "unsigned long",
    "panic_cpu": "atomic_t", "jiffies": "unsigned long", "jiffies_64": "unsigned long long",
    "nr_cpu_ids": "unsigned int", "nr_threads": "int", "total_forks": "unsigned long", "pid_max": "int",
    "max_pfn": "unsigned long", "page_offset_base": "unsigned long", "vmalloc_base": "unsigned long",
    "vmemmap_base": "unsigned long", "phys_base": "unsigned long", "contig_page_data": "struct pglist_data",
    "mem_section": "struct mem_section **", "irq_desc_tree": "struct xarray", "avenrun": "unsigned long",
    "boot_cpu_data": "struct cpuinfo_x86", "root_task_group": "struct task_group", "evtchn_ops": "struct evtchn_ops *",
    "sparse_irqs": "struct maple_tree", "HYPERVISOR_shared_info": "struct shared_info *",
    "xen_start_info": "struct start_info *",
}  # fmt: skip
"""Variable -> its type, for those that BTF leaves out."""


def type_space(kernel: Linux) -> TypeSpace[BtfContainer]:
    """The types of the image and of all modules; a module's are read when they are asked for."""
    modules = {module.name: module.address for module in kernel.module_images}

    def load(name: str) -> BtfContainer:
        if name == MAIN:
            return _main(kernel)
        return _of_module(kernel, name, modules[name], space.container(MAIN))

    space = TypeSpace(MAIN, lambda: [MAIN, *modules], load)
    return space


def _main(kernel: Linux) -> BtfContainer:
    """The image's types; where it carries none, a debug file's, or those that its structures show. Raises `Error`."""
    try:
        return _of_image(kernel)
    except TypeNotFound as error:
        if kernel.debug_info:
            return kernel.debug_info.module(MAIN).types  # type: ignore[return-value]  # it answers as BTF does
        from kdbg.kernels.linux.probe import probed_types

        return probed_types(kernel, error.reason)


def _of_image(kernel: Linux) -> BtfContainer:
    """The types in the kernel's image. Raises `TypeNotFound` where there are none, `FormatError` for damaged ones."""
    try:
        start = kernel.image_symbol("__start_BTF").address
        end = kernel.image_symbol("__stop_BTF").address
        if not 0 < end - start <= LARGEST:
            raise TypeNotFound(MAIN, NONE)
        return BtfContainer(kernel.mapping.read(start, end - start), kernel.bits, keep=kept(kernel, "btf"))
    except SymbolNotFound:
        return _by_header(kernel)
    except ReadError as error:
        raise TypeNotFound(MAIN, f"the kernel's types (BTF) cannot be read: {error}") from None


def _by_header(kernel: Linux) -> BtfContainer:
    """The first BTF of some size in read-only data."""
    mapping = kernel.mapping
    if not mapping.segments:
        raise TypeNotFound(MAIN, NO_IMAGE)
    for segments in mapping.by_likelihood()[:2]:
        for segment in segments:
            for hit in mapping.search(segment, PATTERN):
                try:
                    header = HEADER.unpack(mapping.read(hit, HEADER.size))
                    size = HEADER.size + max(header[4] + header[5], header[6] + header[7])
                    if PLAUSIBLE <= size <= LARGEST:
                        return BtfContainer(mapping.read(hit, size), kernel.bits)
                except Error:
                    continue
    raise TypeNotFound(MAIN, NONE)


def _of_module(kernel: Linux, name: str, address: int, base: BtfContainer) -> BtfContainer:
    """A module's types. Raises `TypeNotFound` where it has none, `ReadError`, `FormatError`."""
    place = kernel.part(_ModuleBtf).by_module.get(address)
    if place is None and kernel.debug_info:
        return kernel.debug_info.module(name).types  # type: ignore[return-value]
    if place is None:
        raise TypeNotFound(name, "no symbolic debug information available for module")
    data, size = place
    if size > LARGEST:
        raise FormatError(name, f"damaged BTF: {size} bytes")
    return BtfContainer(kernel.memory.read(data, size), kernel.bits, base, name)


class _ModuleBtf:
    """Where the modules' BTF lies: struct module -> (address, bytes), by the list of those that were accepted.

    What they were fitted to there is the running kernel's BTF, which the copy in a module's own section need not be.
    """

    def __init__(self, kernel: Linux) -> None:
        self.by_module: dict[int, tuple[int, int]] = {}
        try:
            head = kernel.image_symbol("btf_modules").address
            self.by_module.update(self._accepted(kernel, head))
        except (SymbolNotFound, TypeNotFound):
            pass
        except Error as error:
            kernel.target.note(f"types of modules: {error}")

    @staticmethod
    def _accepted(kernel: Linux, head: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Each entry of the list. Only the image's own types are asked: the modules' are what is being looked for.

        Raises `TypeNotFound` for an image without BTF, whose modules' has nothing to count on from.
        """
        image = kernel.types.container(MAIN)
        entry, btf = image.lookup("struct btf_module"), image.lookup("struct btf")
        module_at, btf_at = offset_of(entry, "module"), offset_of(entry, "btf")
        data_at, size = btf.member("data").offset, btf.member("data_size")
        for node in nodes(kernel, head, "btf_modules"):
            address = node - offset_of(entry, "list")
            types = kernel.word(address + btf_at)
            length = int.from_bytes(kernel.memory.read(types + size.offset, size.type.size), "little")
            yield kernel.word(address + module_at), (kernel.word(types + data_at), length)


class Variables:
    """The types of variables: of per-CPU ones by BTF, of some by `VARIABLES`."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._known: dict[str, dict[str, Type]] = {}

    def type_of(self, symbol: Symbol) -> Type:
        """The type of a symbol's object or function. Raises `TypeNotFound`, and other `Error`s of the types."""
        container = self._container(symbol.module or MAIN)
        if symbol.type == STT_FUNC:
            return container.function(symbol.name)
        found = self._of(container).get(symbol.name)
        if found is not None:
            return found
        if symbol.module == MAIN and symbol.name in VARIABLES:
            return self.kernel.type(VARIABLES[symbol.name])
        if self.kernel.debug_info:
            file = self.kernel.debug_info.module(symbol.module or MAIN)
            return file.types.variable(symbol.name, symbol.address - file.slide)
        raise TypeNotFound(symbol.name, "No type information available for symbol")

    def _container(self, name: str) -> BtfContainer:
        return self.kernel.types.container(name)

    def _of(self, container: BtfContainer) -> dict[str, Type]:
        if container.name not in self._known:
            self._known[container.name] = dict(container.variables())
        return self._known[container.name]

    def names(self) -> Iterator[str]:
        """The variables of the image whose types are known."""
        yield from VARIABLES
        yield from self._of(self._container(MAIN))

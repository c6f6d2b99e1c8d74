"""Where the variables of a Linux kernel lie: by their symbols, by VMCOREINFO, or by what they look like.

Kernels without CONFIG_KALLSYMS_ALL have names for functions alone. What is needed of their data is found in the image's
writable part by the form of what it points to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kdbg.errors import Error, SymbolNotFound
from kdbg.kernels.linux.lists import offset_of
from kdbg.kernels.linux.modules import NAME_SIZE

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

MOST_CPUS = 8192
WINDOW = 1 << 20
MOST_IMAGE = 1 << 27
"""Bytes behind the image's first symbol that are taken for its own where the direct map surrounds it."""
_NAME = set(range(0x21, 0x7F))


class Places:
    """Addresses of variables by name; each is looked for once."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._known: dict[str, int | SymbolNotFound] = {}
        self._finders: dict[str, Callable[[], int]] = {
            "init_task": self._init_task,
            "modules": self._modules,
            "slab_caches": self._slab_caches,
            "super_blocks": self._super_blocks,
            "__per_cpu_offset": self._per_cpu_offset,
        }

    def place(self, name: str) -> int:
        """Address of a variable of the image. Raises `SymbolNotFound`."""
        found = self._known.get(name)
        if found is None:
            try:
                found = self._find(name)
            except SymbolNotFound as error:
                found = error
            self._known[name] = found
        if isinstance(found, SymbolNotFound):
            raise found
        return found

    def _find(self, name: str) -> int:
        from kdbg.kernels.linux.probe.table import Heads

        try:
            return self.kernel.image_symbol(name).address
        except SymbolNotFound:
            if name in (heads := self.kernel.part(Heads)):
                return heads[name]
            if name not in self._finders:
                told = self.kernel.vmcoreinfo
                if told is None or name not in told.symbols:
                    raise
                return told.symbols[name]
        try:
            return self._finders[name]()
        except SymbolNotFound:
            raise
        except Error as error:
            raise SymbolNotFound(name, error.reason) from None

    # by their form

    def _init_task(self) -> int:
        from kdbg.kernels.linux.tasks import find_init_task

        return find_init_task(self.kernel)

    def _per_cpu_offset(self) -> int:
        from kdbg.kernels.linux.percpu import find_offsets

        return find_offsets(self.kernel)

    def _modules(self) -> int:
        word = self.kernel.bits // 8

        def is_module(node: int) -> bool:  # state, list, then the name: MODULE_NAME_LEN bytes
            data = self.kernel.memory.read(node - word, 3 * word + NAME_SIZE[self.kernel.bits])
            name, _, rest = data[3 * word :].partition(b"\0")
            return _is_name(name) and not any(rest) and int.from_bytes(data[:4], "little") < 4

        return self._head("modules", is_module, outside=word == 8)

    def _slab_caches(self) -> int:
        of = self.kernel.type("struct kmem_cache")
        list_at, name_at = of.member("list").offset, of.member("name").offset
        size_at, object_at = of.member("size").offset, of.member("object_size").offset

        def is_cache(node: int) -> bool:
            name = self.kernel.memory.read(self.kernel.word(node - list_at + name_at), 8)
            size, inner = (
                int.from_bytes(self.kernel.memory.read(node - list_at + at, 4), "little") for at in (size_at, object_at)
            )
            return _is_name(name) and 0 < inner <= size < 1 << 24

        return self._head("slab_caches", is_cache)

    def _super_blocks(self) -> int:
        of = self.kernel.type("struct super_block")
        list_at, id_at, type_at = (offset_of(of, path) for path in ("s_list", "s_id", "s_type"))
        name_at = self.kernel.type("struct file_system_type").member("name").offset

        def is_block(node: int) -> bool:
            kind = self.kernel.word(self.kernel.word(node - list_at + type_at) + name_at)
            return _is_name(self.kernel.memory.read(kind, 8)) and _is_name(
                self.kernel.memory.read(node - list_at + id_at, 8)
            )

        return self._head("super_blocks", is_block)

    def _head(self, name: str, check: Callable[[int], bool], outside: bool = False) -> int:
        """The head of a list in the image's data whose first and last elements look as they should.

        ``outside``: whether these do not lie in the image, as those of a loaded module do not.
        """
        for address in self.heads(check, outside):
            return address
        raise SymbolNotFound(name)

    def heads(self, check: Callable[[int], bool], outside: bool = False) -> Iterator[int]:
        """All such heads."""
        for address, following, last in self._heads():
            try:
                if outside and (self._in_image(following) or self._in_image(last)):
                    continue
                if self._links(address, following, last) and check(following) and check(last):
                    yield address
            except Error:
                continue

    def _links(self, address: int, following: int, last: int) -> bool:
        word = self.kernel.bits // 8
        return self.kernel.word(following + word) == address == self.kernel.word(last)

    def _in_image(self, node: int) -> bool:
        return any(s.address <= node < s.address + s.size for s in self.kernel.mapping.segments)

    def _heads(self) -> Iterator[tuple[int, int, int]]:
        """(address, next, prev) of what may be heads of lists: two words that point into the kernel's half."""
        import numpy

        kernel, word = self.kernel, self.kernel.bits // 8
        image = kernel.symbols.image
        begin = image.first if image is not None else 0
        for segment in kernel.mapping.data():
            first, end = max(segment.address, begin), min(segment.address + segment.size, begin + MOST_IMAGE)
            for start in range(first, end, WINDOW):
                try:
                    data = kernel.mapping.read(start, min(WINDOW, end - start))
                except Error:
                    continue
                words = numpy.frombuffer(data, "<u8" if word == 8 else "<u4")
                good = (words >= kernel.lowest) & (words % word == 0)
                for at in numpy.flatnonzero(good[:-1] & good[1:]).tolist():
                    address, following = start + at * word, int(words[at])
                    if following != address:
                        yield address, following, int(words[at + 1])


def per_cpu_offsets(kernel: Linux) -> list[int]:
    """What is to be added to the address of a per-CPU variable, by CPU. Raises `SymbolNotFound`, `ReadError`."""
    word = kernel.bits // 8
    table = kernel.place("__per_cpu_offset")
    try:
        count = int.from_bytes(kernel.memory.read(kernel.place("nr_cpu_ids"), 4), "little")
    except Error:
        count = len(kernel.target.image.contexts)
    count = min(max(count, 1), MOST_CPUS)
    data = kernel.memory.read(table, count * word)
    return [int.from_bytes(data[at : at + word], "little") for at in range(0, len(data), word)]


def _is_name(data: bytes) -> bool:
    text = data.partition(b"\0")[0]
    return bool(text) and all(byte in _NAME for byte in text)

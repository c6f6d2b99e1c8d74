"""The symbols of a Linux kernel: those of its image out of kallsyms, decoded where they are asked for."""

from __future__ import annotations

import functools
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kdbg.kernels.linux.kallsyms import BLOCK, Layout
from kdbg.kernels.linux.keeping import Kept
from kdbg.kernels.linux.mapping import ImageMapping
from kdbg.symbols.table import (
    SHN_ABS,
    STB_GLOBAL,
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STT_NOTYPE,
    STT_OBJECT,
    Symbol,
    Symbols,
    SymbolTable,
    covers,
)

MAIN = "vmlinux"
"""Name of the kernel's image among the modules."""
SEPARATOR = "\u0100"
"""Stands between names in the expanded table: no byte of a name decodes to it."""
FARTHEST = 1 << 30
"""A symbol reaches to the next one; not over more than this."""
BLOCKS_KEPT = 512
ENDS = frozenset({"_etext", "__end_rodata", "_einittext", "__init_end", "_end", "__bss_stop"})
"""Symbols that mark an end: nothing is theirs, and without CONFIG_KALLSYMS_ALL no data has names."""


class KallsymsTable:
    """The table as `kdbg.symbols.table.SymbolTable` gives one: by position, by name, by address.

    By address: bisection on the offsets as they lie in the image. By name: bisection on the kernel's own order of
    names; kernels without one (it came with 6.2) have all names expanded in one pass.
    """

    module = MAIN

    def __init__(self, image: ImageMapping, layout: Layout, bits: int, keep: Kept | None = None) -> None:
        self._keep = keep
        self.layout = layout
        self._image = image
        self._bits = bits
        self._tokens = [token.decode("latin-1") for token in layout.tokens]
        self._names: bytes | None = None
        self._numbers: Sequence[int] | None = None
        self._seqs: bytes | None = None
        self._text: str | None = None
        self._blocks: dict[int, list[int]] = {}
        self.first = layout.base if layout.base is not None else 1 << bits - 1
        """The lowest address that counts as one."""

    # by position

    def __len__(self) -> int:
        return self.layout.count

    def __iter__(self) -> Iterator[Symbol]:
        """All symbols in order of their addresses."""
        spelt = self.text()[1:-1].split(SEPARATOR)
        addresses = [self.address(index) for index in range(self.layout.count)]
        sizes, following = [0] * len(addresses), (1 << self._bits) + FARTHEST
        for index in range(len(addresses) - 1, -1, -1):
            if index + 1 < len(addresses) and addresses[index + 1] != addresses[index]:
                following = addresses[index + 1]
            size = following - addresses[index]
            sizes[index] = size if size < FARTHEST and spelt[index][1:] not in ENDS else 0
        known = {letter: meaning(letter) for letter in {one[:1] for one in spelt}}
        for index, one in enumerate(spelt):
            yield Symbol(one[1:], addresses[index], sizes[index], MAIN, *known[one[:1]], 0, SHN_ABS, index)

    def __getitem__(self, index: int) -> Symbol:
        if not 0 <= index < self.layout.count:
            raise IndexError(index)
        letter, name = self._spelt(index)
        kind, binding = meaning(letter)
        return Symbol(name, self.address(index), self._size(index), MAIN, kind, binding, 0, SHN_ABS, index)

    def address(self, index: int) -> int:
        """Address of the symbol at a position."""
        return self.layout.address(index, self._addresses()[index])

    @property
    def last(self) -> int:
        """The highest address of a symbol."""
        return self.address(self.layout.count - 1)

    def _addresses(self) -> Sequence[int]:
        if self._numbers is None:
            layout = self.layout
            relative = layout.base is not None or layout.from_place
            width = 4 if relative else self._bits // 8
            data = memoryview(self._image.read(layout.addresses, width * layout.count))
            self._numbers = data.cast("i") if relative else data.cast("Q" if width == 8 else "I")
        return self._numbers

    def _size(self, index: int) -> int:
        """Bytes to the next symbol with another address; 0 where there is none or it is far away."""
        address = self.address(index)
        if self._spelt(index)[1] in ENDS:
            return 0
        for following in range(index + 1, self.layout.count):
            size = self.address(following) - address
            if size:
                return size if size < FARTHEST else 0
        return 0

    # names

    def _compressed(self) -> bytes:
        if self._names is None:
            self._names = self._image.read(self.layout.names, self.layout.names_size)
        return self._names

    def _spelt(self, index: int) -> tuple[str, str]:
        """Type letter and name of the symbol at a position."""
        names, block = self._compressed(), self._block(index // BLOCK)
        tokens = self._tokens
        start, length = length_at(names, block[index % BLOCK])
        spelt = "".join([tokens[code] for code in names[start : start + length]])
        return spelt[:1], spelt[1:]

    def _block(self, number: int) -> list[int]:
        """Offsets of the names of a block in the table."""
        found = self._blocks.get(number)
        if found is None:
            names, at, found = self._compressed(), self.layout.markers[number], []
            for _ in range(min(BLOCK, self.layout.count - number * BLOCK)):
                found.append(at)
                start, length = length_at(names, at)
                at = start + length
            if len(self._blocks) >= BLOCKS_KEPT:
                self._blocks.clear()
            self._blocks[number] = found
        return found

    def names(self) -> Iterator[str]:
        """The names of all symbols, in order of the addresses."""
        return (spelt[1:] for spelt in self.text()[1:-1].split(SEPARATOR))

    # by name

    def find(self, name: str) -> Symbol | None:
        """The first symbol of that name in order of the addresses, or None."""
        return next(self._named(name), None)

    def find_all(self, name: str) -> list[Symbol]:
        """All symbols of that name: many a static function has namesakes."""
        return list(self._named(name))

    def _named(self, name: str) -> Iterator[Symbol]:
        if self.layout.seqs is not None:
            found = sorted(self._by_order(name))
            if found or (self._in_order and "." not in name):  # what stands behind a dot may not count in the order
                yield from (self[index] for index in found)
                return
        text, pattern, at, index, counted = self.text(), name + SEPARATOR, 0, 0, 0
        while (at := text.find(pattern, at)) >= 0:
            if at >= 2 and text[at - 2] == SEPARATOR:  # between them only the type letter
                index += text.count(SEPARATOR, counted, at - 1)
                counted = at - 1
                yield self[index - 1]
            at += 1

    def _by_order(self, name: str) -> Iterator[int]:
        """Positions of the symbols of a name, by the kernel's order of names."""
        seqs, wanted, count = self._order(), name.encode("latin-1", "replace"), self.layout.count
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if self._spelling_in_order(seqs, middle) < wanted:
                low = middle + 1
            else:
                high = middle
        while low < count and self._spelling_in_order(seqs, low) == wanted:
            yield int.from_bytes(seqs[3 * low : 3 * low + 3], "big")
            low += 1

    def _spelling_in_order(self, seqs: bytes, at: int) -> bytes:
        index = int.from_bytes(seqs[3 * at : 3 * at + 3], "big")
        return self._spelt(index)[1].encode("latin-1") if index < self.layout.count else b""

    @functools.cached_property
    def _in_order(self) -> bool:
        """Whether names ascend in the kernel's order of them, by a sample: else it does not tell what is not there."""
        seqs = self._order()
        sample = [self._spelling_in_order(seqs, at) for at in range(0, self.layout.count, self.layout.count // 64 + 1)]
        return sample == sorted(sample)

    def _order(self) -> bytes:
        if self._seqs is None:
            assert self.layout.seqs is not None
            self._seqs = self._image.read(self.layout.seqs, 3 * self.layout.count)
        return self._seqs

    def text(self) -> str:
        """All names with their type letters, in order, `SEPARATOR` before the first and behind each."""
        if self._text is None:
            self._text = self._kept_text() or self._expanded()
        return self._text

    def _kept_text(self) -> str | None:
        """The names as they were kept of an earlier session."""
        found = self._keep.get(self._kept_name()) if self._keep is not None else None
        if found is None or found.count(b"\0") != self.layout.count - 1:
            return None
        return f"\0{found.decode('latin-1')}\0".replace("\0", SEPARATOR)

    def _kept_name(self) -> str:
        """Their name: the kernel's, with the sum of all that they are expanded from."""
        total = zlib.crc32(b"\0".join(self.layout.tokens), zlib.crc32(self._compressed()))
        return f"{self._keep.name if self._keep is not None else ''}-{total:x}-{self.layout.count:x}"

    def _expanded(self) -> str:
        names, at, parts = self._compressed() + bytes(2), 0, []
        end = len(names) - 2  # damaged lengths may lead beyond it
        for _ in range(self.layout.count):
            length = names[at]
            at += 1
            if length & 0x80:
                length = length & 0x7F | names[at] << 7
                at += 1
            parts.append(names[at : at + length].decode("latin-1"))
            at = min(at + length, end)
        text = (SEPARATOR + SEPARATOR.join(parts) + SEPARATOR).translate([*self._tokens, SEPARATOR])
        if self._keep is not None:
            self._keep.put(self._kept_name(), text[1:-1].replace(SEPARATOR, "\0").encode("latin-1"))
        return text

    # by address

    def below(self, address: int) -> Iterator[list[Symbol]]:
        """Symbols at or below the address, nearest first: those of one address together, in the kernel's order.

        Offsets of per-cpu variables, which the table has among its absolute symbols, are no addresses.
        """
        at = bisect_right(range(self.layout.count), address, key=self.address)
        while at > 0:
            start = at - 1
            where = self.address(start)
            if where < self.first:
                return
            while start > 0 and self.address(start - 1) == where:
                start -= 1
            yield [self[index] for index in range(start, at)]
            at = start


class LinuxSymbols(Symbols):
    """The symbols of the image and of the modules. A bare name means the image's symbol before a module's.

    The modules' tables are read (by ``load``) when a name is not the image's, or an address lies outside of it.
    """

    def __init__(self, image: KallsymsTable | None, load: Callable[[], Sequence[SymbolTable]]) -> None:
        super().__init__(())
        del self.tables  # they are read when they are asked for
        self.image = image
        """The image's own table; None where the kernel has none."""
        self._load = load

    @functools.cached_property
    def tables(self) -> list[Any]:  # type: ignore[override]
        """The image's table and those of the modules."""
        return [*([self.image] if self.image is not None else []), *self._load()]

    def module(self, name: str) -> Any:
        """The table of one module, `MAIN` for the image's; None where there is none."""
        if name == MAIN:
            return self.image
        return next((table for table in self.tables if table.module == name), None)

    def find(self, name: str) -> Symbol | None:
        """The symbol that a name without a module means, or None."""
        if name not in self._known:
            found = self.image.find(name) if self.image is not None else None
            if found is None:
                others = (table.find(name) for table in self.tables if table is not self.image)
                found = next((hit for hit in others if hit), None)
            if len(self._known) > 1 << 16:
                self._known.clear()
            self._known[name] = found
        return self._known[name]

    def is_main(self, symbol: Symbol) -> bool:
        """Whether labels show its name without a module: all of the image's, and those of modules that it lacks."""
        return symbol.module == MAIN or super().is_main(symbol)

    def _nearest(self, address: int, distance: int | None) -> tuple[Symbol, int] | None:
        if self.image is not None and self.image.first <= address <= self.image.last:
            found = self._best_of(self.image, address)  # type: ignore[arg-type]
            return (found, address - found.address) if found and covers(found, address, distance) else None
        return super()._nearest(address, distance)


def length_at(names: bytes, at: int) -> tuple[int, int]:
    """Where the tokens of the name at an offset begin, and how many there are; (end, 0) behind the end."""
    if at >= len(names) - 1:
        return len(names), 0
    length = names[at]
    if length & 0x80:
        return at + 2, length & 0x7F | names[at + 1] << 7
    return at + 1, length


def meaning(letter: str) -> tuple[int, int]:
    """STT_* and STB_* that nm's type letter stands for."""
    binding: Any = STB_WEAK if letter in "wWvV" else STB_LOCAL if letter.islower() else STB_GLOBAL
    if letter in "tTwWi":
        return STT_FUNC, binding
    return STT_OBJECT if letter in "bBdDgGrRsSvVcC" else STT_NOTYPE, binding

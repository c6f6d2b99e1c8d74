"""kallsyms: the symbol table that a Linux kernel carries in its read-only data, found by its structure.

The tables, in the order in which they lie (scripts/kallsyms.c; 8-byte alignment, 4 on 32-bit machines):

    up to 6.3    addresses | offsets, relative_base; num_syms; names; markers; [6.2 on: seqs_of_names]; token_table;
                 token_index
    6.4 on       num_syms; names; markers; token_table; token_index; addresses | offsets, relative_base;
                 seqs_of_names
    7.2 (seen)   num_syms; names; markers; token_table; token_index; offsets; seqs_of_names; aligned to 4 bytes

- names: of each symbol a length (one byte; with bit 7 set, from 6.1 on, 7 bits and a second byte for those above),
  then so many token numbers. Expanded, the first character is the type letter of nm.
- markers: offset in names of each 256th symbol; words up to 4.20, since then 32 bits.
- token_table: 256 strings; token_index: 16-bit offsets of them.
- offsets (4.6 on): 32 bits each, to relative_base; with CONFIG_KALLSYMS_ABSOLUTE_PERCPU those not negative
  are addresses themselves and the others count from relative_base - 1 downward. Where there is no relative_base (seen
  in 7.2) each counts from its own place in the table.
- seqs_of_names: for each symbol in order of the names its position, 3 bytes, most significant first.

VMCOREINFO names the tables from 6.0 on; what it names is taken from there. Stable kernels have some of this earlier:
versions are a guide, the structure decides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kdbg.errors import ReadError
from kdbg.kernels.linux.mapping import ImageMapping

BLOCK = 256
"""Symbols between two markers."""
DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
"""Letters of symbol names are their own tokens: the token table has the digits one after the other, '0' as token 48."""
MOST_SYMBOLS = 1 << 21
MOST_NAME = 512
"""Bytes of a compressed name (KSYM_NAME_LEN is 512 since 6.1, 128 before)."""
LONGEST_MEAN = 128
"""Bytes of a compressed name, on the average of the last block."""
MOST_TOKENS = 1 << 14
"""Bytes of the token table."""
BACK = 1 << 16
"""Bytes before the token table in which the markers are looked for: those of four million symbols."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tables are, and of what form."""

    count: int
    """Number of symbols."""
    names: int
    names_size: int
    markers: tuple[int, ...]
    tokens: tuple[bytes, ...]
    addresses: int
    """Address of the table of addresses or offsets."""
    base: int | None
    """What offsets count from; None where addresses stand in full."""
    percpu_absolute: bool
    """Whether offsets that are not negative are addresses themselves."""
    seqs: int | None
    """Address of the positions in order of the names."""
    from_place: bool = False
    """Whether each offset counts from where it lies itself; then there is no base."""

    def address(self, at: int, number: int) -> int:
        """The address of the symbol at a position, from what the table of addresses has there (offsets are signed)."""
        if self.from_place:
            return self.addresses + 4 * at + number
        return number if self.base is None else decode_offset(number, self.base, self.percpu_absolute)


def find(image: ImageMapping, bits: int, named: Mapping[str, int] | None = None) -> Layout | None:
    """The tables in a kernel's image, or None. ``named``: addresses by symbol, as VMCOREINFO gives them."""
    finder = _Finder(image, bits, named or {})
    for address, tokens, end in finder.token_tables():
        found = finder.layout(address, tokens, end)
        if found is not None:
            return found
    return None


class _Finder:
    def __init__(self, image: ImageMapping, bits: int, named: Mapping[str, int]) -> None:
        self.image = image
        self.word = bits // 8
        self.form = {8: "<Q", 4: "<I"}[self.word]
        self.named = named

    def align(self, address: int) -> int:
        return -(-address // self.word) * self.word

    def number(self, address: int, form: str) -> int:
        found: int = struct.unpack(form, self.image.read(address, struct.calcsize(form)))[0]
        return found

    # the tokens

    def token_tables(self) -> Iterator[tuple[int, tuple[bytes, ...], int]]:
        """(address, tokens, end of the token index) of each pair of tables that fit together."""
        named = self.named.get("kallsyms_token_table")
        if named is not None and (tokens := self._tokens_at(named)) is not None:
            yield named, *tokens
        for segments in self.image.by_likelihood():
            for segment in segments:
                for hit in self.image.search(segment, DIGITS):
                    start = self._start_of_tokens(hit)
                    if start is not None and (tokens := self._tokens_at(start)) is not None:
                        yield start, *tokens

    def _start_of_tokens(self, digits: int) -> int | None:
        """Where the table begins whose token 48 is at an address: 48 strings before."""
        size = min(MOST_TOKENS, digits & 0xFFFFF)
        try:
            before = self.image.read(digits - size, size)
        except ReadError:
            return None
        at = size
        for _ in range(ord("0") + 1):
            at = before.rfind(b"\0", 0, at)
            if at < 0:
                return None
        start = digits - size + at + 1
        return start if start % 4 == 0 else None

    def _tokens_at(self, start: int) -> tuple[tuple[bytes, ...], int] | None:
        """The 256 tokens, if a token index that fits lies behind them, and where that ends."""
        data = self._some(start, MOST_TOKENS)
        tokens = data.split(b"\0", BLOCK)[:BLOCK]
        if len(tokens) < BLOCK:
            return None
        offsets, at = [], 0
        for token in tokens:
            offsets.append(at & 0xFFFF)
            at += len(token) + 1
        index = struct.pack("<256H", *offsets)
        place = data.find(index, at, at + 64 + len(index))
        return (tuple(tokens), start + place + len(index)) if place >= 0 else None

    def _some(self, address: int, size: int) -> bytes:
        """Up to ``size`` bytes, as many as are there."""
        parts: list[bytes] = []
        end = address + size
        try:
            while address < end:
                step = min(end - address, 4096 - address % 4096)
                parts.append(self.image.read(address, step))
                address += step
        except ReadError:
            pass
        return b"".join(parts)

    # names and markers

    def layout(self, token_table: int, tokens: tuple[bytes, ...], end: int) -> Layout | None:
        """The other tables, which lie around those of the tokens."""
        for address, markers in self._markers(token_table):
            names = self._names(address, markers)
            if names is None:
                continue
            at, count, size = names
            seqs = self.named.get("kallsyms_seqs_of_names")
            for table, base, behind in self._addresses(at, count, end):
                percpu = base is not None and self._percpu_absolute(table, count)
                found = Layout(count, at, size, markers, tokens, table, base, percpu, seqs or None)
                if self._ascends(found):
                    after = behind if behind is not None else address + self._marker_size * len(markers)
                    return found if seqs else self._with_seqs(found, self.align(after), token_table, behind is not None)
            table = self.named.get("kallsyms_offsets") or -(-end // 4) * 4
            found = Layout(count, at, size, markers, tokens, table, None, False, seqs or None, from_place=True)
            if self._ascends(found):
                return found if seqs else self._with_seqs(found, table + 4 * count, token_table, behind=True)
        return None

    _marker_size = 4

    def _markers(self, token_table: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(address, markers) of what may be the table of markers: it ascends from 0 and ends before the token table."""
        for size in (4, self.word) if self.word == 8 else (4,):
            self._marker_size = size
            data = self._before(token_table, BACK)
            end = len(data)
            words = memoryview(data[end % size :]).cast("I" if size == 4 else "Q").tolist()
            for padding in range(self.word // size):
                found = _ascending_tail(words[: len(words) - padding])
                if found:
                    yield token_table - size * (len(found) + padding), tuple(found)
        self._marker_size = 4
        yield from self._markers_before_seqs(token_table)

    def _markers_before_seqs(self, token_table: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """6.2 and 6.3: between markers and tokens lie three bytes a symbol, whose first ones are small."""
        large = bytes(byte > MOST_SYMBOLS >> 16 for byte in range(256))
        for size in range(BACK, 3 * MOST_SYMBOLS // 4, BACK):  # no further back than is needed
            data = self._before(token_table, size)
            ends = []
            for phase in range(3):
                last = data[phase::3].translate(large).rfind(1)
                ends.append(phase + 3 * last if last >= 0 else 0)
            end = min(ends) // 4 * 4  # the column of first bytes is the one with the longest run of small ones
            if end:
                yield from self._markers_that_end(data, end, token_table)
            if len(data) < size:
                return

    def _markers_that_end(self, data: bytes, end: int, after: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """What may be markers among the data before an address, and ends about there."""
        start = max(0, end - BACK)
        reach = min(len(data), end + 64) - start
        words = memoryview(data[start : start + reach // 4 * 4]).cast("I").tolist()
        for length in range((end - start) // 4, len(words) + 1):
            found = _ascending_tail(words[:length])
            if len(found) > 1:
                yield after - len(data) + start + 4 * (length - len(found)), tuple(found)

    def _before(self, address: int, size: int) -> bytes:
        """Up to ``size`` bytes that end at an address."""
        parts: list[bytes] = []
        start = address - size
        try:
            while address > start:
                step = min(address - start, (address - 1) % 4096 + 1)
                parts.append(self.image.read(address - step, step))
                address -= step
        except ReadError:
            pass
        return b"".join(reversed(parts))

    def _names(self, markers_at: int, markers: tuple[int, ...]) -> tuple[int, int, int] | None:
        """(address, number of symbols, bytes) of the names that markers belong to; the number stands before them."""
        for at, count in self._numbers_of_symbols(markers_at - markers[-1]):
            if -(-count // BLOCK) == len(markers) and (size := self._check_names(at, count, markers)) is not None:
                gap = markers_at - (at + size)
                if 0 <= gap < 64 or "kallsyms_names" in self.named:
                    return at, count, size
        return None

    def _numbers_of_symbols(self, before: int) -> Iterator[tuple[int, int]]:
        """(address, number of symbols) of where the names may begin, nearest to an address first."""
        if "kallsyms_names" in self.named and "kallsyms_num_syms" in self.named:
            yield self.named["kallsyms_names"], self.number(self.named["kallsyms_num_syms"], "<I")
            return
        for step in (self.word, 4) if self.word == 8 else (4,):
            end = before // step * step
            data = self._before(end, BLOCK * LONGEST_MEAN)
            for place in range(len(data) - step, -1, -step):
                yield end - len(data) + place + step, int.from_bytes(data[place : place + 4], "little")

    def _check_names(self, at: int, count: int, markers: tuple[int, ...]) -> int | None:
        """Bytes of the names, if the first and last blocks end where the markers say."""
        if len(markers) > 1:
            block = self._some(at, markers[1] + 2)
            if _skip(block, 0, BLOCK) != markers[1]:
                return None
        rest = (count - 1) % BLOCK + 1
        end = _skip(self._some(at + markers[-1], rest * (MOST_NAME + 2)), 0, rest)
        return None if end is None else markers[-1] + end

    # addresses

    def _addresses(self, names: int, count: int, tokens_end: int) -> Iterator[tuple[int, int | None, int | None]]:
        """(address of the table, base or None, its end if it lies behind the tokens) of what may be the addresses."""
        word = self.word
        if "kallsyms_offsets" in self.named and "kallsyms_relative_base" in self.named:
            base_at = self.named["kallsyms_relative_base"]
            behind = base_at + word if base_at >= tokens_end else None
            yield self.named["kallsyms_offsets"], self.number(base_at, self.form), behind
        number_at = names - word
        for table, base_at, behind in (
            (number_at - word - self.align(4 * count), number_at - word, None),
            (self.align(tokens_end), self.align(tokens_end) + self.align(4 * count), True),
        ):
            try:
                base = self.number(base_at, self.form)
            except ReadError:
                continue
            yield table, base, base_at + word if behind else None
        yield number_at - word * count, None, None
        full = self.align(tokens_end)
        yield full, None, full + word * count

    def _percpu_absolute(self, table: int, count: int) -> bool:
        middle: int = self.number(table + 4 * (count // 2), "<i")
        last: int = self.number(table + 4 * (count - 1), "<i")
        return middle < 0 and last < 0

    def _ascends(self, layout: Layout) -> bool:
        """Whether addresses ascend, and most lie in the image."""
        try:
            step = max(1, layout.count // 64)
            found = [self._address(layout, at) for at in range(0, layout.count, step)]
        except ReadError:
            return False
        inside = sum(self.image.holds(address) for address in found)
        return found == sorted(found) and 2 * inside > len(found)

    def _address(self, layout: Layout, at: int) -> int:
        if layout.base is None and not layout.from_place:
            return self.number(layout.addresses + self.word * at, self.form)
        return layout.address(at, self.number(layout.addresses + 4 * at, "<i"))

    # order of the names

    def _with_seqs(self, layout: Layout, at: int, token_table: int, behind: bool) -> Layout:
        """The layout with the table of positions in order of the names, if it is where it must be."""
        if not behind and at + 3 * layout.count > token_table:
            return layout
        try:
            data = self.image.read(at, 3 * min(layout.count, 1024))
        except ReadError:
            return layout
        numbers = [int.from_bytes(data[place : place + 3], "big") for place in range(0, len(data), 3)]
        if max(numbers) >= layout.count or len(set(numbers)) != len(numbers):
            return layout
        return replace(layout, seqs=at)


def decode_offset(offset: int, base: int, percpu_absolute: bool) -> int:
    """The address that an entry of the offsets (signed) stands for."""
    if percpu_absolute:
        return offset if offset >= 0 else base - 1 - offset
    return base + (offset & 0xFFFFFFFF)


def _ascending_tail(words: list[int]) -> list[int]:
    """The numbers at the end of a list that ascend from 0, each a block of names further."""
    at = len(words) - 1
    while at > 0 and 0 < words[at] - words[at - 1] <= MOST_NAME * BLOCK:
        at -= 1
    return words[at:] if at >= 0 and words[at] == 0 else []


def _skip(names: bytes, at: int, count: int) -> int | None:
    """Where the name ``count`` after the one at an offset begins; None where the bytes end before."""
    size = len(names)
    for _ in range(count):
        if at >= size:
            return None
        length = names[at]
        at += 1
        if length & 0x80:
            if at >= size:
                return None
            length = length & 0x7F | names[at] << 7
            at += 1
        if not 0 < length <= MOST_NAME:
            return None
        at += length
    return at if at <= size else None

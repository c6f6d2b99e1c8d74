"""The hypervisor's symbols: of a file (xen-syms), or the table that it carries in its own read-only data.

That table is what Linux' kallsyms was when Xen took it over, and lies in this order, each part at a multiple of a word:

    offsets to XEN_VIRT_START, 32 bits each (older ones: addresses) | number of symbols | names | markers | tokens
    | token index

names: of each symbol a length and so many token numbers; spelt out, the first letter is nm's type, then comes, for
local symbols, their source file and a ``#``. markers: the offset in names of each 256th symbol.

Source: xen/tools/symbols.c, xen/common/symbols.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdbg.symbols.elfheaders import ElfHeaders
from kdbg.symbols.table import SHN_ABS, STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_OBJECT, SymbolTable

MODULE = "xen"
"""Name of the hypervisor among the modules."""
SHT_SYMTAB = 2
BLOCK = 256
DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
"""Digits of names are tokens of themselves: the token table has them one behind the other, '0' as token 48."""
MOST_TOKENS = 1 << 14
MOST_SYMBOLS = 1 << 17
MOST_FILE = 256 << 20
MOST_NAME = 128
"""Bytes of a compressed name (KSYM_NAME_LEN)."""
FARTHEST = 1 << 24
"""A symbol reaches to the next one; not over more than this."""
BUILD_ID = ".note.gnu.build-id"


@dataclass(frozen=True, slots=True)
class SymbolFile:
    """Symbols of a file, and the build that they are of."""

    table: SymbolTable
    build: tuple[int, bytes] | None
    """Address of the build's identifier in memory, and what must be there."""


def of_file(path: str) -> SymbolFile | None:
    """The symbols of an ELF file; None where it has none. Raises `FormatError`, `OSError`."""
    with open(path, "rb") as stream:
        data = memoryview(stream.read(MOST_FILE))
    elf = ElfHeaders(data, path)
    section = elf.section_of_type(SHT_SYMTAB)
    if section is None or not 0 < section.link < len(elf.sections):
        return None
    strings = bytes(elf.content(elf.sections[section.link]))
    note = elf.section(BUILD_ID)
    build = (note.address, bytes(elf.content(note))) if note is not None and note.address else None
    return SymbolFile(SymbolTable(elf.content(section), strings, elf.bits, MODULE), build)


def of_memory(start: int, image: bytes) -> tuple[SymbolTable, int, int] | None:
    """The table in the hypervisor's image, and the range that it takes there; None if it has none.

    ``image``: the bytes from the address ``start`` on.
    """
    for tokens_at, tokens in _token_tables(image):
        for markers_at, markers in _markers(image, tokens_at):
            for names_at, count, number_at in _names(image, markers_at, markers):
                addresses = _addresses(start, image, number_at, count)
                if addresses is not None:
                    table = _table(addresses, list(_spelt(image, names_at, count, tokens)))
                    return table, start + max(number_at - 8 * count, 0), start + tokens_at + MOST_TOKENS
    return None


def _token_tables(image: bytes) -> Iterator[tuple[int, Sequence[bytes]]]:
    """(offset, tokens) of each table of 256 strings behind which its index lies."""
    hit = image.find(DIGITS)
    while hit >= 0:
        at = hit
        for _ in range(ord("0") + 1):
            at = image.rfind(b"\0", max(0, hit - MOST_TOKENS), max(at, 0))
        if at >= 0:
            start = at + 1
            tokens = image[start : start + MOST_TOKENS].split(b"\0", BLOCK)[:BLOCK]
            offsets, end = [], 0
            for token in tokens:
                offsets.append(end & 0xFFFF)
                end += len(token) + 1
            if len(tokens) == BLOCK and image.find(struct.pack("<256H", *offsets), start + end, start + end + 528) >= 0:
                yield start, tokens
        hit = image.find(DIGITS, hit + 1)


def _markers(image: bytes, tokens_at: int) -> Iterator[tuple[int, list[int]]]:
    """(offset, markers) of the words before the tokens that descend, seen backwards, to 0."""
    for end in (tokens_at, tokens_at - 4):
        found, at = list[int](), end - 4
        while at >= 0 and len(found) < MOST_SYMBOLS // BLOCK:
            word = int.from_bytes(image[at : at + 4], "little")
            if found and word >= found[-1]:
                break
            found.append(word)
            if word == 0:
                yield at, found[::-1]
                break
            at -= 4


def _names(image: bytes, markers_at: int, markers: list[int]) -> Iterator[tuple[int, int, int]]:
    """(offset of the names, number of symbols, offset of that number) of what may be the names of the markers."""
    last = markers_at - markers[-1]
    for at in range(last & ~3, max(7, last - BLOCK * MOST_NAME), -4):
        for number_at in (at - 4, at - 8):
            count = int.from_bytes(image[number_at : number_at + 4], "little")
            if -(-count // BLOCK) != len(markers) or count > MOST_SYMBOLS:
                continue
            if len(markers) == 1 or _behind(image, at, BLOCK) == at + markers[1]:
                yield at, count, number_at


def _behind(image: bytes, at: int, count: int) -> int:
    """Offset behind so many names."""
    for _ in range(count):
        if at >= len(image):
            return -1
        at += 1 + image[at]
    return at


def _addresses(start: int, image: bytes, number_at: int, count: int) -> list[int] | None:
    """The addresses that end before the number of symbols, to the start of the hypervisor's image or as they are."""
    for width, base in ((4, start), (8, 0)):
        for padding in (0, 4):
            at = number_at - padding - width * count
            if at < 0:
                continue
            words = memoryview(image[at : at + width * count]).cast("I" if width == 4 else "Q").tolist()
            found = [base + word for word in words]
            if found == sorted(found) and start <= found[0] and found[-1] < start + (1 << 30):
                return found
    return None


def _spelt(image: bytes, at: int, count: int, tokens: Sequence[bytes]) -> Iterator[bytes]:
    for _ in range(count):
        length = image[at]
        yield b"".join([tokens[code] for code in image[at + 1 : at + 1 + length]])
        at += 1 + length


def _table(addresses: list[int], spelt: list[bytes]) -> SymbolTable:
    """The symbols as an ELF symbol table: type letter, [source file, ``#``,] name."""
    entries, strings = bytearray(24), bytearray(b"\0")
    sizes, following = [0] * len(addresses), 0
    for index in range(len(addresses) - 1, -1, -1):
        if index + 1 < len(addresses) and addresses[index + 1] != addresses[index]:
            following = addresses[index + 1]
        sizes[index] = following - addresses[index] if 0 < following - addresses[index] < FARTHEST else 0
    for address, size, one in zip(addresses, sizes, spelt, strict=True):
        letter, name = one[:1], one[1:].rpartition(b"#")[2]
        kind = STT_FUNC if letter in b"tTwW" else STT_OBJECT
        binding = STB_LOCAL if letter.islower() else STB_GLOBAL
        entries += struct.pack("<IBBHQQ", len(strings), binding << 4 | kind, 0, SHN_ABS, address, size)
        strings += name + b"\0"
    return SymbolTable(bytes(entries), bytes(strings), 64, MODULE)

"""kallsyms tables as the build of a Linux kernel lays them out, in all the forms they have had.

Facts: scripts/kallsyms.c of Linux 4.4 to 6.12 (the layouts), a dump of Debian's 7.2. Nothing of kdbg is
used here; names are compressed as the kernel's build does it: pairs of tokens that occur most often become one.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Entry = tuple[int, str, str]
"""Address, type letter of nm, name."""

BLOCK = 256


@dataclass(frozen=True)
class Form:
    """How the tables are laid out."""

    relative: bool = True
    """32-bit offsets to a base instead of addresses (CONFIG_KALLSYMS_BASE_RELATIVE, 4.6 on)."""
    percpu: bool = True
    """Offsets that are not negative are addresses themselves (CONFIG_KALLSYMS_ABSOLUTE_PERCPU)."""
    word_markers: bool = False
    """Markers of a word each (up to 4.20)."""
    long_names: bool = True
    """Lengths of two bytes for more than 127 tokens (6.1 on)."""
    seqs: bool = False
    """Positions in order of the names (6.2 on)."""
    addresses_last: bool = False
    """Addresses behind the tokens (6.4 on)."""
    from_place: bool = False
    """Offsets count from their own places; no base, and all aligned to four bytes (as seen in 7.2)."""
    bits: int = 64


FORMS = {
    "4.4": Form(relative=False, percpu=False, word_markers=True, long_names=False),
    "4.19": Form(word_markers=True, long_names=False),
    "5.10": Form(long_names=False),
    "5.10 arm64": Form(percpu=False, long_names=False),
    "6.1": Form(),
    "6.2": Form(seqs=True),
    "6.2 absolute": Form(relative=False, percpu=False, seqs=True),
    "6.6": Form(seqs=True, addresses_last=True),
    "6.12 absolute": Form(relative=False, percpu=False, seqs=True, addresses_last=True),
    "7.2": Form(percpu=False, seqs=True, addresses_last=True, from_place=True),
    "4.4 i386": Form(relative=False, percpu=False, word_markers=True, long_names=False, bits=32),
    "6.1 i386": Form(percpu=False, bits=32),
    "6.6 i386": Form(percpu=False, seqs=True, addresses_last=True, bits=32),
}
"""Kernel version -> form of a usual configuration."""


def compress(names: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """(names as token numbers, the 256 tokens): letters stand for themselves, what is left over for frequent pairs."""
    used = {letter for name in names for letter in name}
    tokens = [bytes([code]) if code in used else b"" for code in range(BLOCK)]
    # A symbol of the table is a tuple of codes; a pair becomes a code that no letter has, from the highest down.
    coded = [list(name) for name in names]
    for code in range(BLOCK - 1, -1, -1):
        if tokens[code]:
            continue
        pairs = Counter(pair for name in coded for pair in pairwise(name))
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            break
        tokens[code] = tokens[best[0]] + tokens[best[1]]
        coded = [_merged(name, best, code) for name in coded]
    return [bytes(name) for name in coded], tokens


def _merged(name: list[int], pair: tuple[int, int], code: int) -> list[int]:
    found, at = [], 0
    while at < len(name):
        if at + 1 < len(name) and (name[at], name[at + 1]) == pair:
            found.append(code)
            at += 2
        else:
            found.append(name[at])
            at += 1
    return found


@dataclass
class Tables:
    """The bytes, and where each table begins in them."""

    data: bytearray
    places: dict[str, int]
    """Name as the kernel's symbols have it -> offset."""


def build(entries: Sequence[Entry], form: Form, base: int, at: int = 0) -> Tables:
    """Lay out the tables of symbols in order of their addresses.

    ``base``: the lowest address that is not per-cpu; ``at``: where the tables will lie.
    """
    word = form.bits // 8
    packed, tokens = compress([(letter + name).encode() for _, letter, name in entries])
    names, markers = bytearray(), []
    for number, name in enumerate(packed):
        if number % BLOCK == 0:
            markers.append(len(names))
        if len(name) > 127 and form.long_names:
            names += bytes((len(name) & 0x7F | 0x80, len(name) >> 7))
        else:
            names.append(len(name))
        names += name
    index, strings = [], bytearray()
    for token in tokens:
        index.append(len(strings))
        strings += token + b"\0"
    order = sorted(range(len(entries)), key=lambda number: (entries[number][2].encode(), number))
    parts: dict[str, bytes] = {
        "kallsyms_num_syms": struct.pack("<I", len(entries)),
        "kallsyms_names": bytes(names),
        "kallsyms_markers": struct.pack(f"<{len(markers)}{_letter(word if form.word_markers else 4)}", *markers),
        "kallsyms_token_table": bytes(strings),
        "kallsyms_token_index": struct.pack("<256H", *index),
    }
    addresses = {
        "kallsyms_offsets": struct.pack(f"<{len(entries)}i", *[_offset(e[0], base, form.percpu) for e in entries]),
        "kallsyms_relative_base": base.to_bytes(word, "little"),
    } if form.relative else {
        "kallsyms_addresses": struct.pack(f"<{len(entries)}{_letter(word)}", *[e[0] for e in entries])
    }  # fmt: skip
    seqs = {"kallsyms_seqs_of_names": b"".join(number.to_bytes(3, "big") for number in order)} if form.seqs else {}
    if form.addresses_last:
        laid = parts | addresses | seqs
    else:
        tail = {name: parts.pop(name) for name in ("kallsyms_token_table", "kallsyms_token_index")}
        laid = addresses | parts | seqs | tail
    if form.from_place:
        del laid["kallsyms_relative_base"]
    tables = Tables(bytearray(), {})
    for name, data in laid.items():
        tables.data += bytes(-len(tables.data) % (4 if form.from_place else word))
        tables.places[name] = len(tables.data)
        if form.from_place and name == "kallsyms_offsets":
            place = at + len(tables.data)
            data = struct.pack(f"<{len(entries)}i", *[e[0] - place - 4 * n for n, e in enumerate(entries)])
        tables.data += data
    return tables


def _letter(size: int) -> str:
    return {4: "I", 8: "Q"}[size]


def _offset(address: int, base: int, percpu: bool) -> int:
    if percpu:
        return address if address < base else base - 1 - address
    return address - base

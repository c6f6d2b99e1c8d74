"""Native crash dumps of illumos and Solaris: as savecore writes them (vmcore) and as the kernel does (vmdump).

    dump = IllumosDump(pages={2: page, 9: page}, translations=[(KAS, 0xfffffffffb800000, 9)])
    dump.write(folder / "vmcore.0")
    dump.write(folder / "vmdump.0", pages="bzip2")

Facts: <sys/dumphdr.h> (dumphdr_t, dump_map_t and DUMP_HASH, dumpcsize_t, dumpstreamhdr_t, dumpdatahdr_t), <sys/mem.h>
(mem_vtop_t); lzjb as <sys/dumphdr.h>'s users describe it: a byte of flags for eight items, a copy is 6 bits of length
less 3 and 10 bits of distance.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samples.memory import PAGE
from samples.solaris import Domain

VALID, COMPLETE, LIVE, COMPRESSED, ENCRYPTED = 0x1, 0x2, 0x4, 0x8, 0x10
ALL_PAGES = 0x20000
DUMP_OFFSET = 65536
NAMES = (b"SunOS", b"sample-host", b"5.11", b"builder", b"i86pc")


@dataclass
class IllumosDump:
    """What is planned of the dump; `vmcore`, `vmdump` and `write` make it."""

    pages: Mapping[int, bytes | bytearray]
    """Page frame number -> its bytes; the order is that of the dump's frame table."""
    translations: Sequence[tuple[int, int, int]] = ()
    """(address of the struct as, virtual address of a page, page frame number)."""
    ksyms: bytes = b"\x7fELF symbols of the sample"
    bits: int = 64
    version: int = 10
    uuid: str | None = "00000000-1111-2222-3333-444444444444"
    """None: the header of older kernels, which ends before it."""
    panic: str = "the panic of the sample"
    time: int = 1_200_000_000
    live: bool = False
    complete: bool = True
    flags: int = ALL_PAGES
    slots: int | None = None
    """Slots of the translation hash, a power of two; None: as many as translations. Few make long chains."""
    platform: bytes = b"i86pc"
    fill: bytes = field(default=b"", repr=False)
    """What lies between the header and the symbols, for readers that look there."""

    @property
    def word(self) -> int:
        """Bytes of a long."""
        return self.bits // 8

    def header(self, **values: int) -> bytes:
        """The dumphdr; ``values``: offsets and sizes, and whatever a test wants wrong."""
        told = {"magic": 0xDEFEC8ED, "version": self.version, "flags": 0, "wordsize": self.bits, "start": 0}
        told |= {"pageshift": 12, "pagesize": PAGE, "hashmask": 0, "nvtop": len(self.translations)}
        told |= {"npages": len(self.pages), "crashtime": self.time} | values
        told["flags"] |= self.flags | VALID | (COMPLETE if self.complete else 0) | (LIVE if self.live else 0)
        data = struct.pack("<4I", *(told[name] for name in ("magic", "version", "flags", "wordsize")))
        data += struct.pack("<5q", *(told[name] for name in ("start", "ksyms", "pfn", "map", "data")))
        data += b"".join(name.ljust(257, b"\0") for name in (*NAMES, self.platform)) + self.panic.encode().ljust(
            200, b"\0"
        )
        data += bytes(-len(data) % self.word)
        longs = ("crashtime", "pageshift", "pagesize", "hashmask", "nvtop", "npages", "ksyms_size", "ksyms_csize")
        data += struct.pack("<8q" if self.bits == 64 else "<8i", *(told[name] for name in longs))
        if self.uuid is not None:
            data += struct.pack("<I37s", 0, self.uuid.encode())
            data += bytes(-len(data) % (8 if self.bits == 64 else 4))
        return data

    def _words(self, numbers: Sequence[int]) -> bytes:
        return struct.pack(f"<{len(numbers)}{'Q' if self.bits == 64 else 'I'}", *numbers)

    # --- vmcore ----------------------------------------------------------------------------------------------------

    def vmcore(self) -> bytes:
        """As savecore writes it: a hash of translations, pages as they are."""
        slots = self.slots or 1 << max(1, len(self.translations) - 1).bit_length()
        entry = 24 + 2 * self.word
        ksyms = PAGE
        pfn = _round(ksyms + len(self.ksyms))
        table = _round(pfn + self.word * len(self.pages))
        entries = max(slots, len(self.translations))
        data = _round(table + entries * entry)
        head = self.header(
            ksyms=ksyms, pfn=pfn, map=table, data=data, hashmask=slots - 1,
            ksyms_size=len(self.ksyms), ksyms_csize=len(self.ksyms),
        )  # fmt: skip
        return _lay(
            (0, head), (len(head), self.fill), (ksyms, self.ksyms), (pfn, self._words(list(self.pages))),
            (table, self._hash(slots, entries, table, data)),
            *((data + PAGE * at, page) for at, page in enumerate(self.pages.values())),
        )  # fmt: skip

    def _hash(self, slots: int, entries: int, table: int, data: int) -> bytes:
        """dump_map_t for each translation; entry *i* also begins the chain of slot *i*."""
        size, order = 24 + 2 * self.word, {frame: at for at, frame in enumerate(self.pages)}
        rows = [[0, 0, 0, 0, 0] for _ in range(entries)]
        for at, (space, address, frame) in enumerate(self.translations):
            slot = ((space >> 3) + (address >> 12)) & slots - 1
            rows[at][1:] = rows[slot][0], data + PAGE * order[frame], space, address
            rows[slot][0] = table + at * size
        form = "<qqqQQ" if self.bits == 64 else "<qqqII"
        return b"".join(struct.pack(form, *row) for row in rows)

    # --- vmdump ----------------------------------------------------------------------------------------------------

    def vmdump(self, pages: str = "lzjb", streams: int = 3, range_pages: int = 5, block: int = 9000,
               marked: bool = True, last_header: bool = True) -> bytes:  # fmt: skip
        """As the kernel writes it: a list of translations, pages compressed.

        ``pages``: "lzjb" (one after the other), "lzjb streams" or "bzip2 streams". ``streams``: how many; ranges of
        ``range_pages`` pages go to them in turn, cut into blocks of at most ``block`` bytes. ``marked``: whether the
        mark of the data's end is there; ``last_header``: whether the second header is.
        """
        symbols = lzjb(self.ksyms)
        if len(symbols) >= len(self.ksyms):
            symbols = self.ksyms
        listed = [number for row in self.translations for number in row]
        ksyms = PAGE
        pfn = _round(ksyms + len(symbols))
        table = _round(pfn + self.word * len(self.pages))
        data = _round(table + self.word * len(listed))
        head = self.header(
            flags=COMPRESSED, ksyms=ksyms, pfn=pfn, map=table, data=data,
            ksyms_size=len(self.ksyms), ksyms_csize=len(symbols),
        )  # fmt: skip
        if pages == "lzjb":
            blocks = [(0, lzjb_page(page)) for page in self.pages.values()]
        else:
            blocks = list(self._streams(pages, streams, range_pages, block))
        body = b"".join(struct.pack("<I", tag << 20 | len(part)) + part for tag, part in blocks)
        end = bytes(4) if marked else b""
        parts = [(0, head), (ksyms, symbols), (pfn, self._words(list(self.pages))), (table, self._words(listed)),
                 (data, body + end)]  # fmt: skip
        if last_header:
            second = -(-(data + len(body) + 4) // DUMP_OFFSET) * DUMP_OFFSET
            told = b"" if pages == "lzjb" else self._data_header(len(body), block, range_pages, streams, pages)
            parts += [(second, head + told), (second + DUMP_OFFSET - 1, b"\0")]
        return _lay(*parts)

    @staticmethod
    def _data_header(size: int, block: int, range_pages: int, streams: int, pages: str) -> bytes:
        level = 1 if pages == "lzjb streams" else 2
        return struct.pack("<IIQIIHHI", 0x64686472, 1, size, block, range_pages, streams, level, 0)

    def _streams(self, form: str, streams: int, range_pages: int, block: int) -> Iterator[tuple[int, bytes]]:
        """(tag, block) in an order in which streams take turns."""
        values, word = list(self.pages.values()), "<8sQQ" if self.bits == 64 else "<8sII"
        ready: dict[int, list[bytes]] = {tag: [] for tag in range(1, streams + 1)}
        for turn, first in enumerate(range(0, len(values), range_pages)):
            part = values[first : first + range_pages]
            ready[turn % streams + 1].append(struct.pack(word, b"StrmHdr", first, len(part)))
            packed = [lzjb_page(page) for page in part] if form == "lzjb streams" else []
            ready[turn % streams + 1] += [struct.pack("<I", len(data)) + data for data in packed] or map(bytes, part)
        cut = {tag: self._cut(form, pieces, block) for tag, pieces in ready.items()}
        while any(cut.values()):
            for tag, left in cut.items():
                if left:
                    yield tag, left.pop(0)

    @staticmethod
    def _cut(form: str, pieces: list[bytes], block: int) -> list[bytes]:
        """Blocks of a stream: lzjb ones hold whole pieces; bzip2 files are cut anywhere."""
        if form == "lzjb streams":
            blocks = [b""]
            for piece in pieces:
                if blocks[-1] and len(blocks[-1]) + len(piece) > block:
                    blocks.append(b"")
                blocks[-1] += piece
            return [part for part in blocks if part]
        half = len(pieces) // 2  # two files of bzip2 in one stream, as where its compressor was reset
        whole = b"".join(bz2.compress(b"".join(part), 1) for part in (pieces[:half], pieces[half:]) if part)
        return [whole[at : at + block] for at in range(0, len(whole), block)]

    def write(self, path: Path, pages: str | None = None, **options: object) -> Path:
        """Write a vmcore, or, where ``pages`` says how they are compressed, a vmdump; the path."""
        path.write_bytes(self.vmcore() if pages is None else self.vmdump(pages, **options))  # type: ignore[arg-type]
        return path


def of_domain(domain: Domain, **options: object) -> IllumosDump:
    """A built (not paravirtual) domain as the native dump of the same machine: `samples.solaris`."""
    image = domain.image
    kas = image.symbols["kas"].address
    translations = [(kas, page * PAGE, pfn) for page, pfn in sorted(image.space.pages.items())]
    pages = {pfn: bytes(image.frames.pages[pfn]) for pfn in image.frames}
    return IllumosDump(pages, translations, ksyms_of(domain), image.bits, **options)  # type: ignore[arg-type]


def ksyms_of(domain: Domain) -> bytes:
    """The kernel's symbols as one ELF file: what /dev/ksyms gives."""
    bits = domain.image.bits
    table, strings = bytearray(24 if bits == 64 else 16), bytearray(b"\0")
    everything = [symbol for module in domain.image.modules.values() for symbol in module.symbols]
    everything.sort(key=lambda symbol: not symbol.local)
    for symbol in everything:
        info = (0 if symbol.local else 1) << 4 | (2 if symbol.function else 1)
        if bits == 64:
            table += struct.pack("<IBBHQQ", len(strings), info, 0, 1, symbol.address, symbol.size)
        else:
            table += struct.pack("<IIIBBH", len(strings), symbol.address, symbol.size, info, 0, 1)
        strings += symbol.name.encode() + b"\0"
    return _elf(bits, bytes(table), bytes(strings), 1 + sum(symbol.local for symbol in everything))


def _elf(bits: int, table: bytes, strings: bytes, local: int) -> bytes:
    """An ELF file of three sections: symbols, their names, the sections' names."""
    names = b"\0.symtab\0.strtab\0.shstrtab\0"
    ehdr, shdr, word = (64, 64, "Q") if bits == 64 else (52, 40, "I")
    at = ehdr + 4 * shdr
    parts, rows = b"", [bytes(shdr)]
    for name, kind, data, link, info, size in (
        (1, 2, table, 2, local, 24 if bits == 64 else 16), (9, 3, strings, 0, 0, 0), (17, 3, names, 0, 0, 0)
    ):  # fmt: skip
        rows.append(
            struct.pack(f"<II4{word}II2{word}", name, kind, 0, 0, at + len(parts), len(data), link, info, 8, size)
        )
        parts += data + bytes(-len(data) % 8)
    ident = b"\x7fELF" + bytes((2 if bits == 64 else 1, 1, 1)) + bytes(9)
    machine = 62 if bits == 64 else 3
    head = struct.pack(f"<HHI3{word}I6H", 2, machine, 1, 0, 0, ehdr, 0, ehdr, 0, 0, shdr, 4, 3)
    return ident + head + b"".join(rows) + parts


def lzjb_page(page: bytes | bytearray) -> bytes:
    """A page as it stands behind its size: compressed, or as it is where that is not shorter."""
    packed = lzjb(bytes(page))
    return packed if len(packed) < PAGE else bytes(page)


def lzjb(data: bytes) -> bytes:
    """Compress; nothing clever, but copies that overlap themselves and of the greatest length occur."""
    out, at, latest = bytearray(), 0, dict[bytes, int]()
    while at < len(data):
        flags, items = 0, bytearray()
        for bit in range(8):
            if at >= len(data):
                break
            key = data[at : at + 3]
            start = latest.get(key, -1)
            latest[key] = at
            if len(key) < 3 or start < 0 or at - start > 1023:
                items.append(data[at])
                at += 1
                continue
            length = 3
            while length < 66 and at + length < len(data) and data[start + length] == data[at + length]:
                length += 1
            flags |= 1 << bit
            items += struct.pack(">H", length - 3 << 10 | at - start)
            at += length
        out += bytes([flags]) + items
    return bytes(out)


def _round(at: int) -> int:
    return -(-at // PAGE) * PAGE


def _lay(*parts: tuple[int, bytes | bytearray]) -> bytes:
    """One file of parts at offsets."""
    whole = bytearray(max(at + len(data) for at, data in parts))
    for at, data in parts:
        whole[at : at + len(data)] = data
    return bytes(whole)

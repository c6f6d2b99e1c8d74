"""The kernel's messages: printk's ring buffer of 5.10 and later, and the record buffer before it.

Where members lie is told by VMCOREINFO, which has them for this purpose, else by the kernel's types: messages are read
without types, too.

Sources: kernel/printk/printk_ringbuffer.[ch] (a descriptor's state_var holds its state in the two highest bits and its
id below them; a text block begins with its descriptor's id and never goes over the end of the ring: what would, lies at
its start), Documentation/admin-guide/kdump/vmcoreinfo.rst; kernel/printk/printk.c before 5.10 (struct printk_log).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbg.errors import ReadError, SymbolNotFound, TypeNotFound
from kdbg.kernels.linux.lists import offset_of
from kdbg.records import LogEntry

if TYPE_CHECKING:
    from kdbg.kernels.linux.kernel import Linux

COMMITTED, FINALIZED = 1, 2
MOST_BITS = 26
"""Binary logarithm of the most bytes, or descriptors, that a ring has."""


@dataclass(frozen=True, slots=True)
class LinuxMessage(LogEntry):
    """A message in the log. ``time`` is seconds since the machine came up."""

    sequence: int = 0
    """Its number since the machine came up."""
    facility: int = 0
    """0: the kernel's own."""
    caller: int | None = None
    """Who said it: a thread's id, or with the highest bit set a CPU's number; None where the kernel keeps none."""


class Messages:
    """The messages of one kernel, and the places of the members that hold them."""

    def __init__(self, kernel: Linux) -> None:
        self.kernel = kernel
        self._word = kernel.bits // 8
        told = kernel.vmcoreinfo
        self._offsets = told.of_kind("OFFSET", 10) if told is not None else {}
        self._sizes = told.of_kind("SIZE", 10) if told is not None else {}

    def read(self) -> Iterator[LinuxMessage]:
        """All messages, oldest first. Raises `SymbolNotFound` where there is no buffer, `ReadError`, `TypeNotFound`."""
        try:
            ring = self.kernel.word(self.kernel.place("prb"))
        except SymbolNotFound:
            return self._records()
        return self._ring(ring)

    def _offset(self, path: str) -> int:
        """Offset of ``structure.member``. Raises `TypeNotFound`."""
        found = self._offsets.get(path)
        if found is not None:
            return found
        name, _, member = path.partition(".")
        return offset_of(self.kernel.type(f"struct {name}"), member)

    def _size(self, name: str) -> int:
        found = self._sizes.get(name)
        return found if found else self.kernel.type(f"struct {name}").size

    def _number(self, data: bytes, at: int, size: int = 0) -> int:
        return int.from_bytes(data[at : at + (size or self._word)], "little")

    # the ring buffer

    def _ring(self, ring: int) -> Iterator[LinuxMessage]:
        read, word, offset = self.kernel.memory.read, self._word, self._offset
        descriptors = ring + offset("printk_ringbuffer.desc_ring")
        texts = ring + offset("printk_ringbuffer.text_data_ring")
        places = {
            name: offset(f"prb_desc_ring.{name}") for name in ("count_bits", "descs", "infos", "head_id", "tail_id")
        }
        data = read(descriptors, max(places.values()) + word)
        bits = self._number(data, places["count_bits"], 4)
        text_bits = self._number(read(texts + offset("prb_data_ring.size_bits"), 4), 0, 4)
        if not (0 < bits <= MOST_BITS and 0 < text_bits <= MOST_BITS):
            raise ReadError(ring, f"log: rings of 2^{bits} descriptors and 2^{text_bits} bytes")
        text = self.kernel.target.read_some(self.kernel.word(texts + offset("prb_data_ring.data")), 1 << text_bits)
        size, info_size = self._size("prb_desc"), self._size("printk_info")
        all_descs = self.kernel.target.read_some(self._number(data, places["descs"]), size << bits)
        all_infos = self.kernel.target.read_some(self._number(data, places["infos"]), info_size << bits)
        mask = (1 << self.kernel.bits - 2) - 1
        first, last = self._number(data, places["tail_id"]) & mask, self._number(data, places["head_id"]) & mask
        reader = _Block(text, text_bits, word)
        for step in range(min((last - first & mask) + 1, 1 << bits)):
            ident = first + step & mask
            at = ident & (1 << bits) - 1
            desc, info = all_descs[at * size : (at + 1) * size], all_infos[at * info_size : (at + 1) * info_size]
            if len(desc) < size or len(info) < info_size:
                self.kernel.target.note(f"log: descriptor {at} is not in the dump")
                return
            state = self._number(desc, offset("prb_desc.state_var"))
            if state & mask != ident or state >> self.kernel.bits - 2 not in (COMMITTED, FINALIZED):
                continue
            block = offset("prb_desc.text_blk_lpos")
            begin = self._number(desc, block + offset("prb_data_blk_lpos.begin"))
            following = self._number(desc, block + offset("prb_data_blk_lpos.next"))
            yield self._message(info, reader.text(begin, following))

    def _message(self, info: bytes, block: bytes) -> LinuxMessage:
        at = self._offset("printk_info.text_len")
        length = self._number(info, at, 2)
        caller = self._number(info, self._offset("printk_info.caller_id"), 4)
        return LinuxMessage(
            time=self._number(info, self._offset("printk_info.ts_nsec"), 8) / 1e9,
            text=block[:length].decode("utf-8", "replace"),
            level=info[at + 3] >> 5,  # behind text_len (u16) and facility (u8): flags:5, level:3
            sequence=self._number(info, self._offset("printk_info.seq"), 8),
            facility=info[at + 2],
            caller=caller,
        )

    # before 5.10

    def _records(self) -> Iterator[LinuxMessage]:
        kernel = self.kernel
        read, name = kernel.memory.read, "printk_log" if "printk_log" in self._sizes else "log"
        if name not in self._sizes:
            try:
                name = "printk_log"
                self._size(name)
            except TypeNotFound:
                raise SymbolNotFound("prb", "neither a ring buffer nor records of messages") from None
        buffer = kernel.word(kernel.place("log_buf"))
        size = int.from_bytes(read(kernel.place("log_buf_len"), 4), "little")
        first = int.from_bytes(read(kernel.place("log_first_idx"), 4), "little")
        last = int.from_bytes(read(kernel.place("log_next_idx"), 4), "little")
        if not 0 < size <= 1 << MOST_BITS or first >= size:
            raise ReadError(buffer, f"log: {size} bytes, the first message at {first}")
        data, at, wrapped = kernel.target.read_some(buffer, size), first, first < last
        header = self._size(name)
        times, lengths, texts = (self._offset(f"{name}.{member}") for member in ("ts_nsec", "len", "text_len"))
        for number in range(size // header + 1):
            if at == last and (wrapped or at != first):
                return
            if at + header > len(data):
                return
            length, text = self._number(data, at + lengths, 2), self._number(data, at + texts, 2)
            if not length:
                if wrapped:
                    return
                at, wrapped = 0, True
                continue
            yield LinuxMessage(
                time=self._number(data, at + times, 8) / 1e9,
                text=data[at + header : at + header + text].decode("utf-8", "replace"),
                level=data[at + texts + 5] >> 5,  # text_len, dict_len (u16 each), facility (u8), flags:5, level:3
                sequence=number,
                facility=data[at + texts + 4],
            )
            at += length


class _Block:
    """The ring of texts."""

    def __init__(self, data: bytes, bits: int, word: int) -> None:
        self._data, self._bits, self._word = data, bits, word

    def text(self, begin: int, following: int) -> bytes:
        """The text of a block between two logical positions; none where it was too long, or is lost."""
        if begin & 1:
            return b""
        mask = (1 << self._bits) - 1
        start, end = begin & mask, following & mask
        if begin >> self._bits != following >> self._bits:
            if end == 0:
                end = mask + 1
            else:
                start = 0
        return self._data[start + self._word : max(end, start)]


def log(kernel: Linux) -> Iterator[LinuxMessage]:
    """All messages, oldest first. Raises `Error` where there is no log."""
    yield from kernel.part(Messages).read()

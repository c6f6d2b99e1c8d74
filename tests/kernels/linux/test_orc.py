"""ORC tables: found by halving, read a piece at a time, of either form."""

from __future__ import annotations

import struct

import pytest

from kdbg.errors import Missing
from kdbg.kernels.linux import orc

IPS, ENTRIES, CODE = 0x10000, 0x80000, 0x400000
COUNT = 5000


class Memory:
    """Two tables for code at CODE, a rule for every 16 bytes; it notes what is read."""

    def __init__(self, recent: bool, hole: range = range(0), register: int = 5) -> None:
        kind = 2 << 8 if recent else 0
        offsets = [CODE + 16 * at - (IPS + 4 * at) for at in range(COUNT)]
        self.parts = {IPS: struct.pack(f"<{COUNT}i", *offsets), ENTRIES: b""}
        self.parts[ENTRIES] = b"".join(struct.pack("<hhH", 8 * (at % 100), -16, register | kind) for at in range(COUNT))
        self.hole = hole
        self.bytes = 0

    def read(self, address: int, size: int) -> bytes:
        if address in self.hole:
            raise Missing(address, "the dump does not hold that page")
        base = max(one for one in self.parts if one <= address)
        self.bytes += size
        data = self.parts[base][address - base : address - base + size]
        assert len(data) == size
        return data

    def table(self) -> orc.Table:
        return orc.Table(self.read, IPS, ENTRIES, COUNT)


@pytest.mark.parametrize("recent", [True, False])
def test_each_rule_is_good_up_to_the_next(recent: bool) -> None:
    table = Memory(recent).table()
    for number in (0, 1, 77, 255, 256, 257, COUNT - 1):
        for inside in (0, 1, 15):
            rule = table.find(CODE + 16 * number + inside)
            assert rule is not None
            assert (rule.sp_offset, rule.sp_register, rule.type) == (8 * (number % 100), orc.SP, orc.CALL)
    assert table.find(CODE - 1) is None


def test_registers_are_known_by_either_numbering() -> None:
    """7.2 has numbered them anew: most entries count from the stack pointer, there 3."""
    rule = Memory(recent=True, register=8 << 4 | 3).table().find(CODE)
    assert rule is not None
    assert (rule.sp_register, rule.bp_register, rule.bp_offset) == (orc.SP, orc.PREV_SP, -16)
    before = Memory(recent=True, register=1 << 4 | 5).table().find(CODE)
    assert before == rule


def test_a_look_up_reads_a_few_pieces() -> None:
    memory = Memory(recent=True)
    table = memory.table()
    memory.bytes = 0
    table.find(CODE + 16 * 1234)
    assert memory.bytes <= 4 * orc.PIECE * 12


def test_what_cannot_be_read_is_no_rule_and_leaves_the_others() -> None:
    table = Memory(recent=True, hole=range(ENTRIES + orc.SIZE * 4000, ENTRIES + orc.SIZE * 4001)).table()
    with pytest.raises(Missing):
        table.find(CODE + 16 * 4000)
    assert table.find(CODE + 16 * 4002) is not None

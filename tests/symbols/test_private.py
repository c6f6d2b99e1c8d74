"""Symbols that a person adds."""

from __future__ import annotations

from kdbg.symbols.private import PrivateSymbols, bucket
from kdbg.symbols.table import STT_FUNC


def test_they_are_found_by_name_and_by_address():
    table = PrivateSymbols()
    table.add("here", 0x10, 8)
    table.add("there", 0x20)
    assert table.lookup("here").address == 0x10
    assert table.nearest(0x17).name == "here"
    assert table.nearest(0x18) is None
    assert table.nearest(0x20).name == "there"  # without a size: one byte
    assert table.nearest(0x21) is None
    assert table.nearest(0x21, 4).name == "there"
    assert table.nearest(5) is None


def test_adding_again_moves_and_keeps_what_is_not_told():
    table = PrivateSymbols()
    table.add("f", 0x10, 8, STT_FUNC)
    moved = table.add("f", 0x40)
    assert (moved.address, moved.size, moved.type, len(table)) == (0x40, 8, STT_FUNC, 1)
    assert table.nearest(0x10) is None


def test_at_one_address_those_with_a_size_go_first():
    table = PrivateSymbols()
    table.add("a", 0x10)
    table.add("b", 0x10, 4)
    assert table.nearest(0x10).name == "b"


def test_they_go_away():
    table = PrivateSymbols()
    table.add("x", 0x10)
    assert table.remove("x").name == "x"
    assert table.remove("x") is None
    assert table.nearest(0x10) is None
    assert not table


def test_they_are_listed_by_bucket_the_newest_first():
    table = PrivateSymbols()
    same = [name for name in (f"n{number}" for number in range(1000)) if bucket(name) == bucket("n0")][:3]
    for name in same:
        table.add(name, 1)
    assert [symbol.name for symbol in table] == same[::-1]

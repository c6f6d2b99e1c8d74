"""An ELF file as a target: memory, names, which symbol of several is meant, damage."""

from __future__ import annotations

import pytest

from kdbg.errors import Error, FormatError, ReadError, SymbolNotFound, TypeNotFound
from kdbg.objectfile import ObjectFile
from kdbg.symbols.elfsymbols import preference
from kdbg.symbols.table import Symbol
from kdbg.target import Space
from tests.lang.programs import DATA, FUNC, GLOBAL, LOCAL, OBJECT, TEXT, Program


@pytest.fixture
def program(tmp_path):
    """The planned program."""
    return Program().open(tmp_path)


@pytest.mark.parametrize("bits", [64, 32])
def test_memory_is_what_the_segments_map(tmp_path, bits):
    program = Program(bits=bits).open(tmp_path)
    assert program.bits == bits
    assert program.read(TEXT, 4) == b"\x55\x48\x89\xe5"
    assert program.read(DATA + 12, 4) == b"\x0c\x0d\x0e\x0f"
    assert program.read(DATA + 12, 8, Space.OBJECT) == b"\x0c\x0d\x0e\x0f\0\0\0\0"
    with pytest.raises(ReadError, match="no mapping for address"):
        program.read(DATA + 12, 8)
    assert program.read_some(DATA + 12, 8) == b"\x0c\x0d\x0e\x0f"
    with pytest.raises(ReadError) as caught:
        program.read(TEXT, 4, Space.PHYSICAL)
    assert caught.value.reason == "operation not supported by target"


def test_names(program):
    assert program.lookup("main").address == TEXT
    assert program.lookup("main", "prog").address == TEXT
    assert program.lookup("main", "a.out").address == TEXT
    assert program.lookup("hidden", "prog.c").address == DATA + 8
    assert program.lookup("_edata").address == DATA + 16  # a symbol without type
    with pytest.raises(SymbolNotFound) as caught:
        program.lookup("main", "other")
    assert caught.value.reason == "unknown object file name"
    with pytest.raises(SymbolNotFound) as caught:
        program.lookup("nosuch", "prog")
    assert caught.value.reason == "unknown symbol name"


def test_addresses(program):
    symbol, offset = program.nearest(TEXT + 4)
    assert (symbol.name, offset) == ("main", 4)
    assert program.qualified(symbol) == "main"
    symbol, offset = program.nearest(DATA + 7)
    assert (program.qualified(symbol), offset) == ("prog`table", 7)
    for address in (0, DATA + 15, DATA + 16, 1 << 63):
        with pytest.raises(SymbolNotFound):
            program.nearest(address)


def test_a_distance_narrows_what_a_symbol_covers(program):
    assert program.nearest(TEXT + 4, 5)[1] == 4
    with pytest.raises(SymbolNotFound):
        program.nearest(TEXT + 4, 4)


def test_fewer_underscores_are_preferred(program):
    assert program.nearest(TEXT + 11)[0].name == "leaf"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (("data", 8, FUNC, LOCAL), ("code", 8, OBJECT, GLOBAL)),
        (("b", 8, FUNC, GLOBAL), ("a", 8, FUNC, LOCAL)),
        (("b", 8, FUNC, GLOBAL), ("$a", 8, FUNC, GLOBAL)),
        (("_b", 8, FUNC, GLOBAL), ("__a", 8, FUNC, GLOBAL)),
        (("b", 4, FUNC, GLOBAL), ("a", 8, FUNC, GLOBAL)),
        (("a", 8, FUNC, GLOBAL), ("b", 8, FUNC, GLOBAL)),
    ],
)
def test_preference_among_symbols_of_one_address(better, worse):
    one, other = (
        preference(Symbol(name, TEXT, size, "prog", kind, binding)) for name, size, kind, binding in (better, worse)
    )
    assert one < other


def test_reserved_variables(program):
    assert program.reserved() == {"b": DATA, "d": 32, "e": TEXT, "m": 0x464C457F, "t": 12}
    assert set(program.registers().values()) == {0}
    assert {"rip", "rsp", "r8d", "fsbase"} <= set(program.registers())


def test_no_types(program):
    with pytest.raises(TypeNotFound) as caught:
        program.type("int")
    assert caught.value.reason == "unknown object file name"


def test_writing(tmp_path):
    program = Program().open(tmp_path)
    with pytest.raises(ReadError) as caught:
        program.write(DATA, b"x", Space.OBJECT)
    assert caught.value.reason == "target is not open for writing"
    program.set_writable(True)
    program.write(DATA, b"x", Space.OBJECT)
    assert program.read(DATA, 2) == b"x\x01"
    with pytest.raises(ReadError):
        program.write(DATA + 15, b"xx", Space.OBJECT)


def test_what_is_no_elf_file(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"#!/bin/sh\n" * 10)
    with pytest.raises(FormatError, match="is not an ELF file"):
        ObjectFile(str(path))


def test_a_damaged_file_is_an_error_of_ours_or_a_partial_answer(tmp_path):
    good = Program().bytes()
    path = tmp_path / "damaged"
    for at in range(0, len(good), 3):
        for data in (good[:at], good[:at] + b"\xff" + good[at + 1 :]):
            path.write_bytes(data)
            try:
                with ObjectFile(str(path)) as program:
                    list(program.symbols.static.listed())
                    program.nearest(TEXT)
            except Error:
                pass

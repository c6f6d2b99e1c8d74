"""DWARF of small programs whose source lies beside them (samples/dwarf)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kdbg.errors import Error, FormatError, TypeNotFound
from kdbg.symbols.dwarf.debugframe import DebugFrames
from kdbg.symbols.dwarf.functions import Code
from kdbg.symbols.dwarf.locations import State, locate
from kdbg.symbols.dwarf.sections import DebugFile
from kdbg.symbols.dwarf.types import DwarfContainer
from kdbg.symbols.dwarf.units import Units
from kdbg.symbols.model import Kind

SAMPLES = Path(__file__).parents[3] / "samples" / "dwarf"
SOURCE = (SAMPLES / "sample.c").read_text().splitlines()
PROGRAMS = ("dwarf5.elf", "dwarf4.elf", "packed.elf")
MIDDLE, START, HEAD, COUNTER = 0x400144, 0x40016E, 0x4011A0, 0x401218
"""What nm says of all three programs."""
IN_ADD, RETURN = MIDDLE + 0x152 - 0x144, MIDDLE + 0x16D - 0x144
"""The load of the counter, and the return, as objdump shows them."""


def line_of(words: str) -> int:
    """The line of the source that has some words."""
    return next(number for number, line in enumerate(SOURCE, 1) if words in line)


@pytest.fixture(params=PROGRAMS)
def file(request: pytest.FixtureRequest) -> DebugFile:
    return DebugFile(str(SAMPLES / request.param))


@pytest.fixture
def code(file: DebugFile) -> Code:
    return Code(Units(file))


@pytest.fixture
def types(file: DebugFile) -> DwarfContainer:
    return DwarfContainer(Units(file))


def test_lines(code: Code) -> None:
    place = code.place(IN_ADD)
    assert place is not None
    assert (place.file, place.line) == ("sample.c", line_of("in add"))
    assert str(code.place(START)) == f"sample.c:{line_of('void _start')}" or code.place(START) is not None
    called = code.place(START + 10)  # the call itself
    assert called is not None
    assert called.line == line_of("call of middle")


def test_no_line_outside(code: Code) -> None:
    assert code.place(0x500000) is None
    assert code.frames(0x500000) == []


def test_what_is_inlined(code: Code) -> None:
    inner, outer = code.frames(IN_ADD)
    assert (inner.function, inner.inlined) == ("add", True)
    assert (outer.function, outer.inlined) == ("middle", False)
    assert inner.place is not None
    assert inner.place.line == line_of("in add")
    assert outer.place is not None
    assert outer.place.line == line_of("call of add")


def test_a_function_by_itself(code: Code) -> None:
    assert [frame.function for frame in code.frames(START)] == ["_start"]


def test_a_structure(types: DwarfContainer) -> None:
    outer = types.lookup("struct outer")
    assert outer.size == 120
    assert outer.member("colour").offset == 0x70  # as the code of middle reads it
    assert [(m.name, m.offset) for m in outer.members] == [("next", 0), ("in", 8), ("", 104), ("colour", 112)]
    assert outer.member("word").offset == 104  # of the union without a name
    assert outer.member("next").type.reference is outer


def test_an_array_of_arrays(types: DwarfContainer) -> None:
    of = types.lookup("struct outer").member("in").type
    assert (of.spelling, of.size, of.count) == ("struct inner [2][3]", 96, 2)
    assert of.reference is not None
    assert of.reference.count == 3


def test_bit_fields(types: DwarfContainer) -> None:
    inner = types.lookup("struct inner")
    assert inner.size == 16
    assert [(m.name, m.bit_offset, m.bit_size) for m in inner.members] == [
        ("first", 0, 3), ("second", 3, 7), ("name", 16, None)]  # fmt: skip


def test_an_enumeration(types: DwarfContainer) -> None:
    colour = types.lookup("enum colour")
    assert colour.enumerators == (("RED", 0), ("GREEN", 5), ("BLUE", -1))


def test_basic_types_by_either_name(types: DwarfContainer) -> None:
    assert types.lookup("unsigned long") is types.lookup("long unsigned int")
    word = types.lookup("word_t")
    assert (word.kind, word.size) == (Kind.TYPEDEF, 8)
    assert types.lookup("struct outer *").reference is types.lookup("struct outer")


def test_variables_and_functions(types: DwarfContainer) -> None:
    assert types.variable("head", HEAD).spelling == "struct outer"
    assert types.variable("counter", COUNTER).spelling == "volatile word_t"
    with pytest.raises(TypeNotFound):
        types.variable("head", COUNTER)
    middle = types.function("middle")
    assert [one.spelling for one in middle.arguments] == ["struct outer *", "word_t"]


def test_names_that_are_not_there(types: DwarfContainer) -> None:
    for name in ("struct missing", "missing_t", "struct word_t", "xy"):
        with pytest.raises(TypeNotFound):
            types.lookup(name)


def test_places_of_variables(file: DebugFile, code: Code) -> None:
    unit = code.unit(RETURN)
    assert unit is not None
    function = unit.function(RETURN)
    assert function is not None
    cfa = 0x7000
    state = State({5: HEAD, 4: 4, 1: 12, 2: 4, 7: cfa - 8}, cfa, lambda at, size: bytes(size), 0)
    found = {v.name: locate(v.entry, function, RETURN, state) for v in unit.variables(RETURN)}
    assert set(found) == {"of", "count", "local", "kept"}
    assert found["of"].value == HEAD  # it is in rdi, its register, all the time
    assert found["count"].value == 4
    assert found["kept"].address == cfa - 16  # 8 bytes below the stack pointer of a function that has pushed nothing


def test_call_frames(file: DebugFile) -> None:
    """What lies on the stack of middle: the return address alone."""
    stack = {0x6FF8: START + 15}
    frames = DebugFrames(file.section(".debug_frame"), 64, lambda at, size: stack[at].to_bytes(size, "little"))
    found = frames.unwind(IN_ADD, {7: 0x6FF8, 3: 99}, 7)
    assert found is not None
    assert (found.cfa, found.pc) == (0x7000, START + 15)
    assert found.registers[3] == 99  # a register that functions preserve
    assert frames.unwind(0x500000, {7: 0x6FF8}, 7) is None


def test_build_id(file: DebugFile) -> None:
    assert len(file.build_id) == 40


def test_a_relocatable_file() -> None:
    """Its sections are where the dump has them: functions in sections of their own."""
    places = {".text.middle": 0xFFFFFFFFC0001000, ".text._start": 0xFFFFFFFFC0452000}
    path = str(SAMPLES / "relocatable.o")
    code = Code(Units(DebugFile(path, lambda _, name: places.get(name))))
    inner, outer = code.frames(places[".text.middle"] + IN_ADD - MIDDLE)
    assert (inner.function, outer.function) == ("add", "middle")
    assert outer.place is not None
    assert outer.place.line == line_of("call of add")
    assert [frame.function for frame in code.frames(places[".text._start"])] == ["_start"]
    assert code.frames(MIDDLE) == []


def test_what_is_no_debug_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no ELF file at all")
    with pytest.raises(FormatError, match="not an ELF file"):
        DebugFile(str(path))
    with pytest.raises(FormatError, match="No such file"):
        DebugFile(str(tmp_path / "missing"))


@pytest.mark.parametrize("seed", range(60))
def test_damage_is_told_or_passed_over(seed: int, tmp_path: Path) -> None:
    """Whatever the bytes say, questions end, with an answer or with an error of ours."""
    chance = random.Random(seed)
    data = bytearray((SAMPLES / chance.choice([*PROGRAMS, "relocatable.o"])).read_bytes())
    for _ in range(chance.randrange(1, 40)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    try:
        file = DebugFile(str(path), lambda number, _: number << 16)
        code, types = Code(Units(file)), DwarfContainer(Units(file))
    except Error:
        return
    for question in (
        lambda: code.frames(IN_ADD),
        lambda: code.place(START),
        lambda: types.lookup("struct outer").member("word"),
        lambda: types.lookup("struct inner").members,
        lambda: types.lookup("enum colour").enumerators,
        lambda: types.variable("head", HEAD).spelling,
        lambda: types.function("middle").arguments,
        lambda: DebugFrames(file.section(".debug_frame"), 64, lambda at, size: bytes(size)).unwind(IN_ADD, {7: 64}, 7),
    ):
        try:
            question()
        except Error:
            continue

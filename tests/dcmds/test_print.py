"""::print: what lies at 1080 of `tests.dcmds.typed.program`, in every way to ask for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbg.dcmds.typed.leaves import Style
from kdbg.dcmds.typed.memory import Memory
from kdbg.dcmds.typed.render import Renderer
from kdbg.errors import ReadError
from kdbg.symbols.ctf import CtfContainer
from samples.ctf import CtfWriter
from tests.dcmds.typed import program, run

MIXED = """\
{
    letter = 'A'
    number = 0xfffffffe
    low = 0x5
    high = -0t15
    ratio = +1.5000000e+00
    when = 2001 Sep  9 01:46:40
    host = 127.0.0.1
    hue = 0t10 (COLOR_BLUE)
    mode = 0x103 (FL_{A|B}|0x100)
    name = 0x1180 "hello"
    raw = 0x1180
    act = first+0x10
    grid = [
        [ 0x1, 0xffff ]
        [ 0, 0x7 ]
    ]
    spots = [
        {
            x = 0x1
            y = 0x2
        },
        {
            x = 0x3
            y = 0x4
        },
    ]
    (anon) = {
        whole = 0xddccbbaa
        parts = [ 0xaa, 0xbb, 0xcc, 0xdd ]
    }
}
"""


def test_a_structure_shows_all_its_members():
    assert run("1080::print mixed_t") == MIXED


def test_the_type_of_a_variable_need_not_be_given():
    assert (
        run("first::print")
        == run("1000::print node_t")
        == '{\n    next = 0x1020\n    value = 0x1\n    tag = [ "one" ]\n}\n'
    )
    assert run("head::print") == "first\n"
    assert run("first::print value") == "value = 0x1\n"


def test_without_an_address_the_shape_is_shown():
    assert run("::print point_t") == "{\n    x \n    y \n}\n"
    assert run("::print -at node_t") == (
        "0 node_t {\n    0 struct node *next \n    8 int value \n    c char [8] tag \n}\n"
    )


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("-d mixed_t number", "number = -0t2\n"),
        ("-d mixed_t letter", "letter = 'A'\n"),
        ("-d mixed_t grid", "grid = [\n    [ 1, 0t65535 ]\n    [ 0, 7 ]\n]\n"),
        ("-d mixed_t when host", "when = 0t1000000000\nhost = 0t16777343\n"),
        ("-x mixed_t hue high", "hue = 0xa (COLOR_BLUE)\nhigh = 0x11\n"),
        ("-t mixed_t low", "unsigned int low :3 = 0x5\n"),
        ("-a mixed_t high", "1088.3 high = -0t15\n"),
        ("-at mixed_t name", '10b0 char *name = 0x1180 "hello"\n'),
        ("-T mixed_t when", "time_t <<long>> when = 0x3b9aca00\n"),
        ("-n mixed_t act", "act = 0x1010\n"),
        ("-l 1 mixed_t grid[0]", "grid[0] = [ 0x1, ... ]\n"),
        ("-l 0 mixed_t grid", "grid = [ ... ]\n"),
        ("-s 0 mixed_t", "{ ... }\n"),
        ("-s 1 mixed_t spots", "spots = [\n    { ... }\n    { ... }\n]\n"),
        ("mixed_t spots[1]", "spots[1] = {\n    spots[1].x = 0x3\n    spots[1].y = 0x4\n}\n"),
        ("mixed_t whole", "whole = 0xddccbbaa\n"),
        ("mixed_t $[0x54]", "spots[0].y = 0x2\n"),
        ("mixed_t $[4]", "number = 0xfffffffe\n"),
    ],
)
def test_options_and_members(asked, answer):
    assert run(f"1080::print {asked}") == answer


def test_holes():
    shown = run("1080::print -ht mixed_t").splitlines()
    assert shown[2] == "    unsigned <<HOLE>> :24 = 0"
    assert shown[-2] == "    uint32_t <<HOLE>> = 0"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("next->next->value", "next->next->value = 0x3\n"),
        ("next.value", "kdbg: struct node * is not a struct or union type\n"),
        ("value->x", "kdbg: int is not a pointer type\n"),
        ("value[0]", "kdbg: cannot index into non-array, non-pointer type\n"),
        ("tag[9]", "kdbg: index 9 is outside of array bounds [0 .. 7]\ntag[9] = '\\0'\n"),
        ("tag[1", "kdbg: no trailing ']'\n"),
        ("tag,x", "kdbg: ',' is not a valid delimiter\n"),
        ("nosuch", "kdbg: failed to find member nosuch of node_t: no such member of structure or union\n"),
        ("*next", "kdbg: failed to find member *next of node_t: no such member of structure or union\n"),
        ("next->next->next->value", "kdbg: failed to read 4 bytes at 8: no mapping for address\n"),
        ("next->next->next->next->value", "kdbg: could not dereference pointer 0\n"),
        ("next[0]", 'next = {\n    next->next = 0x1040\n    next->value = 0x2\n    next->tag = [ "two" ]\n}\n'),
        ("$[200]", "kdbg: invalid offset 200\n"),
    ],
)
def test_paths(path, answer):
    assert run(f"1000::print node_t {path}") == answer


def test_a_pointer_may_be_followed_from_the_start():
    assert run("1078::print 'struct node *' value") == "value = 0x1\n"
    assert run("1078::print 'struct node *' ->tag") == '->tag = [ "one" ]\n'


def test_what_cannot_be_read_ends_the_structure():
    assert run("11f8::print mixed_t") == (
        "{\n    letter = '\\0'\n    number = 0\nkdbg: failed to read 1 bytes at 1200: no mapping for address\n}\n"
    )


def test_words_that_are_no_types():
    assert run("::print nosuch") == "kdbg: failed to look up type nosuch: No type information available for that name\n"
    assert run("1010::print nosuch") == "kdbg: failed to look up type first: no symbol corresponds to address\n"
    assert run("::print struct") == "kdbg: struct is not a valid type\n"
    assert run("main::print") == "kdbg: no type data available for main [2]: Symbol table entry is not a data object\n"
    assert run("1190::print") == "kdbg: no symbol information for 0x1190: no symbol corresponds to address\n"
    assert run("1000::print -ip node_t") == "kdbg: -p and -i options are incompatible\n"


def test_i_takes_the_address_for_the_value():
    assert run("41::print -i char") == "'A'\n"
    assert run("0x200000001::print -i point_t") == "{\n    x = 0x1\n    y = 0x2\n}\n"


def test_a_pipe_carries_values_or_addresses():
    assert run("1000::print node_t next value tag | ::map .") == "1020\n1\n100c\n"
    assert run("1080::print mixed_t low hue spots | ::map .") == "5\na\n10d0\n"
    assert run("1000::print -a node_t value | ::map .") == "1008\n"
    assert run("1000::list node_t next | ::print node_t value") == "value = 0x1\nvalue = 0x2\nvalue = 0x3\n"


def test_dot_moves_behind_the_type():
    assert run("1000::print node_t value; .::map .").endswith("1018\n")


def test_a_forward_declaration_has_no_members():
    assert run("1000::print struct opaque") == "; <forward declaration of struct opaque>\n"


def test_an_internet_address_has_a_short_form():
    target = program()
    target.put(0x1100, bytes([10, 0, 2, 15]))
    assert run("1100::print struct in_addr", target) == "10.0.2.15\n"


def render(types: CtfWriter, number: int, data: bytes, **style: object) -> list[str]:
    """Lines of a value that lies at 0; 0x..ff behind it cannot be read."""

    def read(address: int, size: int) -> bytes:
        if not 0 <= address <= address + size <= len(data):
            raise ReadError(address)
        return data[address : address + size]

    said: list[str] = []
    renderer = Renderer(Memory(read), Style(**style), said.append, lambda address: f"{address:#x}" if address else "0")
    type_ = CtfContainer(types.bytes()).type_by_id(number)
    return [shown.text for shown in renderer.show(type_, 0)] + said


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 64), st.booleans(), st.integers(0, (1 << 64) - 1), st.sampled_from("xd "))
def test_integers_of_any_width(bits, signed, value, form):
    types = CtfWriter()
    number = types.integer("n", bits, signed=signed)
    value &= (1 << bits) - 1
    shown = render(types, number, value.to_bytes(8, "little"), hexadecimal=form == "x", decimal=form == "d")[0]
    odd = bits not in (8, 16, 32, 64)
    if form == "x" or (form == " " and not (odd and signed)):
        assert int(shown, 16) == value
    else:
        negative = signed and value >> (bits - 1) and (odd or bits > 16)
        assert int(shown.replace("0t", "")) == value - ((1 << bits) if negative else 0)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=40))
def test_character_arrays_are_texts_or_characters(data):
    types = CtfWriter()
    number = types.array(types.integer("char", 8, signed=True, char=True), len(data))
    shown = render(types, number, data, elements=None)[0]
    text = data.split(b"\0")[0]
    if text and all(32 <= byte < 127 for byte in text):
        assert shown == f'[ "{text.decode()}" ]'
    else:
        assert shown.count("', '") == len(data) - 1
        assert shown.startswith("[ '")


def test_a_structure_that_holds_itself_ends():
    types = CtfWriter()
    number = types.structure("loop")
    types.place(number, 8, [("again", number, 0)])
    assert len(render(types, number, bytes(8))) < 1000


def test_wide_arrays_are_quick():
    import time

    types = CtfWriter()
    number = types.array(types.integer("int", 32, signed=True), 100_000)
    start = time.perf_counter()
    shown = render(types, number, bytes(400_000), elements=None)[0]
    assert shown.count("0") == 100_000
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("mantissa", "exponent", "shown"),
    [
        (1 << 63, 16383, "+1.0000000000000000e+00"),
        (0xC90FDAA22168C235, 16384, "+3.1415926535897932e+00"),
        (3 << 62, 1 << 15 | 16384, "-3.0000000000000000e+00"),
        (0, 1 << 15, "-0.0000000000000000e+00"),
        (1 << 63, 0x7FFF, "+Infinity"),
        (3 << 62, 0xFFFF, "-NaN"),
        (1, 0, "+3.6451995318824746e-4951"),
    ],
)
def test_long_doubles(mantissa, exponent, shown):
    types = CtfWriter()
    number = types.float("long double", 128, 6)
    assert render(types, number, mantissa.to_bytes(8, "little") + exponent.to_bytes(8, "little"))[0] == shown

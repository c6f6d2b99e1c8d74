"""::sizeof, ::offsetof, ::typelist, ::enum, ::list, ::array, ::printf, ::typedef."""

from __future__ import annotations

import pytest

from kdbg.dcmds.printf import parse, sized
from kdbg.lang.errors import Abort
from tests.dcmds.typed import program, run


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("::sizeof node_t", "sizeof (node_t) = 0x18\n"),
        ("::sizeof struct node", "sizeof (struct node) = 0x18\n"),
        ("::sizeof 'unsigned int'", "sizeof (unsigned int) = 4\n"),
        ("::sizeof node_t | ::map .", "18\n"),
        ("::sizeof nosuch", "kdbg: failed to look up type nosuch: No type information available for that name\n"),
        ("::sizeof struct opaque", "sizeof (struct opaque) = 0\n"),
        ("::offsetof node_t tag", "offsetof (node_t, tag) = 0xc, sizeof (...->tag) = 8\n"),
        ("::offsetof mixed_t high", "offsetof (mixed_t, high) = 8.3, sizeof (...->high) = 1\n"),
        ("::offsetof mixed_t whole", "offsetof (mixed_t, whole) = 0x60, sizeof (...->whole) = 4\n"),
        ("::offsetof node_t tag | ::map .", "c\n"),
        ("::offsetof mixed_t high | ::map .", "kdbg: member high of type mixed_t is not byte-aligned\n"),
        (
            "::offsetof node_t no",
            "kdbg: failed to find member no of type node_t: no such member of structure or union\n",
        ),
        ("::offsetof int x", "kdbg: failed to find member x of type int: Type is not a struct or union\n"),
        ("::typelist ! head -2", "int\nchar\n"),
    ],
)
def test_sizes_and_offsets(command, answer, capfd):
    shown = run(command)
    assert shown + capfd.readouterr().out == answer


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("::enum color", "      VALUE NAME\n          0 COLOR_RED\n         10 COLOR_BLUE\n         -1 COLOR_NONE\n"),
        ("::enum -ex color", "   VALUE NAME\n       0 RED\n       a BLUE\nffffffff NONE\n"),
        ("a::enum color", "      VALUE NAME\n         10 COLOR_BLUE\n"),
        ("::enum color COLOR_BLUE", "      VALUE NAME\n         10 COLOR_BLUE\n"),
        ("5::enum color", "      VALUE NAME\nkdbg: value 5 not in 'enum color'\n"),
        ("::enum color PINK", "      VALUE NAME\nkdbg: name \"PINK\" not in 'enum color'\n"),
        ("7::enum flags", "   VALUE NAME\n       7 FL_{A|B|C}\n"),
        ("9::enum -e flags", "   VALUE NAME\n       9 A|0x8\n"),
        ("3::enum -e flags", "   VALUE NAME\n       3 A|B}\n"),
        ("::enum int", "kdbg: 'int': not an enumeration\n"),
        ("::enum no", "kdbg: types 'enum no', 'no': No type information available for that name\n"),
        ("::enum color COLOR_BLUE | ::map .", "a\n"),
    ],
)
def test_enumerations(command, answer):
    assert run(command).replace(" " * 60 + "\n", "\n") == answer


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("1000::list node_t next", "1000\n1020\n1040\n"),
        ("1000::list $[0]", "1000\n1020\n1040\n"),
        ("1000::list node_t next v | ::eval '<v=K'", "".join(f"{' ' * 16}{a:<16}\n" for a in ("1000", "1020", "1040"))),
        ("1000::list node_t value", "1000\n" "656e6f00000001\n"
         "kdbg: failed to read next pointer from object 656e6f00000001: no mapping for address\n"),
        ("1000::list node_t tag", "kdbg: tag is not a word-aligned member\n"),
        ("1000::list $[4]", "kdbg: offset must fall on a word boundary\n"),
        ("1000::list no next", "kdbg: couldn't find type no: No type information available for that name\n"),
        ("1000::array point_t 3", "1000\n1008\n1010\n"),
        ("1000::array struct point 2 e | ::eval '<e=K'", "".join(f"{' ' * 16}{a:<16}\n" for a in ("1000", "1008"))),
        ("1000::array no 3", "kdbg: failed to look up type no: No type information available for that name\n"),
        ("1190::array", "kdbg: no symbol information for 0x1190: no symbol corresponds to address\n"),
    ],
)  # fmt: skip
def test_lists_and_arrays(command, answer):
    assert run(command) == answer


def test_a_list_that_leads_back_ends():
    target = program()
    target.put(0x1040, (0x1020).to_bytes(8, "little"))
    assert run("1000::list node_t next", target) == (
        "1000\n1020\n1040\nkdbg: the list leads back to 1020, which is not its first element\n"
    )
    target.put(0x1040, (0x1000).to_bytes(8, "little"))
    assert run("1000::list node_t next", target) == "1000\n1020\n1040\n"


def test_a_variable_of_an_array_type_needs_no_count():
    target = program()
    target.label("spots", 0x10D0, 16, "point_t")
    assert "no symbol information" in run("spots::array", target)


# ::printf


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ('"%d\\n" mixed_t high', "-15\n"),
        ('"%d %u %x\\n" mixed_t number number number', "4294967294 4294967294 fffffffe\n"),
        ('"%X %o\\n" mixed_t number number', "FFFFFFFE 37777777776\n"),
        ('"%8x|%-8x|%08x\\n" mixed_t low low low', "       5|5       |00000005\n"),
        ('"%?p|%a|%A\\n" mixed_t name act name', "            1180|first+0x10|\n"),
        ('"%s %10s|\\n" mixed_t name hue', "hello COLOR_BLUE|\n"),
        ('"%I %Y\\n" mixed_t host when', "127.0.0.1 2001 Sep  9 01:46:40\n"),
        ('"%%%d%%\\n" mixed_t low', "%5%%\n"),
        ('"%p\\n" mixed_t .', "1080\n"),
        ('"%H\\n" mixed_t when', "954M\n"),
        ('"%r %R %q\\n" mixed_t high high high', "11 -f -17\n"),
        ('"%d\\n" mixed_t name', "kdbg: expected integer type\nkdbg: failed to print member 'name'\n"),
        ('"%p\\n" mixed_t low', "kdbg: expected pointer type\nkdbg: failed to print member 'low'\n"),
        ('"%s\\n" mixed_t low', "kdbg: exepected pointer or array type\nkdbg: failed to print member 'low'\n"),
        ('"%I\\n" mixed_t letter', "kdbg: expected 32-bit integer type\nkdbg: failed to print member 'letter'\n"),
        ('"%d %d\\n" mixed_t low', "kdbg: extra format specifiers (found 2, expected 1)\n"),
        ('"%d\\n" mixed_t low low', "kdbg: missing format specifiers (found 1, expected 2)\n"),
        ('"%b\\n" mixed_t low', "kdbg: illegal format string at or near 'b' (position 2)\n"),
        ('"%d %p\\n" mixed_t low low', "kdbg: expected pointer type\nkdbg: failed to print member 'low'\n5\n"),
    ],
)  # fmt: skip
def test_printf(asked, answer):
    assert run(f"1080::printf {asked}") == answer


def test_printf_of_a_pipe_writes_on():
    assert run('1000::list node_t next | ::printf "%d " node_t value') == "1 2 3 \n"


@pytest.mark.parametrize("text", ["%", "%5", "%-", "100%"])
def test_a_format_that_breaks_off_is_text(text):
    assert parse(text).directives == ()
    assert parse(text).rest == text


@pytest.mark.parametrize("text", ["%5?d", "%+d", "%ld", "%.2d", "% d", "%*d"])
def test_a_format_that_is_none(text):
    with pytest.raises(Abort, match="illegal format string"):
        parse(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1023, "1023"), (1024, "1K"), (2748, "2.68K"), (10241, "10.0K"), (10239, "10.0K"), (1043968, "1020K"),
     (1 << 40, "1T"), ((1 << 64) - 1, "16.0E")],
)  # fmt: skip
def test_sizes_for_people(value, shown):
    assert sized(value) == shown


# ::typedef


def test_types_can_be_made():
    target = program()
    assert run("::typedef node_t item_t; 1000::print item_t value", target) == "value = 0x1\n"
    assert run("::typedef 'struct { int a; char c; long l; point_t *p[2]; }' made_t; ::print -at made_t", target) == (
        "0 made_t {\n    0 int a \n    4 char c \n    8 long l \n    10 point_t *[2] p \n}\n"
    )
    assert run("::sizeof made_t", target) == "sizeof (made_t) = 0x20\n"
    assert run("::typedef -d; ::sizeof made_t", target).startswith("kdbg: failed to look up type made_t")


def test_the_types_of_c_can_be_made():
    target = program()
    assert run("::typedef -c ILP32; ::sizeof ulong_t; ::sizeof uint64_t", target) == (
        "sizeof (ulong_t) = 4\nsizeof (uint64_t) = 8\n"
    )
    assert run("::typedef -d; ::typedef -c lp64; ::sizeof ulong_t", target) == "sizeof (ulong_t) = 8\n"
    assert run("::typedef -l", target).splitlines()[:3] == ["void", "signed", "unsigned"]


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("struct { int a; int a; }", "duplicate name detected: a"),
        ("struct { int a }", "Cannot find semi-colon to delineate the end of a member."),
        ("struct { int; }", "Missing both a name and a type declaration for a member. Instead, found 'int'"),
        ("struct { int a[0]; int n; }", "Flexible array entries are only allowed to be the last entry in a struct"),
        ("union { int n; int a[0]; }", "Flexible array members are only valid in structs."),
        ("struct { int a[3; }", "Found the beginning of an array size but no closing ']' in [3"),
        ("struct { nosuch a; }", "failed to add member a: type nosuch does not exist"),
        ("struct 9x { int a; }", "The name 9x is not a valid C identifier."),
        ("class { int a; }", "Invalid start of definition. Expected 'struct' or 'union'. Found: 'class'"),
        ("struct node { int a; }", "type name struct node already in use"),
    ],
)
def test_definitions_that_are_wrong(definition, said):
    assert run(f'::typedef "{definition}" wrong_t') == f"{said}\n"


def test_names_that_are_taken():
    assert run("::typedef int node_t") == "node_t already exists\n"
    assert run("::typedef nosuch other_t") == "nosuch does not exist\n"
    assert run('::typedef "struct { int a; }" node_t') == "typedef name node_t already exists\n"


def test_types_go_to_a_file_and_come_back(tmp_path):
    path = tmp_path / "types.ctf"
    assert run(f"::typedef mixed_t kept_t; ::typedef -w {path}") == ""
    fresh = program()
    assert run(f"::typedef -r {path}; 1080::print kept_t low high hue", fresh) == (
        "low = 0x5\nhigh = -0t15\nhue = 0t10 (COLOR_BLUE)\n"
    )
    assert run("::typedef -r /nosuch/file").startswith("kdbg: failed to parse ctf data in /nosuch/file")

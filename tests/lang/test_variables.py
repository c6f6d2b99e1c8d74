"""Variables: assignment, casts, reserved ones, lists in mdb's order; the radix and the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbg.lang.variables import Variable, Variables
from tests.lang.programs import Program, raw
from tests.lang.typed import piped


@pytest.fixture
def target(tmp_path: Path):
    return raw(tmp_path, bytes(range(64)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1234>x;<x=J", "1234"), ("fedcba98>/c/x;<x=J", "98"), ("fedcba98>/s/x;<x=J", "ba98"),
        ("8,2/B;>x;<x=J", "9"), ("5>x;6>x;<x=J", "6"), ("::typeset y;<y=J", "0"), ("7::typeset y;<y=J", "7"),
    ],
)  # fmt: skip
def test_assignment(target, text, shown):
    assert piped(text + "\n", target).splitlines()[-1].strip() == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1>", "expected single variable name following '>'"),
        ("1>a b", "improper arguments following '>' operator"),
        ("1>/z/a", "z is not a valid // modifier"),
        ("1>a-b", "'-' may not be used in a variable name"),
        ("1>" + "x" * 31, "variable names may not exceed 30 characters"),
        ("1>thread", "cannot modify read-only variable 'thread'"),
        ("::unset nosuch", "variable 'nosuch' not defined"),
        ("::unset b", "cannot remove persistent variable 'b'"),
        ("1$d", "expected radix from 2 to 16"),
    ],
)
def test_what_cannot_be_assigned(target, text, said):
    assert piped(text + "\n", target) == f"kdbg: {said}\n"


def test_reserved_variables(target, tmp_path: Path):
    assert piped("<d=J\n4/x\n<0=J\n", target).split() == ["40", "4:", "504", "504"]
    program = Program().open(tmp_path)
    assert piped("<m=J\n<e=J\n<rax=J\n", program).split() == ["464c457f", "400000", "0"]


def test_no_symbols_where_a_variable_says_so(tmp_path: Path):
    program = Program().open(tmp_path)
    shown = piped("table=a\n1>_\ntable=a\n0>_\ntable=a\n", program).split()
    assert shown == ["prog`table:", "0x401000:", "prog`table:"]


def test_the_order_is_that_of_a_hash_table():
    variables = Variables()
    for name in ("x", "9", "b", ".", "hits"):
        variables.add(Variable(name))
    assert [variable.name for variable in variables] == [".", "9", "b", "x", "hits"]
    # bx, ch and sil fall into one bucket: the newest comes first
    for name in ("ch", "bx", "sil"):
        variables.add(Variable(name))
    assert [variable.name for variable in variables][:3] == ["sil", "bx", "ch"]


def test_variables_are_listed(target):
    assert piped("5>x\n::typeset -t x\n::vars -t\n::vars -tp\n::unset x\n::vars -t\n", target) == "x = 5\n5>x\n"


def test_settings(target):
    lines = piped("::set -o array_mem_limit=none,repeatlast\n::set +o repeatlast -s 0t10 -P 'x>'\n::set\n", target)
    assert " symbol matching distance: a (absolute mode)\n" in lines
    assert " array member print limit: none\n" in lines
    assert 'command prompt: "x>"\n' in lines
    assert "repeatlast" not in lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-o nosuch", "invalid debugger option -- nosuch"),
        ("-o pager=x", "option does not accept an argument -- pager"),
        ("-o array_mem_limit", "option requires an argument -- array_mem_limit"),
        ("-o array_mem_limit=x", "invalid argument for option array_mem_limit -- x"),
        ("-P " + "x" * 36, "prompt may not exceed 35 characters"),
    ],
)
def test_settings_that_are_wrong(target, text, said):
    assert piped(f"::set {text}\n", target) == f"kdbg: {said}\n"


def test_registers_come_with_their_parts():
    from kdbg.lang.registers import with_parts

    found = with_parts({"rip": 5, "rax": 0x1122334455667788, "r8": 0xFFFF_FFFF_8000_00F1, "rflags": 0x202})
    assert list(found) == ["r8", "r8d", "r8w", "r8l", "rax", "eax", "ax", "ah", "al", "rip", "rflags", "eflags"]
    assert (found["eax"], found["ax"], found["ah"], found["al"]) == (0x55667788, 0x7788, 0x77, 0x88)
    assert (found["r8d"], found["r8w"], found["r8l"]) == (0x800000F1, 0xF1, 0xF1)

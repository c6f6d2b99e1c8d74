"""::nm, ::nmadd, ::nmdel, $e, ::files."""

from __future__ import annotations

import pytest

from tests.lang.programs import Program, raw, run

HEADING = "Value              Size               Type  Bind  Other Shndx    Name\n"


@pytest.fixture
def program(tmp_path):
    """main, leaf, _leaf; hidden, table; _edata; prog.c."""
    return Program().open(tmp_path)


def names(answer: str) -> list[str]:
    """The last column."""
    return [line.split("|")[-1] for line in answer.splitlines()]


def test_a_table_in_its_order(program):
    answer = run(program, "::nm")
    assert answer.startswith(HEADING + "0x0000000000000000|0x0000000000000000|NOTY |LOCL |0x0  |UNDEF   |\n")
    assert names(answer)[2:] == ["prog.c", "hidden", "main", "leaf", "_leaf", "table", "_edata"]
    assert "0x0000000000400000|0x000000000000000b|FUNC |GLOB |0x0  |1       |main\n" in answer


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("-g", ["main", "leaf", "_leaf", "table", "_edata"]),
        ("-t func", ["main", "leaf", "_leaf"]),
        ("-t objt,file", ["prog.c", "hidden", "table"]),
        ("-n -t func", ["_leaf", "leaf", "main"]),
        ("-v -t objt", ["table", "hidden"]),
        ("-u", [""]),
        ("-t func prog", ["main", "leaf", "_leaf"]),
    ],
)
def test_choices(program, options, shown):
    assert names(run(program, f"::nm -h {options}")) == shown


def test_columns_come_in_one_order(program):
    assert run(program, "::nm -h -t func -f name,ndx") == "    3|main\n    4|leaf\n    5|_leaf\n"
    assert run(program, "main::nm -d -f val,sz") == f"{'Value':20} {'Size':20}\n{'4194304':20}|{'11':20}\n"
    assert run(program, "main::nm -h -f ctype,name") == f"{'<unknown type>':50}|main\n"


def test_the_symbol_at_an_address(program):
    assert names(run(program, "main+3::nm -h")) == ["main"]
    assert names(run(program, "table::nm -h")) == ["prog`table"]
    assert names(run(program, "400000+0xb::nm -h")) == ["leaf"]
    assert run(program, "5::nm") == HEADING + "kdbg: 5: no symbol corresponds to address\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("::nm nosuch", "kdbg: failed to iterate over symbols: unknown object file name"),
        ("::nm -f size", 'kdbg: invalid option for -f: "size"'),
        ("main::nm -P", "kdbg: -P/address options are mutually exclusive"),
        ("::nm -dx", "kdbg: -d/-o/-x options are mutually exclusive"),
    ],
)
def test_errors(program, command, message):
    assert message in run(program, command).splitlines()


def test_private_symbols_go_before_all_others(program):
    assert run(program, "500000::nmadd -s 10 main", "main=K", "500004=a", "::nmdel main", "main=K") == (
        "added main, value=500000 size=10\n"
        f"{'':16}{'500000':16}\n"
        f"{'main+4:':16}\n"
        "deleted main, value=500000 size=10\n"
        f"{'':16}{'400000':16}\n"
    )


def test_the_private_table(program):
    answer = run(program, "10::nmadd -f -e 20 one", "30::nmadd -o -s 8 two", "::nm -Ph", "::nm -Pp")
    assert "0x0000000000000010|0x0000000000000010|FUNC |GLOB |0x0  |UNDEF   |one\n" in answer
    assert "0x10::nmadd -f -s 0x10 one\n" in answer
    assert "0x30::nmadd -o -s 8 two\n" in answer


def test_wrong_private_symbols(program):
    answer = run(program, "20::nmadd -e 10 x")
    assert answer.startswith("kdbg: end (10) is less than start address (20)\nUsage: address::nmadd")
    assert run(program, "::nmdel x") == "kdbg: symbol 'x' not found in private symbol table\n"


def test_globals_with_their_values(program):
    lines = run(program, "$e").splitlines()
    assert lines[0] == "main(400000):   2e8e5894855"
    assert "table(401000):  706050403020100" in lines


def test_source_files(program):
    assert run(program, "::files") == run(program, "$f") == "1       prog.c\n"


def test_a_file_of_bytes_has_none(tmp_path):
    target = raw(tmp_path, b"x" * 64)
    assert run(target, "::nm") == f"{HEADING}kdbg: unable to dump symbol data for: {target.name} (object file)\n"
    assert run(target, "8::nmadd mine", "mine=K", "8=a") == (
        f"added mine, value=8 size=0\n{'':16}{'8':16}\n{'8:':16}\n"
    )

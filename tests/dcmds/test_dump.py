"""::dump: rows, groups, margins, repeated rows, ends of files, dot."""

from __future__ import annotations

import pytest

from tests.lang.programs import Program, raw, run, session


@pytest.fixture
def target(tmp_path):
    """00 to 3f, then sixteen A three times, then "end"."""
    return raw(tmp_path, bytes(range(64)) + b"A" * 48 + b"end")


HEADING = "     \\/ 1 2 3  4 5 6 7  8 9 a b  c d e f  v123456789abcdef\n"


def test_a_row_of_sixteen_bytes(target):
    assert run(target, "0::dump") == (
        "    \\/ 1 2 3  4 5 6 7  8 9 a b  c d e f  v123456789abcdef\n"
        "0:  00010203 04050607 08090a0b 0c0d0e0f  ................\n"
    )


def test_rows_begin_at_a_multiple_of_sixteen_and_the_address_is_marked(target):
    assert run(target, "23::dump") == (
        "      0 1 2\\/  4 5 6 7  8 9 a b  c d e f  012v456789abcdef\n"
        "20:  20212223 24252627 28292a2b 2c2d2e2f   !\"#$%&'()*+,-./\n"
    )


def test_length_by_option_or_by_count(target):
    assert (
        run(target, "10::dump -l 11")
        == run(target, "10,11::dump")
        == (
            HEADING
            + "10:  10111213 14151617 18191a1b 1c1d1e1f  ................\n"
            + "20:  20212223 24252627 28292a2b 2c2d2e2f   !\"#$%&'()*+,-./\n"
        )
    )


@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("20::dump -t -l 2", "20:  2021                                  !              "),
        ("22::dump -u", "22:  22232425 26272829 2a2b2c2d 2e2f3031  \"#$%&'()*+,-./01"),
        ("20::dump -r", "0:  20212223 24252627 28292a2b 2c2d2e2f   !\"#$%&'()*+,-./"),
        ("20::dump -q", "20:  20212223 24252627 28292a2b 2c2d2e2f"),
        ("20::dump -e", "20:  23222120 27262524 2b2a2928 2f2e2d2c"),
        ("20::dump -g 2", "20:  2021 2223 2425 2627 2829 2a2b 2c2d 2e2f   !\"#$%&'()*+,-./"),
        ("20::dump -g 1", "20:  20 21 22 23 24 25 26 27  28 29 2a 2b 2c 2d 2e 2f   !\"#$%&'()*+,-./"),
        ("20::dump -g 3", "20:  20212223 24252627 28292a2b 2c2d2e2f   !\"#$%&'()*+,-./"),
        ("20::dump -v", "0000000000000020:  20212223 24252627 28292a2b 2c2d2e2f   !\"#$%&'()*+,-./"),
        ("70::dump", "70:  656e64                               end             "),
    ],
)
def test_options(target, command, row):
    assert run(target, command).splitlines()[-1] == row


def test_repeated_rows_but_not_the_last(target):
    assert run(target, "40::dump -s -l 30").splitlines()[1:] == [
        "40:  41414141 41414141 41414141 41414141  AAAAAAAAAAAAAAAA",
        "*",
        "60:  41414141 41414141 41414141 41414141  AAAAAAAAAAAAAAAA",
    ]


def test_dot_goes_behind_what_was_asked_for_only_if_all_was_there(target):
    opened, _ = session(target)
    opened.execute("8::dump -l 4")
    assert (opened.dot, opened.increment) == (12, 0)
    opened.execute("70::dump -l 40")
    assert opened.dot == 0x70


def test_beyond_the_end_there_is_only_the_heading(target):
    assert len(run(target, "1000::dump").splitlines()) == 1


@pytest.mark.parametrize("options", ["-w 0", "-w 11", "-g 0", "-g 101", "-fp", "word"])
def test_wrong_usage(target, options):
    assert "Usage: [address]::dump [-eqrstu] [-f|-p] [-g bytes] [-l bytes] [-w paragraphs]\n" in run(
        target, f"0::dump {options}"
    )


def test_a_program_at_rest_has_its_file_only(tmp_path):
    program = Program().open(tmp_path)
    assert run(program, "table::dump").splitlines()[-1] == (
        "kdbg: failed to read data at 0x401000: operation not supported by target"
    )
    assert run(program, "table::dump -f").splitlines()[-1].startswith("401000:  00010203 04050607")

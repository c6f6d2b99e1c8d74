r"""``/ \ ? @ =``: every letter on planned bytes, counts, labels, wrapping, dot and increment, strings, failures."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.lang.formats_letters import LETTERS
from tests.lang.programs import DATA, Program, raw, run, session

BYTES = struct.pack("<QqQ", 0x8877665544332211, -1, 0x41)


@pytest.fixture
def target(tmp_path: Path):
    """24 bytes: 11 22 ... 88, then -1, then 0x41."""
    return raw(tmp_path, BYTES)


@pytest.mark.parametrize(
    ("letter", "shown"),
    [
        ("B", "11      "), ("b", "021     "), ("V", "17      "), ("v", "17      "),
        ("x", "2211    "), ("o", "021021  "), ("q", "021021  "), ("u", "8721    "), ("d", "8721    "),
        ("w", "2211    "), ("h", "1122    "),
        ("X", "44332211        "), ("O", "010414621021    "), ("D", "1144201745      "), ("U", "1144201745      "),
        ("H", "11223344        "),
        ("J", "8877665544332211 "), ("K", "8877665544332211 "), ("Z", "8877665544332211 "),
        ("E", "9833440827789222417  "), ("e", "-8613303245920329199 "), ("G", "1041673145250414621021 "),
        ("g", "-736104632527363156757  "),
        ("p", "0x8877665544332211 "),
        ("R", "1000100001110111011001100101010101000100001100110010001000010001"),
        ("c", "\x11"), ("C", "\\021"), ("s", "\x11\"3DUfw\x88\xff\xff\xff\xff\xff\xff\xff\xffA"),
    ],
)  # fmt: skip
def test_a_letter_shows_what_lies_at_dot(target, letter, shown):
    assert run(target, f'0/""{letter}') == f"{'0:':16}{shown}\n"


@pytest.mark.parametrize(
    ("letter", "shown"),
    [("d", "-1      "), ("D", "-1              "), ("q", "0-1     "), ("Q", "0-1             "), ("v", "-1      "),
     ("f", "-NaN"), ("F", "-NaN"), ("Y", "1969 Dec 31 23:59:59    ")],
)  # fmt: skip
def test_negative_numbers_and_no_numbers(target, letter, shown):
    assert run(target, f'8/""{letter}') == f"{'8:':16}{shown}\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970 Jan  1 00:00:00"),
        (951782400, "2000 Feb 29 00:00:00"),
        (253402300799, "9999 Dec 31 23:59:59"),
        (253402300800, "1000 Jan  1 00:00:00"),
        (1 << 62, "4000000000000000"),
    ],
)
def test_times(target, seconds, shown):
    assert run(target, f"0x{seconds:x}=y") == f"{'':16}{shown:24}\n"


def test_a_value_is_shown_by_its_low_bytes_for_every_letter(target):
    assert run(target, "41=4c") == f"{'':16}AAAA\n"
    assert run(target, "41=4C") == f"{'':16}A\\0\\0\\0\n"
    assert run(target, "12345678=Xx") == f"{'':16}12345678        5678    \n"


def test_plus_and_minus_move_dot_of_a_value_but_not_what_is_shown(target):
    assert run(target, "10=2+X", ".=K") == f"{'':16}10              \n{'':16}12              \n"


def test_counts_are_decimal_and_belong_to_the_next_letter(target):
    assert run(target, "0/10BB").count("\n") == 2
    assert run(target, "0/3BX") == f"{'0:':16}11      22      33      77665544        \n"
    assert run(target, "0/0X") == "0:              \n"


def test_a_full_row_ends_without_blanks_and_goes_on_at_the_margin(target):
    assert run(target, "0/9B") == (
        f"{'0:':16}11      22      33      44      55      66      77      88\n{'':16}ff      \n"
    )


def test_the_label_stands_on_every_line_that_begins_with_a(target):
    assert run(target, "0,2/naX") == f"{'0:':16}\n{'0:':16}44332211        \n{'4:':16}88776655        \n"


def test_dot_stays_and_plus_goes_behind_what_was_shown(target):
    assert run(target, "4/XB", ".=K", "+=K") == (
        f"{'4:':16}88776655        ff      \n{'':16}4               \n{'':16}4               \n"
    )
    opened, _ = session(target)
    opened.execute("4/XB")
    assert (opened.dot, opened.increment) == (4, 5)


def test_circumflex_goes_back_by_the_last_letter(target):
    assert run(target, "0/X^B") == f"{'0:':16}44332211        11      \n"


def test_an_empty_list_shows_a_word(target):
    assert run(target, "10/") == f"{'0x10:':16}41              = \n"


def test_a_failed_read_is_told_before_the_unfinished_line_and_the_list_goes_on(target):
    assert run(target, '10/JJ"x"B') == (
        "kdbg: failed to read data from target: cannot read past current end of file\n"
        "kdbg: failed to read data from target: cannot read past current end of file\n"
        f"{'0x10:':16}41              x\n"
    )


def test_after_a_failed_number_lines_stay_broken(target):
    opened, _ = session(target)
    opened.execute("100/J")
    assert not opened.out.wrap  # a letter with a function of its own
    opened.execute("100/X")
    assert opened.out.wrap


def test_unknown_letters_are_told_of(target):
    assert run(target, "0/kB") == f"kdbg: invalid format character -- 'k'\n{'0:':16}11      \n"


@pytest.mark.parametrize(
    ("list_", "shown"),
    [
        ("s", "one"),
        ("S", "one"),
        ("2S", "one\\0t\\two"),
        ("3s", "one\\0t  wo\\0"),
        ("6C", "one\\0t\\t"),
        ("99C", "one\\0t\\two\\0"),
    ],
)
def test_strings_end_with_their_zero(tmp_path, list_, shown):
    target = raw(tmp_path, b"one\0t\two\0")
    assert run(target, f"0/{list_}") == f"{'0:':16}{shown}\n"


def test_a_string_leaves_dot_behind_its_zero(tmp_path):
    opened, _ = session(raw(tmp_path, b"one\0two\0"))
    opened.execute("0/s")
    assert opened.increment == 4


def test_a_long_string_is_one_string(tmp_path):
    opened, sink = session(raw(tmp_path, b"x" * 3000 + b"\0"))
    opened.execute("0/s")
    assert sink.text().count("x") == 3000
    assert opened.increment == 3001


def test_bits_get_a_chart(target):
    assert run(target, "12=j") == (
        f"{'':16}10010\n{'':16}|  |\n{'':16}|  +--- bit 1 mask 0x02\n{'':16}+------ bit 4 mask 0x10\n"
    )


def test_a_symbol_that_begins_there_gets_a_line_and_names_its_object(tmp_path):
    program = Program().open(tmp_path)
    assert run(program, "table/X") == f"prog`table:\n{'prog`table:':16}3020100         \n"
    assert run(program, "table+4/B") == f"{'prog`table+4:':16}4       \n"
    assert run(program, "main/ai").splitlines()[:2] == ["main:           ", "main:           pushq  %rbp"]


def test_without_symbols_labels_are_numbers(tmp_path):
    program = Program().open(tmp_path)
    assert run(program, "1>_", "table/aX").endswith("0x401000:       0x401000:       3020100         \n")


def test_object_files_read_zeros_by_question_mark_only(tmp_path):
    program = Program().open(tmp_path)
    assert run(program, f"{DATA + 16:x}?X") == f"{'0x401010:':16}0               \n"
    assert "no mapping for address" in run(program, f"{DATA + 16:x}/X")
    assert "operation not supported by target" in run(program, "table\\X")


def test_variable_zero_is_the_last_value(target):
    assert run(target, "0/X", "<0=K").endswith(f"{'':16}44332211        \n")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("0/L 88776655", "4\n"),
        ("0/M ffffffffffffffff", "8\n"),
        ("0/l 41 ff", "0x10\n"),
        ("0/L 12345", ""),
        ("0/L", "kdbg: expected value following L\n"),
        ("0/L 1 2 3", "kdbg: only value and mask may follow L\n"),
    ],
)
def test_search(target, command, answer):
    assert run(target, command) == answer


def test_a_search_leaves_dot_where_it_ended(target):
    opened, _ = session(target)
    opened.execute("0,5/L 88776655")
    assert opened.dot == 4
    opened.execute("0/L 12345")
    assert opened.dot == 24


def test_writing_is_refused_on_what_is_not_open_for_it(target):
    assert run(target, "0/W 1") == "kdbg: failed to write 1 at address 0x0: target is not open for writing\n"


def test_writing_shows_the_old_and_the_new(tmp_path):
    target = raw(tmp_path, bytes(16), writable=True)
    assert run(target, "0/W 11") == f"{'0:':16}0               =       0x11\n"
    assert run(target, "4/v 1 2") == f"{'4:':16}0       =       0x1\n{'5:':16}0       =       0x2\n"
    assert run(target, "8/Z 1122334455667788") == f"{'8:':16}{'0':24}=       0x1122334455667788\n"
    assert (tmp_path / "file.bin").read_bytes() == bytes.fromhex("11000000010200008877665544332211")


def test_writing_lengthens_a_file(tmp_path):
    target = raw(tmp_path, b"\x05", writable=True)
    assert run(target, "0/w 102") == f"{'0:':16}0x5     =       0x102\n"
    assert (tmp_path / "file.bin").read_bytes() == b"\x02\x01"


def test_a_typed_write_wants_a_type(target):
    assert run(target, "0/z 1") == (
        "kdbg: no CTF data found at this address\n"
        "kdbg: failed to write 1 at address 0x0: operation not supported by target\n"
    )


@pytest.mark.parametrize(
    ("command", "answer"),
    [("0/l 201", ""), ("0/l 302", "2\n"), ("0/l 2 ff", "2\n"), ("1/l 201", "1\n"), ("0/L 201 ffff0000", "")],
)
def test_a_search_steps_by_the_size(tmp_path, command, answer):
    assert run(raw(tmp_path, bytes([0, 1, 2, 3, 2, 1])), command) == answer


def test_pointers_of_a_32_bit_program_have_four_bytes(tmp_path):
    program = Program(bits=32).open(tmp_path)
    assert run(program, "table+4/KK") == f"{'prog`table+4:':16}7060504         b0a0908         \n"
    assert run(program, "table+4/p") == f"{'prog`table+4:':16}{'0x7060504':19}\n"


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(sorted(set(LETTERS) - set("vwzWZlLM")))), max_size=8))
def test_any_list_of_letters_shows_something_and_goes_on(list_):
    with tempfile.TemporaryDirectory() as folder:
        target = raw(Path(folder), BYTES)
        text = "".join(f"{count}{letter}" for count, letter in list_)
        answer = run(target, f"4/{text}", "1=K")
        assert answer.endswith(f"{'':16}1               \n")
        assert "internal error" not in answer
        target.close()

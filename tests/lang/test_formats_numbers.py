"""Numbers, times and characters as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbg.lang.formats_numbers import bit_chart, calendar, carets, digits, double, escaped, offset, prefixed, single


@given(st.integers(-(1 << 64), 1 << 64), st.integers(2, 16))
def test_digits_are_python_s_digits(value, base):
    assert int(digits(value, base), base) == value


@pytest.mark.parametrize(
    ("value", "base", "shown"),
    [(9, 16, "9"), (10, 16, "0xa"), (7, 8, "7"), (8, 8, "0o10"), (10, 10, "0t10"), (1, 2, "1"), (2, 2, "0i10"),
     (20, 7, "26")],
)  # fmt: skip
def test_a_single_digit_goes_without_prefix(value, base, shown):
    assert prefixed(value, base) == shown


@pytest.mark.parametrize(("value", "shown"), [(3, "+3"), (16, "+0x10"), (-3, "-0x3"), (-16, "-0x10")])
def test_offsets_have_signs(value, shown):
    assert offset(value, 16) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(0x3F800000, "+1.0000000e+00"), (0x80000000, "-0.0000000e+00"), (0x7F800000, "+Infinity"), (0xFFC00000, "-NaN"),
     (0x3DCCCCCD, "+1.0000000e-01")],
)  # fmt: skip
def test_singles(raw, shown):
    assert single(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(0x3FF0000000000000, "+1.0000000000000000e+00"), (0xFFF0000000000000, "-Infinity"), (0x7FF8000000000000, "+NaN"),
     (1, "+4.9406564584124654e-324")],
)  # fmt: skip
def test_doubles(raw, shown):
    assert double(raw) == shown


def test_characters():
    assert escaped(b'a\0\n"\\\x7f\xff') == 'a\\0\\n\\"\\\\\\177\\377'
    assert carets(b"a\0\n\x7f\xe1") == "a^@^J^?a"


def test_a_year_beyond_the_library_s_is_a_number():
    assert calendar(1 << 62, 10) == str(1 << 62)
    assert calendar(-1, 16) == "1969 Dec 31 23:59:59"


@given(st.integers(0, (1 << 64) - 1))
def test_a_chart_has_a_branch_for_each_bit(value):
    lines = bit_chart(value)
    assert lines[0] == f"{value:b}"
    assert [line.split()[line.split().index("bit") + 1] for line in lines[2:]] == [
        str(bit) for bit in range(64) if value >> bit & 1
    ]

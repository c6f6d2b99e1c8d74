"""LZJB: what was compressed comes back; damaged data ends in an error; the compiled and the pure twin say the same."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbg.formats import lzjb
from samples.illumos_dump import lzjb as compress
from samples.illumos_dump import lzjb_page

PAGE = 4096
Decompress = Callable[[bytes, int], bytes]
compiled = lzjb.decompress if lzjb.decompress is not lzjb.decompress_pure else None
twins = [
    pytest.param(lzjb.decompress_pure, id="pure"),
    pytest.param(compiled, id="compiled", marks=pytest.mark.skipif(compiled is None, reason="installed without it")),
]
both = pytest.mark.parametrize("decompress", twins)


def outcome(decompress: Decompress, data: bytes, size: int) -> bytes | str:
    try:
        return decompress(data, size)
    except ValueError as error:
        return str(error)


@both
@settings(deadline=None)
@given(pieces=st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 60)), min_size=1, max_size=20))
def test_what_was_compressed_comes_back(decompress: Decompress, pieces: list[tuple[bytes, int]]) -> None:
    plain = b"".join(piece * times for piece, times in pieces)
    plain += plain[:1] * 8 * len(plain)  # so that it shrinks, whatever it is
    packed = compress(plain)
    assert len(packed) < len(plain)
    assert decompress(packed, len(plain)) == plain
    assert decompress(memoryview(packed), len(plain)) == plain


@both
def test_a_page_that_did_not_shrink_is_stored_as_it_is(decompress: Decompress) -> None:
    plain = random.Random(1).randbytes(PAGE)
    assert decompress(plain, PAGE) == plain
    assert decompress(plain + b"more", PAGE) == plain


@both
@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"\x0ea" + bytes((0x3F << 2, 1)) * 3, b"a" * 199),
        (b"\x02a" + bytes((0x3F << 2, 1)), b"a" * 67),  # the longest copy, of what it writes itself
        (b"\x04ab" + bytes((7 << 2, 2)), b"ab" * 6),
        (b"\x02a" + bytes((0x3F << 2, 1)), b"a" * 50),  # a copy that reaches beyond the page
        (b"\0" + b"abcdefgh" + b"\x01" + bytes((5 << 2, 8)), b"abcdefgh" * 2),  # eight literals and the same again
    ],
)
def test_items(decompress: Decompress, data: bytes, plain: bytes) -> None:
    assert decompress(data, len(plain)) == plain


@both
@pytest.mark.parametrize(
    ("data", "size", "reason"),
    [
        (b"", 1, "lzjb data of 0 bytes ends after 0 of 1"),
        (b"\0abc", PAGE, "lzjb data of 4 bytes ends after 3 of 4096"),
        (b"\x80abc", PAGE, "lzjb data of 4 bytes ends after 3 of 4096"),
        (b"\x02a\x04", PAGE, "lzjb data of 3 bytes ends after 1 of 4096"),
        (b"\x01\x04\x01", PAGE, "lzjb copy from 1 bytes back at 0"),
        (b"\x02a\x04\x02", PAGE, "lzjb copy from 2 bytes back at 1"),
        (b"\x02a\x04\x00", PAGE, "lzjb copy from 0 bytes back at 1"),
        (b"abc", -1, "lzjb data of 3 bytes cannot give -1"),
    ],
)
def test_damaged_data_says_what_is_wrong(decompress: Decompress, data: bytes, size: int, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        decompress(data, size)


@pytest.mark.skipif(compiled is None, reason="installed without it")
@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=300), size=st.integers(-2, 600))
def test_the_twins_agree_on_any_bytes(data: bytes, size: int) -> None:
    assert outcome(lzjb.decompress, data, size) == outcome(lzjb.decompress_pure, data, size)


@pytest.mark.skipif(compiled is None, reason="installed without it")
def test_the_twins_agree_on_damaged_pages() -> None:
    chance = random.Random(10)
    page = bytes(chance.choice(b"\0\0\0\0abcdefgh") for _ in range(PAGE // 2)) + bytes(PAGE // 2)
    packed = compress(page)
    for _ in range(400):
        damaged = bytearray(packed[: chance.choice((len(packed), chance.randrange(len(packed))))])
        for _ in range(chance.randrange(4) if damaged else 0):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        data = bytes(damaged)
        assert outcome(lzjb.decompress, data, PAGE) == outcome(lzjb.decompress_pure, data, PAGE)


@pytest.mark.skipif(compiled is None, reason="installed without it")
def test_the_compiled_one_is_quick() -> None:
    """The goal is 200 MB a second; a busy machine is given half."""
    words = [b"kernel ", b"page ", b"\0" * 24, b"cache", b"\xff\xff\xff\xff"]
    chance = random.Random(3)
    pages = [b"".join(chance.choice(words) for _ in range(900))[:PAGE].ljust(PAGE, b"\0") for _ in range(8)]
    packed = [lzjb_page(page) for page in pages]
    shortest = min(_clock(packed) for _ in range(5))
    assert 100 * len(pages) * PAGE / shortest > 100e6


def _clock(packed: list[bytes]) -> float:
    start = time.perf_counter()
    for _ in range(100):
        for data in packed:
            lzjb.decompress(data, PAGE)
    return time.perf_counter() - start

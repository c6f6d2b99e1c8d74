"""LiME and AVML: ranges of memory, as they are and through snappy."""

from __future__ import annotations

from pathlib import Path

import pytest
from formats.dumps import PAGE, holds, misses, opened, page, pages
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from samples.lime import avml, lime

RANGES = [(0x1000, 3), (0x100000, 40), (0xC0000000, 2), (1 << 40, 1)]


def ranges(plan: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    """(address, bytes) of runs of pages."""
    return [(at, b"".join(page(at // PAGE + number) for number in range(count))) for at, count in plan]


def wanted(plan: list[tuple[int, int]]) -> dict[int, bytes]:
    """The same by frame."""
    return pages(*(at // PAGE + number for at, count in plan for number in range(count)))


@pytest.mark.parametrize("form", ["lime", "avml", "stored"])
def test_every_range_is_read_back(tmp_path: Path, form: str) -> None:
    data = lime(ranges(RANGES)) if form == "lime" else avml(ranges(RANGES), stored=form == "stored")
    image = opened(tmp_path / "dump", data)
    holds(image, wanted(RANGES))
    misses(image, 0x50, "does not hold")
    told = image.describe()
    assert (told.pages, told.complete, told.memory_size) == (46, True, 46 * PAGE)
    assert told.details["compression"] == ("none" if form == "lime" else "snappy")


@pytest.mark.parametrize("form", [lime, avml])
def test_ranges_in_any_order(tmp_path: Path, form: object) -> None:
    data = form(ranges(RANGES)[::-1])  # type: ignore[operator]
    holds(opened(tmp_path / "dump", data), wanted(RANGES))


def test_a_range_that_begins_within_a_page(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", lime([(0x1400, b"\x11" * 0xC00 + page(2) + b"\x22" * 0x300)]))
    holds(image, {1: bytes(0x400) + b"\x11" * 0xC00, 2: page(2), 3: b"\x22" * 0x300 + bytes(0xD00)})


@pytest.mark.parametrize("form", [lime, avml])
def test_a_search_sees_whole_pages(tmp_path: Path, form: object) -> None:
    """Of a range that begins within a page, the pages that it holds whole or in part, and no others' bytes."""
    image = opened(tmp_path / "dump", form([(0x1400, b"\x11" * 0xC00 + page(2) + b"\x22" * 0x300)]))  # type: ignore[operator]
    seen = {at: bytes(data) for at, data in image.stretches()}  # type: ignore[attr-defined]
    assert all(at % PAGE == len(data) % PAGE == 0 for at, data in seen.items())
    assert any(page(2) in data for data in seen.values())


def test_lime_cut_off(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", lime(ranges(RANGES))[: -2 * PAGE])
    told = image.describe()
    assert not told.complete
    assert any("cut off" in sentence for sentence in told.damage)
    assert bytes(image.page(0x100) or b"") == page(0x100)
    misses(image, 0xC0001, "cut off")


def test_avml_cut_off(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", avml(ranges(RANGES))[:-9000])
    assert not image.describe().complete
    assert "memory from" in image.damage[0]
    assert bytes(image.page(0x100) or b"") == page(0x100)
    assert image.page(1 << 28) is None


@pytest.mark.parametrize("form", [lime, avml])
@pytest.mark.parametrize(("at", "value"), [(0, 0), (4, 9), (16, 0)])
def test_a_damaged_header_in_the_middle_loses_the_rest(tmp_path: Path, form: object, at: int, value: int) -> None:
    first, second = form(ranges(RANGES[:1])), bytearray(form(ranges(RANGES[1:])))  # type: ignore[operator]
    second[at : at + 8] = value.to_bytes(8, "little")
    image = opened(tmp_path / "dump", first + bytes(second))
    holds(image, wanted(RANGES[:1]))
    assert "header is damaged" in image.damage[0]
    assert f"{len(first):#x}" in image.damage[0]


def test_a_chunk_that_is_damaged_is_missing_with_the_reason(tmp_path: Path) -> None:
    whole = bytearray(avml(ranges([(0x1000, 40)])))
    first = 32 + 10
    whole[first + 8 + 3 : first + 60] = b"\xff" * 49
    image = opened(tmp_path / "dump", bytes(whole))
    misses(image, 1, "damaged")
    assert bytes(image.page(30) or b"") == page(30)


def test_chunks_of_sizes_that_cannot_be(tmp_path: Path) -> None:
    whole = bytearray(avml(ranges([(0x1000, 1)]), stored=True))
    whole[42 + 1 : 42 + 4] = (2).to_bytes(3, "little")
    image = opened(tmp_path / "dump", bytes(whole))
    assert len(image.pages) == 0
    assert "snappy chunk of 2 bytes" in image.damage[0]


def test_opens_by_the_program_too(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(lime(ranges(RANGES)))
    with kdbg.open(tmp_path / "dump") as target:
        assert target.read_physical(0x100000, 16) == page(0x100)[:16]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=40, unique=True), st.sampled_from(["lime", "avml", "stored"]))
def test_any_dump_is_read_back(tmp_path_factory: pytest.TempPathFactory, frames: list[int], form: str) -> None:
    plan = [(frame * PAGE, 1) for frame in frames]
    data = lime(ranges(plan)) if form == "lime" else avml(ranges(plan), stored=form == "stored")
    holds(opened(tmp_path_factory.mktemp("any") / "dump", data), wanted(plan))

"""Flattened dumps: pieces in any order, over one another, with holes, cut."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from formats.dumps import holds, opened, pages
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from kdbg.formats.flattened import FlattenedSource
from kdbg.formats.source import Source
from samples.elf_dump import ElfDump, Load
from samples.kdump import KdumpShape, flatten

PAGES = pages(*range(0x20, 0x30), 0x900, zeros=(0x21, 0x22))


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("piece", [16, 464, 5000, 65536])
def test_pieces_in_any_order(tmp_path: Path, seed: int | None, piece: int) -> None:
    holds(opened(tmp_path / "dump", flatten(KdumpShape().data(PAGES), seed, piece)), PAGES)


def test_an_elf_dump_flattened(tmp_path: Path) -> None:
    dump = ElfDump([Load(frame << 12, data) for frame, data in PAGES.items()])
    holds(opened(tmp_path / "dump", flatten(dump.data(), seed=4)), PAGES)


@pytest.mark.parametrize("ended", [True, False])
def test_an_end_without_a_mark_is_told(tmp_path: Path, ended: bool) -> None:
    image = opened(tmp_path / "dump", flatten(KdumpShape().data(PAGES), ended=ended))
    assert ended == (not image.damage)
    assert ended or "ends without a mark" in image.damage[0]


def test_cut_in_the_middle(tmp_path: Path) -> None:
    whole = flatten(KdumpShape("raw").data(PAGES))
    image = opened(tmp_path / "dump", whole[: len(whole) * 2 // 3])
    assert not image.describe().complete
    there = [frame for frame in PAGES if image.page(frame) is not None]
    assert 0 < len(there) < len(PAGES)
    assert all(bytes(image.page(frame) or b"") == PAGES[frame] for frame in there)


def of_pieces(*pieces: tuple[int, bytes]) -> bytes:
    """A flattened file of pieces in that order."""
    body = b"".join(struct.pack(">qq", at, len(data)) + data for at, data in pieces)
    return b"makedumpfile\0\0\0\0".ljust(4096, b"\0") + body + struct.pack(">qq", -1, -1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=30)), min_size=1, max_size=12))
def test_of_pieces_for_one_place_the_later_is_meant(pieces: list[tuple[int, bytes]]) -> None:
    """As when the file is put together on a disk."""
    wanted = bytearray(max(at + len(data) for at, data in pieces))
    for at, data in pieces:
        wanted[at : at + len(data)] = data
    source = FlattenedSource(Source.of_bytes("flat", of_pieces(*pieces)))
    assert source.size == len(wanted)
    assert bytes(source.read(0, source.size)) == wanted
    for start in range(0, len(wanted), 7):
        assert bytes(source.read(start, min(11, len(wanted) - start))) == wanted[start : start + 11]


@pytest.mark.parametrize(("offset", "size"), [(-2, 8), (8, -5), (0, 0)])
def test_pieces_that_cannot_be_are_refused(tmp_path: Path, offset: int, size: int) -> None:
    with pytest.raises(kdbg.FormatError, match="flattened: a piece") as caught:
        opened(tmp_path / "dump", of_pieces((0, bytes(64)))[:-16] + struct.pack(">qq", offset, size) + bytes(64))
    assert caught.value.offset == 4096 + 80
    assert str(tmp_path / "dump") in str(caught.value)


def test_a_hole_of_all_memory_takes_none(tmp_path: Path) -> None:
    source = FlattenedSource(Source.of_bytes("flat", of_pieces((0, b"x"), (1 << 62, b"y"))))
    with pytest.raises(kdbg.FormatError, match="all pieces have fewer"):
        source.read(0, 1 << 50)

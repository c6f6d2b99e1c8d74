"""makedumpfile's dumps: header versions, widths, compressions, split sets, bitmaps, read back byte for byte."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from formats.dumps import holds, misses, opened, opened_set, page, pages
from hypothesis import given, settings
from hypothesis import strategies as st

import kdbg
from samples.dump_notes import EM_386, EM_AARCH64, EM_X86_64, notes, vmcoreinfo
from samples.kdump import INCOMPLETE, STATUS, KdumpShape, flatten, split

PAGES = pages(*range(0x100, 0x118), 1, 0x7FFF, zeros=(0x50, 0x51, 0x110, 0x4000))
INFO = {
    "OSRELEASE": "6.1.0-sample",
    "PAGESIZE": "4096",
    "SYMBOL(_stext)": "ffffffff81000000",
    "CRASHTIME": "1700000001",
}


@pytest.mark.parametrize("compression", STATUS)
@pytest.mark.parametrize("bits", [64, 32])
def test_every_compression(tmp_path: Path, compression: str, bits: int) -> None:
    shape = KdumpShape(compression, bits=bits)
    image = opened(tmp_path / "dump", shape.data(PAGES))
    holds(image, PAGES)
    told = image.describe()
    assert told.details["compression"] == ("none" if compression == "raw" else compression)
    assert (told.complete, told.missing, told.host, told.time) == (True, 0, "sample-host", 1_700_000_000.0)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("bits", [64, 32])
def test_every_header_version(tmp_path: Path, version: int, bits: int) -> None:
    """What lies behind the members of an old version's sub header is not read."""
    machine, name = (EM_X86_64, "x86_64") if bits == 64 else (EM_386, "i686")
    told = notes(machine, [{"rip": 0x1234, "eip": 0x1234, "rsp": 0x99, "esp": 0x99}])
    shape = KdumpShape(version=version, bits=bits, machine=name, notes=told, vmcoreinfo=vmcoreinfo(INFO))
    image = opened(tmp_path / "dump", shape.data(PAGES))
    holds(image, PAGES)
    assert image.describe().details["header_version"] == version
    assert dict(image.vmcoreinfo) == (INFO if version >= 3 else {})
    where = [cpu["rip" if bits == 64 else "eip"] for cpu in image.contexts]
    assert where == ([0x1234] if version >= 4 else [])
    assert image.bits == bits


def test_machines(tmp_path: Path) -> None:
    for name, machine, wanted in (
        ("x86_64", EM_X86_64, "x86-64"),
        ("aarch64", EM_AARCH64, "arm64"),
        ("i686", EM_386, "x86"),
    ):
        shape = KdumpShape(machine=name, notes=notes(machine, [{"rip": 1, "pc": 1, "eip": 1}] * 3))
        image = opened(tmp_path / name, shape.data(PAGES))
        assert (image.architecture, len(image.contexts)) == (wanted, 3)


def test_pages_of_zeros_share_a_place(tmp_path: Path) -> None:
    empty = pages(zeros=tuple(range(5, 400)))
    shared = KdumpShape(share_zeros=True).data(empty)
    assert len(shared) < len(KdumpShape(share_zeros=False).data(empty))
    holds(opened(tmp_path / "dump", shared), empty)


def test_two_bitmaps_tell_what_was_left_out(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", KdumpShape(exist=(0x200, 0x201, 9)).data(PAGES))
    holds(image, PAGES)
    misses(image, 0x200, "excluded")
    misses(image, 0x300, "does not hold")
    told = image.describe()
    assert (told.missing, told.missing_why, told.memory_size) == (3, {"excluded": 3}, 4096 * (len(PAGES) + 3))
    assert told.complete


@pytest.mark.parametrize("size", [16384, 65536])
def test_pages_larger_than_4096_are_runs_of_these(tmp_path: Path, size: int) -> None:
    """An arm64 kernel's pages are the blocks of its dump; frames are counted in 4096 bytes throughout."""
    each = size // 4096
    blocks = {number: b"".join(page(number * each + at) for at in range(each)) for number in (3, 4, 9)}
    wanted = {number * each + at: page(number * each + at) for number in blocks for at in range(each)}
    image = opened(tmp_path / "dump", KdumpShape(block=size, machine="aarch64", exist=(7,)).data(blocks))
    holds(image, wanted)
    misses(image, 7 * each + 1, "excluded")
    assert image.describe().memory_size == 4 * size


def test_frames_beyond_32_bits_of_the_old_count(tmp_path: Path) -> None:
    """The 32-bit count is full; the one of version 6 counts."""
    whole = bytearray(KdumpShape().data(PAGES))
    assert int.from_bytes(whole[0x1B8:0x1BC], "little") == 0x8000
    whole[0x1B8:0x1BC] = (100).to_bytes(4, "little")
    holds(opened(tmp_path / "six", bytes(whole)), PAGES)
    whole = bytearray(KdumpShape(version=5).data(PAGES))
    whole[0x1B8:0x1BC] = (0x101).to_bytes(4, "little")
    image = opened(tmp_path / "five", bytes(whole))
    assert list(image.pages) == [1, 0x50, 0x51, 0x100]


def test_an_incomplete_dump_says_so(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", KdumpShape(status=INCOMPLETE).data(PAGES))
    holds(image, PAGES)
    assert not image.describe().complete
    assert "incomplete" in image.damage[0]


def test_erased_data_is_told_of(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", KdumpShape(erase_info=b"erase jprobe 24\n").data(PAGES))
    assert image.describe().details["erase_info"] is True
    holds(image, PAGES)


# --- split sets -----------------------------------------------------------------------------------------------------

RANGES = [(0, 0x60), (0x60, 0x60), (0x60, 0x10B), (0x10B, 0x8000)]


@pytest.mark.parametrize("version", [2, 5, 6])
def test_a_whole_set_in_any_order(tmp_path: Path, version: int) -> None:
    files = split(PAGES, RANGES, KdumpShape(version=version))
    for at, order in enumerate(itertools.permutations(files)):
        folder = tmp_path / str(at)
        folder.mkdir()
        image = opened_set(folder, list(order))
        holds(image, PAGES)
        assert image.describe().complete


def test_an_incomplete_set_says_which_pages_lie_elsewhere(tmp_path: Path) -> None:
    files = split(PAGES, RANGES, KdumpShape(exist=(0x105, 0x200)))
    image = opened_set(tmp_path, [files[0], files[3]])
    holds(image, {frame: data for frame, data in PAGES.items() if not 0x60 <= frame < 0x10B})
    misses(image, 0x104, "file of the split set that was not given")
    misses(image, 0x200, "excluded")
    told = image.describe()
    assert not told.complete
    elsewhere = sum(0x60 <= frame < 0x10B for frame in PAGES)
    assert told.missing_why == {"excluded": 1, "in a file of the split set that was not given": elsewhere}
    assert told.missing == elsewhere + 1


def test_an_empty_member_alone(tmp_path: Path) -> None:
    image = opened(tmp_path / "dump", split(PAGES, RANGES)[1])
    assert len(image.pages) == 0
    misses(image, 0x100, "split set")


def test_files_that_are_no_set_are_refused(tmp_path: Path) -> None:
    one, other = split(PAGES, RANGES), split(pages(1, 2), RANGES)
    with pytest.raises(kdbg.FormatError, match="not of one split set") as caught:
        opened_set(tmp_path, [one[0], other[1]])
    assert str(tmp_path / "part-1") in str(caught.value)
    with pytest.raises(kdbg.FormatError, match="not of one split set"):
        opened_set(tmp_path, [KdumpShape().data(PAGES), one[1]])


def test_a_file_of_a_set_given_twice_is_refused(tmp_path: Path) -> None:
    files = split(PAGES, RANGES)
    with pytest.raises(kdbg.FormatError, match=r"same pages as .*part-0: was it given twice") as caught:
        opened_set(tmp_path, [files[0], files[2], files[0]])
    assert str(tmp_path / "part-2") in str(caught.value)
    holds(opened_set(tmp_path, [*files, files[1]]), PAGES)  # empty ones do no harm


# --- damage ---------------------------------------------------------------------------------------------------------


def test_pages_that_are_cut_off(tmp_path: Path) -> None:
    whole = KdumpShape(compression="raw", share_zeros=False).data(PAGES)
    image = opened(tmp_path / "dump", whole[: -5 * 4096 + 100])
    order = sorted(PAGES)
    told = image.describe()
    assert not told.complete
    assert "cut off" in told.damage[0]
    for frame in order[:-5]:
        assert bytes(image.page(frame) or b"") == PAGES[frame]
    misses(image, order[-1], "cut off")


def test_bitmaps_that_are_cut_off(tmp_path: Path) -> None:
    """Cut within the sub header, before the first bitmap and the second: no page is known of."""
    whole = KdumpShape().data(PAGES)
    for size in (4096 + 200, 2 * 4096, 3 * 4096):
        image = opened(tmp_path / f"cut-{size}", whole[:size])
        assert len(image.pages) == 0
        assert image.describe().pages == 0
        assert "cut off: bitmaps" in image.describe().damage[0]
        assert image.page(0x100) is None


def test_descriptors_that_are_cut_off(tmp_path: Path) -> None:
    shape = KdumpShape(compression="raw")
    image = opened(tmp_path / "dump", shape.data(PAGES)[: 4096 * 4 + 24 * 3])
    assert not image.describe().complete
    misses(image, 0x100, "cut off")


@pytest.mark.parametrize("compression", ["zlib", "lzo", "snappy", "zstd"])
def test_a_page_that_is_damaged_is_missing_with_the_reason(tmp_path: Path, compression: str) -> None:
    whole = bytearray(KdumpShape(compression).data({1: page(1), 2: page(2)}))
    at = 4 * 4096
    place, size = int.from_bytes(whole[at : at + 8], "little"), int.from_bytes(whole[at + 8 : at + 12], "little")
    whole[place : place + size] = b"\xff" * size
    image = opened(tmp_path / "dump", bytes(whole))
    misses(image, 1, "damaged")
    assert bytes(image.page(2) or b"") == page(2)


def test_a_page_that_decompresses_to_too_much_is_damaged(tmp_path: Path) -> None:
    """A bomb in a page costs no more than a page."""
    import zlib

    bomb = zlib.compress(bytes(64 << 20), 9)[:8000]
    whole = bytearray(KdumpShape().data({1: page(1)})) + bomb
    at = 4 * 4096
    whole[at : at + 12] = (len(whole) - len(bomb)).to_bytes(8, "little") + len(bomb).to_bytes(4, "little")
    image = opened(tmp_path / "dump", bytes(whole))
    found = image.page(1)
    assert found is None or bytes(found) == bytes(4096)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [(0x1AC, 1234, "block size"), (0x1B4, 0xFFFFFF, "blocks of bitmaps"), (0x1B0, -1, "block")],
)
def test_headers_that_cannot_be_are_refused(tmp_path: Path, at: int, value: int, words: str) -> None:
    whole = bytearray(KdumpShape().data(PAGES))
    whole[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
    with pytest.raises(kdbg.FormatError, match=words) as caught:
        opened(tmp_path / "dump", bytes(whole))
    assert caught.value.offset is not None


@pytest.mark.parametrize(("bits", "at"), [(64, 0x1AC), (32, 0x1A0)])
def test_a_dump_of_no_memory(tmp_path: Path, bits: int, at: int) -> None:
    """No sub header, no bitmaps, no frames: the block size alone tells the width of the writer."""
    data = bytearray(4096)
    data[:12] = b"KDUMP   " + (6).to_bytes(4, "little")
    data[at : at + 4] = (4096).to_bytes(4, "little")
    image = opened(tmp_path / "dump", bytes(data))
    assert (image.bits, list(image.pages)) == (bits, [])
    misses(image, 0, "does not hold that page")


@pytest.mark.parametrize("most", [4096, 8192, 16384, 65536])
@pytest.mark.parametrize("bits", [64, 32])
def test_counts_that_look_like_sizes_of_blocks(tmp_path: Path, bits: int, most: int) -> None:
    """Read with the other width, max_mapnr stands where the size of a block is expected."""
    held = {most - 1: page(1)}
    holds(opened(tmp_path / "dump", KdumpShape(bits=bits, version=1).data(held)), held)


# --- any dump -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(0, 5000), max_size=20), st.sets(st.integers(0, 5000), max_size=10),
    st.sampled_from(list(STATUS)), st.integers(1, 6), st.sampled_from([64, 32]), st.booleans(), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_any_dump_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, frames: set[int], exist: set[int], compression: str, version: int,
    bits: int, share: bool, flat: bool, ending: bool,
) -> None:  # fmt: skip
    held = {frame: page(frame) if frame % 3 else bytes(4096) for frame in frames}
    shape = KdumpShape(compression, version, bits, share_zeros=share, exist=tuple(exist))
    if not ending:
        shape = replace(shape, most=6001)
    data = shape.data(held)
    image = opened(tmp_path_factory.mktemp("any") / "dump", flatten(data, seed=len(frames)) if flat else data)
    holds(image, held)
    for frame in exist - frames:
        misses(image, frame, "excluded")
    assert image.describe().complete


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 3000), max_size=20), st.lists(st.integers(0, 3000), max_size=4), st.randoms())
def test_any_split_set_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, frames: set[int], cuts: list[int], random: object
) -> None:
    held = {frame: page(frame) for frame in frames}
    edges = [0, *sorted(cuts), 3001]
    files = split(held, list(itertools.pairwise(edges)))
    random.shuffle(files)  # type: ignore[attr-defined]
    holds(opened_set(tmp_path_factory.mktemp("any"), files), held)

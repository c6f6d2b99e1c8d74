"""What a dump leaves out stays left out, and known so, in whatever format it is written again."""

from __future__ import annotations

from pathlib import Path

import pytest
from formats.dumps import PAGE, holds, misses, opened, opened_set, page, pages
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbg.convert import convert
from kdbg.formats import open_image, ranges
from kdbg.formats.image import Image
from samples.dump_notes import EM_AARCH64, EM_X86_64, note, notes, vmcoreinfo
from samples.elf_dump import ElfDump, Load
from samples.kdump import KdumpShape, split

PAGES = pages(0x10, 0x11, 0x12, 0x400, 0x8001)
EXCLUDED = (0x13, 0x14, 0x300, 0x8000, 0x9000)
ERASED = b"erase user_struct.secret 64\n"
FORMS = ("elf", "kdump", "kdump-zstd")


def kdump(folder: Path, **shape: object) -> Image:
    """A dump of makedumpfile's with something left out."""
    told = {"exist": EXCLUDED, "level": 17, "vmcoreinfo": vmcoreinfo({"OSRELEASE": "6.1.0"}), **shape}
    return opened(folder / "source", KdumpShape(**told).data(PAGES))  # type: ignore[arg-type]


def elf(folder: Path) -> Image:
    """An ELF dump with the same left out: behind what is held, and alone."""
    loads = [Load(frame * PAGE, data) for frame, data in PAGES.items()]
    loads += [Load(frame * PAGE, b"", memory=PAGE) for frame in EXCLUDED]
    return opened(folder / "source", ElfDump(loads).data())


SOURCES = {"kdump": kdump, "elf": elf}


def again(image: Image, folder: Path, form: str, frames: list[int] | None = None) -> Image:
    """An image written in a format, opened."""
    out = folder / f"{form}-{len(list(folder.iterdir()))}"
    convert(image, str(out), form, frames)
    return open_image(str(out))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("form", FORMS)
def test_excluded_pages_stay_excluded(tmp_path: Path, source: str, form: str) -> None:
    image = again(SOURCES[source](tmp_path), tmp_path, form)
    holds(image, PAGES)
    for frame in EXCLUDED:
        misses(image, frame, "excluded from the dump on purpose")
    misses(image, 0x15, "does not hold")
    info = image.describe()
    assert (info.missing, info.missing_why) == (len(EXCLUDED), {"excluded": len(EXCLUDED)})
    assert info.memory_size == PAGE * (len(PAGES) + len(EXCLUDED))
    assert info.complete


@pytest.mark.parametrize("form", FORMS)
def test_pages_that_are_not_asked_for_are_excluded(tmp_path: Path, form: str) -> None:
    image = again(kdump(tmp_path), tmp_path, form, [0x11, 0x8001])
    holds(image, {frame: PAGES[frame] for frame in (0x11, 0x8001)})
    for frame in (0x10, 0x12, 0x400, *EXCLUDED):
        misses(image, frame, "excluded")
    assert image.describe().complete


def test_excluded_memory_follows_what_is_held_in_one_program_header(tmp_path: Path) -> None:
    """As makedumpfile -E writes it: p_memsz > p_filesz."""
    image = again(kdump(tmp_path), tmp_path, "elf")
    found = [(piece.address // PAGE, piece.held // PAGE, piece.size // PAGE) for piece in image.segments.pieces]  # type: ignore[attr-defined]
    assert found == [(0x10, 3, 5), (0x300, 0, 1), (0x400, 1, 1), (0x8000, 0, 1), (0x8001, 1, 1), (0x9000, 0, 1)]


@pytest.mark.parametrize("form", ["kdump", "kdump-zstd"])
def test_the_dump_level_is_kept(tmp_path: Path, form: str) -> None:
    assert again(kdump(tmp_path), tmp_path, form).describe().details["dump_level"] == 17


@pytest.mark.parametrize("form", FORMS)
def test_erase_info_is_kept(tmp_path: Path, form: str) -> None:
    image = again(kdump(tmp_path, erase_info=ERASED), tmp_path, form)
    assert image.erase_info == ERASED  # type: ignore[attr-defined]
    back = again(image, tmp_path, "kdump")
    assert back.erase_info == ERASED  # type: ignore[attr-defined]
    assert back.describe().details["erase_info"]


@pytest.mark.parametrize("form", FORMS)
def test_notes_of_others_are_kept(tmp_path: Path, form: str) -> None:
    """Floating-point registers, drivers' own dumps: what kdbg does not read is no less the dump's."""
    told = notes(EM_AARCH64, [{"pc": 5, "x7": 9}]) + note("CORE", 2, bytes(range(64))) + note("LINUX", 0x700, b"device")
    source = opened(tmp_path / "source", ElfDump([Load(0, page(1))], told, EM_AARCH64).data())
    image = again(source, tmp_path, form)
    found = [(one.owner, one.type, bytes(one.data)) for one in image.notes.notes]  # type: ignore[attr-defined]
    assert ("CORE", 2, bytes(range(64))) in found
    assert ("LINUX", 0x700, b"device") in found
    assert [(cpu["pc"], cpu["x7"]) for cpu in image.contexts] == [(5, 9)]


# --- lost pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_an_incomplete_dump_stays_incomplete(tmp_path: Path, form: str) -> None:
    info = again(kdump(tmp_path, status=8), tmp_path, form).describe()
    assert not info.complete
    assert "incomplete" in info.damage[0]


def damaged(folder: Path) -> Image:
    """A dump whose page 0x11 does not decompress."""
    whole = bytearray(KdumpShape(exist=EXCLUDED).data(PAGES))
    at = 6 * PAGE + 24  # header, sub header, two bitmaps of 9 bits' worth: 2 blocks each
    place, size = int.from_bytes(whole[at : at + 8], "little"), int.from_bytes(whole[at + 8 : at + 12], "little")
    whole[place : place + size] = b"\xff" * size
    return opened(folder / "source", bytes(whole))


@pytest.mark.parametrize(("form", "why"), [("elf", "or lost"), ("kdump", "lost: "), ("kdump-zstd", "lost: ")])
def test_a_damaged_page_is_not_written_as_zeros(tmp_path: Path, form: str, why: str) -> None:
    source = damaged(tmp_path)
    misses(source, 0x11, "damaged")
    image = again(source, tmp_path, form)
    holds(image, {frame: data for frame, data in PAGES.items() if frame != 0x11})
    misses(image, 0x11, why)
    misses(image, 0x300, "excluded")
    assert not image.describe().complete
    if form != "elf":  # which cannot tell the two apart
        assert image.describe().missing_why == {"excluded": len(EXCLUDED), "not written": 1}
        misses(again(image, tmp_path, "kdump"), 0x11, "lost: ")


@pytest.mark.parametrize("form", FORMS)
def test_pages_behind_the_end_of_a_file_are_lost(tmp_path: Path, form: str) -> None:
    whole = ElfDump([Load(0x10 * PAGE, page(1) + page(2) + page(3))]).data()
    source = opened(tmp_path / "source", whole[:-PAGE])
    misses(source, 0x12, "cut off")
    image = again(source, tmp_path, form)
    holds(image, {0x10: page(1), 0x11: page(2)})
    misses(image, 0x12, "lost")
    assert not image.describe().complete


@pytest.mark.parametrize("form", ["kdump", "elf"])
def test_files_of_a_split_set_that_were_not_given_are_lost(tmp_path: Path, form: str) -> None:
    files = split(PAGES, [(0, 0x12), (0x12, 0x8002)])
    image = again(opened_set(tmp_path, files[:1]), tmp_path, form)
    holds(image, {frame: PAGES[frame] for frame in (0x10, 0x11)})
    for frame in (0x12, 0x400, 0x8001):
        misses(image, frame, "lost")
    assert not image.describe().complete


def test_memory_beyond_all_reason_is_not_believed(tmp_path: Path) -> None:
    """A size that damage made costs no bitmap of its own."""
    loads = [Load(0x10 * PAGE, page(1)), Load(0x20 * PAGE, page(2), memory=(1 << 62) - 1)]
    image = again(opened(tmp_path / "source", ElfDump(loads, notes(EM_X86_64, [])).data()), tmp_path, "kdump")
    holds(image, {0x10: page(1), 0x20: page(2)})


def test_memory_at_the_end_of_all_addresses(tmp_path: Path) -> None:
    loads = [Load(0x10 * PAGE, page(1)), Load((1 << 64) - 4 * PAGE, b"", memory=8 * PAGE)]
    image = again(opened(tmp_path / "source", ElfDump(loads).data()), tmp_path, "elf")
    holds(image, {0x10: page(1)})
    misses(image, (1 << 52) - 1, "excluded")


# --- any dump -------------------------------------------------------------------------------------------------------

FRAMES = st.sets(st.integers(0, 0x11000), max_size=12)


@settings(max_examples=40, deadline=None)
@given(FRAMES, FRAMES, st.lists(st.sampled_from(FORMS), min_size=1, max_size=3))
def test_any_dump_keeps_what_it_leaves_out(
    tmp_path_factory: pytest.TempPathFactory, held: set[int], left: set[int], forms: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    wanted = {frame: page(frame) for frame in held}
    image = opened(folder / "source", KdumpShape(exist=tuple(left)).data(wanted))
    for form in forms if held | left else ():  # an ELF dump without memory is none
        image = again(image, folder, form)
        holds(image, wanted)
        assert frames_of(image.excluded) == left - held
        assert image.lost == []


def frames_of(several: ranges.Ranges) -> set[int]:
    return {frame for first, end in several for frame in range(first, end)}


SETS = st.sets(st.integers(0, 80), max_size=40)


@given(SETS, SETS, st.integers(1, 3))
def test_ranges_are_sets(one: set[int], other: set[int], size: int) -> None:
    import numpy as np

    left, right = (ranges.of_frames(np.array(sorted(each), np.uint64)) for each in (one, other))
    assert frames_of(left) == one
    assert ranges.count(left) == len(one)
    assert frames_of(ranges.union(left, right)) == one | other
    assert frames_of(ranges.minus(left, right)) == one - other
    assert frames_of(ranges.both(left, right)) == one & other
    whole = bytearray(64)
    for block, bits in ranges.bitmaps(left, size):
        assert len(bits) == size
        assert any(bits)
        whole[block * size : (block + 1) * size] = bits
    assert ranges.of_bits(np.frombuffer(bytes(whole), np.uint8)) == left


@given(SETS, SETS)
def test_ranks_count_what_lies_before(told: set[int], some: set[int]) -> None:
    import numpy as np

    frames, every = sorted(told & some), sorted(told)
    found = ranges.ranks(ranges.of_frames(np.array(every, np.uint64)), np.array(frames, np.uint64))
    assert found.tolist() == [every.index(frame) for frame in frames]


def test_more_lost_pages_than_can_be_listed_are_told_all_the_same(tmp_path: Path) -> None:
    """A file that ends long before a terabyte of memory does costs no descriptor for each lost page."""
    whole = bytearray(ElfDump([Load(0x10 * PAGE, page(1) + page(2))]).data())
    at = 64 + 56 + 32  # p_filesz and p_memsz of the first PT_LOAD
    whole[at : at + 16] = (1 << 40).to_bytes(8, "little") * 2
    image = again(opened(tmp_path / "source", bytes(whole)), tmp_path, "kdump")
    holds(image, {0x10: page(1), 0x11: page(2)})
    misses(image, 0x2000000, "or lost")
    info = image.describe()
    assert (info.complete, info.memory_size) == (False, 1 << 40)

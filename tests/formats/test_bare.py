"""Flat memory: known by what firmware leaves at its beginning, or said to be memory; holes, bases, what is written."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest
from formats.dumps import holds, misses, page, pages

import kdbg
from kdbg.convert import convert
from kdbg.formats import NotADump, open_image, open_memory
from kdbg.formats.bare import RawMemory, begins_like_a_pc
from kdbg.formats.segments import STRETCH
from samples.elf_dump import ElfDump, Load

PAGES = pages(*range(256))
FIRMWARE = struct.pack("<HH", 0xFF53, 0xF000) * 256
BIOS_DATA = struct.pack("<4H", 0x3F8, 0, 0, 0) + bytes(11) + struct.pack("<H", 639) + bytes(11)


def memory(first: bytes = FIRMWARE + BIOS_DATA) -> bytes:
    """A megabyte of a PC's memory."""
    return b"".join(PAGES.values()).replace(PAGES[0], first.ljust(4096, b"\0"), 1)


def test_a_pc_is_known_by_its_vectors(tmp_path: Path) -> None:
    (tmp_path / "mem").write_bytes(memory())
    image = open_image(str(tmp_path / "mem"))
    assert isinstance(image, RawMemory)
    holds(image, {**PAGES, 0: memory()[:4096]})
    told = image.describe()
    assert (told.format, told.pages, told.memory_size, told.complete) == ("raw physical memory", 256, 1 << 20, True)


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("no vectors", memory(bytes(4096))),
        ("vectors of a program", memory(struct.pack("<HH", 5, 0x1000) * 256 + BIOS_DATA)),
        ("no BIOS data", memory(FIRMWARE)),
        ("too short", memory()[: 1 << 19]),
        ("no whole pages", memory() + b"x"),
        ("bytes that are all ones", b"\xff" * (1 << 20)),
    ],
)
def test_nothing_less_is_taken_for_memory(tmp_path: Path, what: str, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(NotADump, match="--raw"):
        open_image(str(tmp_path / "file"))


def test_a_head_that_is_cut_off_is_none() -> None:
    assert begins_like_a_pc((FIRMWARE + BIOS_DATA).ljust(0x420, b"\0"))
    assert not begins_like_a_pc(FIRMWARE + BIOS_DATA[:16])


def test_what_is_said_to_be_memory_is_opened_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(page(1) + page(2) + b"\x07" * 100)
    image = open_memory(str(tmp_path / "file"), base=0x40000000)
    assert bytes(image.page(0x40001) or b"") == page(2)
    assert image.read_physical(0x40000000 + 2 * 4096, 4) == b"\x07" * 4
    misses(image, 0, "does not hold")
    assert "no whole pages" in image.damage[0]
    assert image.describe().details["base"] == 0x40000000
    with kdbg.open(tmp_path / "file", raw=True) as target:
        assert target.read_physical(4096, 8) == page(2)[:8]
        assert target.found_root is None  # type: ignore[union-attr]
        assert any("--root" in note for note in target.notes)


def test_packed_memory_is_known_too(tmp_path: Path) -> None:
    (tmp_path / "mem.gz").write_bytes(gzip.compress(memory()))
    assert bytes(open_image(str(tmp_path / "mem.gz")).page(9) or b"") == page(9)
    assert bytes(open_memory(str(tmp_path / "mem.gz"), 0x1000).page(10) or b"") == page(9)


def test_an_empty_file_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(kdbg.FormatError, match="empty"):
        kdbg.open(tmp_path / "empty", raw=True)


@pytest.mark.skipif(not hasattr(os, "SEEK_HOLE"), reason="nobody tells where holes are")
def test_holes_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(page(0))
        file.seek(10 << 30)
        file.write(page(5))
        file.truncate(64 << 30)
    image = open_memory(str(path))
    seen = [(at, len(data)) for at, data in image.stretches()]
    assert [at for at, _ in seen] == [0, 10 << 30]
    assert sum(size for _, size in seen) <= 2 * STRETCH
    assert all(size % 4096 == 0 for _, size in seen)
    assert len(image.pages) == 64 << 18


def test_stretches_are_the_memory(tmp_path: Path) -> None:
    (tmp_path / "mem").write_bytes(memory())
    image = open_memory(str(tmp_path / "mem"), base=0x5000)
    joined = b"".join(bytes(data) for _, data in image.stretches())
    assert joined == memory()
    [(at, part)] = image.stretches(0x6800, 0x8800)
    assert (at, bytes(part)) == (0x6000, memory()[0x1000:0x3000])


@pytest.mark.parametrize("form", ["raw", "lime", "avml"])
def test_any_dump_is_written_as_memory_alone(tmp_path: Path, form: str) -> None:
    kept = pages(*range(3, 70), 5000, 5001)
    (tmp_path / "elf").write_bytes(ElfDump([Load(frame << 12, data) for frame, data in kept.items()]).data())
    assert convert(open_image(str(tmp_path / "elf")), str(tmp_path / "out"), form) == len(kept)
    if form != "raw":
        holds(open_image(str(tmp_path / "out")), kept)
        return
    after = open_memory(str(tmp_path / "out"))
    for frame, data in kept.items():
        assert bytes(after.page(frame) or b"") == data
    assert bytes(after.page(1) or b"") == bytes(4096)  # a hole
    assert (tmp_path / "out").stat().st_size == 5002 * 4096


def test_a_flat_file_of_far_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elf").write_bytes(ElfDump([Load(1 << 46, page(1))]).data())
    with pytest.raises(kdbg.FormatError, match="write lime"):
        convert(open_image(str(tmp_path / "elf")), str(tmp_path / "out"), "raw")


@pytest.mark.parametrize("form", ["lime", "avml"])
def test_frames_behind_all_addresses_are_refused(tmp_path: Path, form: str) -> None:
    """As a frame table that lies may name them."""
    (tmp_path / "elf").write_bytes(ElfDump([Load(0, page(1))]).data())
    image = open_image(str(tmp_path / "elf"))
    image.page = lambda frame: memoryview(page(1))  # type: ignore[method-assign]
    with pytest.raises(kdbg.FormatError, match="beyond what this format can address"):
        convert(image, str(tmp_path / "out"), form, [1 << 52])

"""An xz file of several blocks: only what is read is unpacked, once."""

from __future__ import annotations

import lzma
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from formats.dumps import holds, page, pages

import kdbg
from kdbg.formats import open_image
from kdbg.formats.source import Source
from kdbg.formats.xz_blocks import XzSource, blocks_of
from samples.elf_dump import ElfDump, Load
from samples.kdump import KdumpShape

PAGES = pages(*range(0x10, 0x210))
DUMPS = {
    "elf": ElfDump([Load(frame << 12, data) for frame, data in PAGES.items()]).data(),
    "kdump": KdumpShape("raw").data(PAGES),
}
pytestmark = pytest.mark.skipif(shutil.which("xz") is None, reason="the program xz makes the files")


def packed(path: Path, data: bytes, block: int = 64 << 10) -> Path:
    """A file of blocks of so many bytes."""
    words = ["xz", "-0", "-c", f"--block-size={block}"]
    path.write_bytes(subprocess.run(words, input=data, capture_output=True, check=True).stdout)
    return path


@pytest.mark.parametrize("name", DUMPS)
def test_the_same_pages(tmp_path: Path, name: str) -> None:
    image = open_image(str(packed(tmp_path / "dump.xz", DUMPS[name])))
    assert isinstance(image.source, XzSource)
    holds(image, PAGES)
    assert "blocks" in image.advice[0]
    assert f"`xz -dk {tmp_path / 'dump.xz'}`" in image.advice[0]
    image.source.close()


def test_only_what_is_read_is_unpacked(tmp_path: Path) -> None:
    image = open_image(str(packed(tmp_path / "dump.xz", DUMPS["elf"])))
    assert bytes(image.page(0x100) or b"") == page(0x100)
    assert isinstance(image.source, XzSource)
    assert len(image.source.unpacked) <= 3 < len(image.source._blocks) // 4


def test_any_range(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(300_000)
    path = packed(tmp_path / "file.xz", data, 10_000)
    plain = Source(path)
    source = XzSource(plain, blocks_of(plain) or [])
    assert source.size == len(data)
    chance = random.Random(4)
    for _ in range(100):
        start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        assert bytes(source.read(start, end - start)) == data[start:end]
    with pytest.raises(kdbg.FormatError, match="cut off"):
        source.read(len(data) - 1, 2)
    source.close()


def test_what_has_no_index_of_use_is_unpacked_whole(tmp_path: Path) -> None:
    one = lzma.compress(DUMPS["elf"])
    for name, data in (("one block", one), ("two streams", one + one), ("no footer", one[:-5]), ("short", one[:10])):
        (tmp_path / name).write_bytes(data)
        assert blocks_of(Source(tmp_path / name)) is None


def test_a_damaged_block_is_told_and_the_others_serve(tmp_path: Path) -> None:
    path = packed(tmp_path / "dump.xz", DUMPS["elf"])
    plain = Source(path)
    at, size, _ = (blocks_of(plain) or [])[5]
    data = bytearray(path.read_bytes())
    data[at + size // 2 : at + size // 2 + 40] = b"\xff" * 40
    (tmp_path / "bad.xz").write_bytes(data)
    with kdbg.open(tmp_path / "bad.xz") as target:
        assert target.read_physical(0x10 << 12, 8) == page(0x10)[:8]
        middle = 5 * (64 << 10) + (32 << 10)
        frame = next(frame for frame in PAGES if DUMPS["elf"].find(page(frame)) > middle)
        with pytest.raises(kdbg.FormatError, match="damaged: block 5 of its xz data"):
            target.read_physical(frame << 12, 8)
        assert target.read_physical(0x200 << 12, 8) == page(0x200)[:8]


def test_an_index_that_lies(tmp_path: Path) -> None:
    data = bytearray(packed(tmp_path / "dump.xz", DUMPS["elf"]).read_bytes())
    for at in range(len(data) - 60, len(data)):
        bent = data.copy()
        bent[at] ^= 0x55
        (tmp_path / "bent").write_bytes(bent)
        assert blocks_of(Source(tmp_path / "bent")) in (None, blocks_of(Source(tmp_path / "dump.xz")))

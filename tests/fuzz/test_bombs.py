"""Decompression bombs: a few bytes that unpack to gigabytes cost neither time nor memory, and are told."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.mutations import watchdog

import kdbg
from kdbg.formats import open_image
from kdbg.formats.compression import zstd_module
from kdbg.formats.packed import unpack as unpack_all
from kdbg.formats.source import Source
from samples.elf_dump import ElfDump, Load
from samples.illumos_dump import IllumosDump
from samples.kdump import STATUS, KdumpShape
from samples.kdump import compress as page_compress

PAGE = 4096
HUGE = 64 << 20


def snappy_bomb() -> bytes:
    """Raw snappy: a length of 4 GiB less one, and a copy."""
    return b"\xff\xff\xff\xff\x0f" + b"\0a" + b"\xfe\1\0" * 2000


def lzo_bomb() -> bytes:
    """As much as fits into what a descriptor may tell of."""
    return page_compress("lzo", bytes(1 << 20))[: 2 * PAGE]


BOMBS: dict[str, Callable[[], bytes]] = {
    "zlib": lambda: zlib.compress(bytes(HUGE), 9)[: 2 * PAGE],
    "lzo": lzo_bomb,
    "snappy": snappy_bomb,
    "zstd": lambda: bytes(zstd_module().compress(bytes(HUGE)))[: 2 * PAGE],
}


@pytest.mark.parametrize("compression", BOMBS)
def test_a_page_gives_no_more_than_a_page(tmp_path: Path, compression: str) -> None:
    bomb, frames = BOMBS[compression](), range(1, 200)
    whole = bytearray(KdumpShape(compression).data({frame: frame.to_bytes(2, "little") * 2048 for frame in frames}))
    place = len(whole)
    for number in range(len(frames)):
        struct.pack_into("<QIIQ", whole, 4 * PAGE + 24 * number, place, len(bomb), STATUS[compression], 0)
    (tmp_path / "dump").write_bytes(bytes(whole) + bomb)
    with watchdog():
        image = open_image(str(tmp_path / "dump"))
        for frame in frames:
            page = image.page(frame)
            assert page is None or len(page) == PAGE
            assert page is not None or "damaged" in image.why_missing(frame)


def members(pack: Callable[[bytes], bytes], head: bytes, count: int) -> bytes:
    """A dump's beginning, and member after member of zeros."""
    return pack(head) + pack(bytes(HUGE)) * count


WRAPPERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
    "zstd": lambda data: bytes(zstd_module().compress(data)),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_what_unpacks_to_no_dump_is_refused_by_its_beginning(tmp_path: Path, kind: str) -> None:
    """A terabyte of zeros costs no more than the first of them."""
    (tmp_path / "bomb").write_bytes(WRAPPERS[kind](bytes(HUGE)) * 100)
    with watchdog(), pytest.raises(kdbg.Error, match="bomb"):
        open_image(str(tmp_path / "bomb"))


@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_dump_that_unpacks_to_too_much_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on the whole file, lowered here so that the test writes little to the disk."""
    monkeypatch.setattr("kdbg.formats.packed.SMALL", HUGE // 2)
    monkeypatch.setattr("kdbg.formats.packed.GROWTH", 1)
    head = ElfDump([Load(PAGE, bytes(PAGE))]).data().ljust(1 << 16, b"\0")
    (tmp_path / "bomb").write_bytes(members(WRAPPERS[kind], head, 20))
    with watchdog(), pytest.raises(kdbg.FormatError, match="is a bomb") as caught:
        unpack_all(Source(tmp_path / "bomb"), kind)
    assert str(tmp_path / "bomb") in str(caught.value)


def streams(form: str) -> tuple[IllumosDump, bytes]:
    pages = {frame: bytes(PAGE) for frame in range(8)}
    dump = IllumosDump(pages)
    return dump, dump.vmdump(form)


def data_of(whole: bytes) -> int:
    """Offset of the pages' data: dump_data of the header."""
    return int.from_bytes(whole[48:56], "little")


def test_a_bzip2_stream_gives_no_more_pages_than_the_dump_tells_of(tmp_path: Path) -> None:
    """One block that unpacks to half a gigabyte of the same range of pages."""
    _, whole = streams("bzip2 streams")
    at = data_of(whole)
    bomb = bz2.compress(b"StrmHdr\0" + struct.pack("<QQ", 0, 1 << 40) + bytes(8 * HUGE))
    block = struct.pack("<I", 1 << 20 | len(bomb)) + bomb
    (tmp_path / "dump").write_bytes(
        (whole[:at] + block + bytes(4)).ljust(max(len(whole), 1 << 17), b"\0") + whole[-4096:]
    )
    with watchdog():
        image = open_image(str(tmp_path / "dump"))
        given = sum(image.page(frame) is not None for frame in range(8))
        assert given <= 8
        assert not image.describe().complete


@pytest.mark.parametrize("form", ["lzjb", "lzjb streams"])
def test_an_lzjb_page_gives_a_page(tmp_path: Path, form: str) -> None:
    """A block of a megabyte for one page: it says 4,096 bytes, whatever follows."""
    _, whole = streams(form)
    at = data_of(whole)
    size = (1 << 20) - 64
    page = struct.pack("<I", size) + b"\0" * size
    body = page if form == "lzjb" else b"StrmHdr\0" + struct.pack("<QQ", 0, 1 << 60) + page[:4] + page[36:]
    block = page if form == "lzjb" else struct.pack("<I", 1 << 20 | len(body)) + body
    (tmp_path / "dump").write_bytes(whole[:at] + block + bytes(4) + whole[at:])
    with watchdog():
        image = open_image(str(tmp_path / "dump"))
        for frame in range(8):
            found = image.page(frame)
            assert found is None or len(found) == PAGE
        assert image.describe().pages <= 8

"""Dumps inside gzip, bzip2, xz and zstd."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from formats.dumps import holds, opened, pages

import kdbg
from kdbg.formats import packed
from kdbg.formats.compression import zstd_module
from kdbg.formats.packed import head_of, unpack
from kdbg.formats.source import Source
from samples.elf_dump import ElfDump, Load
from samples.illumos_dump import IllumosDump
from samples.kdump import KdumpShape, flatten

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: bytes(zstd_module().compress(data)),
}
PAGES = pages(*range(0x10, 0x40))
DUMPS = {
    "elf": ElfDump([Load(frame << 12, data) for frame, data in PAGES.items()]).data(),
    "kdump": KdumpShape("raw").data(PAGES),
    "flattened": flatten(KdumpShape("raw").data(PAGES), seed=1),
    "vmdump": IllumosDump(PAGES).vmdump("lzjb"),
}


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("dump", DUMPS)
def test_opened_as_it_is_with_a_word_on_how_to_make_it_fast(tmp_path: Path, kind: str, dump: str) -> None:
    image = opened(tmp_path / "dump", PACKERS[kind](DUMPS[dump]))
    holds(image, PAGES)
    assert kind in image.advice[0]
    assert f"{packed.COMMANDS[kind]} {tmp_path / 'dump'}" in image.advice[0]
    assert image.describe().file == str(tmp_path / "dump")


@pytest.mark.parametrize("kind", PACKERS)
def test_members_one_after_the_other(tmp_path: Path, kind: str) -> None:
    """As `cat` and parallel compressors make them; gzip's may be padded."""
    data = DUMPS["kdump"]
    parts = [data[:5000], data[5000:90_000], data[90_000:]]
    padding = bytes(512) if kind in ("gzip", "xz") else b""
    holds(opened(tmp_path / "dump", b"".join(map(PACKERS[kind], parts)) + padding), PAGES)


@pytest.mark.parametrize("kind", PACKERS)
def test_much_more_comes_out_than_goes_in(tmp_path: Path, kind: str) -> None:
    """All of the file is read long before all of it has come out."""
    data = bytes(40 << 20) + b"end"
    (tmp_path / "file").write_bytes(PACKERS[kind](data))
    source = unpack(Source(tmp_path / "file"), kind)
    assert (source.size, source.cut_off) == (len(data), False)
    assert bytes(source.read(len(data) - 3, 3)) == b"end"


@pytest.mark.parametrize("kind", PACKERS)
def test_cut_off(tmp_path: Path, kind: str) -> None:
    image = opened(tmp_path / "dump", PACKERS[kind](DUMPS["kdump"] + random.Random(1).randbytes(4 << 20))[: -1 << 20])
    holds(image, PAGES)
    assert not image.describe().complete
    assert any(f"its {kind} data ends too early" in sentence for sentence in image.damage)


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged(tmp_path: Path, kind: str) -> None:
    """What comes before the damage is kept; damage at the very beginning leaves nothing."""
    whole = bytearray(PACKERS[kind](DUMPS["kdump"] + random.Random(2).randbytes(4 << 20)))
    at = len(whole) - (1 << 20)
    whole[at : at + 3000] = b"\xff" * 3000
    try:
        holds(opened(tmp_path / "dump", bytes(whole)), PAGES)
    except kdbg.FormatError as error:
        assert kind in str(error)  # noqa: PT017
    with pytest.raises(kdbg.FormatError) as caught:
        opened(tmp_path / "none", bytes(whole[:12]) + b"\xff" * 2000)
    assert str(tmp_path / "none") in str(caught.value)


@pytest.mark.parametrize("kind", PACKERS)
def test_what_is_no_dump_is_not_unpacked(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdbg.formats.unpack", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(kdbg.FormatError, match="not a dump"):
        opened(tmp_path / "file", PACKERS[kind](b"some text\n" * 10_000))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a thousand times its size, and more than is small: named, with the command that does it anyway."""
    monkeypatch.setattr(packed, "SMALL", 1 << 20)
    monkeypatch.setattr(packed, "GROWTH", 100)
    (tmp_path / "bomb").write_bytes(lzma.compress(KdumpShape().data(PAGES) + bytes(64 << 20)))
    before = set(Path("/tmp").glob("kdbg-*"))
    with pytest.raises(kdbg.FormatError, match="bomb") as caught:
        kdbg.open(tmp_path / "bomb")
    assert "xz -dk" in str(caught.value)
    assert set(Path("/tmp").glob("kdbg-*")) <= before


def test_only_the_beginning_is_unpacked_to_look_at_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(bytes(30 << 20)))
    assert head_of(Source(tmp_path / "file"), "gzip") == bytes(packed.HEAD)


def test_nothing_stays_behind(tmp_path: Path) -> None:
    before = set(Path("/tmp").glob("kdbg-*"))
    image = opened(tmp_path / "dump", gzip.compress(DUMPS["elf"]))
    assert set(Path("/tmp").glob("kdbg-*")) <= before
    image.source.close()


def test_how_far_it_is_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "TOLD", 64 << 10)
    (tmp_path / "dump").write_bytes(gzip.compress(DUMPS["kdump"]))
    lines: list[str] = []
    kdbg.open(tmp_path / "dump", tell=lines.append).close()
    assert lines == [f"unpacking {tmp_path / 'dump'} (gzip, 0 MB): 0 MB"]

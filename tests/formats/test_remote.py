"""A dump behind a URL: the same answers as from a disk, and only a part of the file is fetched."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from formats.dumps import holds, page, pages
from formats.server import Server, serving

import kdbg
from kdbg.formats import open_image, remote
from kdbg.formats.remote import BLOCK, RemoteSource
from samples.elf_dump import ElfDump, Load
from samples.illumos_dump import IllumosDump
from samples.kdump import KdumpShape, flatten
from samples.lime import avml, lime

pytest.importorskip("aiohttp")

PAGES = pages(*range(0x10, 0x400))
RANGES = [(frame << 12, data) for frame, data in PAGES.items()]
INDEXED = {
    "elf": ElfDump([Load(at, data) for at, data in RANGES]).data(),
    "kdump": KdumpShape("zlib").data(PAGES),
    "vmcore": IllumosDump(PAGES).vmcore(),
    "lime": lime([(0x10000, b"".join(PAGES.values()))]),
}
WHOLE = {
    "vmdump": IllumosDump(PAGES).vmdump("lzjb"),
    "flattened": flatten(KdumpShape("raw").data(PAGES), seed=1),
    "gzip": gzip.compress(INDEXED["elf"]),
    "avml": avml([(0x10000, b"".join(PAGES.values()))]),
}
"""Those that have no index: they are read from end to end, once."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with ranges over the test's folder."""
    with serving(tmp_path) as told:
        yield told


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[Server]:
    """One without ranges."""
    with serving(tmp_path, ranges=False) as told:
        yield told


@pytest.mark.parametrize("name", [*INDEXED, *WHOLE])
def test_every_format_gives_the_same_pages(server: Server, name: str) -> None:
    (server.folder / name).write_bytes({**INDEXED, **WHOLE}[name])
    holds(open_image(f"{server.url}/{name}"), PAGES)


@pytest.mark.parametrize("name", INDEXED)
def test_only_what_is_needed_is_fetched(server: Server, name: str) -> None:
    (server.folder / name).write_bytes(INDEXED[name])
    image = open_image(f"{server.url}/{name}")
    assert bytes(image.page(0x40) or b"") == page(0x40)
    assert isinstance(image.source, RemoteSource)
    assert image.source.fetched <= server.sent <= 4 * BLOCK < len(INDEXED[name])


@pytest.mark.parametrize("name", ["vmdump", "flattened"])
def test_what_has_no_index_is_fetched_once_and_says_so(server: Server, name: str) -> None:
    (server.folder / name).write_bytes(WHOLE[name])
    image = open_image(f"{server.url}/{name}")
    holds(image, PAGES)
    assert server.sent <= len(WHOLE[name]) + 2 * BLOCK
    assert f"no index: all {len(WHOLE[name])} bytes" in image.advice[0]


@pytest.mark.parametrize("name", ["domu-sxc16.core", "domu-sxc16.elf", "domu32.core", "hvm.elf"])
def test_arrays_and_widths_of_xen_cores(unpacked: Callable[[str], Path], name: str) -> None:
    """What a local core answers from one array of words."""
    path = unpacked(name)
    with serving(path.parent) as told, kdbg.open(path) as here, kdbg.open(f"{told.url}/{name}") as there:
        assert here.bits == there.bits
        for command in ("::ptescan -l kernel-user", "::threadlist", "::ps"):
            assert here.run(command) == there.run(command) != [], command


def test_a_block_is_fetched_once_and_few_are_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CACHE_BYTES", 4 * BLOCK)
    data = bytes(range(256)) * (10 * BLOCK // 256)
    (server.folder / "file").write_bytes(data)
    source = RemoteSource(f"{server.url}/file")
    for at in range(0, len(data) - 100, BLOCK // 2):
        assert bytes(source.read(at, 100)) == data[at : at + 100]
    assert (source.fetched, source.requests) == (len(data), 10)
    assert len(source._blocks) <= 4
    assert bytes(source.read(0, len(data))) == data  # more than is kept


def test_a_small_file_of_a_server_without_ranges_is_fetched_whole(plain_server: Server) -> None:
    (plain_server.folder / "elf").write_bytes(INDEXED["elf"])
    image = open_image(f"{plain_server.url}/elf")
    holds(image, PAGES)
    assert f"gives no ranges of a file: all {len(INDEXED['elf'])} bytes were fetched" in image.advice[0]
    assert image.describe().file == f"{plain_server.url}/elf"


def test_a_large_one_is_refused_before_it_is_fetched(plain_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WHOLE", 1 << 20)
    with (plain_server.folder / "large").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(kdbg.FormatError, match=r"no ranges of a file, and all 1073741824 bytes .*curl"):
        open_image(f"{plain_server.url}/large")
    assert plain_server.sent < 64 << 20


def test_what_is_not_there(server: Server) -> None:
    with pytest.raises(kdbg.FormatError, match="there is no such file"):
        open_image(f"{server.url}/none")
    with pytest.raises(kdbg.FormatError, match="cannot be read") as caught:
        open_image("http://127.0.0.1:1/none")
    assert "no such file" not in str(caught.value)


def kdbg_says(*words: str, line: str = "") -> subprocess.CompletedProcess[str]:
    """What the program prints."""
    return subprocess.run([sys.executable, "-m", "kdbg.cli", *words], input=line, capture_output=True, text=True)


def test_at_the_command_line(unpacked: Callable[[str], Path]) -> None:
    path = unpacked("domu-sxc16.elf")
    with serving(path.parent) as told:
        url = f"{told.url}/{path.name}"
        said = kdbg_says(url, line="::status\n::ps\n")
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout == kdbg_says(str(path), line="::status\n::ps\n").stdout.replace(str(path), url)
        info = kdbg_says("info", url)
        assert info.stdout.replace(url, str(path)) == kdbg_says("info", str(path)).stdout
        (path.parent / "notes.txt").write_text("nothing\n" * 40)
        none = kdbg_says(f"{told.url}/notes.txt", line="::status\n")
        assert none.returncode == 1
        assert none.stderr.startswith(f"kdbg: {told.url}/notes.txt: ")
        assert "Traceback" not in none.stderr

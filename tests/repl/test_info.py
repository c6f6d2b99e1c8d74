"""``kdbg info``: what each file is; of what is no dump, what it looks like and what to do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from formats.dumps import pages

from kdbg.repl import tools
from samples.elf_dump import ElfDump, Load
from samples.illumos_dump import IllumosDump
from samples.kdump import KdumpShape

PAGES = pages(*range(16, 32))
DUMPS = {
    "elf": ElfDump([Load(frame << 12, data) for frame, data in PAGES.items()]).data(),
    "kdump": KdumpShape("zlib").data(PAGES),
    "vmcore": IllumosDump(PAGES).vmcore(),
    "memory": b"".join(PAGES.values()),
}


def told(path: Path, data: bytes, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    """What it says of a file, as JSON."""
    path.write_bytes(data)
    tools.run("info", ["--format", "json", *words, str(path)])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("name", DUMPS)
def test_every_format_names_the_same_things(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    found = told(tmp_path / name, DUMPS[name], capsys, *["--raw"] * (name == "memory"))
    assert (found["pages"], found["missing"], found["complete"]) == (16, 0, True)
    assert found["memory_size"] == 16 << 12
    assert isinstance(found["details"], dict)
    assert found["details"]["compression"] == {"kdump": "zlib"}.get(name, "none")


def test_where_memory_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(tmp_path / "memory", DUMPS["memory"], capsys, "--base", "40000000")
    assert found["details"] == {"compression": "none", "base": 0x40000000}
    assert found["architecture"] == "unknown"


def test_a_packed_dump_says_how_it_opens_faster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(tmp_path / "elf.gz", gzip.compress(DUMPS["elf"]), capsys)
    assert f"`gzip -dk {tmp_path / 'elf.gz'}`" in str(found["advice"])


def test_what_is_no_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_bytes(b"some words\n" * 90)
    assert tools.run("info", [str(tmp_path / "text")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"kdbg: {tmp_path / 'text'}: not a dump that kdbg knows: it looks like text, which begins 'some words': "
        "a log or a script, not a dump\n"
    )


def test_what_is_known_and_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(tmp_path / "save", b"QEVM" + bytes(100), capsys)
    assert found["format"] is None
    assert str(found["known"]).startswith("a QEMU savevm or migration stream, which kdbg does not open: ")


@pytest.mark.parametrize("words", [["--base", "zz", "x"], ["--format", "xml", "x"], ["--base"], []])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.run("info", words) == 2
    assert "Usage: kdbg info" in capsys.readouterr().err

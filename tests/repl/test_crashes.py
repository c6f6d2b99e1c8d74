"""A directory of crash dumps: what lies in it and what to type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdbg.nothing import Folder
from kdbg.repl.arguments import parse
from kdbg.repl.crashes import MOST_SHOWN, what_to_type
from kdbg.repl.opening import OpenError, open_target


def put(path: Path, time: int, size: int = 100) -> None:
    """A file that was written at a time."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time, time))


def test_of_savecore_the_newest_first_with_what_to_type(tmp_path: Path) -> None:
    put(tmp_path / "unix.0", 1000, 5)
    put(tmp_path / "vmcore.0", 1000, 2 << 20)
    put(tmp_path / "vmdump.7", 90_000)
    put(tmp_path / "unix.3", 5)
    (tmp_path / "bounds").write_text("8\n")
    assert what_to_type(str(tmp_path)) == [
        f"{tmp_path}: a directory with 2 crash dumps; to open one, the newest first:",
        f"    kdbg {tmp_path}/vmdump.7                        vmdump.7: 100 bytes, 1970-01-02 01:00 UTC".replace(
            " " * 24, " " * (len(f"{tmp_path}/unix.0 {tmp_path}/vmcore.0") - len(f"{tmp_path}/vmdump.7") + 3)
        ),
        f"    kdbg {tmp_path}/unix.0 {tmp_path}/vmcore.0   unix.0, vmcore.0: 2.0 MB, 1970-01-01 00:16 UTC",
        "bounds: the next dump will be number 8",
    ]


def test_in_the_directory_a_number_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "unix.12", 1000)
    put(tmp_path / "vmcore.12", 1000)
    monkeypatch.chdir(tmp_path)
    assert what_to_type(".")[1].startswith("    kdbg 12   unix.12, vmcore.12")


def test_of_kdump_a_directory_each(tmp_path: Path) -> None:
    put(tmp_path / "127.0.0.1-2026-11-26" / "vmcore", 2000)
    put(tmp_path / "127.0.0.1-2026-11-26" / "vmcore-dmesg.txt", 2000)
    put(tmp_path / "202611250101" / "dump.202611250101", 1000)
    lines = what_to_type(str(tmp_path))
    assert len(lines) == 3
    assert lines[1].startswith(f"    kdbg {tmp_path}/127.0.0.1-2026-11-26/vmcore ")
    assert lines[2].startswith(f"    kdbg {tmp_path}/202611250101/dump.202611250101 ")


def test_names_are_quoted_for_the_shell(tmp_path: Path) -> None:
    put(tmp_path / "a b" / "vmcore", 1)
    assert f"kdbg '{tmp_path}/a b/vmcore'" in what_to_type(str(tmp_path))[1]


def test_many_are_counted(tmp_path: Path) -> None:
    for number in range(MOST_SHOWN + 3):
        put(tmp_path / f"vmcore.{number}", number)
    lines = what_to_type(str(tmp_path))
    assert lines[0].startswith(f"{tmp_path}: a directory with {MOST_SHOWN + 3} crash dumps")
    assert lines[-1] == "    and 3 more"


def test_other_directories_are_as_mdb_has_them(tmp_path: Path) -> None:
    put(tmp_path / "vmcore.jsonl", 1)
    put(tmp_path / "unix.1", 1)
    assert what_to_type(str(tmp_path)) == []
    assert isinstance(open_target(parse([str(tmp_path)])), Folder)
    put(tmp_path / "vmdump.1", 1)
    with pytest.raises(OpenError, match="a directory with a crash dump") as caught:
        open_target(parse([str(tmp_path)]))
    assert f"kdbg {tmp_path}/vmdump.1" in caught.value.after

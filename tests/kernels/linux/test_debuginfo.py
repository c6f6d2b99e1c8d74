"""Which debug files are taken for a kernel's, and how others are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg.errors import Error
from kdbg.kernels.linux.debuginfo import DebugInfo
from kdbg.lang.session import Session
from kdbg.symbols.dwarf.sections import DebugFile
from samples.linux import LinuxGuest

SAMPLES = Path(__file__).parents[3] / "samples" / "dwarf"
PROGRAM = SAMPLES / "dwarf5.elf"
OTHER = "ab" * 20


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return LinuxGuest().write(tmp_path / "guest.core")


def of_build_id(monkeypatch: pytest.MonkeyPatch, build_id: str) -> None:
    """Have the dump tell a build id."""
    monkeypatch.setattr(DebugInfo, "_build_id_of_image", lambda self: build_id)


def test_a_file_of_another_kernel_is_refused(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_build_id(monkeypatch, OTHER)
    has = DebugFile(str(PROGRAM)).build_id
    with pytest.raises(Error, match=f"build id {has}, but the kernel in the dump has {OTHER}"):
        kdbg.open(dump, symbols=PROGRAM)


def test_a_file_that_is_not_there(dump: Path) -> None:
    with pytest.raises(Error, match="missing: cannot be read: No such file"):
        kdbg.open(dump, symbols=dump.parent / "missing")


def test_a_folder_without_a_fitting_file(dump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_build_id(monkeypatch, OTHER)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(Error, match=rf"folder: no file for the kernel \({OTHER}\)"):
        kdbg.open(dump, symbols=folder)


@pytest.mark.parametrize("place", [".build-id/{0}/{1}.debug", "usr/lib/debug/.build-id/{0}/{1}.debug",
                                   "vmlinux", "boot/vmlinux-6.1.0-99-sample", "deep/er/vmlinux-old"])  # fmt: skip
def test_a_folder_is_looked_through(dump: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is found; only that it is no kernel is said then."""
    build_id = DebugFile(str(PROGRAM)).build_id
    of_build_id(monkeypatch, build_id)
    path = tmp_path / "folder" / place.format(build_id[:2], build_id[2:])
    path.parent.mkdir(parents=True)
    path.write_bytes(PROGRAM.read_bytes())
    with pytest.raises(Error, match=f"{path.name}: has no symbol _stext"):
        kdbg.open(dump, symbols=[tmp_path / "folder"])


def test_servers_are_asked_only_where_that_is_wanted(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_build_id(monkeypatch, OTHER)
    monkeypatch.setenv("DEBUGINFOD_URLS", "")
    with pytest.raises(Error, match="DEBUGINFOD_URLS names no server"):
        kdbg.open(dump, debuginfod=True)


def test_without_files_commands_say_what_they_want(linux: Callable[..., Any]) -> None:
    session = Session(linux().target)
    for command in ("_stext::line", "::locals", "_stext::line -i"):
        with pytest.raises(Error, match="no debug files were given"):
            session.records(command)

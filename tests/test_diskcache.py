"""What is kept on disk: found again, never believed when it is not what was written, bounded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdbg import diskcache
from kdbg.diskcache import DiskCache, usual_folder

NAME = "btf-0123456789abcdef-1f"


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(str(tmp_path / "kdbg"))


def test_what_is_kept_is_found_again(cache: DiskCache) -> None:
    assert cache.get(NAME) is None
    cache.put(NAME, b"places")
    assert cache.get(NAME) == b"places"
    assert cache.folder is not None
    assert os.listdir(cache.folder) == [NAME]  # nothing unfinished stays


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-1] + b"X",
        lambda data: b"X" + data[1:],
        lambda data: data[:10],
        lambda data: b"",
    ],
)
def test_damage_is_nothing(cache: DiskCache, damage: object) -> None:
    cache.put(NAME, b"places")
    path = Path(str(cache.folder)) / NAME
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert cache.get(NAME) is None


def test_a_file_of_another_name_is_nothing(cache: DiskCache) -> None:
    cache.put(NAME, b"places")
    other = NAME.replace("1f", "20")
    os.rename(Path(str(cache.folder)) / NAME, Path(str(cache.folder)) / other)
    assert cache.get(other) is None


def test_names_are_no_paths(cache: DiskCache, tmp_path: Path) -> None:
    cache.put("../btf-0123456789", b"out")
    cache.put("btf-0123456789/../../out", b"out")
    assert list(tmp_path.rglob("*")) == []


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DiskCache(str(tmp_path / "file"))
    cache.put(NAME, b"places")
    assert cache.get(NAME) is None


def test_without_a_folder_nothing_is_kept() -> None:
    cache = DiskCache(None)
    cache.put(NAME, b"places")
    assert cache.get(NAME) is None


def test_the_oldest_go_first(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskcache, "MOST_FILES", 3)
    names = [f"btf-0123456789{number}" for number in range(5)]
    for at, name in enumerate(names):
        cache.put(name, b"places")
        os.utime(Path(str(cache.folder)) / name, (at, at))
    assert [name for name in names if cache.get(name) is not None] == names[2:]
    monkeypatch.setattr(diskcache, "MOST_BYTES", 100)
    cache.put(NAME, bytes(60))
    assert cache.get(NAME) is not None
    assert sum(path.stat().st_size for path in Path(str(cache.folder)).iterdir()) <= 100


def test_other_files_are_left_alone(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskcache, "MOST_BYTES", 1)
    folder = Path(str(cache.folder))
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    cache.put(NAME, b"places")
    assert (folder / "letter.txt").exists()


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    for off in ("", "off", "0", "OFF"):
        monkeypatch.setenv("KDBG_CACHE", off)
        assert usual_folder() is None
    monkeypatch.setenv("KDBG_CACHE", "/somewhere")
    assert usual_folder() == "/somewhere"
    monkeypatch.delenv("KDBG_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert usual_folder() == "/caches/kdbg"

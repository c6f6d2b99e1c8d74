"""The plug-in for pytest: a project asserts over its dumps; who gives none is not bothered."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TESTS = """
def test_dump(kdbg_dump):
    assert any(thread.name for thread in kdbg_dump.threads())

def test_panicked(kdbg_report):
    print("KNOWN", [one.name for one in kdbg_report.known])
    assert kdbg_report.verdict.kind == "panic", kdbg_report.verdict.sentence

def test_else():
    pass
"""
INSTALLED = "kdbg" in entry_points(group="pytest11").names


def run(folder: Path, *words: str, text: str = TESTS) -> subprocess.CompletedProcess[str]:
    """pytest over a project's tests, as somebody's CI would run it."""
    (folder / "test_dumps.py").write_text(text)
    plugin = [] if INSTALLED else ["-p", "kdbg.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "-v", *plugin, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of somebody else's, with its own configuration."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_it_is_registered() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert told["project"]["entry-points"]["pytest11"] == {"kdbg": "kdbg.pytest_plugin"}


def test_every_dump_is_asserted_over(project: Path, unpacked: Callable[[str], Path]) -> None:
    good, bad = unpacked("domu-panic.elf"), unpacked("domu-sxc16.elf")
    done = run(project, "--kdbg-dump", str(good), f"--kdbg-dump={bad}")
    assert done.returncode == 1
    assert "kdbg dumps: domu-panic.elf, domu-sxc16.elf" in done.stdout
    for line in (
        "test_dump[domu-panic.elf] PASSED",
        "test_dump[domu-sxc16.elf] PASSED",
        "test_panicked[domu-panic.elf] PASSED",
        "test_panicked[domu-sxc16.elf] FAILED",
        "test_else PASSED",
    ):
        assert line in done.stdout


def test_without_a_dump_tests_are_skipped_and_say_why(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0
    assert "1 passed, 2 skipped" in done.stdout
    assert "no dump is given: pytest --kdbg-dump PATH" in done.stdout
    assert "kdbg dumps" not in done.stdout


def test_a_file_that_is_no_dump_is_told_in_a_line(project: Path) -> None:
    (project / "no,dump").write_text("hello")
    done = run(project, "--kdbg-dump", "no,dump")
    assert done.returncode == 1
    assert "1 passed, 2 errors" in done.stdout
    assert "kdbg: no,dump: " in done.stdout
    assert "Traceback" not in done.stdout


def test_files_of_one_dump_have_commas_between_them(project: Path, unpacked: Callable[[str], Path]) -> None:
    text = "def test_two(kdbg_dump):\n    assert len(kdbg_dump.info.file) and kdbg_dump.beside\n"
    path = unpacked("domu-panic.elf")
    done = run(project, "--kdbg-dump", f"{path},{path}", text=text)
    assert "a second dump beside" in done.stdout  # both were given to kdbg.open, which says what it thinks of them


def test_known_issues_are_in_the_report(project: Path, unpacked: Callable[[str], Path]) -> None:
    (project / "known.toml").write_text('[[issue]]\nname = "old trap"\nmessage = "BAD TRAP"\n')
    dump = unpacked("domu-panic.elf")
    done = run(project, "--kdbg-dump", str(dump), "--kdbg-known", "known.toml", "-s", "-k", "panicked")
    assert "KNOWN ['old trap']" in done.stdout
    (project / "known.toml").write_text("[[issue]\n")
    done = run(project, "--kdbg-dump", str(dump), "--kdbg-known", "known.toml", "-k", "panicked")
    assert "kdbg: known.toml: " in done.stdout
    assert "line 1" in done.stdout


def test_a_run_without_it_loads_nothing_of_kdbg(project: Path) -> None:
    text = (
        "import sys\ndef test_loaded():\n    print('LOADED', sorted(m for m in sys.modules if m.startswith('kdbg')))\n"
    )
    done = run(project, "-s", text=text)
    assert "LOADED ['kdbg', 'kdbg.errors', 'kdbg.pytest_plugin']" in done.stdout

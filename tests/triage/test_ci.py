"""docs/ci.md: its examples are what stands in docs/examples/ci, are valid, and do what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdbg.repl.triage import ENDINGS, FAIL_ON
from kdbg.triage.known import FIELDS, read_known
from kdbg.triage.views import FORMATS
from triage.schemas import check_json, check_junit, check_sarif

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text()
EXAMPLES = ROOT / "docs" / "examples" / "ci"


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_the_page_shows_the_files(path: Path) -> None:
    assert path.read_text() in PAGE


def test_the_page_names_all_there_is() -> None:
    for ending, form in ENDINGS.items():
        assert f"| `{form}` | `{ending}` |" in PAGE
    assert set(ENDINGS.values()) == set(FORMATS)
    assert all(f"| `{word}` |" in PAGE for word in FAIL_ON)
    assert all(f"`{field}`" in PAGE for field in FIELDS)


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("github.yml", ["vendor.github-workflows"]),
        ("gitlab.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_the_workflows_are_valid(name: str, schema: list[str]) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_known_issues_are_read() -> None:
    assert [one.name for one in read_known([str(EXAMPLES)])] == [
        "read of a stream that is being closed",
        "the disk driver's watchdog cries early",
    ]


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the script as a job does: ``job("known issues' text")``; kdbg is on its path."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "kdbg").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m kdbg.cli "$@"\n')
    (binaries / "kdbg").chmod(0o755)
    (tmp_path / "dumps").mkdir()

    def run(known: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "known.toml").write_text(known)
        environment = {
            **os.environ,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        }
        command = ["sh", str(EXAMPLES / "triage.sh"), "dumps", "reports", "known.toml"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)

    return run


OTHER = '[[issue]]\nname = "another"\nmessage = "no such"\n'
SAME = '[[issue]]\nname = "the old trap"\nmessage = "BAD TRAP"\n'


def test_the_script_is_red_for_what_is_new(
    job: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path, unpacked: Callable[[str], Path]
) -> None:
    assert job(OTHER).returncode == 0  # no dumps, nothing to say
    dump = tmp_path / "dumps" / "a guest.core"
    dump.symlink_to(unpacked("domu-panic.elf"))
    done = job(OTHER)
    assert done.returncode == 3
    assert "verdict    panic: BAD TRAP" in done.stdout
    reports = tmp_path / "reports"
    check_junit((reports / "a guest.core.xml").read_text())
    check_sarif((reports / "a guest.core.sarif").read_text())
    assert check_json((reports / "a guest.core.json").read_text())["verdict"]["kind"] == "panic"
    assert (reports / "a guest.core.html").read_text().startswith("<!doctype html>")
    assert "## 🔴 panic: `dumps/a guest.core`" in (tmp_path / "summary").read_text()


def test_the_script_is_green_for_what_is_known(
    job: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path, unpacked: Callable[[str], Path]
) -> None:
    (tmp_path / "dumps" / "guest.core").symlink_to(unpacked("domu-panic.elf"))
    done = job(SAME)
    assert done.returncode == 0
    assert "known      the old trap" in done.stdout


def test_the_script_is_red_for_what_is_no_dump(
    job: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "dumps" / "guest.core").write_text("the guest wrote this")
    done = job(SAME)
    assert done.returncode == 1
    assert "guest.core" in done.stderr


def test_the_tests_over_dumps_pass_and_fail(tmp_path: Path, unpacked: Callable[[str], Path]) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    dumps = [word for name in ("domu-panic.elf", "hvm.elf") for word in ("--kdbg-dump", str(unpacked(name)))]
    plugin = [] if "kdbg" in _plugins() else ["-p", "kdbg.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", *plugin, *dumps, str(EXAMPLES)]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini")],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "test_no_memory_of_the_kernel_is_corrupt[domu-panic.elf] FAILED" in done.stdout
    assert "test_no_memory_of_the_kernel_is_corrupt[hvm.elf] PASSED" in done.stdout
    assert "test_the_daemon_was_running[hvm.elf] PASSED" in done.stdout


def _plugins() -> set[str]:
    from importlib.metadata import entry_points

    return entry_points(group="pytest11").names

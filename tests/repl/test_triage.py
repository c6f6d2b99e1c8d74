"""``kdbg triage`` at the command line: formats, files, exit status, a sign of life."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from triage.schemas import check_json, check_junit, check_sarif

from kdbg.cli import main

ROOT = Path(__file__).parents[2]
SLOW = """
import sys, time
from kdbg.triage import analysers
def wait(case):
    time.sleep(2.5)
    yield from ()
found = analysers.analysers
analysers.analysers = lambda family: [analysers.Analyser("a slow one", "", wait, ()), *found(family)]
from kdbg.cli import main
sys.exit(main(["triage", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def panic(unpacked: Callable[[str], Path]) -> str:
    """A dump of a kernel that panicked."""
    return str(unpacked("domu-panic.elf"))


@pytest.fixture(scope="module")
def live(unpacked: Callable[[str], Path]) -> str:
    """A dump of a kernel that runs."""
    return str(unpacked("hvm.elf"))


def run(*words: str) -> int:
    return main(["triage", *words])


# Formats and files


def test_text_is_what_a_person_gets(panic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(panic) == 0
    out, error = capsys.readouterr()
    assert "verdict    panic: BAD TRAP" in out
    assert error == ""


def test_a_format_goes_to_standard_output(panic: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(panic, "--format", "json") == 0
    told = check_json(capfdbinary.readouterr().out.decode())
    assert told["verdict"]["kind"] == "panic"


def test_several_at_once(panic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, tests, log = (tmp_path / name for name in ("a.html", "b.tests", "c.sarif"))
    words = ["--format", "html", "-o", page, panic, "--format=junit", "-o", tests, "-o", log, "--format", "markdown"]
    assert run(*map(str, words)) == 0
    assert page.read_text().startswith("<!doctype html>")
    check_junit(tests.read_text())
    check_sarif(log.read_text())
    assert capsys.readouterr().out.startswith("## 🔴 panic: `")


def test_a_files_ending_tells_its_format(panic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["a.txt", "a.json", "a.xml", "a.sarif", "a.md", "A.HTML"]
    assert run(panic, *(word for name in names for word in ("-o", str(tmp_path / name)))) == 0
    assert [(tmp_path / name).read_text()[:5] for name in names] == [
        "dump ",
        '{\n "s',
        "<?xml",
        '{\n "$',
        "## 🔴 ",
        "<!doc",
    ]
    assert capsys.readouterr().out == ""


def test_one_format_and_one_file_belong_together(panic: str, tmp_path: Path) -> None:
    assert run("-o", str(tmp_path / "out"), panic, "--format", "json") == 0
    check_json((tmp_path / "out").read_text())


def test_a_minus_is_standard_output(panic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(panic, "--format", "text", "-o", "-") == 0
    assert "verdict" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "pdf"], "format pdf: text, json, junit, sarif, markdown, html"),
        (["-o", "report.pdf"], "-o report.pdf: no --format before it, and its ending is none of .txt, .json, .xml"),
        (["--format", "html", "--format", "json"], "one format may go to standard output"),
        (["--fail-on", "sunday"], "--fail-on sunday: new, error, warning, never"),
        (["--budget", "0"], "--budget 0: seconds"),
        (["--known", "nowhere.toml"], "nowhere.toml: No such file or directory"),
        (["--progres"], "no such option: --progres"),
    ],
)
def test_wrong_usage(panic: str, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(panic, *words) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"kdbg: triage: {told}")
    assert "Usage: kdbg triage " in error


def test_a_report_is_never_written_over_its_dump(panic: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(panic).read_bytes()
    other = os.path.relpath(panic)
    assert run(panic, "--format", "json", "-o", other) == 2
    assert "that is the dump" in capsys.readouterr().err
    assert Path(panic).read_bytes() == before


def test_what_cannot_be_opened_or_written(panic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no dump").write_text("hello\x1b[31m")
    assert run(str(tmp_path / "no dump")) == 1
    assert run(panic, "-o", str(tmp_path / "nowhere" / "a.json")) == 1
    error = capsys.readouterr().err
    assert "no dump: " in error
    assert "a.json: No such file or directory" in error
    assert "\x1b" not in error
    assert "Traceback" not in error


def test_a_stream_without_unicode_gets_the_text_all_the_same(panic: str, tmp_path: Path) -> None:
    dump = tmp_path / "p\u00e4nic"
    dump.symlink_to(panic)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "kdbg.cli", "triage", str(dump)]
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"p\\xe4nic" in done.stdout
    done = subprocess.run([*command, "--format", "markdown"], capture_output=True, env=environment, check=True)
    assert "p\u00e4nic" in done.stdout.decode()  # what a program reads is UTF-8


# Exit status


def known(folder: Path, body: str) -> str:
    (folder / "known.toml").write_text(f'[[issue]]\nname = "the old one"\n{body}\n')
    return str(folder / "known.toml")


def test_status_by_what_is_found(panic: str, live: str, tmp_path: Path) -> None:
    fits, other = known(tmp_path, "message = 'BAD TRAP'"), str(tmp_path / "other.toml")
    Path(other).write_text('[[issue]]\nname = "x"\nmessage = "no such thing"\n')
    assert [run(panic, "--fail-on", word) for word in ("never", "error", "warning", "new")] == [0, 3, 3, 3]
    assert run(panic, "--fail-on", "new", "--known", fits) == 0
    assert run(panic, "--fail-on", "new", "--known", other) == 3
    assert run(panic, "--fail-on", "new", "--known", other, "--known", fits) == 0
    assert run(panic, "--fail-on", "error", "--known", fits) == 3
    assert [run(live, "--fail-on", word) for word in ("never", "error", "new")] == [0, 0, 0]


def test_reports_are_written_whatever_the_status(panic: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert run(panic, "--fail-on", "new", "--known", known(tmp_path, 'finding = "x"'), "-o", str(path)) == 3
    assert json.loads(path.read_text())["known"] == []


def test_known_issues_are_in_every_format(panic: str, tmp_path: Path) -> None:
    names = ["a.txt", "a.json", "a.xml", "a.sarif", "a.md", "a.html"]
    assert run(panic, "--known", known(tmp_path, "message = 'BAD TRAP'"),
               *(word for name in names for word in ("-o", str(tmp_path / name)))) == 0  # fmt: skip
    assert ["the old one" in (tmp_path / name).read_text() for name in names] == [True] * 6


# A sign of life


def test_progress_says_what_is_looked_at(panic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(panic, "--progress") == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" s: ")[2] for line in lines[:2]] == ["dump", "kernel's half"]
    assert all(line.startswith("kdbg: ") for line in lines)


def test_a_pipe_hears_nothing(panic: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SLOW, panic], capture_output=True, env=environment, check=True)
    assert done.stderr == b""


def test_a_terminal_sees_that_it_works_after_a_second(panic: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(sys.executable, ["-c", SLOW, panic], env=environment, encoding="utf-8", dimensions=(24, 100))
    child.expect(r"1 s  \(Ctrl-C stops\)  looks at a slow one", timeout=20)
    child.expect("verdict    panic: BAD TRAP", timeout=20)
    child.expect(pexpect.EOF, timeout=20)
    child.close()
    assert child.exitstatus == 0

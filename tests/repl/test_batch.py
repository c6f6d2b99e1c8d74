"""kdbg as a process without a terminal: order of its output, exit statuses, what it must not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bytes").write_bytes(bytes(range(64)))
    return tmp_path


def kdbg(folder: Path, *words: str, typed: str = "", **details) -> subprocess.CompletedProcess[str]:
    """Run it; standard error goes where standard output goes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "SHELL": "/bin/sh"}
    return subprocess.run(
        [sys.executable, "-m", "kdbg.cli", *words], cwd=folder, env=environment, input=typed, text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **details,
    )  # fmt: skip


def test_output_errors_and_the_shell_come_in_order(folder):
    typed = "::echo a\n::nosuch\n::echo b\n!echo c\n40/X\n::echo d ! tr d e\n"
    assert kdbg(folder, "bytes", typed=typed).stdout.splitlines() == [
        "a ", "kdbg: invalid command '::nosuch': unknown dcmd name", "b ", "c",
        "kdbg: failed to read data from target: cannot read past current end of file", "0x40:           ", "e ",
    ]  # fmt: skip


def test_a_child_reads_on_where_the_language_is(folder):
    typed = '1=J\n!read line && echo "child has $line"\nfor the child\n2=J\n'
    expected = [f"{'':16}{'1':16}", "child has for the child", f"{'':16}{'2':16}"]
    assert kdbg(folder, "bytes", typed=typed).stdout.splitlines() == expected
    (folder / "script").write_text(typed)
    with (folder / "script").open() as stream:
        done = subprocess.run(
            [sys.executable, "-m", "kdbg.cli", "bytes"], cwd=folder, stdin=stream, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
        )  # fmt: skip
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize(
    ("words", "typed", "status"),
    [
        (["bytes"], "::nosuch\n", 0),
        (["bytes"], "$q\n", 0),
        (["-e", "1=K", "bytes"], "", 0),
        (["-e", "1 +", "bytes"], "", 1),
        (["-e", "::map", "bytes"], "", 1),
        (["-e", "100/X", "bytes"], "", 0),
        (["-e", "1=K", "-e", "::nosuch", "bytes"], "", 1),
        (["--strict", "bytes"], "::nosuch\n1=K\n", 1),
        (["--strict", "bytes"], "1=K\n", 0),
        (["nosuch"], "", 1),
        (["-s", "x", "bytes"], "", 2),
        (["--script", "nosuch", "bytes"], "", 1),
        (["info", "bytes"], "", 1),
        (["--help"], "", 0),
    ],
)
def test_exit_status(folder, words, typed, status):
    assert kdbg(folder, *words, typed=typed).returncode == status


def test_a_reader_that_goes_away_is_no_error(folder):
    command = f"{sys.executable} -m kdbg.cli -e '0,4000/B' bytes | head -1"
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stderr.count("Traceback") == 0


def test_safe_runs_nothing_and_reads_nothing(folder):
    (folder / "mine.py").write_text("raise SystemExit('ran')\n")
    (folder / "macro").write_text("::echo ran\n")
    typed = "!echo ran\n::cat macro\n::load mine.py\n$<./macro\n1=K ! cat\n\n::log out\n0/v 1\n::echo done\n"
    done = kdbg(folder, "--safe", "-w", "bytes", typed=typed)
    assert "ran" not in done.stdout
    assert done.stdout.endswith("done \n")
    assert (folder / "bytes").read_bytes() == bytes(range(64))
    assert not (folder / "out").exists()


def test_a_raw_file_is_written_under_w(folder):
    kdbg(folder, "-w", "bytes", typed="0/v ff\n")
    assert (folder / "bytes").read_bytes()[:2] == b"\xff\x01"


def test_macros(folder):
    (folder / "macro").write_text("1=J\n1 +\n2=J\n3=J\n")
    shown = kdbg(folder, "bytes", typed="$<./macro\n$<nosuch\n").stdout.splitlines()
    assert [line.strip() for line in shown] == [
        "1", 'kdbg: syntax error on line 3 of ./macro near "\\n"', "3", "kdbg: failed to open nosuch (see ::help '$<')",
    ]  # fmt: skip


def test_json_on_a_pipe_is_json_and_nothing_else(folder):
    done = kdbg(folder, "--format", "json", "-e", "10::whatis", "bytes")
    assert json.loads(done.stdout) == [
        {"address": "0x10", "kind": "mapping", "base": "0x0", "limit": "0x40", "name": "bytes (object file)"}
    ]


def test_a_file_of_commands_is_loaded(folder):
    (folder / "mine.py").write_text(
        "from kdbg.dcmds.registry import dcmd\n"
        "@dcmd('double', 'twice the address')\n"
        "def double(call):\n"
        "    call.session.out.line(f'{call.address * 2:x}')\n"
    )
    typed = "::load mine.py\n8::double\n::which double\n::unload mine\n8::double\n::load nosuch\n"
    assert kdbg(folder, "bytes", typed=typed).stdout.splitlines() == [
        "10", "double is a dcmd from module mine", "kdbg: invalid command '::double': unknown dcmd name",
        "kdbg: no module 'nosuch' could be found",
    ]  # fmt: skip


def test_a_plain_start_imports_nothing_heavy(folder):
    code = (
        "import sys; from kdbg.cli import main; main(['-e', '1=K', 'bytes']);"
        "print(*sorted({n.partition('.')[0] for n in sys.modules} & set(sys.argv[1].split(','))))"
    )
    heavy = "numpy,construct,capstone,elftools,prompt_toolkit,rich,asyncio,argparse,subprocess,json"
    done = subprocess.run(
        [sys.executable, "-c", code, heavy], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == ""


def test_records_go_into_the_shell_too(folder):
    done = kdbg(folder, "--format", "jsonl", "-e", "10::whatis ! tr a-z A-Z;20::whatis", "bytes")
    first, second = done.stdout.splitlines()
    assert first.startswith('{"ADDRESS": "0X10"')
    assert json.loads(second)["address"] == "0x20"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_closed_and_are_no_error(folder, closed):
    """The file that is opened next must not become the stream that messages go to."""
    command = f"{sys.executable} -m kdbg.cli -w -e ::nosuch -e '0/v 7f' -e '! echo a > child' bytes {closed}"
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "SHELL": "/bin/sh"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "internal error" not in done.stderr
    assert (folder / "bytes").read_bytes() == b"\x7f" + bytes(range(1, 64))
    assert (folder / "child").read_text() == "a\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_told(folder):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kdbg.cli", "-e", "0/B", "bytes"], cwd=folder, stdout=full, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "kdbg: failed to write to standard output: No space left on device\n"


@pytest.mark.parametrize("words", [["pipe"], ["-f", "pipe"], ["bytes", "pipe"], ["info", "pipe"]])
def test_a_pipe_is_refused(folder, words):
    """Opening one would wait for somebody to write into it."""
    os.mkfifo(folder / "pipe")
    done = kdbg(folder, *words)
    assert done.returncode == 1
    assert "a pipe, which has no middle to go to" in done.stdout


def test_an_argument_is_bytes_as_typed_text_is(folder):
    done = kdbg(folder, "-e", "::echo \u20ac", "bytes")
    assert done.stdout == kdbg(folder, "bytes", typed="::echo \u20ac\n").stdout == "\u20ac \n"


def test_files_have_any_name(folder):
    """Typed or as an argument: a word of the language is bytes, and so is a name."""
    for name in ("k\u00f6\u20acr", "\u00e9"):
        (folder / name).write_text("1=K\n")

        text = f"::cat {name}\n$<./{name}\n::log {name}.log\n"
        done = kdbg(folder, "bytes", typed=text)
        assert done.stdout.startswith("1=K\n"), done.stdout
        assert kdbg(folder, "-e", f"::cat {name}", "bytes").stdout == "1=K\n"
        assert done.stdout.split()[:2] == ["1=K", "1"]
        assert (folder / f"{name}.log").exists()

"""The README's session is what the demo plays; its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kdbg
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples.unpack import unpack

README = (Path(__file__).parent.parent / "README.md").read_text()


def session_steps():
    """(command, lines shown) of the indented session; ``...`` stands for lines left out."""
    block = README.partition("    $ kdbg core.domu\n")[2].partition("\n\n")[0]
    lines = [line[4:] for line in block.splitlines()]
    steps: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("> "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    return unpack("domu-sxc16.core", folder).rename(folder / "core.domu")


@pytest.mark.parametrize(("command", "shown"), session_steps(), ids=[command for command, _ in session_steps()])
def test_the_session_is_what_kdbg_answers(core, command, shown, monkeypatch):
    monkeypatch.chdir(core.parent)
    with kdbg.open(core.name) as target:
        sink = ListSink()
        Session(target, sink, sink).execute(command)
    answered = [line.rstrip() for line in sink.text().splitlines()]
    at = 0
    skipping = False
    for line in shown:
        if line == "...":
            skipping = True
            continue
        at = answered.index(line, at) if skipping else at
        assert answered[at] == line
        at, skipping = at + 1, False
    assert skipping or at == len(answered)


def test_the_python_runs(core, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    monkeypatch.chdir(core.parent)
    exec(compile(code, "README.md", "exec"), {})
    assert "SunOS 5.11 onnv-johnlev" in capsys.readouterr().out

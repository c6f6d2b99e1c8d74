"""The Python API in the hands of somebody careless: wrong files, closed dumps, many threads at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import kdbg
from samples.solaris import standard


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return standard(64).write(tmp_path_factory.mktemp("core"), "elf")


@pytest.mark.parametrize("kind", ["folder", "empty", "pipe", "absent", "zeros"])
def test_what_is_no_dump_is_refused(tmp_path, kind):
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path = Path("/dev/zero")
    with pytest.raises(kdbg.FormatError):
        kdbg.open(path)


def test_a_path_need_not_be_text(core, tmp_path):
    name = os.fsencode(tmp_path) + b"/b\xff\xfed"
    os.link(core, name)
    with kdbg.open(os.fsdecode(name)) as dump:
        assert dump.run("::status")


def test_a_closed_dump_says_so(core):
    dump = kdbg.open(core)
    contexts = dump.cpus()
    dump.close()
    dump.close()
    with pytest.raises(kdbg.FormatError, match="is closed"):
        dump.read_physical(min(dump.pages) << 12, 8)
    with pytest.raises(kdbg.Error, match="is closed"):
        dump.run("::ptescan")
    assert contexts == dump.cpus(), "what was read before stays"


def test_quit_ends_the_text_and_not_the_program(core):
    with kdbg.open(core) as dump:
        assert [line.text.strip() for line in dump.run("::echo a; ::quit; ::echo b")] == ["a", ""]
        assert dump.run("::status")


def test_a_walk_may_be_left_half_way(core):
    with kdbg.open(core) as dump:
        first = next(iter(dump.threads()))
        assert next(iter(dump.threads())).address == first.address


def test_threads_get_their_turns(core, capfd):
    """No answer goes to another one's caller, or to standard output."""
    wrong = []

    def ask(dump: kdbg.dump.Dump, text: str) -> None:
        for number in range(50):
            answer = [record.text for record in dump.run(f"::echo {text}{number}")]
            if answer != [f"{text}{number} "]:
                wrong.append(answer)
            if len(dump.run("::walk thread | ::head -1 | ::findstack")) != 1:
                wrong.append(["findstack"])

    with kdbg.open(core) as one, kdbg.open(core) as other:
        threads = [threading.Thread(target=ask, args=(dump, name)) for dump in (one, other) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert capfd.readouterr() == ("", "")

"""::ps, ::ptree, ::pgrep and ::pid2proc."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_ps_lists_all_with_their_names(domain: Any) -> None:
    assert {(row.pid, row.name) for row in domain.run("::ps")} == {
        (process.pid, process.name) for process in domain.planned.processes
    }


def test_ps_f_shows_arguments(say: Any, domain: Any) -> None:
    bash = domain.planned.process("bash").address
    heading, row = say(domain, f"{bash:x}::ps -f").splitlines()
    assert heading == "S PID    PPID   PGID   SID    UID    FLAGS      ADDR             NAME"
    assert row.split()[1:3] == ["565", "1"]
    assert row.endswith(f"{bash:x} -bash")


def test_ps_t_and_l_show_threads(say: Any, domain: Any) -> None:
    bash, shell = domain.planned.process("bash").address, domain.planned.thread("shell").address
    lines = say(domain, f"{bash:x}::ps -tl").splitlines()
    assert f"        T  {shell:#x} <TS_SLEEP>" in lines
    assert any(line.endswith(" ID: 1") for line in lines)


def test_ps_of_nothing(say: Any, domain: Any) -> None:
    assert say(domain, "1234::ps").splitlines()[1:] == ["kdbg: couldn't read proc_t from 1234"]
    assert say(domain, "::ps -Z").startswith("kdbg: illegal option -- Z\nUsage: ps [-fltzTP]\n")


def test_ptree_indents_by_five(say: Any, domain: Any) -> None:
    bash = domain.planned.process("bash").address
    lines = say(domain, f"{bash:x}::ptree").splitlines()
    names = [(len(line) - len(line.lstrip()), line.split()[-1]) for line in lines]
    assert names == [(0, "sched"), (5, "init"), (10, "bash"), (15, "tail")]


def test_ptree_of_nothing_shows_all(say: Any, domain: Any) -> None:
    text = say(domain, "0::ptree")
    assert text.startswith(
        "kdbg: couldn't read proc_t from 0\nkdbg: couldn't read ancestor at 0: no mapping for address\n"
    )
    assert text.splitlines()[2:] == say(domain, "::ptree").splitlines()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a", ["bash", "tail"]),
        ("'^b'", ["bash"]),
        ("-x bas", []),
        ("-x 'ba(sh|t)'", ["bash"]),
        ("'[[:alpha:]]l$'", ["tail"]),
    ],
)
def test_pgrep_by_extended_expressions(pattern: str, names: list[str], domain: Any) -> None:
    assert [row.name for row in domain.run(f"::pgrep {pattern}")] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("::pgrep '('", "kdbg: parentheses not balanced\n"),
        ("::pgrep '[ab'", "kdbg: brackets ([ ]) not balanced\n"),
        ("::pgrep '*a'", "kdbg: repetition-operator operand invalid\n"),
        ("::pgrep 'a{2'", "kdbg: braces not balanced\n"),
        ("::pgrep '[[:foo:]]'", "kdbg: invalid character class\n"),
        ("::pgrep -no a", "Usage: pgrep [-x] [-n | -o] pattern\n"),
        ("::pgrep -Z", "kdbg: illegal option -- Z\n"),
    ],
)
def test_pgrep_refuses_in_mdbs_words(text: str, message: str, say: Any, domain: Any) -> None:
    assert say(domain, text) == message


def test_the_newest_and_the_oldest(sample: Callable[[str], Any]) -> None:
    target = sample("domu-sxc16.core")
    started = {row.address: row.started for row in target.run("::pgrep sshd")}
    (newest,), (oldest,) = target.run("::pgrep -n sshd"), target.run("::pgrep -o sshd")
    assert newest.started == max(started.values())
    assert oldest.started == min(started.values())


def test_pid2proc_leads_to_the_process(say: Any, domain: Any) -> None:
    bash = domain.planned.process("bash").address
    assert say(domain, "0t565::pid2proc") == f"{bash:x}\n"
    assert say(domain, "0t565::pid2proc | ::ps") == say(domain, f"{bash:x}::ps")
    assert say(domain, "0t99999::pid2proc") == "kdbg: PID 0t99999 not found\n"

"""Names in a dump that a terminal would act upon: none of them reaches one as it is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable

import pexpect
import pytest

from samples.solaris import SolarisDomain
from tests.repl.terminal import ROOT, Terminal

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")

EVIL = "\x1b[31m\x1b]0;p\x07\n"
COMMANDS = (
    "::ps -f", "::msgbuf", "::status", "::threadlist -v", "::nm", "::stacks", "::walk thread | ::findstack",
    "utsname/s", "::walk proc | ::print proc_t p_user", "::nosuch\x9b",
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> str:
    """A core in which every kind of name holds escapes, a bell, a newline; a message turns the text round."""
    domain = SolarisDomain(node=f"n{EVIL}").process(f"p{EVIL}", pid=565, arguments=f"a{EVIL}")
    domain.function(f"f{EVIL}").thread("shell", process=f"p{EVIL}", name=f"t{EVIL}").taskq(f"q{EVIL}")
    domain.cache(f"c{EVIL}", 40, allocated=5).message(f"m{EVIL}\u202e")
    return str(domain.write(tmp_path_factory.mktemp("hostile"), "elf"))


def test_at_the_prompt(terminal: Callable[..., Terminal], hostile: str) -> None:
    kdbg = terminal(hostile)
    kdbg.enter("::set +o pager")
    for command in (*COMMANDS[:-1], "::ps ! cat"):
        kdbg.enter(command)
    assert r"p\033[31m\033]0;p\007" in kdbg.raw
    assert not re.search("p\x07|[pfntqcma]\x1b\\[31m|\xc2\x9b|\xe2\x80\xae", kdbg.raw)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_prompt(hostile: str, command: str) -> None:
    """With ``-e``, and the terminal as standard output and error."""
    words = ["-m", "kdbg.cli", "-e", command, hostile]
    child = pexpect.spawn(sys.executable, words, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30)
    sent = child.read()
    assert sent
    assert not re.search(rb"[^\x20-\x7e\r\n\t]", sent)


def test_a_pipe_has_the_bytes(hostile: str) -> None:
    """Where no terminal reads, the text is mdb's."""
    command = f"{sys.executable} -m kdbg.cli -e ::ps {hostile} | cat -v"
    sent = pexpect.run(f'/bin/sh -c "{command}"', env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert b"p^[[31m^[]0;p^G" in sent

"""Another build of the kernel, in which every member of every structure has moved, gives the same answers.

Addresses differ, since structures have other sizes; each is replaced by the order of its first appearance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from samples.solaris import standard

COMMANDS = (
    "::cpuinfo", "::cpuinfo -v", "::cpustack -c 0", "::cpustack -v -c 1", "::cpuregs -c 0", "$r", "$c", "$C",
    "::threadlist", "::threadlist -v", "::thread", "::walk thread | ::thread -bdfimps", "::stacks", "::stacks -a",
    "::walk thread | ::findstack", "::walk thread | ::findstack -v", "::ps", "::ps -f", "::ps -t", "::ps -l", "::ps -T",
    "::ps -P", "::ps -z", "::ptree", "::pgrep ba", "0t565::pid2proc | ::ps", "::evtchns", "::evtchns -d",
    "::interrupts",
    "::objects", "::msgbuf", "::msgbuf -v", "::walk cpu", "::walk modctl", "::walk kmem_cache", "::walk vmem",
    "::walk proc", "::walk proc | ::walk thread", "::walk taskq_thread", "::walk zone", "::walk projects",
    "::walk wchan", "::walk memseg", "::walk allpages", "::walk kmem", "::walk bufctl", "kas::walk seg",
    "::walk kmem | ::whatis", "p0::whatis", "cpus::whatis", "::walk thread | ::print kthread_t t_state t_pri t_tid",
    "::walk cpu | ::print cpu_t cpu_id cpu_flags", "p0::print proc_t p_user.u_comm p_user.u_psargs",
)  # fmt: skip


def text_of(target: Any, command: str) -> str:
    """What a command prints, errors behind it, with every address replaced by its number."""
    out, errors = ListSink(), ListSink()
    Session(target, out, errors).execute(command)
    seen: dict[int, str] = {}

    def numbered(match: re.Match[str]) -> str:
        value = int(match[0].removeprefix("0x"), 16)
        return match[0] if value < 0x10000 else seen.setdefault(value, f"<{len(seen)}>")

    return re.sub(r" +", " ", re.sub(r"\b(0x)?[0-9a-f]{5,16}\b", numbered, out.text() + errors.text()))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], str]:
    """What the layout of 2021 gives."""
    import kdbg

    targets: dict[int, Any] = {}

    def answer(bits: int, command: str) -> str:
        if bits not in targets:
            targets[bits] = kdbg.open(standard(bits).write(tmp_path_factory.mktemp("build"), "elf"))
        return text_of(targets[bits], command)

    return answer


@pytest.mark.parametrize("seed", [21, 22])
@pytest.mark.parametrize("bits", [64, 32])
def test_the_same_text(
    bits: int, seed: int, open_domain: Callable[..., Any], expected: Callable[[int, str], str]
) -> None:
    target = open_domain(standard(bits, shuffle=seed), format="elf").target
    for command in COMMANDS:
        assert text_of(target, command) == expected(bits, command), command


@pytest.mark.parametrize("bits", [64, 32])
def test_none_of_them_fails(bits: int, open_domain: Callable[..., Any]) -> None:
    target = open_domain(standard(bits), format="elf").target
    for command in COMMANDS:
        errors = ListSink()
        Session(target, ListSink(), errors).execute(command)
        assert errors.text() == "", command

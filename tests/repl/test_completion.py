"""Completion, on a sample domain and on many names."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from kdbg.dump import Dump
from kdbg.lang.session import Session
from kdbg.repl.completion import LanguageCompleter
from kdbg.repl.vocabulary import Vocabulary
from tests.repl.synthetic import ManyNames

Complete = Callable[[str], list[str]]


def completer(session: Session) -> Complete:
    language = LanguageCompleter(Vocabulary(session))
    return lambda text: [found.text for found in language.get_completions(Document(text), CompleteEvent())]


@pytest.fixture(scope="module")
def complete(sample: Callable[[str], Dump]) -> Complete:
    return completer(Session(sample("domu-sxc16.core")))


def test_dcmds(complete: Complete) -> None:
    assert complete("::threadl") == ["threadlist"]
    assert {"print", "printf"} <= set(complete("0::pri"))
    assert "$c" not in complete("::")


def test_walkers(complete: Complete) -> None:
    assert "thread" in complete("::walk thr")
    assert complete("::walk thread | ::findst") == ["findstack"]


def test_symbols_also_of_one_module(complete: Complete) -> None:
    assert "thread_deathrow" in complete("thread_d")
    assert "genunix`thread_deathrow" in complete("genunix`thread_d")
    assert "genunix`" in complete("genu")
    assert complete("nomodule`thr") == []


def test_options_tell_what_they_do(complete: Complete) -> None:
    assert "-a" in complete("::print -")
    assert "-al" in complete("::print -a")


def test_types_with_and_without_a_tag(complete: Complete) -> None:
    assert "kthread_t" in complete("::sizeof kthr")
    assert "proc" in complete("::sizeof struct pro")
    assert "struct" in complete("::sizeof str")


def test_member_paths(complete: Complete) -> None:
    assert "p_user" in complete("::print proc_t p_us")
    assert "p_user.u_comm" in complete("::print proc_t p_user.u_co")
    assert "t_procp->p_user.u_comm" in complete("0::print kthread_t t_procp->p_user.u_com")
    assert "p_user" in complete("::print struct proc p_use")
    assert "p_next" in complete("::list proc_t p_ne")
    assert complete("::offsetof proc_t p_parent") == ["p_parent", "p_parent->"]
    assert complete("::print proc_t p_nothing.") == []


def test_members_of_a_variable_whose_type_is_known(complete: Complete) -> None:
    assert "sysname" in complete("utsname::print sysn")


def test_a_second_member_is_completed_too(complete: Complete) -> None:
    assert "p_parent" in complete("::print proc_t p_pidp p_paren")


def test_format_letters_and_variables(complete: Complete) -> None:
    assert "K" in complete("1=")
    assert "thread" in complete("<thr")


def test_nothing_where_nothing_can_be_known(complete: Complete) -> None:
    for text in ("", "1 ", "!ls ", "::nosuch x", "::echo 'x", "1f"):
        assert complete(text) == []


@pytest.fixture(scope="module")
def many() -> tuple[ManyNames, Complete]:
    target = ManyNames()
    complete = completer(Session(target))
    complete("z")
    complete("::sizeof z")
    return target, complete


@pytest.mark.parametrize(
    "text",
    ["v", "kmem_cache_a", "vm_page_", "zzz", "::sizeof v", "::sizeof vm_pa", "::sizeof struct s1",
     "::print struct s77 m_", "::print struct s77 m_next->m_next->m_9"],
)  # fmt: skip
def test_a_key_press_is_answered_within_50_ms(many: tuple[ManyNames, Complete], text: str) -> None:
    target, complete = many
    took = []
    for _ in range(5):
        began = time.perf_counter()
        complete(text)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05
    assert target.scans == 1, "the names are gone through once, not at every key"

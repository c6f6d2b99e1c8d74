"""Help at the terminal, and that there is help for everything."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from kdbg.dcmds.registry import NONE, Call, Dcmd, Walker, flag, number
from kdbg.dump import Dump
from kdbg.lang.session import Session
from kdbg.repl.helptext import Style, answer, columns, page, pairs, prose
from kdbg.repl.vocabulary import REFUSING, Vocabulary
from kdbg.target import Nothing, Target

PLAIN = Style(coloured=False)
LONG = "Shows what there is to be shown, in as many words as it takes to fill more than a line of the window."


def run(call: Call) -> None:
    """Do it. Raises nothing."""


TRY = Dcmd(
    "try", "try something", run, address=NONE, synopsis="[-v] [-n count] what", options=(flag("v", "say more"),
    number("n", "count", "that often")), help=LONG + "\n\n  verbatim   text", example="::try -v it",
)  # fmt: skip


def test_a_page_has_what_a_manual_page_has() -> None:
    assert page(TRY, 60, PLAIN) == (
        "NAME\n"
        "    try - try something\n\n"
        "SYNOPSIS\n"
        "    ::try [-v] [-n count] what\n\n"
        "DESCRIPTION\n"
        "    Shows what there is to be shown, in as many words as it\n"
        "    takes to fill more than a line of the window.\n\n"
        "      verbatim   text\n\n"
        "OPTIONS\n"
        "    -v        say more\n"
        "    -n count  that often\n\n"
        "EXAMPLE\n"
        "    ::try -v it\n"
    )


def test_colours_only_where_they_are_wanted() -> None:
    assert "\033[1mNAME" in page(TRY, 60, Style(coloured=True))
    assert "\033" not in page(TRY, 60, PLAIN)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_text_fits(width: int) -> None:
    for text in (prose(LONG, width), "\n".join(pairs([("a-long-name", LONG), ("b", LONG)], width))):
        assert max(len(line) for line in text.splitlines()) < max(width, 30)
    listed = columns([f"name{at}" for at in range(50)], width)
    assert max(map(len, listed)) < width
    assert sum(len(line.split()) for line in listed) == 50


def test_columns_read_downwards() -> None:
    assert columns("abcdef", 13) == ["  a  c  e", "  b  d  f"]
    assert columns([], 80) == []


def test_only_lines_that_ask_for_help_are_answered() -> None:
    vocabulary = Vocabulary(Session(Nothing("")))
    for line in ("::help", " ::help print ", "::dcmds", "::help ::print", "::help $q"):
        assert answer(line, vocabulary, 80, PLAIN), line
    others = ("::help ! cat", "::dcmds | ::x", "1::help", "::help a b", "::helpless", "::walkers ! wc", "::help nosuch")
    for line in others:
        assert answer(line, vocabulary, 80, PLAIN) is None, line


def test_all_dcmds_stand_in_the_overview(sample: Callable[[str], Dump]) -> None:
    vocabulary = Vocabulary(Session(sample("domu-sxc16.core")))
    shown = answer("::dcmds", vocabulary, 80, PLAIN) or ""
    for name in ("print", "threadlist", "ptescan", "$c"):
        assert f"\n  {name} " in shown
    usable, _, refused = shown.partition("for running programs")
    assert "\n  bp " not in usable
    assert "\n  bp " in refused


# everything that is declared


def everything(target: Target) -> list[tuple[str, Dcmd | Walker]]:
    from kdbg.dcmds import declared, tables

    found: list[tuple[str, Dcmd | Walker]] = []
    for attribute in ("DCMDS", "WALKERS"):
        for table in tables(target, attribute):
            for path, names in table.items():
                here = {one.name: one for one in declared(importlib.import_module(path), attribute.lower())}
                found += [(f"{path}: {name}", here[name]) for name in names]
    return found


@pytest.mark.parametrize("name", ["domu-sxc16.core", "xen-tiny.core"])
def test_everything_has_a_summary_and_every_dcmd_and_option_more(sample: Callable[[str], Dump], name: str) -> None:
    lacking = []
    for where, one in everything(sample(name)):
        if not one.summary:
            lacking.append(f"{where}: a summary")
        if isinstance(one, Dcmd):
            if not one.example and not where.startswith(REFUSING):  # what is refused has none that would work
                lacking.append(f"{where}: an example")
            if any(not option.help for option in one.options):
                lacking.append(f"{where}: a word on each option")
    assert lacking == []

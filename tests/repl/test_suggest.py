"""What may have been meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kdbg.dump import Dump
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.repl.suggest import suggestion
from kdbg.repl.terminal import TypedSource
from kdbg.repl.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("::thraedlist", "did you mean ::threadlist?"),
        ("::walk thraed", "did you mean thread?"),
        ("thread_deathrwo=K", "did you mean thread_deathrow?"),
        ("genunix`thread_deathrwo/K", "did you mean genunix`thread_deathrow?"),
        ("::sizeof porc_t", "did you mean proc_t"),
        ("::sizeof proc", "did you mean proc_t"),
        ("::offsetof proc_t p_usr", "did you mean p_user"),
        ("thread_deathrow::print proc_t p_usr", "did you mean p_user"),
        ("::wxyz", None),
        ("1=K", None),
    ],
)
def test_suggestion(sample: Callable[[str], Dump], line: str, wanted: str | None) -> None:
    said = ListSink()
    session = Session(sample("domu-sxc16.core"), ListSink(), said)
    session.run(TypedSource(line))
    found = suggestion(line, said.text(), Vocabulary(session))
    assert found == wanted or (wanted and found and found.startswith(wanted))

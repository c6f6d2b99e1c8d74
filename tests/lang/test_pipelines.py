"""Pipelines: what goes through a pipe, variables that keep in step, errors, records."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kdbg.dcmds.registry import Dcmd, Walker
from kdbg.errors import CommandError
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.records import Address, Text
from tests.lang.programs import raw
from tests.lang.typed import piped

NODES = 4
"""A list of pairs (next, value) at 0, 10, 20, 30; values 64, 65, 66, 67."""


@pytest.fixture
def session(tmp_path: Path):
    pairs = [(0x10 * (i + 1) if i < NODES - 1 else 0, 0x64 + i) for i in range(NODES)]
    sink = ListSink()
    made = Session(raw(tmp_path, b"".join(struct.pack("<QQ", *pair) for pair in pairs)), sink, sink)
    made.sink = sink
    made.add_commands([], [Walker("tens", "0x10 to 0x30", lambda walk: iter((0x10, 0x20, 0x30)))], "test")
    return made


def answer(session, text: str) -> list[str]:
    piped(text, session=session)
    return session.sink.text().splitlines()


def test_values_go_through_a_pipe_one_by_one(session):
    assert answer(session, "::walk tens | ::map .+1 | ::map .*2\n") == ["22", "42", "62"]


def test_text_in_a_pipe_is_read_as_an_expression_a_line(session):
    assert answer(session, "::echo 1+1 | ::map .\n") == ["2"]


def test_what_is_no_expression_ends_the_pipeline(session):
    assert answer(session, "::echo 1 2 | ::map .\n3=J\n") == [
        'kdbg: syntax error on line 1 of (pipeline) near "2"', f"{'':16}{'3':16}",
    ]  # fmt: skip


def test_nothing_in_a_pipe_runs_nothing(session):
    assert answer(session, "0::grep 0 | ::echo never\n") == []


def test_head_takes_the_first(session):
    assert answer(session, "::walk tens | ::head -2\n") == ["10", "20"]
    assert session.records("::walk tens | ::head -n 1") == [Address(0x10)]


def test_a_variable_keeps_in_step_with_a_walk(session):
    shown = answer(session, "::walk tens v | ::map '.+8' | ::grep '.>20' | ::eval '<v=J'\n")
    assert [line.strip() for line in shown] == ["10", "20", "30"]


def test_dot_behind_a_pipe_is_its_last_value(session):
    assert answer(session, "::walk tens | ::map .\n.=J\n")[-1].strip() == "30"


def test_a_label_is_shown_for_the_first_only(session):
    assert answer(session, "::walk tens | /J\n") == ["0x10:           20              30              0               "]


def test_a_walk_that_is_not_known(session):
    assert answer(session, "::walk nosuch | ::map .\n") == ["kdbg: failed to perform walk: unknown walk name"]


def test_a_pipe_into_the_shell(session, capfd):
    piped("::echo a\n::echo b ! cat\n", session=session)
    assert session.sink.text() == "a \n"
    assert capfd.readouterr().out == "b \n"


def test_records(session):
    assert session.records("::walk tens") == [Address(0x10), Address(0x20), Address(0x30)]
    assert session.records("10=J") == [Text(f"{'':16}{'10':16}")]
    with pytest.raises(CommandError, match="unknown walk name"):
        session.records("::walk nosuch")
    with pytest.raises(CommandError, match="syntax error"):
        session.records("1 2")
    assert session.sink.text() == ""


def test_records_are_shown_as_they_come(session):
    seen: list[int] = []

    def slowly(call):
        for number in range(3):
            seen.append(len(session.sink.pieces))
            yield Address(number)

    session.add_commands([Dcmd("slowly", "one by one", slowly)], [], "test")
    piped("::slowly\n", session=session)
    assert seen == [0, 1, 2]


def test_what_a_text_within_a_pipe_writes_goes_into_the_pipe(session):
    assert answer(session, "::walk tens | ::eval '::map .+1' | ::map .*2\n") == ["22", "42", "62"]

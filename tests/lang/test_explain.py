"""``--explain``: the Python that is printed does what the pipeline does."""

from __future__ import annotations

from typing import Any

import pytest

from kdbg.errors import ParseError
from kdbg.lang.explain import explain, program
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

PIPELINES = (
    "::walk proc",
    "::walk proc | ::head -2",
    "::walk proc | ::head -3 | ::ps",
    "::walk cpu | ::map '.+8'",
    "::walk proc | ::grep '.!=0' | ::head -n 2",
    "::walk proc p | ::eval '<p=K'",
    "p0/K | ::map .",
    "p0::ps",
    "::echo 'a b' $[1+1]",
)


@pytest.fixture
def session(sample):
    return Session(sample("domu-sxc16.core"), ListSink(), ListSink())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_python_of_a_pipeline_gives_its_records(session, pipeline):
    names: dict[str, Any] = {"t": session.target}
    exec(explain(session, pipeline), names)
    assert names["records"] == session.target.run(pipeline)


def test_stages_become_lines(session):
    assert explain(session, "::walk proc | ::head -2 | ::ps -f").splitlines() == [
        "records = t.run('::walk proc')",
        "records = records[:2]",
        'records = [record for one in records for record in t.run(f"{one.address:#x}::ps -f")]',
    ]


def test_a_program(session):
    compile(program(session, "::walk proc\n10=J\n"), "program", "exec")
    with pytest.raises(ParseError):
        program(session, "1 2")

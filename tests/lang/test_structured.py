"""Records as JSON, JSON lines, CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kdbg.dcmds.registry import Dcmd, Table, decimal, hexadecimal, pointer, text
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from tests.lang.programs import raw
from tests.lang.typed import piped


@dataclass(frozen=True, slots=True)
class Row:
    address: int
    where: int
    size: int
    name: str | None
    absent: Mapping[str, str] = field(default_factory=dict)


ROWS = (Row(0xFFFFFF01D6F09C00, 0x10, 1 << 40, 'a,"b"'), Row(0x20, 0x30, 2, None, {"name": "not in the dump"}))
TABLE = Table([pointer("ADDR", "address"), pointer("WHERE", "where"), decimal("SIZE", "size", 8),
               text("NAME", "name", 4), hexadecimal("SIZE", "size", 8)])  # fmt: skip


@pytest.fixture
def answer(tmp_path: Path):
    def run(form: str, line: str) -> str:
        sink = ListSink()
        session = Session(raw(tmp_path, bytes(16)), sink, sink)
        session.add_commands([Dcmd("rows", "some rows", lambda call: iter(ROWS), table=TABLE)], [], "test")
        session.structure(form)
        piped(line, session=session)
        return sink.text()

    return run


def test_json_is_an_array_for_each_command(answer):
    shown = answer("json", "::rows\n")
    assert json.loads(shown) == [
        {"address": "0xffffff01d6f09c00", "where": "0x10", "size": 1 << 40, "name": 'a,"b"'},
        {"address": "0x20", "where": "0x30", "size": 2, "name": None, "absent": {"name": "not in the dump"}},
    ]
    assert answer("json", "0::grep 0\n") == "[]\n"


def test_json_lines(answer):
    lines = answer("jsonl", "::rows\n10=J\n").splitlines()
    assert [json.loads(line).get("address") for line in lines] == ["0xffffff01d6f09c00", "0x20", None]
    assert json.loads(lines[2]) == {"text": f"{'':16}{'10':16}"}


def test_csv(answer):
    assert answer("csv", "::rows\n").splitlines()[:2] == [
        "address,where,size,name",
        '0xffffff01d6f09c00,0x10,1099511627776,"a,""b"""',
    ]

"""Records as JSON, JSON lines or CSV: what ``--format`` prints in place of text.

``json``: an array for each command that a person gives. ``jsonl``: a record a line. ``csv``: lines under a heading,
which comes again where the fields change. What a command writes without having records becomes a record with ``text``,
a line each. Fields keep the names that they have in Python; addresses are strings (``"0xffffff01d6f09c00"``), what is
absent is null, with the reason under ``absent``.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from kdbg.dcmds.registry import Call, Dcmd, Table

if TYPE_CHECKING:
    from kdbg.lang.output import Sink

FORMATS = ("text", "json", "jsonl", "csv")

_KERNEL = 0xFFFF_8000_0000_0000
"""Where the upper half of the canonical addresses of x86-64 begins: no size or count lies there."""

_ADDRESSES = frozenset({
    "address", "base", "pc", "sp", "thread", "taskq", "limit", "start", "end", "entry", "physical", "va", "bufctl",
    "proc", "process", "vnode", "cache", "slab", "parent", "cr3",
})  # fmt: skip
"""Fields that hold addresses whatever their table says."""


class Structured:
    """Takes records and text and writes them in one of the formats."""

    def __init__(self, form: str, sink: Sink) -> None:
        self._form = form
        self._sink = sink
        self._count = 0
        self._columns: list[str] | None = None
        self._partial: list[str] = []
        """Pieces of a line that has not ended."""

    def redirect(self, sink: Sink) -> Sink:
        """Write elsewhere from here on; where it went so far."""
        before, self._sink = self._sink, sink
        self._columns = None
        return before

    # as a presenter

    def present(self, dcmd: Dcmd, made: Call, records: Iterable[Any]) -> None:
        """Write the records of one call, one at a time."""
        table = dcmd.table
        if table is not None and not isinstance(table, Table):
            table = table(made)
        pointers = _ADDRESSES | {column.field for column in table.columns if column.address} if table else _ADDRESSES
        for record in records:
            if record is not None:
                self._write(plain(record, pointers))

    # as a sink of text

    def emit(self, text: str) -> None:
        """Take text: each line becomes a record."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._write({"text": "".join(self._partial) + line})
            self._partial.clear()
        if rest:
            self._partial.append(rest)

    def end(self) -> None:
        """A command has ended."""
        if self._partial:
            self.emit("\n")
        if self._form == "json":
            self._sink.emit("\n]\n" if self._count else "[]\n")
        self._count = 0

    def _write(self, record: dict[str, Any]) -> None:
        if self._form == "csv":
            self._write_row(record)
            return
        text = json.dumps(record)
        if self._form == "json":
            text = (",\n " if self._count else "[\n ") + text
        else:
            text += "\n"
        self._count += 1
        self._sink.emit(text)

    def _write_row(self, record: dict[str, Any]) -> None:
        columns = list(record)
        if columns != self._columns:
            self._columns = columns
            self._sink.emit(",".join(_cell(column) for column in columns) + "\n")
        self._sink.emit(",".join(_cell(value) for value in record.values()) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\n\r') else text


def plain(record: Any, pointers: frozenset[str] | set[str] = _ADDRESSES) -> dict[str, Any]:
    """A record as what JSON can hold; fields that do not show in its ``repr`` are for the text view alone."""
    if is_dataclass(record):
        shown = [field.name for field in fields(record) if field.repr]
        made = {name: _value(getattr(record, name), name in pointers) for name in shown}
    elif isinstance(record, Mapping):
        made = {str(key): _value(value, str(key) in pointers) for key, value in record.items()}
    else:
        return {"text": str(record)}
    if not made.get("absent", True):
        del made["absent"]
    return made


def _value(value: Any, address: bool) -> Any:
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, int):
        return f"{value:#x}" if address or value >= _KERNEL else value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if is_dataclass(value) or isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, Iterable):
        return [_value(item, address) for item in value]
    return str(value)

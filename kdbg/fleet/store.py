"""The table of a fleet: a parquet file, and while it grows a journal beside it, so that what is done is never lost.

Each row is written to ``TABLE.journal`` (a line of JSON) as soon as it is there. In the end table and journal become
one new table in one step, and the journal goes. Whoever is killed in between finds both: the next run reads them
together. A line that was cut short by that is left out, so its dump is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from kdbg.errors import Error, UsageError
from kdbg.fleet.row import Row

LACKING = "results as a table need pyarrow: pip install 'kdbg[fleet]'"


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(LACKING) from None
    return pyarrow


def read_table(path: str) -> list[Row]:
    """The rows of a table. Raises `UsageError` where there is none."""
    arrow = _arrow()
    try:
        told = arrow.parquet.read_table(path).to_pylist()
        return [Row.of_plain(one) for one in told]
    except FileNotFoundError:
        raise UsageError(f"{path}: no such table") from None
    except (OSError, ValueError, TypeError, arrow.ArrowException) as error:
        raise UsageError(f"{path}: no table of a fleet: {str(error).splitlines()[0]}") from None


def write_table(path: str, rows: Iterable[Row]) -> None:
    """Write a table in one step: readers see the old one or the new one. Raises `Error`."""
    arrow = _arrow()
    text, number, texts = arrow.string(), arrow.float64(), arrow.list_(arrow.string())
    kinds = {"size": arrow.int64(), "modified": number, "seconds": number, "time": number}
    names = list(Row.__dataclass_fields__)
    columns = [(name, kinds.get(name, texts if name in ("findings", "known") else text)) for name in names]
    table = arrow.Table.from_pylist([_storable(row) for row in rows], schema=arrow.schema(columns))
    beside = f"{path}.new"
    try:
        arrow.parquet.write_table(table, beside, compression="zstd")
        os.replace(beside, path)
    except OSError as error:
        raise Error(f"{path}: {error.strerror or error}") from None


def _storable(row: Row) -> dict[str, Any]:
    """Without what no table takes: lone surrogates out of names of files."""

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(one) for one in value]
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value

    return {name: clean(value) for name, value in row.plain().items()}


class Store:
    """A table that grows. ``path`` None: the rows are kept in memory alone."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._rows: dict[str, Row] = {}
        """By dump: the last one counts."""
        self._journal: TextIO | None = None
        if path is None:
            return
        _arrow()
        if os.path.isdir(path):
            raise UsageError(f"{path}: a directory, where the table is to be")
        self._journal = self._locked_journal()
        try:
            if os.path.exists(path):
                self._take(read_table(path))
            self._take(self._journalled())
        except BaseException:
            self._drop_journal(only_empty=True)
            raise

    def _locked_journal(self) -> TextIO:
        """The journal, which is this run's alone until it is closed. Raises `UsageError`."""
        import fcntl

        while True:
            try:
                journal = open(self._journal_path, "a", encoding="utf-8")  # noqa: SIM115
            except OSError as error:
                raise UsageError(f"{self.path}: {error.strerror}") from None
            try:
                fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                journal.close()
                raise UsageError(f"{self.path}: another run is filling it") from None
            except OSError:
                return journal  # a file system without locks
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(journal.fileno()), os.stat(self._journal_path)):
                    return journal
            journal.close()  # of a run that has ended meanwhile

    def _drop_journal(self, only_empty: bool = False) -> None:
        """Let the journal go, and the lock with it."""
        assert self._journal is not None
        with contextlib.suppress(OSError):
            if not only_empty or not os.path.getsize(self._journal_path):
                os.unlink(self._journal_path)
        self._journal.close()
        self._journal = None

    @property
    def _journal_path(self) -> str:
        return f"{self.path}.journal"

    def _take(self, rows: Iterable[Row]) -> None:
        self._rows.update((row.dump, row) for row in rows)

    def _journalled(self) -> Iterator[Row]:
        try:
            lines = open(self._journal_path, encoding="utf-8", errors="replace")  # noqa: SIM115
        except FileNotFoundError:
            return
        with lines:
            for line in lines:
                with contextlib.suppress(ValueError, TypeError):
                    yield Row.of_plain(json.loads(line))

    @property
    def rows(self) -> list[Row]:
        """All rows."""
        return list(self._rows.values())

    def done(self) -> set[tuple[str, int, float]]:
        """What need not be done again: dumps that are still as they were. Those that were killed are tried again."""
        return {row.key for row in self._rows.values() if row.outcome not in ("killed", "too long")}

    def add(self, row: Row) -> None:
        """Keep a row: it is on the disk when this returns."""
        self._rows[row.dump] = row
        if self._journal is not None:
            self._journal.write(json.dumps(row.plain()) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())

    def close(self) -> None:
        """Make the table of all rows. Raises `Error`; then the journal stays."""
        if self._journal is None or self.path is None:
            return
        write_table(self.path, self._rows.values())
        self._drop_journal()

"""Many dumps: which are meant, what is kept of each, what is done again, what they died of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdbg.errors import UsageError
from kdbg.fleet.causes import causes
from kdbg.fleet.names import Named, named
from kdbg.fleet.page import render
from kdbg.fleet.row import Row
from kdbg.fleet.running import local
from kdbg.fleet.store import Store, read_table
from kdbg.fleet.worker import Limits, Server
from samples.faults import lock_cycle, overwritten_redzone
from samples.solaris import standard

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two healthy domains, a deadlock, a cut one, and a text."""
    found = tmp_path_factory.mktemp("fleet")
    healthy, locked = standard().build(), standard().build()
    lock_cycle(locked)
    healthy.write(found, name="healthy.core")
    healthy.write(found, format="elf", name="healthy.elf")
    whole = locked.write(found, name="locked.core")
    (found / "cut.core").write_bytes(whole.read_bytes()[:5000])
    (found / "words").write_text("no dump at all\n" * 100)
    (found / "notes.txt").write_text("passed over\n")
    return found


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def row(dump: str, **told: object) -> Row:
    return Row(dump, 1, 1.0, str(told.pop("outcome", "done")), **told)  # type: ignore[arg-type]


def die(store: Store) -> None:
    """As if the machine went down: the table is not made."""
    assert store._journal is not None
    store._journal.close()


def test_a_directory_means_all_its_files_but_those_that_are_no_dumps_by_their_names(folder: Path) -> None:
    assert [Path(one.text).name for one in named([str(folder)])] == [
        "cut.core", "healthy.core", "healthy.elf", "locked.core", "words",
    ]  # fmt: skip


def test_a_pattern_means_what_it_matches_and_each_once(folder: Path) -> None:
    assert len(named([f"{folder}/*.core", str(folder / "cut.core")])) == 3


def test_a_namelist_and_its_dump_are_one(tmp_path: Path) -> None:
    for name in ("unix.0", "vmcore.0", "vmcore.1", "unix.2"):
        (tmp_path / name).write_bytes(b"x")
    assert sorted(len(one.files) for one in named([str(tmp_path)])) == [1, 1, 2]


def test_a_pattern_without_a_match_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file there"):
        named([f"{tmp_path}/*.core"])


def test_every_dump_becomes_a_row_whatever_it_is(folder: Path) -> None:
    rows = {Path(one.dump).name: one for one in local(2)(named([str(folder)]), Limits())}
    assert {name: one.outcome for name, one in rows.items()} == {
        "cut.core": "error", "healthy.core": "done", "healthy.elf": "done", "locked.core": "done", "words": "no dump",
    }  # fmt: skip
    assert rows["locked.core"].kind == "deadlock"
    assert "lock.cycle" in rows["locked.core"].findings
    assert rows["healthy.core"].signature == rows["healthy.elf"].signature
    assert "cut off" in str(rows["cut.core"].error)
    assert json.loads(str(rows["locked.core"].report))["schema"] == 1


def test_a_dump_that_takes_too_long_costs_its_own_process(folder: Path, server: Server) -> None:
    (one,) = named([str(folder / "locked.core")])
    assert server.look_over(one, Limits(seconds=0.01)).outcome == "too long"
    assert server.look_over(one, Limits()).outcome == "done"


def test_a_dump_that_takes_too_much_memory_costs_its_own_process(folder: Path, server: Server) -> None:
    (one,) = named([str(folder / "locked.core")])
    found = server.look_over(one, Limits(memory=16 << 20))
    assert found.outcome in ("killed", "error")
    assert found.error
    assert "Traceback" not in found.error


def test_a_server_that_was_killed_is_started_again(folder: Path, server: Server) -> None:
    (one,) = named([str(folder / "locked.core")])
    assert server.look_over(one, Limits()).outcome == "done"
    assert server._process is not None
    server._process.kill()
    assert server.look_over(one, Limits()).outcome in ("killed", "done")
    assert server.look_over(one, Limits()).outcome == "done"


def test_a_store_goes_on_where_it_stopped(tmp_path: Path) -> None:
    table = str(tmp_path / "t.parquet")
    first = Store(table)
    first.add(row("a", signature="1"))
    first.add(row("b", signature="2"))
    die(first)
    with open(f"{table}.journal", "a") as journal:
        journal.write('{"dump": "c", "si')
    second = Store(table)
    assert {key[0] for key in second.done()} == {"a", "b"}
    second.add(row("c", signature="3"))
    second.add(row("a", signature="4"))
    second.close()
    assert {one.dump: one.signature for one in read_table(table)} == {"a": "4", "b": "2", "c": "3"}
    assert not Path(f"{table}.journal").exists()


def test_what_was_killed_is_tried_again(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "t.parquet"))
    store.add(row("a", outcome="killed"))
    store.add(row("b", outcome="error"))
    assert {key[0] for key in store.done()} == {"b"}
    die(store)


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"PAR1 nothing PAR1"), lambda path: None])
def test_a_table_that_is_none_is_told(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    make(path)
    with pytest.raises(UsageError, match=r"no such table|no table of a fleet"):
        read_table(str(path))


@pytest.mark.parametrize(
    "line",
    [
        "{", "[1, 2]", '"dump"', '{"dump": [], "size": 1, "modified": 1, "outcome": "done"}',
        '{"dump": "x", "size": "1", "modified": 1, "outcome": "done"}',
        '{"dump": "x", "size": 1, "modified": 1, "outcome": "done", "findings": 5}',
        '{"dump": "x", "size": 1, "modified": 1, "outcome": "done", "known": [5]}',
    ],
)  # fmt: skip
def test_a_line_of_a_journal_that_is_no_row_is_left_out(line: str, tmp_path: Path) -> None:
    (tmp_path / "table.journal").write_text(line + "\n")
    store = Store(str(tmp_path / "table"))
    assert store.rows == []
    store.close()


def test_a_table_is_filled_by_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "table"
    first = Store(str(path))
    with pytest.raises(UsageError, match="another run is filling it"):
        Store(str(path))
    first.close()
    Store(str(path)).close()
    assert os.listdir(tmp_path) == ["table"]


def test_what_is_no_table_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("no parquet")
    with pytest.raises(UsageError, match="no table of a fleet"):
        Store(str(tmp_path / "table"))
    assert os.listdir(tmp_path) == ["table"]


def test_a_directory_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a directory"):
        Store(str(tmp_path))


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    table = str(tmp_path / "t.parquet")
    store = Store(table)
    store.add(row("core\udcff", signature="1"))
    store.close()
    assert read_table(table)[0].signature == "1"


def test_causes_count_dumps_by_signature_the_most_frequent_first() -> None:
    rows = [
        row("a", signature="1", cause="panic: f", time=10.0, release="5.11"),
        row("b", signature="1", cause="panic: f", time=30.0, release="5.10"),
        row("c", signature="2", cause="hang: g"),
        row("d", outcome="error", error="d: cut off"),
        row("e", outcome="error", error="e: cut off"),
        row("f", outcome="error", error="f: cut off"),
        row("g", outcome="no dump"),
    ]
    found = causes(rows)
    assert [(one.count, one.signature) for one in found] == [(3, None), (2, "1"), (1, "2")]
    assert found[1].first == 10.0
    assert found[1].last == 30.0
    assert found[1].example == "b"
    assert set(found[1].kernels) == {"5.11", "5.10"}


def test_the_page_escapes_what_comes_from_dumps() -> None:
    evil = '<script>alert(1)</script>"\u202e'
    page = render(causes([row(evil, signature="1", cause=evil, release=evil, known=(evil,), findings=(evil,))]))
    assert "<script" not in page
    assert "\u202e" not in page


def test_an_overwritten_buffer_is_a_cause_of_its_own(tmp_path: Path, server: Server) -> None:
    domain = standard().build()
    overwritten_redzone(domain)
    path = domain.write(tmp_path)
    found = server.look_over(Named((str(path),), 1, 1.0), Limits())
    assert found.findings[0] == "kmem.corrupt"

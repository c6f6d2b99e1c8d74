"""The history file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbg.repl.history import KEPT, LineHistory, history_path


def test_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert history_path() == tmp_path / ".local/state/kdbg/history"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert history_path() == Path("/var/state/kdbg/history")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert history_path() == tmp_path / ".local/state/kdbg/history", "relative paths are to be passed over (XDG)"


def test_newest_first_and_repeats_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history"
    first = LineHistory(path)
    for line in ("a", "b", "b", "  ", "a"):
        first.append_string(line)
    assert path.read_text() == "a\nb\na\n"
    assert list(LineHistory(path).load_history_strings()) == ["a", "b", "a"]


def test_pasted_lines_are_entries_of_their_own(tmp_path: Path) -> None:
    history = LineHistory(tmp_path / "history")
    history.append_string("a\nb")
    assert list(LineHistory(tmp_path / "history").load_history_strings()) == ["b", "a"]


def test_control_characters_in_the_file_are_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("good\nevil \x1b[31m\n")
    assert list(LineHistory(tmp_path / "history").load_history_strings()) == ["good"]


def test_a_file_that_has_grown_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f"{number}\n" for number in range(2 * KEPT + 1)))
    assert next(iter(LineHistory(path).load_history_strings())) == str(2 * KEPT)
    assert len(path.read_text().splitlines()) == KEPT


def test_no_place_to_write_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = LineHistory(tmp_path / "file" / "history")
    history.append_string("a")
    assert history.get_strings() == ["a"]

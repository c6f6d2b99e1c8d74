"""The history of the prompt: one line an entry, in the state directory, shared by all sessions of a person.

The place follows the XDG base directory specification: ``$XDG_STATE_HOME/kdbg/history``, else
``~/.local/state/kdbg/history``. Where it cannot be written the session goes on without.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

KEPT = 10_000
"""Entries that are kept when the file has grown to twice as many."""
LONGEST = 4096
"""Characters of an entry at most."""


def history_path() -> Path:
    """Where the history is kept."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "kdbg" / "history"


class LineHistory(History):
    """The history in a file."""

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._last = ""

    def load_history_strings(self) -> Iterable[str]:
        """Entries, the newest first; of equal neighbours one."""
        entries = self._read()
        if len(entries) > 2 * KEPT:
            entries = entries[-KEPT:]
            self._rewrite(entries)
        self._last = entries[-1] if entries else ""
        previous = None
        for entry in reversed(entries):
            if entry != previous:
                yield entry
            previous = entry

    def append_string(self, string: str) -> None:
        """Add an entry, unless it repeats the last one or is blank."""
        if string.strip() and string != self._last:
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Write an entry behind the others."""
        self._last = string
        if self._path is None or len(string) > LONGEST:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(descriptor, "a", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(line + "\n" for line in string.splitlines() if line.strip())
        except OSError:
            self._path = None

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            text = self._path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return []
        return [line for line in text.split("\n") if line.strip() and len(line) <= LONGEST and line.isprintable()]

    def _rewrite(self, entries: list[str]) -> None:
        """Replace the file by a shorter one, all at once."""
        assert self._path is not None
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=self._path.parent, delete=False, encoding="utf-8", errors="surrogateescape"
            ) as file:
                file.writelines(entry + "\n" for entry in entries)
            os.replace(file.name, self._path)
        except OSError:
            pass

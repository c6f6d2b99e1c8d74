"""A home of its own for each test of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("pexpect")

from tests.repl.terminal import Terminal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def terminal(home: Path) -> Iterator[Callable[..., Terminal]]:
    """Start kdbg on a terminal: ``terminal("file", columns=80, lines=24, NO_COLOR="1")``."""
    started: list[Terminal] = []

    def start(*arguments: str, **details: object) -> Terminal:
        started.append(Terminal(home, *arguments, **details))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.process.close(force=True)

"""Linux guests that are built for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kdbg
from samples.linux import LinuxGuest


class OpenGuest:
    """A built guest, opened: the target's attributes, and the plan's as ``.planned``."""

    def __init__(self, guest: LinuxGuest, path: Path) -> None:
        self.planned = guest
        self.target = kdbg.open(guest.write(path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


@pytest.fixture(scope="session")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., OpenGuest]]:
    """Build a guest and open it; the arguments are those of `samples.linux.LinuxGuest`. Not to be changed."""
    opened: dict[str, OpenGuest] = {}

    def build(**plan: Any) -> OpenGuest:
        key = repr(sorted(plan.items()))
        if key not in opened:
            path = tmp_path_factory.mktemp("linux") / "guest.core"
            opened[key] = OpenGuest(LinuxGuest(**plan), path)
        return opened[key]

    yield build
    for guest in opened.values():
        guest.target.close()

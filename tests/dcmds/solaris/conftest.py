"""What a command says, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session

Say = Callable[[Any, str], str]
"""(target, text of the language) -> what was written to either stream, in order."""


@pytest.fixture
def say() -> Say:
    """Run text of the language on a target, in a session of its own."""

    def run(target: Any, text: str) -> str:
        sink = ListSink()
        session = Session(getattr(target, "target", target), out=sink, errors=sink)
        session.execute(text)
        return sink.text()

    return run

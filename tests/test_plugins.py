"""The plug-in that docs/plugins.md shows, loaded from a file and by an entry point."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import kdbg
from kdbg import dcmds
from kdbg.lang.session import Session
from samples.solaris import standard

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLE = DOCS / "examples" / "zombies.py"
SZOMB = 3


@pytest.fixture
def haunted(open_domain: Any) -> Any:
    """A domain in which bash has ended and init has not reaped it yet."""
    built = standard().build()
    built.structure("proc_t", built.planned.process("bash").address).update(p_stat=SZOMB)
    return open_domain(built)


def test_the_page_shows_the_file() -> None:
    assert f"```python\n{EXAMPLE.read_text()}```" in (DOCS / "plugins.md").read_text()


def test_a_file_is_loaded_by_name(haunted: Any) -> None:
    session, bash = Session(haunted.target), haunted.planned.process("bash")
    session.execute(f"::load {EXAMPLE}")
    assert [(one.address, one.pid, one.name) for one in session.records("::zombies")] == [
        (bash.address, bash.pid, "bash")
    ]
    assert [one.address for one in session.records("::walk zombie")] == [bash.address]
    assert session.records("::zombies | ::ps") == session.records(f"{bash.address:x}::ps")


def test_an_entry_point_is_found_where_the_name_is_nobody_elses(haunted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = dcmds.load_file(str(EXAMPLE))

    class Entry:
        name = "zombies"

        def load(self) -> Any:
            return module

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Entry()] if group == "kdbg.dcmds" else [])
    dcmds._of_plugins.cache_clear()
    try:
        assert [one.name for one in haunted.run("::zombies")] == ["bash"]
        assert "zombie" in dcmds.found_names(Session(haunted.target), "WALKERS")
    finally:
        dcmds._of_plugins.cache_clear()


def test_it_is_for_solaris_alone(sample: Any) -> None:
    session = Session(sample("xen-tiny.core"))
    session.execute(f"::load {EXAMPLE}")
    with pytest.raises(kdbg.CommandError):
        session.records("::zombies")

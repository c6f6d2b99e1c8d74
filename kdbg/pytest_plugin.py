"""A plug-in for pytest: a project asserts over its dumps.

    def test_no_buffer_is_corrupt(kdbg_report):
        assert not kdbg_report.found("kmem.corrupt")

    def test_the_daemon_runs(kdbg_dump):
        assert any(process.name == "mydaemond" for process in kdbg_dump.processes())

    $ pytest --kdbg-dump crash/core.domu --kdbg-dump unix.0,vmcore.0

Each test that has one of the fixtures runs once for each dump, and is skipped where none is given. pytest finds the
plug-in by its entry point; runs that do not name a dump import this module and nothing else of kdbg.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kdbg.triage.report import Report

OPTION, KNOWN = "--kdbg-dump", "--kdbg-known"
NONE = "no dump is given: pytest --kdbg-dump PATH"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("kdbg", "crash dumps (kdbg)")
    group.addoption(
        OPTION,
        action="append",
        default=[],
        metavar="PATH",
        help="a dump for the fixtures kdbg_dump and kdbg_report; several may be given "
        "(files of the same dump: with commas between them)",
    )
    group.addoption(
        KNOWN,
        action="append",
        default=[],
        metavar="PATH",
        help="known issues for kdbg_report: a TOML file or a directory",
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """The dumps, where there are some."""
    dumps = config.getoption(OPTION)
    return f"kdbg dumps: {', '.join(map(_name, dumps))}" if dumps else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with one of the fixtures runs for each dump."""
    if "kdbg_dump" not in metafunc.fixturenames:
        return
    dumps = metafunc.config.getoption(OPTION)
    if dumps:
        metafunc.parametrize("kdbg_dump", dumps, indirect=True, scope="session", ids=map(_name, dumps))
    else:
        nothing = pytest.param(None, marks=pytest.mark.skip(reason=NONE), id="no-dump")
        metafunc.parametrize("kdbg_dump", [nothing], indirect=True, scope="session")


@pytest.fixture(scope="session")
def kdbg_dump(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An opened dump: what `kdbg.open` gives. It serves the whole session: tests are not to close it."""
    import kdbg

    try:
        target = kdbg.open(*_files(request.param))
    except kdbg.Error as error:
        pytest.fail(f"kdbg: {error}", pytrace=False)
    with target:
        yield target


@pytest.fixture(scope="session")
def kdbg_report(kdbg_dump: Any, pytestconfig: pytest.Config) -> Report:
    """The report of its triage (`kdbg.triage.report.Report`), with the known issues of ``--kdbg-known``."""
    import kdbg
    from kdbg.triage.known import read_known

    try:
        known = read_known(pytestconfig.getoption(KNOWN))
    except kdbg.Error as error:
        pytest.fail(f"kdbg: {error}", pytrace=False)
    report: Report = kdbg_dump.triage(known)
    return report


def _files(given: str) -> list[str]:
    """The files of a dump. A comma that is part of a name of a file that is there stays one."""
    return [given] if os.path.exists(given) else [part for part in given.split(",") if part]


def _name(given: str) -> str:
    """What a dump is called among tests."""
    return os.path.basename(given.rstrip("/")).encode("ascii", "backslashreplace").decode() or "dump"

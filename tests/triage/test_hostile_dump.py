"""A dump whose processes, threads, functions, log and file are markup and worse, from the file to every format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import kdbg
from kdbg.triage.report import Report
from kdbg.triage.views import FORMATS, view
from samples.solaris import standard
from triage.schemas import check_json, check_junit, check_sarif
from triage.test_views import CONTROLS, ELEMENTS, Elements, rendered

NAME = '"><img src=x>'
FUNCTION = "<script>alert(1)</script>"
MESSAGE = "WARNING: ]]></pre><script>alert(2)</script> \x1b[2J\x07 \u202e `x` [a](javascript:b) @all"
FILE = "<b onclick=alert(3)> & ' \u202e.core"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """What is said of it."""
    domain = (
        standard()
        .function(FUNCTION, "unix", 2)
        .process(NAME, 666, "init", NAME * 3)
        .thread("evil", NAME, stack=((FUNCTION, (1, 2)), ("thread_start", ())), state="onproc", cpu=0)
        .message(MESSAGE + "\n")
    )
    folder: Path = tmp_path_factory.mktemp("hostile")
    with kdbg.open(domain.write(folder, name=FILE)) as target:
        yield target.triage()


def test_the_report_has_the_strings_as_they_are(report: Report) -> None:
    assert report.identity.file.endswith(FILE)
    assert any(NAME in name for group in report.stacks for name in group.names)
    assert any(FUNCTION in group.stack for group in report.stacks)
    assert any("<script>alert(2)</script> \x1b[2J\x07" in line.text for line in report.log)
    assert report.found("log.warning")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_stays_what_it_is(report: Report, form: str) -> None:
    made = view(form)(report)
    assert not CONTROLS.search(made)
    if form == "html":
        page = Elements(made)
        assert page.names() <= ELEMENTS
        assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)
        text = "".join(page.text)
        assert FUNCTION in text
        assert NAME in text
        assert "<script>alert(2)</script> \\033[2J\\007 \\342\\200\\256 `x`" in text
    elif form == "markdown":
        assert rendered(made).names() & {"script", "img", "a", "b"} == set()
    else:
        check = {"json": check_json, "junit": check_junit, "sarif": check_sarif}.get(form)
        assert check is None or check(made)

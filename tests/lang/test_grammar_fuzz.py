"""Whatever is typed parses or is answered by lines that begin with ``kdbg:``; the session goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdbg.lang.output import ListSink
from kdbg.lang.session import Session
from kdbg.rawfile import RawFile
from tests.lang.typed import piped

TOKENS = (
    "1", "ff", "0t10", "0x", "0t1.", "nosuch", ".", "+", "-", "*", "%", "%%", "#", "~", "^", "&", "|", "==", "!=",
    "<<", ">>", "(", ")", ",", ";", "\n", "=", "/", "\\", "?", "@", "J", "X", "s", "'a'", "'", '"', '"x y"', "\\",
    "$[", "]", "$", "$d", "$v", "::", "::echo", "::map", "::grep", "::eval", "::head", "::walk", "::set", "::vars",
    "::nosuch", ":", "::typeset", ">", ">/c/", ">x", "<", "<x", "*/c/", "*/", "%/z/", "//", "[", " ", "\t", "-n", "-",
    "\0", "\xff", "{", "}", "10::map .",
)  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("fuzz") / "bytes"
    path.write_bytes(bytes(range(256)))
    with RawFile(str(path)) as opened:
        yield opened


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.lists(st.sampled_from(TOKENS), max_size=25))
def test_random_tokens(target, tokens):
    text = "".join(tokens).replace("!", "") + "\n\n\n::echo 'the end'\n"
    errors, sink = ListSink(), ListSink()
    session = Session(target, sink, errors)
    left = piped(text, session=session) == "<left>"
    for line in errors.text().splitlines():
        assert line.startswith(("kdbg: ", "Usage: ")), line
        assert "internal error" not in line
    if not left and "\0" not in text and '"' not in text and "'" not in "".join(tokens):
        assert sink.text().endswith("the end \n")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="!"), max_size=60))
def test_random_characters(target, text):
    errors = ListSink()
    session = Session(target, ListSink(), errors)
    session.settings.safe = True
    piped(text + "\n", session=session)
    assert "internal error" not in errors.text()

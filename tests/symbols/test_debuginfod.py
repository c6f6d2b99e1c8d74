"""Debug files from servers: a server of our own answers, or none does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kdbg.symbols.debuginfod import NotServed, cached, fetch

THERE, MISSING = "ab" * 20, "cd" * 20


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == f"/buildid/{THERE}/debuginfo"
        self.send_response(200 if known else 404)
        self.end_headers()
        if known:
            self.wfile.write(b"\x7fELF and so on")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path))
    monkeypatch.delenv("DEBUGINFOD_URLS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    serving = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{serving.server_port}"
    monkeypatch.setenv("DEBUGINFOD_URLS", f"{url}/")
    yield url
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_a_file_is_fetched_once_and_kept(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(THERE)
    assert path == cached(THERE) == str(folder / THERE / "debuginfo")
    assert Path(path).read_bytes() == b"\x7fELF and so on"
    assert [one.name for one in (folder / THERE).iterdir()] == ["debuginfo"]
    monkeypatch.setenv("DEBUGINFOD_URLS", "")
    assert fetch(THERE) == path


def test_a_file_that_no_server_has(server: str, folder: Path) -> None:
    with pytest.raises(NotServed, match=f"no file for build id {MISSING}: .*404"):
        fetch(MISSING)
    assert not (folder / MISSING / "debuginfo").exists()


def test_without_servers() -> None:
    with pytest.raises(NotServed, match="DEBUGINFOD_URLS names no server"):
        fetch(THERE)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUGINFOD_URLS", "http://127.0.0.1:9 ftp://example")
    with pytest.raises(NotServed, match=r"127.0.0.1:9/?: .*; ftp://example: not a URL of http"):
        fetch(THERE)


@pytest.mark.parametrize("wrong", ["", "../../etc", "xyz", "ab/cd"])
def test_what_is_no_build_id(wrong: str) -> None:
    with pytest.raises(NotServed, match="is no build id"):
        fetch(wrong)

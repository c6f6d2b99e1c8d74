"""A web server for tests: a folder's files, with ranges or without, and a count of what it sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server:
    """What is served, and what was asked for."""

    def __init__(self, folder: Path, ranges: bool) -> None:
        self.folder, self.ranges = folder, ranges
        self.sent = self.requests = 0
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        told = self.server.told
        path = told.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = path.stat().st_size
        start, end, wanted = 0, size, self.headers.get("Range")
        if wanted and told.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(size, int(last) + 1 if last else size)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        else:
            self.send_response(200)
        if told.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if not with_body:
            return
        told.requests += 1
        with path.open("rb") as file, contextlib.suppress(OSError):
            file.seek(start)
            while start < end:
                piece = file.read(min(1 << 16, end - start))
                self.wfile.write(piece)
                told.sent += len(piece)
                start += len(piece)


class _Http(ThreadingHTTPServer):
    told: Server
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path, ranges: bool = True) -> Iterator[Server]:
    """Serve a folder on a port of this machine."""
    told = Server(folder, ranges)
    server = _Http(("127.0.0.1", 0), Handler)
    server.told = told
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

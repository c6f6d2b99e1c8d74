"""Debug files from debuginfod servers, by build id; kept where elfutils' client keeps them.

The protocol is one request, ``GET URL/buildid/BUILDID/debuginfo``. Nothing is asked unless the person wants it: the
build id tells a server which kernel is looked at.

Source: debuginfod(8) and debuginfod-client-config(7) of elfutils.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from kdbg.errors import Error

URLS, TIMEOUT, CACHE = "DEBUGINFOD_URLS", "DEBUGINFOD_TIMEOUT", "DEBUGINFOD_CACHE_PATH"
PATIENCE = 90
"""Seconds without a byte after which a server is given up, where `TIMEOUT` tells nothing else."""
LARGEST = 8 << 30
CHUNK = 1 << 20


class NotServed(Error):
    """No server has the file, or none answers."""


def cached(build_id: str) -> str:
    """Where the file of a build id is kept."""
    folder = os.environ.get(CACHE)
    if not folder:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = os.path.join(home, "debuginfod_client")
    return os.path.join(folder, build_id, "debuginfo")


def fetch(build_id: str) -> str:
    """The path of the debug file of a build id, fetched if need be. Raises `NotServed`, which says what was tried."""
    if not re.fullmatch("[0-9a-f]{8,128}", build_id):
        raise NotServed(f"debuginfod: {build_id!r} is no build id")
    path = cached(build_id)
    if os.path.exists(path):
        return path
    servers = os.environ.get(URLS, "").split()
    if not servers:
        raise NotServed(f"debuginfod: {URLS} names no server")
    return _first(build_id, path, servers)


def _first(build_id: str, path: str, servers: list[str]) -> str:
    from urllib.error import URLError
    from urllib.request import urlopen

    failures = []
    timeout = os.environ.get(TIMEOUT, "")
    patience = int(timeout) if timeout.isdigit() and int(timeout) else PATIENCE
    for server in servers:
        url = f"{server.rstrip('/')}/buildid/{build_id}/debuginfo"
        if not url.startswith(("http://", "https://")):
            failures.append(f"{server}: not a URL of http or https")
            continue
        try:
            with urlopen(url, timeout=patience) as answer:
                _keep(path, iter(lambda: answer.read(CHUNK), b""))
                return path
        except URLError as error:
            failures.append(f"{server}: {getattr(error, 'code', None) or error.reason}")
        except (OSError, ValueError) as error:
            failures.append(f"{server}: {error}")
    raise NotServed(f"debuginfod: no file for build id {build_id}: " + "; ".join(failures))


def _keep(path: str, pieces: Iterator[bytes]) -> None:
    """Write a file as a whole or not at all. Raises `OSError`, `ValueError` for one that is too large."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    unfinished = f"{path}.{os.getpid()}"
    try:
        size = 0
        with open(unfinished, "wb") as file:
            for piece in pieces:
                size += len(piece)
                if size > LARGEST:
                    raise ValueError("the file is larger than any debug file")
                file.write(piece)
        os.replace(unfinished, path)
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)

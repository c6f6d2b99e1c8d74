"""A dump behind a URL: the same pages, and only a part of the file is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbg.errors import FormatError
from kdbg.formats import open_image
from kdbg.formats.remote import BLOCK, RemoteSource
from samples.kdump import KdumpShape

fsspec = pytest.importorskip("fsspec")


def test_only_what_is_needed_is_fetched(tmp_path: Path) -> None:
    data = KdumpShape("raw").data({number: bytes([number % 251]) * 4096 for number in range(1000)})
    fsspec.filesystem("memory").pipe("/remote.kdump", data)
    image = open_image("memory://remote.kdump")
    assert bytes(image.page(7) or b"") == bytes([7]) * 4096
    assert isinstance(image.source, RemoteSource)
    assert image.source.fetched <= 3 * BLOCK < len(data)


def test_what_is_not_there() -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        open_image("memory://no-such-dump")

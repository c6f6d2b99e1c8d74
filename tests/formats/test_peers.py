"""What `kdbg convert` writes opens in libkdumpfile and drgn, and they find the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.dumps import BuiltImage, compare, find_readers
from kdbg.convert import convert

READERS = find_readers(())


@pytest.mark.parametrize(
    ("reader", "kind"),
    [(reader, kind) for reader in ("libkdumpfile", "drgn") for kind in ("elf", "kdump", "kdump-zstd")]
    + [("libkdumpfile", "xen-elf")],
)
def test_peers_find_the_same_bytes(reader: str, kind: str, tmp_path: Path) -> None:
    if reader not in READERS:
        pytest.skip(f"{reader} is not installed")
    image = BuiltImage(2 << 20)
    (tmp_path / "frames").write_text("".join(f"{frame}\n" for frame in image.pages))
    convert(image, str(tmp_path / "dump"), kind)
    assert compare(READERS, reader, tmp_path / "dump", tmp_path / "frames") == "the same bytes"

"""Files that are not opened: named, with the command that makes a dump of them; and the unknown, described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kdbg
from kdbg.formats import NotADump, open_image
from kdbg.formats.known import KNOWN


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.name}-{known.magic.hex()[:8]}")
def test_named_with_what_to_do(tmp_path: Path, known: object) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(known.offset) + known.magic + bytes(9000))  # type: ignore[attr-defined]
    with pytest.raises(NotADump) as caught:
        open_image(str(path))
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert known.name in said  # type: ignore[attr-defined]
    assert known.advice in said  # type: ignore[attr-defined]
    assert "\n" not in said


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (b"QEVM\0\0\0\3", "QEMU savevm"),
        (b"\xd2\xbe\xd2\xbe", "vmss"),
        (b"PAGEDU64", "Windows crash dump"),
        (bytes.fromhex("ed238f61730119a8"), "LKCD"),
        (b"LinuxGuestRecord", "xm save"),
        (b"\xff" * 8 + b"XenF", "xl save"),
    ],
)
def test_those_of_the_issue(tmp_path: Path, magic: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(magic + bytes(100))
    with pytest.raises(kdbg.FormatError, match=words):
        open_image(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (bytes(10_000), "all 0"),
        (bytes(1 << 20) + b"x" * 4096, "something at 0x100000: memory as it is"),
        (b"a log of something\n" * 50, "text, which begins 'a log of something'"),
        (bytes(range(256)) * 40, "binary data; the first bytes are 00 01 02 03"),
    ],
)
def test_the_unknown_is_described(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(NotADump) as caught:
        open_image(str(tmp_path / "file"))
    assert words in str(caught.value) == f"{tmp_path / 'file'}: not a dump that kdbg knows: {caught.value.looks}"
    # The names of formats and their magic numbers are for those who ask.
    assert "wants" not in str(caught.value)
    assert len(caught.value.refusals) > 5
    assert re.search(r'wants "KDUMP   " at 0', "; ".join(caught.value.refusals))


def test_a_folder_or_nothing_at_all(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(kdbg.FormatError, match="cannot be read") as caught:
            open_image(str(path))
        assert str(path) in str(caught.value)

"""Files that are not opened: named, with the command that makes a dump of them; and the unknown, described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kdbg
from kdbg.formats import NotADump, open_image
from kdbg.formats.known import KNOWN
from samples.elf_dump import ElfDump, Load
from samples.kdump import KdumpShape


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


@pytest.mark.parametrize("machine", ["s390x", "ppc64le", "riscv64"])
def test_makedumpfile_dumps_of_other_machines(tmp_path: Path, machine: str) -> None:
    data = bytearray(KdumpShape().data({16: bytes(4096)}))
    data[272 : 272 + 65] = machine.encode().ljust(65, b"\0")
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(NotADump, match=f"a makedumpfile dump of {machine}, which kdbg does not open: crash"):
        open_image(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (slice(18, 20), b"\x16\0", r"a core \(ELF type 4\), machine 22 \(s390\), which kdbg does not open"),
        (slice(5, 20), b"\2" + bytes(10) + b"\0\4\0\x15", r"machine 21 \(PowerPC 64, big-endian\)"),
        (slice(16, 18), b"\2\0", r"a program \(ELF type 2\), machine 62: no dump, but the file beside one"),
    ],
)
def test_elf_files_that_are_no_dumps_of_ours(tmp_path: Path, at: slice, value: bytes, words: str) -> None:
    data = bytearray(ElfDump([Load(0, bytes(4096))]).data())
    data[at] = value
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(NotADump, match=words):
        open_image(str(tmp_path / "file"))

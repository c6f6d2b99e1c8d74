"""A file of bytes as a target."""

from __future__ import annotations

import pytest

from kdbg.errors import ReadError, SymbolNotFound
from kdbg.rawfile import RawFile
from kdbg.target import Space
from tests.lang.programs import raw


def test_bytes_by_offset(tmp_path):
    target = raw(tmp_path, b"0123456789")
    assert target.read(2, 3) == b"234"
    assert target.read_some(8, 8) == b"89"
    assert target.read_some(10, 8) == b""
    assert target.reserved() == {"d": 10}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (8, "operation not supported by target"),
        (10, "cannot read past current end of file"),
        (1 << 63, "Invalid argument"),
    ],
)
def test_reasons(tmp_path, address, reason):
    with pytest.raises(ReadError) as caught:
        raw(tmp_path, b"0123456789").read(address, 4)
    assert caught.value.reason == reason


def test_a_second_file_is_the_memory(tmp_path):
    (tmp_path / "one").write_bytes(b"object")
    (tmp_path / "two").write_bytes(b"memory")
    target = RawFile(str(tmp_path / "one"), str(tmp_path / "two"))
    assert target.read(0, 6) == target.read(0, 6, Space.PHYSICAL) == b"memory"
    assert target.read(0, 6, Space.OBJECT) == b"object"
    assert [one.name.rpartition("/")[2] for one in target.objects()] == ["one (object file)", "two (core file)"]


def test_no_names_but_private_ones(tmp_path):
    target = raw(tmp_path, b"x")
    with pytest.raises(SymbolNotFound) as caught:
        target.lookup("main")
    assert caught.value.reason == "operation not supported by target"
    target.private.add("mine", 4)
    assert target.lookup("mine").address == 4
    with pytest.raises(SymbolNotFound):
        target.nearest(4)


def test_writing_when_opened_for_it(tmp_path):
    target = raw(tmp_path, b"0123")
    with pytest.raises(ReadError):
        target.write(0, b"x")
    target.set_writable(True)
    target.write(3, b"xy")
    assert target.read(0, 5) == b"012xy"

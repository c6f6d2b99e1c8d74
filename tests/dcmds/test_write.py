"""::write."""

from __future__ import annotations

import pytest

from tests.lang.programs import Program, raw, run


def test_a_value_of_a_given_length(tmp_path):
    target = raw(tmp_path, bytes(8), writable=True)
    assert run(target, "4::write -l 4 2a") == f"{'4:':16}0               =       0x2a\n"
    assert (tmp_path / "file.bin").read_bytes() == bytes(4) + b"\x2a\0\0\0"


def test_an_object_file_is_written_by_o(tmp_path):
    program = Program().open(tmp_path, writable=True)
    assert "no mapping for address" in run(program, "table::write -l 1 ff")
    assert run(program, "table::write -o -l 1 ff") == f"{'prog`table:':16}0       =       0xff\n"
    assert b"\xff\x01\x02\x03" in (tmp_path / "prog").read_bytes()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("0::write -l 4 1", "kdbg: failed to write 1 at address 0: target is not open for writing"),
        ("0::write -l 3 1", "kdbg: writes of size 3 are not supported"),
        (
            "0::write -l 1 100",
            "kdbg: value too big for the length of the write: supplied 2 bytes but maximum is 1 bytes",
        ),
        ("0::write 1", "kdbg: no CTF data found at this address"),
        ("0::write -op 1", "kdbg: -o and -p are incompatible"),
        ("::write -l 1 1", "Usage: [address]::write [-op] [-l len] value"),
    ],
)
def test_errors(tmp_path, command, message):
    assert run(raw(tmp_path, bytes(8)), command).splitlines()[0] == message

"""Bit-fields whose width the member tells, not the type: types of BTF and DWARF."""

from __future__ import annotations

import pytest

from kdbg.symbols.model import Encoding, Kind, Member, Type
from tests.dcmds.typed import Program, run


class Loader:
    """struct flags { unsigned a:3; unsigned b:7; int c:4; int plain; }"""

    complete = None

    def __init__(self) -> None:
        self.number = Type(self, 1, Kind.INTEGER, "unsigned int", 4, Encoding(bits=32))
        self.signed = Type(self, 2, Kind.INTEGER, "int", 4, Encoding(signed=True, bits=32))
        self.record = Type(self, 3, Kind.STRUCT, "struct flags", 8)

    def members(self, type_id: int) -> tuple[Member, ...]:
        return (
            Member("a", self.number, 0, 3), Member("b", self.number, 3, 7), Member("c", self.signed, 10, 4),
            Member("plain", self.signed, 32),
        )  # fmt: skip

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        return ()

    def reference(self, type_id: int) -> None:
        return None

    def arguments(self, type_id: int) -> tuple[Type, ...]:
        return ()


class Flags(Program):
    """a = 5, b = 0x55 (across a byte's end), c = -3, plain = 9 at 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.record = Loader().record
        self.put(0x1000, (5 | 0x55 << 3 | (-3 & 0xF) << 10 | 9 << 32).to_bytes(8, "little"))

    def type(self, name: str) -> Type:
        """The one type."""
        return self.record if name == "struct flags" else super().type(name)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("1000::print struct flags", "{\n    a = 0x5\n    b = 0x55\n    c = -0t3\n    plain = 0x9\n}\n"),
        ("1000::print -tx struct flags c", "int c :4 = 0xd\n"),
        ("1000::print -at struct flags b", "1000.3 unsigned int b :7 = 0x55\n"),
        ("1000::print -d struct flags a b", "a = 5\nb = 0t85\n"),
        ("1000::print struct flags a b c | ::map .", "5\n55\nd\n"),
        ('1000::printf "%x %d %d\\n" struct flags b c plain', "55 -3 9\n"),
        ("1000::print -h struct flags",
         "{\n    a = 0x5\n    b = 0x55\n    c = -0t3\n    <<HOLE>> = 0\n    plain = 0x9\n}\n"),
    ],
)  # fmt: skip
def test_bit_fields(command, answer):
    assert run(command, Flags()) == answer

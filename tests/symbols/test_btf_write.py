"""BTF that is written is read back as what was told."""

from __future__ import annotations

import pytest

from kdbg.errors import TypeNotFound
from kdbg.symbols.btf import BtfContainer
from kdbg.symbols.btf_write import BtfWriter
from kdbg.symbols.model import Kind


def container(bits: int) -> BtfContainer:
    writer = BtfWriter(bits)
    writer.enumeration("colour", {"RED": 0, "GREEN": 5})
    members = [("next", "struct node *", 0), ("name", "char [16]", 8), ("owner", "struct other *", 24)]
    writer.structure("node", 40, [*members, ("table", "unsigned long [2][3]", 32), ("inside", "struct part", 36)])
    writer.structure("part", 4, [("number", "unsigned int", 0)])
    return BtfContainer(writer.build(), bits)


@pytest.mark.parametrize("bits", [32, 64])
def test_members_lie_where_they_were_told(bits: int) -> None:
    node = container(bits).lookup("struct node")
    assert node.size == 40
    assert [(m.name, m.offset, m.type.spelling) for m in node.members] == [
        ("next", 0, "struct node *"), ("name", 8, "char [16]"), ("owner", 24, "struct other *"),
        ("table", 32, "long unsigned int [2][3]"), ("inside", 36, "struct part"),
    ]  # fmt: skip
    assert node.member("next").type.reference is node
    assert node.member("table").type.size == 6 * bits // 8
    assert node.member("inside").type.member("number").type.size == 4


def test_what_is_named_and_not_told_is_a_forward_declaration() -> None:
    types = container(64)
    other = types.lookup("struct node").member("owner").type.reference
    assert other is not None
    assert (other.kind, other.name) == (Kind.FORWARD, "struct other")
    assert types.lookup("enum colour").enumerators == (("RED", 0), ("GREEN", 5))
    with pytest.raises(TypeNotFound):
        types.lookup("struct nobody")


@pytest.mark.parametrize(("bits", "size"), [(32, 4), (64, 8)])
def test_numbers_are_as_wide_as_the_kernel_has_them(bits: int, size: int) -> None:
    types = container(bits)
    for name in ("long", "unsigned long", "long unsigned int"):
        assert types.lookup(name).size == size
    assert types.lookup("unsigned int").size == 4
    assert types.lookup("long long").size == 8
    assert types.lookup("int").encoding is not None
    assert types.lookup("int").encoding.signed


def test_what_is_no_type_is_refused() -> None:
    with pytest.raises(ValueError, match="not a type"):
        BtfWriter(64).structure("s", 8, [("f", "int (*)(void)", 0)])

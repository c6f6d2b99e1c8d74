"""Types that the person makes."""

from __future__ import annotations

import pytest

from kdbg.errors import TypeNotFound
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.model import Kind
from kdbg.symbols.synthetic import SyntheticTypes
from samples.ctf import CtfWriter


def test_structures_are_laid_out_as_libctf_does():
    made = SyntheticTypes()
    made.add_base(True)
    number = made.add_record(Kind.STRUCT, "mix")
    for name in ("char", "long", "short", "int"):
        made.add_member(number, name, made.lookup(name))
    made.add_typedef("mix_t", number)
    mix = made.lookup("mix_t")
    assert [(m.name, m.offset) for m in mix.members] == [("char", 0), ("long", 8), ("short", 16), ("int", 20)]
    assert mix.size == 24
    assert made.lookup("struct mix") is mix.resolved


def test_types_of_others_are_copied_with_all_that_they_need():
    c = CtfWriter()
    int_ = c.integer("int", 32, signed=True)
    node = c.structure("node")
    c.define(node, [("next", c.pointer(node)), ("value", int_), ("room", c.array(int_, 3)), ("bits", int_, 5)])
    c.typedef("node_t", node)
    made = SyntheticTypes()
    made.add_typedef("mine_t", CtfContainer(c.bytes()).lookup("node_t"))
    mine = made.lookup("mine_t")
    assert [(m.name, m.type.spelling, m.bit_offset) for m in mine.members] == [
        ("next", "struct node *", 0), ("value", "int", 64), ("room", "int [3]", 96), ("bits", "int", 192),
    ]  # fmt: skip
    assert mine.member("bits").type.encoding.bits == 5
    assert mine.member("next").type.reference is made.lookup("struct node")
    back = CtfContainer(made.bytes())
    assert back.lookup("node_t").size == mine.size


def test_another_type_of_a_known_name_is_refused():
    c = CtfWriter()
    c.structure("node", [("a", c.integer("int", 64, signed=True))])
    made = SyntheticTypes()
    made.add_base(True)
    with pytest.raises(TypeNotFound, match="Conflicting type"):
        made.take(CtfContainer(c.bytes()).lookup("struct node"))
    with pytest.raises(TypeNotFound, match="Conflicting type"):
        made.read(CtfContainer(c.bytes()))
    assert "struct node" not in [type_.spelling for type_ in made.container]


def test_clearing_forgets():
    made = SyntheticTypes()
    made.add_base(False)
    assert made.lookup("long").size == 4
    made.clear()
    with pytest.raises(TypeNotFound):
        made.lookup("long")

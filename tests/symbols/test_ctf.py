"""CTF containers: what the writer of samples/ctf.py put in is what the loader finds."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdbg.errors import Error, FormatError, TypeNotFound
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.model import Kind
from samples import ctf as facts
from samples.ctf import CtfWriter

FORMS = [(version, order, packed) for version in (2, 3) for order in "<>" for packed in (False, True)]


def symbol_table(order: str, *symbols: tuple[str, int, int, int], bits: int = 64) -> tuple[bytes, bytes]:
    """Elf64_Sym or Elf32_Sym of (name, type, section, value), and the strings."""
    strings, table = bytearray(b"\0"), b""
    for name, kind, section, value in symbols:
        at = len(strings) if name else 0
        if name:
            strings += name.encode() + b"\0"
        if bits == 64:
            table += struct.pack(order + "IBBHQQ", at, kind, 0, section, value, 8)
        else:
            table += struct.pack(order + "IIIBBH", at, value, 8, kind, 0, section)
    return table, bytes(strings)


@pytest.mark.parametrize(("version", "order", "packed"), FORMS)
def test_every_kind_is_found_as_it_was_written(version, order, packed):
    ctf = CtfWriter(version=version, order=order)
    int_ = ctf.integer("int", 32, signed=True)
    char = ctf.integer("char", 8, signed=True, char=True)
    node = ctf.structure("node")
    pointer = ctf.pointer(node)
    color = ctf.enumeration("color", [("RED", 0), ("BLUE", -5)])
    hook = ctf.pointer(ctf.function_type(int_, [pointer, int_], variadic=True))
    ctf.define(
        node,
        [("next", pointer), ("value", int_), ("low", int_, 3), ("high", int_, 13), ("tag", ctf.array(char, 6)),
         ("color", color), ("hook", hook), ("ratio", ctf.float("double", 64, 2))],
    )  # fmt: skip
    ctf.typedef("node_t", ctf.const(node))
    ctf.union("number", [("i", int_), ("c", char)])
    types = CtfContainer(ctf.bytes(packed))

    found = types.lookup("struct node")
    assert found.size == ctf.size(node) == 40
    assert [(m.name, m.bit_offset, m.type.spelling) for m in found.members] == [
        ("next", 0, "struct node *"), ("value", 64, "int"), ("low", 96, "int"), ("high", 99, "int"),
        ("tag", 112, "char [6]"), ("color", 160, "enum color"), ("hook", 192, "int (*)()"), ("ratio", 256, "double"),
    ]  # fmt: skip
    assert [found.member(name).type.encoding.bits for name in ("value", "low", "high")] == [32, 3, 13]
    assert types.lookup("enum color").enumerators == (("RED", 0), ("BLUE", -5))
    called = found.member("hook").type.reference
    assert (called.kind, called.variadic) == (Kind.FUNCTION, True)
    assert [a.spelling for a in called.arguments] == ["struct node *", "int"]
    assert types.lookup("node_t").resolved is found
    assert types.lookup("node_t").member("value").offset == 8
    assert types.lookup("union number").size == 4
    assert not types.is_child
    assert len(types) == len(ctf.records)


@pytest.mark.parametrize(("version", "order", "packed"), FORMS)
def test_a_child_knows_its_parents_types(version, order, packed):
    parent = CtfWriter(version=version, order=order)
    int_ = parent.integer("int", 32, signed=True)
    parent.typedef("pid_t", int_)
    child = CtfWriter(parent=parent, parent_name="genunix", version=version, order=order)
    child.typedef("my_pid_t", int_)
    above = CtfContainer(parent.bytes(packed))
    below = CtfContainer(child.bytes(packed), parent=above)
    assert below.is_child
    assert below.parent_name == "genunix"
    assert below.lookup("my_pid_t").resolved is above.lookup("int")
    assert below.lookup("pid_t") is above.lookup("pid_t")
    assert below.lookup("my_pid_t").id >= (0x8000 if version == 2 else 0x80000000)
    with pytest.raises(TypeNotFound):
        above.lookup("my_pid_t")


def test_without_its_parent_a_child_answers_what_it_can():
    parent = CtfWriter()
    int_ = parent.integer("int", 32, signed=True)
    child = CtfWriter(parent=parent, parent_name="genunix")
    child.structure("own", [("a", int_)])
    types = CtfContainer(child.bytes())
    assert types.lookup("struct own").size == 4
    with pytest.raises(TypeNotFound):
        _ = types.lookup("struct own").members


@pytest.mark.parametrize("bits", [32, 64])
def test_pointers_are_as_wide_as_the_data_model_says(bits):
    ctf = CtfWriter(bits=bits)
    int_ = ctf.integer("int", 32, signed=True)
    ctf.structure("pair", [("p", ctf.pointer(int_)), ("q", ctf.pointer(int_))])
    types = CtfContainer(ctf.bytes(), bits)
    assert types.lookup("int *").size == bits // 8
    assert types.lookup("struct pair").size == bits // 4


@pytest.mark.parametrize("version", [2, 3])
def test_large_structures_and_sizes(version):
    ctf = CtfWriter(version=version)
    char = ctf.integer("char", 8, signed=True, char=True)
    ctf.structure("large", [("room", ctf.array(char, 8190)), ("a", char), ("b", char), ("c", char)])
    ctf.structure("huge", [("room", ctf.array(char, 70000)), ("last", char)])
    ctf.structure("small", [("only", char)])
    types = CtfContainer(ctf.bytes())
    assert types.lookup("struct large").member("c").offset == 8192
    assert types.lookup("struct huge").size == 70001
    assert types.lookup("struct huge").member("last").offset == 70000
    assert types.lookup("struct small").member("only").offset == 0


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_objects_and_functions_follow_the_symbol_table(bits, order):
    ctf = CtfWriter(bits=bits, order=order)
    int_ = ctf.integer("int", 32, signed=True)
    char = ctf.integer("char", 8, signed=True, char=True)
    ctf.object(int_)  # counter
    ctf.object(0)  # hidden
    ctf.object(char)  # letter
    ctf.function(int_, [char, int_])  # add
    ctf.function(None)  # start
    ctf.function(char, [int_], variadic=True)  # log
    table, strings = symbol_table(
        order,
        ("", 0, 0, 0), ("counter", 1, 2, 16), ("elsewhere", 1, 0, 0), ("add", 2, 1, 8), ("_START_", 1, 0xFFF1, 8),
        ("hidden", 1, 2, 24), ("start", 2, 1, 40), ("", 1, 2, 5), ("nothing", 1, 0xFFF1, 0), ("letter", 1, 2, 32),
        ("log", 2, 1, 48), ("file.c", 4, 0xFFF1, 0),
        bits=bits,
    )  # fmt: skip
    types = CtfContainer(ctf.bytes(), bits, symtab=table, strtab=strings)
    assert types.type_of_object(1).spelling == "int"
    assert types.type_of_object(9).spelling == "char"
    added = types.type_of_function(3)
    assert (added.reference.spelling, [a.spelling for a in added.arguments]) == ("int", ["char", "int"])
    logged = types.type_of_function(10)
    assert (logged.variadic, [a.spelling for a in logged.arguments]) == (True, ["int"])
    for index, reason in (
        (5, "No type information available for symbol"), (3, "Symbol table entry is not a data object"),
        (2, "No type information available for symbol"), (99, "Symbol table information is not available"),
    ):  # fmt: skip
        with pytest.raises(TypeNotFound) as raised:
            types.type_of_object(index)
        assert raised.value.reason == reason
    with pytest.raises(TypeNotFound, match="No function information"):
        types.type_of_function(6)


def test_names_are_read_as_libctf_reads_them():
    ctf = CtfWriter()
    int_ = ctf.integer("int", 32, signed=True)
    ctf.integer("int", 4, signed=True, root=False)  # a bit-field's type of the same name
    ctf.integer("unsigned long", 64)
    tag = ctf.structure("thing", [("a", int_)])
    named = ctf.typedef("thing_t", tag)
    ctf.pointer(ctf.pointer(tag))
    ctf.typedef("again_t", int_)
    ctf.typedef("again_t", tag)
    types = CtfContainer(ctf.bytes())
    assert types.lookup("int").encoding.bits == 32  # of integers the first counts
    assert types.lookup("again_t").resolved.kind is Kind.STRUCT  # of all others the last
    assert types.lookup("const volatile  struct   thing").id == tag
    assert types.lookup(" unsigned long ").size == 8
    assert types.lookup("thing_t").id == named
    assert types.lookup("thing_t **").spelling == "struct thing **"  # of what the typedef stands for
    for missing in ("unsigned  long", "thing", "struct", "int *", "thing_t ***", "thing_t [4]", "int int"):
        with pytest.raises(TypeNotFound, match="No type information available for that name"):
            types.lookup(missing)
    for empty in ("", "  ", "const"):
        with pytest.raises(TypeNotFound, match="Syntax error in type name"):
            types.lookup(empty)


@pytest.mark.parametrize(
    ("build", "spelling"),
    [
        (lambda c, i: c.pointer(c.const(i)), "const int *"),
        (lambda c, i: c.const(c.pointer(i)), "int *const"),
        (lambda c, i: c.array(c.array(i, 3), 2), "int [2][3]"),
        (lambda c, i: c.pointer(c.array(i, 3)), "int (*)[3]"),
        (lambda c, i: c.array(c.pointer(i), 3), "int *[3]"),
        (lambda c, i: c.pointer(c.function_type(i)), "int (*)()"),
        (lambda c, i: c.array(c.pointer(c.function_type(i)), 3), "int (*[3])()"),
        (lambda c, i: c.function_type(c.pointer(i)), "int *()"),
        (lambda c, i: c.volatile(c.const(i)), "volatile const int"),
        (lambda c, i: c.restrict(c.pointer(c.pointer(i))), "int **restrict"),
        (lambda c, i: c.typedef("", c.pointer(i)), "int *"),
        (lambda c, i: c.forward("opaque", facts.UNION), "union opaque"),
        (lambda c, i: c.structure("", []), "struct "),
    ],
)
def test_declarations_are_spelt_as_in_c(build, spelling):
    ctf = CtfWriter()
    number = build(ctf, ctf.integer("int", 32, signed=True))
    assert CtfContainer(ctf.bytes()).type_by_id(number).spelling == spelling


def test_members_of_anonymous_structures_are_members():
    ctf = CtfWriter()
    int_ = ctf.integer("int", 32, signed=True)
    inner = ctf.structure("", [("x", int_), ("y", int_)])
    ctf.structure("outer", [("a", int_), ("", ctf.union("", [("both", inner), ("", inner)])), ("z", int_)])
    outer = CtfContainer(ctf.bytes()).lookup("struct outer")
    assert outer.member("y").offset == 8
    assert outer.member("both").offset == 4
    assert outer.has("z")
    assert not outer.has("w")


# round trips

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=9).map(lambda text: f"t{text}")
STEP = st.tuples(
    st.sampled_from("ipasutcefF"), st.integers(0, 1 << 30), NAMES, st.lists(st.integers(0, 1 << 30), max_size=9)
)


def grow(ctf: CtfWriter, steps: list[tuple[str, int, str, list[int]]]) -> dict[int, int]:
    """Add types that refer to earlier ones; the planned sizes by number."""
    ctf.integer("int", 32, signed=True)
    for kind, number, name, more in steps:
        known = [ctf.first | index for index in range(1, len(ctf.records) + 1)]
        one = known[number % len(known)]
        complete = [k for k in known if ctf.record(k).kind not in (facts.FUNCTION, facts.FORWARD)]
        sound = complete[number % len(complete)]
        fields = [(f"m{index}", complete[pick % len(complete)]) for index, pick in enumerate(more)]
        if kind == "i":
            ctf.integer(name, (8, 16, 32, 64)[number % 4], signed=bool(number & 4))
        elif kind == "p":
            ctf.pointer(one)
        elif kind == "a" and ctf.size(sound) < 1 << 16:
            ctf.array(sound, number % 5)
        elif kind == "s" and sum(ctf.size(k) for _, k in fields) < 1 << 20:
            ctf.structure(name, fields)
        elif kind == "u":
            ctf.union(name, fields)
        elif kind == "t":
            ctf.typedef(name, sound)
        elif kind == "c":
            ctf.const(sound)
        elif kind == "e":
            ctf.enumeration(name, [(f"{name}{v % 97}", v - (1 << 29)) for v in more])
        elif kind == "f":
            ctf.function_type(one, [pick for _, pick in fields], variadic=bool(number & 1))
        elif kind == "F":
            ctf.forward(name)
    return {ctf.first | i: ctf.size(ctf.first | i) for i in range(1, len(ctf.records) + 1)}


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=40), st.sampled_from(FORMS))
def test_any_graph_of_types_comes_back(steps, form):
    version, order, packed = form
    ctf = CtfWriter(version=version, order=order)
    sizes = grow(ctf, steps)
    types = CtfContainer(ctf.bytes(packed))
    for number, size in sizes.items():
        found, planned = types.type_by_id(number), ctf.record(number)
        assert (found.kind.value, found.size) == (planned.kind, size)
        assert [
            (m.name, m.type.id, m.bit_offset) for m in found.members if found.kind.value in (6, 7)
        ] == planned.members
        if planned.kind == facts.ENUM:
            assert list(found.enumerators) == planned.values
        if planned.kind == facts.FUNCTION:
            assert [a.id for a in found.arguments] == [a for a in planned.arguments if a]
        assert isinstance(found.spelling, str)


# damage


def everything(types: CtfContainer) -> None:
    """Ask for all that can be asked; errors of ours may come, nothing else."""
    for index in range(1, min(len(types), 300) + 1):
        try:
            found = types.type_by_id(types._base | index)
        except Error:
            continue
        for question in ("size", "members", "enumerators", "arguments", "resolved", "spelling"):
            with suppress(Error):
                getattr(found, question)
    for name in ("int", "struct node *", "enum color", "node_t **"):
        with suppress(Error):
            types.lookup(name)
    for index in range(12):
        for ask in (types.type_of_object, types.type_of_function):
            with suppress(Error):
                ask(index)


def sound_container(version: int, order: str) -> tuple[bytes, bytes, bytes]:
    ctf = CtfWriter(version=version, order=order, label="l")
    grow(ctf, [("s", 3, "node", [0, 1, 2]), ("p", 1, "p", []), ("e", 9, "color", [1, 2]), ("a", 2, "a", [1]),
               ("t", 2, "node_t", []), ("f", 3, "f", [1, 1]), ("u", 4, "u", [3, 4, 5])])  # fmt: skip
    ctf.object(1)
    ctf.function(1, [2, 3])
    table, strings = symbol_table(order, ("", 0, 0, 0), ("a", 1, 1, 8), ("b", 2, 1, 16), ("c", 2, 1, 24))
    return ctf.bytes(), table, strings


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([2, 3]),
    st.sampled_from("<>"),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=12),
    st.integers(0, 999),
)
def test_a_damaged_container_gives_errors_of_ours_only(version, order, changes, cut):
    data, table, strings = sound_container(version, order)
    bad = bytearray(data)
    for at, value in changes:
        bad[at % len(bad)] = value
    bad = bad[: len(bad) - cut % 40]
    try:
        types = CtfContainer(bytes(bad), symtab=table, strtab=strings)
    except FormatError:
        return
    everything(types)


def test_types_that_go_round_in_a_circle_are_an_error():
    ctf = CtfWriter()
    first = ctf.typedef("first_t", 2)
    ctf.typedef("second_t", first)
    ctf.array(3, 2)
    ctf.pointer(4)
    ctf.const(5)
    types = CtfContainer(ctf.bytes())
    for question in ("size", "resolved", "members"):
        with pytest.raises(TypeNotFound, match="corruption"):
            getattr(types.type_by_id(1), question)
    with pytest.raises(TypeNotFound, match="corruption"):
        _ = types.type_by_id(3).size
    with pytest.raises(TypeNotFound, match="corruption"):
        _ = types.type_by_id(5).spelling


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d[:20], "a header has 36 bytes"),
        (lambda d: b"\0\0" + d[2:], "magic"),
        (lambda d: d[:2] + b"\x09" + d[3:], "versions 2 and 3"),
        (lambda d: d[:24] + b"\xff\xff\xff\x7f" + d[28:], "sections"),
        (lambda d: d[:-1], "found"),
        (lambda d: d[:3] + b"\x01" + d[4:], "inflate"),
        (lambda d: d[:16] + b"\x01\0\0\0" + d[20:], "sections"),
    ],
)
def test_a_wrong_header_is_told(change, said):
    ctf = CtfWriter()
    ctf.integer("int", 32)
    with pytest.raises(FormatError, match=said):
        CtfContainer(change(ctf.bytes()))


def test_a_packed_container_cannot_blow_up():
    ctf = CtfWriter()
    ctf.integer("int", 32)
    head = bytearray(ctf.bytes(compress=True)[:36])
    head[32:36] = struct.pack("<I", 100 << 20)
    with pytest.raises(FormatError, match="inflates to"):
        CtfContainer(bytes(head) + zlib.compress(bytes(4000)))

"""Types of a target across its objects: the order of the search, scopes, forward declarations."""

from __future__ import annotations

import pytest

from kdbg.errors import FormatError, TypeNotFound
from kdbg.symbols.ctf import CtfContainer
from kdbg.symbols.model import Kind
from kdbg.symbols.space import TypeSpace, split_scope
from samples.ctf import CtfWriter


def space() -> tuple[TypeSpace, list[str]]:
    """genunix, its child ufs, specfs beside them, a broken object and one without types; what is loaded, in order."""
    genunix = CtfWriter()
    int_ = genunix.integer("int", 32, signed=True)
    genunix.structure("shared", [("a", int_)])
    genunix.pointer(genunix.forward("inode"))
    ufs = CtfWriter(parent=genunix, parent_name="genunix")
    ufs.structure("inode", [("number", int_), ("links", int_)])
    specfs = CtfWriter()
    char = specfs.integer("char", 8)
    specfs.structure("shared", [("b", char)])
    specfs.structure("snode", [("c", char)])
    loaded: list[str] = []

    def load(name: str) -> CtfContainer:
        loaded.append(name)
        if name == "broken":
            return CtfContainer(b"")
        if name not in ("genunix", "ufs", "specfs"):
            raise TypeNotFound(name, "unknown object file name")
        parent = types.container("genunix") if name == "ufs" else None
        return CtfContainer({"genunix": genunix, "ufs": ufs, "specfs": specfs}[name].bytes(), parent=parent)

    types = TypeSpace("genunix", lambda: ["broken", "none", "ufs", "genunix", "specfs"], load)
    return types, loaded


def test_the_main_object_goes_first_and_the_others_only_if_need_be():
    types, loaded = space()
    assert types.lookup("struct shared").member("a").offset == 0
    assert loaded == ["genunix"]
    assert types.lookup("struct snode").size == 1
    assert loaded == ["genunix", "broken", "none", "ufs", "specfs"]


def test_a_scope_names_an_object():
    types, _ = space()
    assert types.lookup("struct specfs`shared").member("b").offset == 0
    assert types.lookup("specfs`char").size == 1
    assert types.lookup("ufs`int").size == 4  # of its parent
    with pytest.raises(TypeNotFound, match="No type information available for that name"):
        types.lookup("specfs`int")
    with pytest.raises(TypeNotFound, match="unknown object file name"):
        types.lookup("nosuch`int")


def test_a_forward_declaration_stands_for_the_type_of_another_object():
    types, _ = space()
    declared = types.container("genunix").lookup("struct inode")
    assert declared.kind is Kind.FORWARD
    assert types.lookup("struct inode").kind is Kind.STRUCT
    pointed = types.lookup("struct inode *").reference
    assert pointed.kind is Kind.FORWARD
    assert pointed.resolved.member("links").offset == 4
    assert pointed.size == 8


def test_what_is_not_there_is_not_looked_for_twice():
    types, loaded = space()
    for _ in range(2):
        with pytest.raises(TypeNotFound):
            types.lookup("struct nosuch")
    assert len(loaded) == len(set(loaded))
    with pytest.raises(FormatError):
        types.container("broken")


@pytest.mark.parametrize(
    ("name", "taken"),
    [("proc_t", ("", "proc_t")), ("genunix`proc_t", ("genunix", "proc_t")), ("a`b`c", ("a`b", "c")), ("`x", ("", "x")),
     ("struct ufs`inode", ("ufs", "struct inode"))],
)  # fmt: skip
def test_scopes(name, taken):
    assert split_scope(name) == taken

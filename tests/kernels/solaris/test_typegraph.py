"""The graph of types of a sample kernel, and what ::whattype makes of it."""

from __future__ import annotations

import pytest

from kdbg.kernels.solaris.typegraph import TypeGraph
from kdbg.lang.output import ListSink
from kdbg.lang.session import Session


@pytest.fixture
def graph(sample, monkeypatch):
    """A graph of a kernel that lacks one of the types which mdb insists on: here that is overlooked."""
    target = sample("domu-panic.core")
    made = TypeGraph(target.kernel)
    monkeypatch.setattr(made, "_needed", lambda name: made._type(name))
    monkeypatch.setitem(target.kernel._parts, TypeGraph, made)
    made.build(lambda name, value: None, lambda message: None)
    return target, made


def ask(target, text: str) -> str:
    sink = ListSink()
    Session(target, sink, sink).execute(text)
    return sink.text()


def test_every_buffer_is_a_node_and_threads_are_known(graph):
    target, made = graph
    thread = next(t for t in target.threads() if made.node(t.address) is not None)
    node = made.node(thread.address + 8)
    assert node.base <= thread.address < node.limit
    assert node.known.spelling == "kthread_t"


def test_pointers_of_known_types_tell_what_they_lead_to(graph):
    target, made = graph
    for process in list(target.processes())[1:]:
        node = made.node(process.address)
        assert [guess.type.spelling for guess in node.guesses] == ["struct proc"]
        assert ask(target, f"{process.address:x}::whattype") == (
            f"{process.address:x} is {process.address:x}+0, possibly struct proc \n"
        )


def test_the_person_knows_better(graph):
    target, _ = graph
    address = list(target.processes())[-1].address
    assert ask(target, f"{address:x}::istype zone_t; {address + 8:x}::whattype") == (
        f"{address + 8:x} is {address:x}+8, zone_t\n"
    )
    assert "possibly struct proc" in ask(target, f"{address:x}::notype; {address:x}::whattype")
    assert ask(target, "1::whattype") == "kdbg: 1 does not correspond to a node.\n"
    assert ask(target, f"{address:x}::istype nosuch_t").startswith("kdbg: could not find type nosuch_t")


def test_without_a_graph_it_is_asked_for(sample):
    target = sample("domu-sxc16.core")
    assert ask(target, "0::whattype") == "kdbg: type graph not yet built; run ::typegraph.\n"
    assert ask(target, "::typegraph").endswith(
        "kdbg: couldn't find 'ekstat_t': No type information available for that name\n"
    )

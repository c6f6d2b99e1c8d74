"""Indexes of names."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from kdbg.repl.names import LazyIndex, NameIndex, make_in_background, slips

NAMES = ["kmem_alloc", "kmem_cache_alloc", "kmem_free", "thread_create", "thread_start", "threadlist", "ps"]


def test_matches_are_those_that_begin_so() -> None:
    index = NameIndex(NAMES)
    assert index.matches("kmem_") == ["kmem_alloc", "kmem_cache_alloc", "kmem_free"]
    assert index.matches("x") == []
    assert index.matches("") == sorted(NAMES)


def test_too_many_matches_still_tell_what_they_have_in_common() -> None:
    index = NameIndex([f"a{number:04}" for number in range(1000)] + ["azz"])
    found = index.matches("a", limit=10)
    assert len(found) == 10
    assert (found[0], found[-1]) == ("a0000", "azz")


@given(st.lists(st.text("abc_", max_size=4)), st.text("abc_", max_size=3))
def test_matches_are_what_a_scan_finds(names: list[str], prefix: str) -> None:
    assert NameIndex(names).matches(prefix) == sorted({name for name in names if name.startswith(prefix)})


def test_near_names() -> None:
    index = NameIndex(NAMES)
    assert index.near("thread_strat") == ["thread_start"]
    assert index.near("kmem_aloc") == ["kmem_alloc"]
    assert index.near("THREADLIST") == ["threadlist"]
    assert index.near("sp") == ["ps"]
    assert index.near("nothing_like_it") == []
    assert NameIndex(["a", "ab", "v"]).near("q") == [], "anything is near to a single letter"


def test_near_names_with_the_same_letters_go_first() -> None:
    assert NameIndex(["port_t", "proc_t", "pore_t"]).near("porc_t")[0] == "proc_t"


@given(st.text("abcd", max_size=6), st.text("abcd", max_size=6))
def test_slips_are_symmetric_and_bounded(one: str, other: str) -> None:
    assert slips(one, other) == slips(other, one)
    assert (slips(one, other) == 0) is (one == other)


def test_an_index_is_made_once_in_batches_and_leaves_out_what_cannot_be_typed() -> None:
    asked = []

    def source() -> list[str]:
        asked.append(1)
        return [f"n{number}" for number in range(10_000)] + ["evil\x1b[31m", "", "x" * 1000, "n1"]

    index = LazyIndex(source, threading.RLock())
    assert not index.ready
    make_in_background([index]).join(10)
    assert index.ready
    assert len(index.get()) == 10_000
    assert asked == [1]


def test_a_damaged_table_gives_what_can_be_read() -> None:
    def source() -> Iterator[str]:
        yield from (f"n{number}" for number in range(5000))
        raise ValueError("damaged")

    assert "n0" in LazyIndex(source, threading.RLock()).get()


def test_names_are_not_taken_while_the_target_is_in_use() -> None:
    lock = threading.RLock()
    index = LazyIndex(lambda: ["a"], lock)
    with lock:
        thread = make_in_background([index])
        thread.join(0.1)
        assert not index.ready
    thread.join(5)
    assert index.ready

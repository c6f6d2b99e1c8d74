"""The pictures of a report's page: the flame graph, the map of memory, the locks."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from kdbg.triage.report import Lock, MemoryMap, StackGroup
from kdbg.triage.views import lockgraph, memory
from kdbg.triage.views.elements import Markup, join, tag
from kdbg.triage.views.flames import ROW, flame_graph
from triage.reports import LOCK, NEXT, OTHER, THREAD, deadlock


def boxes(groups: list[StackGroup], marked: tuple[str, ...] = ()) -> dict[tuple[int, str], tuple[float, float, bool]]:
    """(row from below, function) -> (left, width, whether marked) of a graph."""
    graph = flame_graph(groups, marked)
    assert graph is not None
    root = ElementTree.fromstring(graph)
    height = int(root.get("height", ""))
    found = {}
    for box in root:
        row = (height - int(box.get("y", "")) - 1) // ROW
        name = (box.findtext("title") or "").partition(":")[0]
        left, width = (float(box.get(side, "").rstrip("%")) for side in ("x", "width"))
        found[row, name] = left, width, "bright" in box.find("rect").get("class", "")  # type: ignore[union-attr]
    return found


GROUPS = [
    StackGroup(6, 1, ("init",), "sleep", ("resume", "cv_wait", "thread_start")),
    StackGroup(3, 2, ("bash", "sh"), "sleep", ("swtch", "read", "syscall", "0x47b7a0")),
    StackGroup(1, 3, ("bash",), "run", ("swtch", "cv_wait", "poll", "syscall", "0x47b000")),
]


def test_a_box_is_as_wide_as_its_threads_are_many() -> None:
    found = boxes(GROUPS)
    assert {key: round(width) for key, (_, width, _) in found.items()} == {
        (0, "all threads"): 100,
        (1, "thread_start"): 60,
        (2, "cv_wait"): 60,
        (3, "resume"): 60,
        (1, "syscall"): 40,
        (2, "read"): 30,
        (3, "swtch"): 30,
        (2, "poll"): 10,
        (3, "cv_wait"): 10,
        (4, "swtch"): 10,
    }


def test_a_box_stands_on_the_one_that_called_it() -> None:
    found = boxes(GROUPS)
    left, width, _ = found[1, "syscall"]
    for name in ("read", "poll"):
        inner, inner_width, _ = found[2, name]
        assert left <= inner
        assert inner + inner_width <= left + width + 0.2


def test_what_stands_outside_of_the_kernel_is_no_box() -> None:
    assert not [name for _, name in boxes(GROUPS) if name.startswith("0x")]
    assert set(boxes([StackGroup(1, 1, (), "", ("0x1", "0x47b7a0"))])) == {  # unless there is nothing else
        (0, "all threads"),
        (1, "0x47b7a0"),
        (2, "0x1"),
    }


def test_the_thread_that_matters_is_marked() -> None:
    marked = {name for (_, name), (_, _, on) in boxes(GROUPS, ("swtch", "read", "syscall", "0x1")).items() if on}
    assert marked == {"syscall", "read", "swtch"}
    assert not any(on for _, _, on in boxes(GROUPS, ("elsewhere",)).values())


def test_very_many_and_very_deep_stacks_are_bounded() -> None:
    many = [StackGroup(1, number, (), "", (f"f{number}", "start")) for number in range(5000)]
    deep = [StackGroup(1, 1, (), "", tuple(f"g{number}" for number in range(300)))]
    assert len(flame_graph(many) or "") < 10_000  # each is narrower than can be seen
    assert max(row for row, _ in boxes(deep)) == 40
    wide = [StackGroup(1, n, (), "", tuple(f"f{n}_{m}" for m in range(60))) for n in range(400)]
    assert len(flame_graph(wide) or "") < 4 << 20


def test_no_threads_no_graph() -> None:
    assert flame_graph([]) is None


# The map of memory


def rows(cells: str, **more: str) -> list[str]:
    """What the rows of a map are: addresses, or the words for a hole."""
    made = MemoryMap(256, cells, 5, {}, **{f"{name}_cells": value for name, value in more.items()})  # type: ignore[arg-type]
    page = ElementTree.fromstring(tag("div", memory.drawn(made)))
    return [row.findtext("code") or row.text or "" for row in page[0]]


def test_memory_is_in_rows_behind_their_addresses() -> None:
    assert rows("#" * 130) == ["0x0", "0x4000000", "0x8000000"]
    assert rows("") == []


def test_long_holes_are_told_and_short_ones_drawn() -> None:
    assert rows("##" + " " * 40 + "#" + " " * 5 + "#") == ["0x0", "40 MiB of which the dump tells nothing", "0x2a00000"]
    assert rows(" " * 30 + "#" + " " * 90) == ["30 MiB of which the dump tells nothing", "0x1e00000"]


def test_a_cell_shows_what_is_there() -> None:
    found = MemoryMap(1, "#+x. ", 7, {"excluded": 2, "cut off": 1}, 3, "2    ", "#4   ", " 6#  ")
    page = ElementTree.fromstring(tag("div", memory.drawn(found)))
    cells = page.findall("div/div/svg/svg")
    assert [(cell.find("title").text or "").splitlines()[1:] for cell in cells] == [  # type: ignore[union-attr]
        ["present: all", "page tables: about 2 tenths"],
        ["present: about 4 tenths", "excluded: about 6 tenths"],
        ["excluded: all"],
        ["not in the dump, and should be"],
    ]
    assert [[bar.get("class") for bar in cell.findall("rect")] for cell in cells] == [
        ["none", "held", "tables"],
        ["left", "held"],
        ["left"],
        ["lost"],
    ]
    assert "".join(page[1].itertext()) == (
        " present: 7 pages (28 KiB) excluded: 2 pages cut off: 1 page page tables of the kernel's space: 3 pages"
        "a cell is 4 KiB"
    )


# Locks


def names(circle: tuple[Lock, ...]) -> str:
    """A circle by the names of its locks, beginning with the first in the alphabet."""
    found = [lock.name for lock in circle]
    at = found.index(min(found))
    return "".join(found[at:] + found[:at])


def lock(name: str, owner: int | None, *waiters: int) -> Lock:
    return Lock(ord(name), "mutex", name, () if owner is None else (owner,), waiters)


@pytest.mark.parametrize(
    ("locks", "found"),
    [
        ([lock("a", 1, 2), lock("b", 2, 1)], {"ab"}),
        ([lock("a", 1, 2), lock("b", 2, 3), lock("c", 3, 1, 4)], {"acb"}),
        ([lock("a", 1, 1)], {"a"}),
        ([lock("a", 1, 2), lock("b", 2, 3)], set()),
        ([lock("a", 1, 2), lock("b", 2, 1), lock("c", 3, 4), lock("d", 4, 3)], {"ab", "cd"}),
        ([lock("z", 9, 8), lock("y", 8, 7), lock("a", 1, 2), lock("b", 2, 1), lock("x", 2, 9)], {"ab"}),
        ([lock("a", None, 1), lock("b", 1)], set()),
        ([], set()),
    ],
    ids=["two", "three", "of oneself", "a queue", "two circles", "a tail", "nobody has it", "none"],
)
def test_circles_of_locks(locks: list[Lock], found: set[str]) -> None:
    circles = {frozenset(names(circle)) for circle in lockgraph.circles(locks)}
    assert circles == {frozenset(one) for one in found}


def test_a_circle_is_drawn_as_a_ring_with_its_arrows() -> None:
    page = ElementTree.fromstring(tag("div", lockgraph.drawn(deadlock())))
    ring, others = page
    boxes = {tuple(box.itertext())[1:] for box in ring.findall("svg/svg")}
    assert boxes == {
        ("a", f"{LOCK:x} +1"),
        ("b", f"{NEXT:x}"),
        ("init/1", f"{THREAD:x}"),
        ("bash/2", f"{OTHER:x}"),
    }
    assert sorted(word.text or "" for word in ring.findall("svg/text")) == ["held by"] * 2 + ["waits for"] * 2
    assert [tuple(box.itertext())[1:] for box in others.findall("div/svg/svg")] == [("rwlock", "99"), ("thread", "3")]


def test_ten_thousand_locks_are_drawn_in_part() -> None:
    many = tuple(Lock(number, "mutex", "", (number + 1,), (number + 2,)) for number in range(0, 40_000, 4))
    assert len("".join(lockgraph.drawn(replace(deadlock(), locks=many)))) < 200_000
    ring = tuple(Lock(n, "mutex", "", (n,), ((n - 1) % 5000,)) for n in range(5000))
    assert len("".join(lockgraph.drawn(replace(deadlock(), locks=ring)))) < 200_000


# Elements


def test_strings_are_escaped_and_markup_is_not() -> None:
    made = tag("p", "<b>", tag("b", "&"), None, ["x", ["'"]], class_='"><', id=3, text_anchor="a", hidden=False)
    assert made == '<p class="&quot;&gt;&lt;" id="3" text-anchor="a">&lt;b&gt;<b>&amp;</b>x&#x27;</p>'
    assert isinstance(join([made]), Markup)
    assert not isinstance(made + "<script>", Markup)  # what is added to markup is none any more

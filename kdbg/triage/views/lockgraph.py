"""The locks of a report with the threads at them, drawn: a circle where threads wait in one, else a row each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kdbg.triage.report import Lock, Report
from kdbg.triage.views.elements import Markup, tag
from kdbg.triage.views.words import line

MOST_LOCKS = 40
"""That are drawn; a table has them all."""
MOST_IN_CIRCLE = 24
WIDE, HIGH = 148, 40
"""Of a box, in pixels."""


@dataclass(frozen=True, slots=True)
class Node:
    """A thread or a lock."""

    address: int
    lock: Lock | None
    label: str
    below: str
    """A second line."""


def names_of_threads(report: Report) -> dict[int, str]:
    """What is known of the threads' names."""
    found = {group.thread: group.names[0] for group in report.stacks if len(group.names) == 1}
    found |= {cpu.thread: cpu.name for cpu in report.cpus if cpu.thread and cpu.name}
    if report.thread is not None and report.thread.name:
        found[report.thread.address] = report.thread.name
    return found


def drawn(report: Report) -> list[Markup]:
    """The drawings: circles first, then the other locks that somebody waits for."""
    names = names_of_threads(report)
    locks = [lock for lock in report.locks if lock.owners or lock.waiters]
    made: list[Markup] = []
    seen: set[int] = set()
    for circle in circles(locks):
        seen.update(lock.address for lock in circle)
        made.append(_circle(circle[: MOST_IN_CIRCLE // 2], names))
    rest = sorted((lock for lock in locks if lock.address not in seen), key=lambda lock: -len(lock.waiters))
    if rest:
        made.append(_rows(rest[:MOST_LOCKS], names))
    return made


def circles(locks: Sequence[Lock]) -> Iterator[tuple[Lock, ...]]:
    """The circles: each lock's owner waits for the next, the last one's for the first.

    A thread waits for one lock at most, so from each lock one way leads on (of several owners': the first that waits).
    """
    waits = {thread: lock for lock in locks for thread in lock.waiters}
    by_address = {lock.address: lock for lock in locks}
    onward: dict[int, int] = {}
    for lock in locks:
        following = next((waits[owner] for owner in lock.owners if owner in waits), None)
        if following is not None:
            onward[lock.address] = following.address
    done: set[int] = set()
    for start in onward:
        way: dict[int, None] = {}
        at: int | None = start
        while at is not None and at not in done and at not in way:
            way[at] = None
            at = onward.get(at)
        if at in way:
            steps = list(way)
            yield tuple(by_address[one] for one in steps[steps.index(at) :])
        done.update(way)


def _thread(address: int, names: Mapping[int, str]) -> Node:
    return Node(address, None, line(names.get(address) or "thread", 40), f"{address:x}")


def _lock(lock: Lock) -> Node:
    return Node(lock.address, lock, line(lock.name or lock.kind or "lock", 40), f"{lock.address:x}")


def _circle(locks: Sequence[Lock], names: Mapping[int, str]) -> Markup:
    """Locks and their owners in turn on a circle: a lock is held by the thread behind it, which waits for the next."""
    following = {lock.address: locks[(at + 1) % len(locks)] for at, lock in enumerate(locks)}
    ring: list[Node] = []
    for lock in locks:
        owner = next((one for one in lock.owners if one in following[lock.address].waiters), (*lock.owners, 0)[0])
        ring += [_lock(lock), _thread(owner, names)]
    across = max(104.0, len(ring) * (WIDE + 26) / (2 * math.pi))
    down = max(84.0, len(ring) * (HIGH + 34) / (2 * math.pi))
    middle = across + WIDE / 2 + 4, down + HIGH / 2 + 4
    turn = 2 * math.pi / len(ring)
    places = [
        (middle[0] + across * math.sin(at * turn), middle[1] - down * math.cos(at * turn)) for at in range(len(ring))
    ]
    arrows = []
    for at, place in enumerate(places):
        held = ring[at].lock is not None
        arrows += _arrow(place, places[(at + 1) % len(ring)], "holds" if held else "waits")
    boxes = [_box(node, place) for node, place in zip(ring, places, strict=True)]
    others = [
        tag("text", f"+{len(lock.waiters) - 1} waiting", x=x, y=y + HIGH / 2 + 14, class_="more", text_anchor="middle")
        for lock, (x, y) in zip(locks, places[::2], strict=True)
        if len(lock.waiters) > 1
    ]
    return _drawing(2 * middle[0], 2 * middle[1] + 16, [*arrows, *boxes, *others])


def _rows(locks: Sequence[Lock], names: Mapping[int, str]) -> Markup:
    """Who waits, for what, who has it."""
    parts: list[Markup] = []
    step, columns = HIGH + 26, (WIDE / 2 + 4, 1.5 * WIDE + 64, 2.5 * WIDE + 124)
    for number, lock in enumerate(locks):
        y = HIGH / 2 + 4 + number * step
        left, centre, right = ((x, y) for x in columns)
        if lock.waiters:
            parts += [*_arrow(left, centre, "waits"), _box(_thread(lock.waiters[0], names), left)]
            if len(lock.waiters) > 1:
                more = f"+{len(lock.waiters) - 1} waiting"
                parts.append(tag("text", more, x=left[0], y=y + HIGH / 2 + 14, class_="more", text_anchor="middle"))
        if lock.owners:
            parts += [*_arrow(centre, right, "holds"), _box(_thread(lock.owners[0], names), right)]
        parts.append(_box(_lock(lock), centre))
    return _drawing(columns[2] + WIDE / 2 + 4, len(locks) * step + 8, parts)


def _drawing(width: float, height: float, parts: Sequence[Markup]) -> Markup:
    drawing = tag(
        "svg",
        parts,
        class_="locks",
        width=round(width),
        height=round(height),
        role="img",
        aria_label="Locks and threads",
    )
    return tag("div", drawing, class_="scroll")


def _box(node: Node, place: tuple[float, float]) -> Markup:
    """A box around a place; what does not fit is cut off by the inner element."""
    kind, rounding = ("lock", 4) if node.lock else ("thread", HIGH // 2)
    return tag(
        "svg",
        tag("title", f"{line(node.lock.kind)} " if node.lock else "thread ", f"{node.label} {node.below}"),
        tag("rect", x=1, y=1, width=WIDE - 2, height=HIGH - 2, rx=rounding, class_=kind),
        tag("text", node.label, x=WIDE / 2, y=17, text_anchor="middle"),
        tag("text", node.below, x=WIDE / 2, y=32, text_anchor="middle", class_="more"),
        x=place[0] - WIDE / 2,
        y=place[1] - HIGH / 2,
        width=WIDE,
        height=HIGH,
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], kind: str) -> list[Markup]:
    """A line from box to box with its head in its middle, where no box covers it."""
    (x, y), (to_x, to_y) = start, end
    direction = math.atan2(to_y - y, to_x - x)
    (x, y), (to_x, to_y) = _edge(start, direction), _edge(end, direction + math.pi)
    tip = to_x, to_y
    wings = [
        (tip[0] - 9 * math.cos(direction + turn), tip[1] - 9 * math.sin(direction + turn)) for turn in (-0.42, 0.42)
    ]
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in (tip, *wings))
    return [
        tag("line", x1=x, y1=y, x2=to_x, y2=to_y, class_=kind),
        tag("polygon", points=points, class_=kind),
        tag(
            "text",
            "held by" if kind == "holds" else "waits for",
            x=(x + to_x) / 2,
            y=(y + to_y) / 2 - 5,
            class_="more",
            text_anchor="middle",
        ),
    ]


def _edge(place: tuple[float, float], direction: float) -> tuple[float, float]:
    """Where a line from the middle of a box leaves it."""
    across, down = abs(math.cos(direction)), abs(math.sin(direction))
    reach = min(WIDE / 2 / across if across > 1e-9 else math.inf, HIGH / 2 / down if down > 1e-9 else math.inf) + 2
    return place[0] + reach * math.cos(direction), place[1] + reach * math.sin(direction)

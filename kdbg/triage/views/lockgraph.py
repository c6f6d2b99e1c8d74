"""The locks of a report with the threads at them, drawn: a ring where threads wait in a circle, else a column each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kdbg.triage.report import Lock, Report
from kdbg.triage.views.elements import Markup, tag
from kdbg.triage.views.words import line, plural

MOST_LOCKS = 40
"""That are drawn; a table has them all."""
MOST_IN_CIRCLE = 24
WIDE, HIGH = 138, 40
"""Of a box, in pixels."""
APART, STEP = 64, 32
"""Between boxes beside and below each other: room for the words at an arrow."""


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
    found |= {thread.address: thread.name for thread in report.threads}
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
        made.append(tag("div", [_column(lock, names) for lock in rest[:MOST_LOCKS]], class_="columns"))
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


def _lock(lock: Lock, more: int = 0) -> Node:
    """``more``: threads that wait for it and are not drawn."""
    return Node(
        lock.address, lock, line(lock.name or lock.kind or "lock", 40), f"{lock.address:x}{f' +{more}' if more else ''}"
    )


def _circle(locks: Sequence[Lock], names: Mapping[int, str]) -> Markup:
    """A ring of two columns: a lock is held by the thread behind it, which waits for the next lock."""
    ring: list[Node] = []
    for at, lock in enumerate(locks):
        waiting = locks[(at + 1) % len(locks)].waiters
        owner = next((one for one in lock.owners if one in waiting), 0)
        ring += [_lock(lock, len(lock.waiters) - 1), _thread(owner, names)]
    rows, count = len(locks), len(ring)
    left, right = WIDE / 2 + 4, 1.5 * WIDE + APART + 4
    places = [(right, at - 1) if 1 <= at <= rows else (left, (count - at) % count) for at in range(count)]
    middles = [(x, HIGH / 2 + 4 + row * (HIGH + STEP)) for x, row in places]
    parts: list[Markup] = []
    for at, node in enumerate(ring):
        parts += _arrow(middles[at], middles[(at + 1) % count], "waits" if node.lock is None else "holds")
    boxes = [_box(node, place) for node, place in zip(ring, middles, strict=True)]
    return _drawing(right + left, rows * (HIGH + STEP) - STEP + 8, [*parts, *boxes])


def _column(lock: Lock, names: Mapping[int, str]) -> Markup:
    """Who waits, for what, who has it, one below the other: columns stand beside each other as the page has room."""
    middle = WIDE / 2 + 4
    above, centre, below = ((middle, HIGH / 2 + 4 + row * (HIGH + STEP)) for row in range(3))
    parts = [_box(_lock(lock, max(0, len(lock.waiters) - 1)), centre)]
    if lock.waiters:
        parts += [*_arrow(above, centre, "waits"), _box(_thread(lock.waiters[0], names), above)]
    if lock.owners:
        parts += [*_arrow(centre, below, "holds"), _box(_thread(lock.owners[0], names), below)]
    return _drawing(2 * middle, 3 * HIGH + 2 * STEP + 8, parts)


def _drawing(width: float, height: float, parts: Sequence[Markup]) -> Markup:
    size = {"width": round(width), "height": round(height)}
    return tag("div", tag("svg", parts, class_="locks", role="img", aria_label="Locks and threads", **size))


def _box(node: Node, place: tuple[float, float]) -> Markup:
    """A box around a place; what does not fit is cut off by the inner element."""
    kind, rounding = ("lock", 4) if node.lock else ("thread", HIGH // 2)
    what = f"{line(node.lock.kind)} {plural(len(node.lock.waiters), 'thread')} waiting:" if node.lock else "thread"
    return tag(
        "svg",
        tag("title", f"{what} {node.label} {node.below}"),
        tag("rect", x=1, y=1, width=WIDE - 2, height=HIGH - 2, rx=rounding, class_=kind),
        tag("text", node.label, x=WIDE / 2, y=17, text_anchor="middle"),
        tag("text", node.below, x=WIDE / 2, y=32, text_anchor="middle", class_="more"),
        x=place[0] - WIDE / 2,
        y=place[1] - HIGH / 2,
        width=WIDE,
        height=HIGH,
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], kind: str) -> list[Markup]:
    """From box to box, which stand beside or below each other, with words at it."""
    (x, y), (to_x, to_y) = start, end
    across, down = (to_x > x) - (to_x < x), (to_y > y) - (to_y < y)
    x, to_x = x + across * WIDE / 2, to_x - across * (WIDE / 2 + 2)
    y, to_y = y + down * HIGH / 2, to_y - down * (HIGH / 2 + 2)
    wings = [(to_x - 9 * across + 4 * turn * down, to_y - 9 * down + 4 * turn * across) for turn in (-1, 1)]
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in ((to_x, to_y), *wings))
    words, middle = "held by" if kind == "holds" else "waits for", ((x + to_x) / 2, (y + to_y) / 2)
    place = (middle[0], middle[1] - 7, "middle") if across else (middle[0] + 8, middle[1] + 3, "start")
    return [
        tag("line", x1=x, y1=y, x2=to_x, y2=to_y, class_=kind),
        tag("polygon", points=points, class_=kind),
        tag("text", words, x=place[0], y=place[1], class_="more", text_anchor=place[2]),
    ]

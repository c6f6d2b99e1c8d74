"""The threads of a report by their stacks as a flame graph: SVG that needs no script and no style of its own.

A box is a function, as wide as the threads that stand in it or below it are many; what it was called by stands under
it. Boxes are SVG elements within each other, placed in percent, so that the graph fills any width and its text keeps
its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from kdbg.triage.report import StackGroup
from kdbg.triage.views.elements import Markup, tag
from kdbg.triage.views.words import line, plural

DEPTH = 40
"""Boxes above each other."""
ROW = 20
"""Pixels of a box with the gap above it."""
NARROWEST = 0.2
"""Percent; narrower boxes are left out, and what stands above them."""
MOST_BOXES = 3000
SHADES = 7
NO_STACK = "(no stack)"


@dataclass(slots=True)
class Box:
    """A function with what it called."""

    name: str
    count: int = 0
    names: dict[str, None] = field(default_factory=dict)
    """Of the processes whose threads stand here."""
    above: dict[str, Box] = field(default_factory=dict)


def flame_graph(groups: Sequence[StackGroup], marked: Sequence[str] = ()) -> Markup | None:
    """The graph; None without threads. ``marked``: the functions of a stack to point out, the innermost first."""
    root = _tree(groups)
    if not root.count:
        return None
    boxes = list(_placed(root, marked))
    height = ROW * (1 + max(row for row, *_ in boxes))
    shown = [_box(box, row, left, width, root.count, height, bright) for row, left, width, box, bright in boxes]
    return tag("svg", shown, class_="flames", width="100%", height=height, role="img", aria_label="Flame graph")


def _named(stack: Sequence[str]) -> Sequence[str]:
    """A stack without what stands outside of the kernel: numbers at its end, another one in each process.

    One without any name stays whole: there is nothing else to tell it by.
    """
    named = [at for at, function in enumerate(stack) if not function.startswith("0x")]
    return stack[: named[-1] + 1] if named else stack


def _tree(groups: Sequence[StackGroup]) -> Box:
    root = Box("all threads")
    for group in groups:
        here = root
        for at, name in enumerate((None, *reversed(_named(group.stack) or (NO_STACK,)))):
            if at > DEPTH:
                break
            if name is not None:
                here = here.above.setdefault(name, Box(name))
            here.count += group.count
            if len(here.names) < 8:
                here.names.update(dict.fromkeys(group.names[:8]))
    return root


def _placed(root: Box, marked: Sequence[str]) -> Iterator[tuple[int, float, float, Box, bool]]:
    """(row from below, left, width in percent, box, whether marked) of the boxes that are wide enough."""
    waiting: list[tuple[int, float, Box, bool]] = [(0, 0.0, root, False)]
    path = tuple(reversed(_named(marked)))
    for _ in range(MOST_BOXES):
        if not waiting:
            return
        row, left, box, bright = waiting.pop()
        yield row, left, 100 * box.count / root.count, box, bright
        for name, above in sorted(box.above.items(), key=lambda item: -item[1].count):
            width = 100 * above.count / root.count
            if width >= NARROWEST:
                on = bool(path[row : row + 1]) and path[row] == name and (row == 0 or bright)
                waiting.append((row + 1, left, above, on))
            left += width


def _box(box: Box, row: int, left: float, width: float, total: int, height: int, bright: bool) -> Markup:
    shade = "all" if row == 0 else f"s{crc32(box.name.encode('utf-8', 'replace')) % SHADES}"
    names = ", ".join(line(name, 40) for name in box.names)
    told = f"{line(box.name, 200)}: {plural(box.count, 'thread')}, {100 * box.count / total:.1f} %\n{names}"
    room = "" if width >= 12 else " mid" if width >= 4 else " thin"
    return tag(
        "svg",
        tag("title", told),
        tag("rect", width="100%", height=ROW - 2, rx=2, class_=f"{shade}{' bright' if bright else ''}"),
        tag("text", f"{line(box.name, 80)}{f' ({total})' if row == 0 else ''}", x=5, y=13, class_=room.strip() or None),
        x=f"{left:.3f}%",
        y=height - ROW * (row + 1) + 1,
        width=f"{max(width - 0.06, 0.05):.3f}%",
        height=ROW - 2,
    )

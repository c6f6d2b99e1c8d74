"""The map of memory of a report, drawn: stretches of physical memory in rows, an SVG a row."""

from __future__ import annotations

from collections.abc import Iterator

from kdbg.triage.report import MemoryMap
from kdbg.triage.views.elements import Markup, tag
from kdbg.triage.views.words import line, plural, size

PAGE = 4096
ROW = 64
"""Stretches in a row."""
GAP = 24
"""Stretches of nothing that are left out, at least."""
HEIGHT = 18
MOST_ROWS = 200


def drawn(memory: MemoryMap) -> list[Markup]:
    """The rows, each behind its address, and what the colours mean."""
    rows = []
    for number, (first, length, empty) in enumerate(_rows(memory.cells)):
        if number >= MOST_ROWS:
            rows.append(tag("p", "The rest is left out.", class_="gap"))
            break
        if empty:
            words = f"{size(length * memory.stretch * PAGE)} of which the dump tells nothing"
            rows.append(tag("p", words, class_="gap"))
        else:
            rows.append(_row(memory, first, length))
    return [tag("div", rows, class_="memory"), _legend(memory)]


def _rows(cells: str) -> Iterator[tuple[int, int, bool]]:
    """(first stretch, how many, whether there is nothing in them); what lies behind the last is nothing, too."""
    at, end = 0, len(cells.rstrip())
    while at < end:
        blank = len(cells) - at - len(cells[at:].lstrip())
        if blank >= GAP:
            yield at, blank, True
            at += blank
        hole = cells.find(" " * GAP, at, end)
        stop = min(at + ROW, end, hole if hole > at else end)
        yield at, stop - at, False
        at = stop


def _row(memory: MemoryMap, first: int, length: int) -> Markup:
    cells = [_cell(memory, first + at, at) for at in range(length)]
    drawing = tag("svg", cells, width="100%", height=HEIGHT, role="img", aria_label="A row of the map of memory")
    return tag("div", tag("code", f"{first * memory.stretch * PAGE:#x}"), drawing, class_="row")


def _cell(memory: MemoryMap, number: int, at: int) -> Markup | None:
    kind = memory.cells[number]
    if kind == " ":
        return None
    present, excluded, tables = (
        _share(cells, number) for cells in (memory.present_cells, memory.excluded_cells, memory.table_cells)
    )
    start = number * memory.stretch * PAGE
    told = [f"{start:#x} - {start + memory.stretch * PAGE:#x}"]
    told += ["not in the dump, and should be"] if kind == "." else []
    for share, what in ((present, "present"), (excluded, "excluded"), (tables, "page tables")):
        if share:
            told.append(f"{what}: {'all' if share == 10 else f'about {share} tenths'}")
    ground = "lost" if kind == "." else "left" if excluded else "none"
    return tag(
        "svg",
        tag("title", "\n".join(told)),
        tag("rect", width="100%", height=HEIGHT, class_=ground),
        _bar(present or (10 if kind == "#" else 0), "held"),
        _bar(tables, "tables"),
        x=f"{100 * at / ROW:.3f}%",
        width=f"{100 / ROW - 0.12:.3f}%",
        height=HEIGHT,
    )


def _share(cells: str, number: int) -> int:
    """Tenths."""
    letter = cells[number : number + 1]
    return 10 if letter == "#" else int(letter) if letter.isdigit() and letter.isascii() else 0


def _bar(tenths: int, kind: str) -> Markup | None:
    if not tenths:
        return None
    height = max(3, HEIGHT * tenths // 10)
    return tag("rect", y=HEIGHT - height, width="100%", height=height, class_=kind)


def _legend(memory: MemoryMap) -> Markup:
    known = [("held", f"present: {plural(memory.present, 'page')} ({size(memory.present * PAGE)})")]
    known += [(_why(why), f"{line(why)}: {plural(count, 'page')}") for why, count in _reasons(memory)]
    if memory.page_tables is not None:
        known.append(("tables", f"page tables of the kernel's space: {plural(memory.page_tables, 'page')}"))
    each = f"a cell is {size(memory.stretch * PAGE)}"
    return tag("ul", [_key(kind, words) for kind, words in known], tag("li", each), class_="legend")


def _reasons(memory: MemoryMap) -> list[tuple[str, int]]:
    return [(why, count) for why, count in memory.missing.items() if count][:8]


def _why(why: str) -> str:
    """Whether pages that are missing for that reason were left out, never were, or are lost."""
    return "left" if "exclud" in why else "none" if "no frame" in why else "lost"


def _key(kind: str, words: str) -> Markup:
    mark = tag("svg", tag("rect", width=12, height=12, class_=kind), width=12, height=12)
    return tag("li", mark, " ", words)

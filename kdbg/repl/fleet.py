"""``kdbg triage`` of many dumps, and ``kdbg causes``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from kdbg.errors import UsageError

if TYPE_CHECKING:
    from kdbg.fleet.causes import Cause
    from kdbg.fleet.row import Row
    from kdbg.repl.tools import Given

OPTIONS = ("--into", "--jobs", "--scheduler", "--time-limit", "--memory-limit")
"""Those that a fleet has besides what one dump has."""
MARK = "--again"
REDRAW = 0.5
"""Seconds between two states of the progress line."""
CLEAR = "\r\033[K"
"""What makes the line under the cursor empty."""


def run_fleet(given: Given, known: Sequence[str], budget: float | None, again: bool) -> list[Row]:
    """Look over all dumps that are meant and not yet in the table; all its rows. Raises `UsageError`, `Error`."""
    import os

    from kdbg.fleet.names import named
    from kdbg.fleet.running import cluster, local
    from kdbg.fleet.store import Store
    from kdbg.fleet.worker import MEMORY, SECONDS, Limits

    limits = Limits(
        int(_number(given, "--memory-limit", MEMORY / (1 << 20)) * (1 << 20)),
        _number(given, "--time-limit", SECONDS),
        budget,
        tuple(os.path.abspath(path) for path in known),
    )
    dumps = named(given.files)
    scheduler = given.one("--scheduler")
    run = local(int(_number(given, "--jobs", os.cpu_count() or 1))) if scheduler is None else cluster(scheduler)
    store = Store(given.one("--into"))
    done = set() if again else store.done()
    waiting = [dump for dump in dumps if (dump.text, dump.size, dump.modified) not in done]
    try:
        for row in _told(run(waiting, limits), len(waiting), len(dumps) - len(waiting)):
            store.add(row)
    except KeyboardInterrupt:
        goes_on = f"; the same command goes on, {given.one('--into')} has them" if given.one("--into") else ""
        clear = CLEAR if sys.stderr.isatty() else ""
        sys.stderr.write(f"{clear}kdbg: stopped: {len(store.rows)} of {len(dumps)} dumps are done{goes_on}\n")
        raise
    finally:
        store.close()
    return store.rows


def _number(given: Given, name: str, default: float) -> float:
    word = given.one(name)
    if word is None:
        return default
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e9:
        raise UsageError(f"{name} {word}: a number from 1 on")
    return value


def _told(rows: Iterator[Row], count: int, before: int) -> Iterator[Row]:
    """Pass rows on; on a terminal, say how far it is and how long it will take."""
    terminal = sys.stderr.isatty()
    start = shown = time.monotonic()
    try:
        for number, row in enumerate(rows, 1):
            yield row
            now = time.monotonic()
            if terminal and (now - shown >= REDRAW or number == count):
                shown = now
                left = (now - start) / number * (count - number)
                skipped = f", {before} done before" if before else ""
                sys.stderr.write(f"{CLEAR}{number} of {count} dumps{skipped}, about {left:.0f} s to go")
                sys.stderr.flush()
    finally:
        if terminal:
            sys.stderr.write(CLEAR)


def summary(rows: Iterable[Row]) -> str:
    """A line for each dump."""
    lines = [f"{'KIND':<16} {'SIGNATURE':<16} {'SECONDS':>7} DUMP"]
    for row in rows:
        kind = row.kind or row.outcome
        lines.append(f"{kind:<16} {row.signature or '-':<16} {row.seconds:7.1f} {row.dump}")
        if row.error:
            lines.append(f"{'':<16} {row.error}")
    return "\n".join(lines) + "\n"


def causes(words: Sequence[str]) -> int:
    """``kdbg causes``: what the dumps of a table died of."""
    from kdbg.fleet.causes import causes as group
    from kdbg.fleet.store import read_table
    from kdbg.repl.tools import Given

    given = Given(words, ("--format", "--html"))
    form = given.one("--format", "text")
    if form not in ("text", "json"):
        raise UsageError(f"format {form}: text or json")
    found = group(row for table in given.files for row in read_table(table))
    page = given.one("--html")
    if page is not None:
        from kdbg.fleet.page import render
        from kdbg.repl.triage import write

        write(page, render(found))
    elif form == "json":
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        sys.stdout.write(harmless(_table(found)))
    return 0


def harmless(text: str) -> str:
    """A text without what could act on a terminal."""
    from kdbg.lang.visible import visible

    return "\n".join(visible(line) for line in text.split("\n"))


def bad(rows: Iterable[Row], fail_on: str) -> bool:
    """Whether one of the rows is as bad as ``--fail-on`` says."""
    return any(_is_bad(row, fail_on) for row in rows)


def _is_bad(row: Row, fail_on: str) -> bool:
    from kdbg.fleet.row import DONE, NO_DUMP
    from kdbg.triage.catalogue import CATALOGUE
    from kdbg.triage.report import Kind, Severity

    if fail_on == "never" or row.outcome == NO_DUMP or (fail_on == "new" and row.known):
        return False
    severities = {CATALOGUE[name].severity for name in row.findings if name in CATALOGUE}
    failed = row.outcome != DONE or row.kind not in (Kind.LIVE, Kind.UNKNOWN) or Severity.ERROR in severities
    return failed or (fail_on == "warning" and Severity.WARNING in severities)


def _table(found: Sequence[Cause]) -> str:
    from kdbg.fleet.causes import day

    lines = [f"{'COUNT':>5} {'SIGNATURE':<16} {'FIRST':<10} {'LAST':<10} CAUSE"]
    for one in found:
        first, last = day(one.first) or "-", day(one.last) or "-"
        lines.append(f"{one.count:5d} {one.signature or '-':<16} {first:<10} {last:<10} {one.text}")
        lines += [f"{'':22} known: {name}" for name in one.known[:3]]
        if one.kernels:
            more = f" and {len(one.kernels) - 3} more" if len(one.kernels) > 3 else ""
            lines.append(f"{'':22} kernels: {', '.join(one.kernels[:3])}{more}")
        lines.append(f"{'':22} open: kdbg {one.example}")
    return "\n".join(lines) + "\n"

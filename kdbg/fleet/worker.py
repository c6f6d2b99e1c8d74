"""Look one dump over in a process of its own, under limits of memory and time: the row that comes of it, always one.

``python -m kdbg.fleet.worker`` reads its task from standard input and writes the row to standard output. A dump that
makes it take too much, or kills it, costs that process and no other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdbg.errors import Error
from kdbg.fleet.names import Named
from kdbg.fleet.row import ERROR, KILLED, NO_DUMP, TOO_LONG, Row

MEMORY = 2 << 30
"""Bytes that a process may have of its own; the dump is mapped and does not count."""
SECONDS = 300.0
MOST_COMPLAINT = 500
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""numpy's libraries start a thread for each CPU, with memory of its own; there is a process for each here."""
COMMAND = (sys.executable, "-m", "kdbg.fleet.worker")


@dataclass(frozen=True, slots=True)
class Limits:
    """What looking at one dump may cost."""

    memory: int = MEMORY
    seconds: float = SECONDS
    budget: float | None = None
    """Of each analyser, if not its own."""
    known: tuple[str, ...] = ()
    """Files and directories of known issues."""


def look_over(dump: Named, limits: Limits) -> Row:
    """The row of a dump, from a process of its own. Raises nothing for what is in the dump."""
    start = time.monotonic()
    task = {"files": dump.files, "memory": limits.memory, "budget": limits.budget, "known": limits.known}
    try:
        ended = subprocess.run(
            COMMAND,
            input=json.dumps(task),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limits.seconds,
            check=False,
            env={**os.environ, **ONE_THREAD},
        )
    except subprocess.TimeoutExpired:
        return _failed(dump, TOO_LONG, f"it took longer than {limits.seconds:g} s", start)
    try:
        told = json.loads(ended.stdout)
        return Row.of_plain({**told, "size": dump.size, "modified": dump.modified, "dump": dump.text})
    except ValueError:
        pass
    if ended.returncode < 0:
        return _failed(dump, KILLED, f"its process was ended by signal {-ended.returncode}", start)
    complaint = ended.stderr.strip().split("\n")[-1][:MOST_COMPLAINT]
    return _failed(dump, KILLED, complaint or f"its process ended with status {ended.returncode}", start)


def _failed(dump: Named, outcome: str, error: str, start: float) -> Row:
    return Row(dump.text, dump.size, dump.modified, outcome, error, round(time.monotonic() - start, 3))


def _limit(memory: int) -> None:
    """Bound what this process may have of its own (RLIMIT_DATA: mappings of files do not count)."""
    try:
        import resource
    except ImportError:
        return  # a system without: the time limit holds all the same
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))


def _row(files: Sequence[str], budget: float | None, known: Sequence[str]) -> Row:
    import kdbg
    from kdbg.formats import NotADump
    from kdbg.triage.known import read_known

    start, name = time.monotonic(), " ".join(files)
    try:
        with kdbg.open(*files) as target:
            report = target.triage(read_known(known), budget)
        return Row.of_report(name, 0, 0.0, time.monotonic() - start, report)
    except NotADump as error:
        outcome, text = NO_DUMP, str(error)
    except Error as error:
        outcome, text = ERROR, str(error)
    except MemoryError:
        outcome, text = KILLED, "it took more memory than is allowed"
    except Exception as error:  # of ours, then: the row says so, and the fleet goes on
        outcome, text = ERROR, f"internal error: {type(error).__name__}: {error}"
    return Row(name, 0, 0.0, outcome, text, round(time.monotonic() - start, 3))


def main() -> int:
    """Do the task on standard input."""
    task: dict[str, Any] = json.load(sys.stdin)
    _limit(task["memory"])
    row = _row(task["files"], task["budget"], task["known"])
    json.dump(row.plain(), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Look dumps over, each in a process of its own under limits of memory and time: one row comes of each, always.

``python -m kdbg.fleet.worker`` is a server: it loads what a triage needs once, reads tasks from standard input, a line
of JSON each, and answers each with a row on standard output. It forks for every task; what a dump costs beyond its
limits costs that child and nobody else. `Server` is its other end.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
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
GRACE = 15.0
"""Seconds more that the server itself may take."""
MOST_COMPLAINT = 500
COMMAND = (sys.executable, "-m", "kdbg.fleet.worker")
PRELOADED = (
    "numpy", "kdbg.dump", "kdbg.triage.running", "kdbg.triage.context", "kdbg.triage.memorymap", "kdbg.triage.verdict",
    "kdbg.triage.views.json", "kdbg.vm.arrays", "kdbg.symbols.ctf", "kdbg.kernels.solaris.bootstrap",
    "kdbg.kernels.solaris.stacks",
)  # fmt: skip
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""numpy's libraries start a thread for each CPU, with memory of its own; there is a process for each here."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What looking at one dump may cost."""

    memory: int = MEMORY
    seconds: float = SECONDS
    budget: float | None = None
    """Of each analyser, if not its own."""
    known: tuple[str, ...] = ()
    """Files and directories of known issues."""


# the end that asks


class Server:
    """A process that looks dumps over; it is started when it is first needed, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def look_over(self, dump: Named, limits: Limits) -> Row:
        """The row of a dump. Raises nothing for what is in the dump."""
        start = time.monotonic()
        task = {
            "files": dump.files, "memory": limits.memory, "seconds": limits.seconds, "budget": limits.budget,
            "known": limits.known,
        }  # fmt: skip
        answer = self._ask(json.dumps(task).encode() + b"\n", limits.seconds + GRACE)
        seconds = round(time.monotonic() - start, 3)
        try:
            told = json.loads(answer)
            return Row.of_plain({**told, "dump": dump.text, "size": dump.size, "modified": dump.modified})
        except ValueError:
            why = "its process gave no answer" if not answer else "its process gave an answer that is none"
            return Row(dump.text, dump.size, dump.modified, KILLED, why, seconds)

    def _ask(self, line: bytes, seconds: float) -> bytes:
        """The answer to a task: a line; b"" where there is none."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = _read(process.stdout.fileno(), seconds, b"\n")
        except OSError:
            answer = b""
        if not answer.endswith(b"\n"):
            self.close()
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
            )
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def look_over(dump: Named, limits: Limits) -> Row:
    """The row of a dump, from a server that this process keeps: what a cluster's worker runs."""
    return _server().look_over(dump, limits)


@functools.cache
def _server() -> Server:
    return Server()


def _read(descriptor: int, seconds: float, until: bytes = b"") -> bytes:
    """What comes until the end, or a byte that ends it; less if that takes too long."""
    deadline, parts = time.monotonic() + seconds, list[bytes]()
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(descriptor, 1 << 16)
        parts.append(part)
        if not part or (until and part.endswith(until)):
            break
    return b"".join(parts)


# the server


def main() -> int:
    """Answer tasks until there are no more."""
    _preload()
    for line in sys.stdin.buffer:
        row = _in_a_child(json.loads(line))
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
    return 0


def _preload() -> None:
    """Import what every triage needs: each child would do it again."""
    from importlib import import_module

    from kdbg.triage.analysers import OF_FAMILY, analysers

    for module in PRELOADED:
        import_module(module)
    for family in OF_FAMILY:
        analysers(family)
        import_module(f"kdbg.triage.{family}.account")
    _row([__file__], None, ())  # no dump: every format is asked, and loaded with that


def _in_a_child(task: dict[str, Any]) -> dict[str, Any]:
    """The row of a task, from a child of this process."""
    start, (reading, writing) = time.monotonic(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(task, writing)
    os.close(writing)
    answer = _read(reading, task["seconds"])
    os.close(reading)
    seconds = round(time.monotonic() - start, 3)
    if seconds >= task["seconds"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    try:
        told: dict[str, Any] = json.loads(answer)
        return told
    except ValueError:
        pass
    name = " ".join(task["files"])
    if seconds >= task["seconds"]:
        return Row(name, 0, 0.0, TOO_LONG, f"it took longer than {task['seconds']:g} s", seconds).plain()
    code = os.waitstatus_to_exitcode(status)
    why = f"its process was ended by signal {-code}" if code < 0 else f"its process ended with status {code}"
    return Row(name, 0, 0.0, KILLED, why, seconds).plain()


def _be_the_child(task: dict[str, Any], writing: int) -> None:
    """Do the task, write its row, and end: nothing of the server's may run in here."""
    status = 1
    try:
        _limit(task["memory"])
        answer = json.dumps(_row(task["files"], task["budget"], task["known"]).plain()).encode()
        with open(writing, "wb") as pipe:
            pipe.write(answer)
        status = 0
    finally:
        os._exit(status)


def _limit(memory: int) -> None:
    """Bound what this process may have of its own (RLIMIT_DATA: mappings of files do not count)."""
    import resource

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
    return Row(name, 0, 0.0, outcome, text[:MOST_COMPLAINT], round(time.monotonic() - start, 3))


if __name__ == "__main__":
    sys.exit(main())

"""Measure: ``make bench``, or ``python -m bench [--dump CORE] [FOLDER]``.

Built dumps go into FOLDER (default: a temporary one). ``--dump`` names a real core of about 100 MB to measure beside
the built one. Whole processes are held against ``python3 -c pass``, and the best of several runs counts: on a busy
machine only the smallest figure says something.
"""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import builders

ROUNDS = 7


def best(action: Callable[[], object], rounds: int = 3) -> float:
    """The shortest of some runs, in seconds."""
    shortest = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def process(words: Sequence[str], text: str = "") -> float:
    """Run a process; seconds on the clock."""
    start = time.perf_counter()
    subprocess.run(words, input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


PEAK = """
import sys
from kdbg.cli import main
try:
    main(sys.argv[1:])
finally:
    status = open("/proc/self/status").read()
    print("peak", status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def peak(dump: Path, text: str) -> float:
    """Peak memory in MB of a process, as it says itself (a parent's would count as its child's)."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(dump)], input=text, capture_output=True, text=True, check=True
    )
    return int(done.stderr.split()[-1]) / 1024


def line(what: str, figure: str, goal: str = "") -> None:
    """One line of the report."""
    print(f"{what:58} {figure:>16}   {goal}".rstrip(), flush=True)


def whole_processes(dumps: Sequence[Path]) -> None:
    """`::status` as a whole process, above a bare Python; peak memory."""
    bare = min(process([sys.executable, "-c", "pass"]) for _ in range(ROUNDS))
    line("python3 -c pass", f"{1000 * bare:.0f} ms")
    for dump in dumps:
        command = [sys.executable, "-m", "kdbg.cli", str(dump)]
        shortest = min(process(command, "::status\n") for _ in range(ROUNDS))
        figure = f"+{1000 * (shortest - bare):.0f} ms, {peak(dump, '::status'):.0f} MB"
        line(f"echo ::status | kdbg {dump.name}", figure, "at most +100 ms, the same for every size")


def language() -> None:
    """Small commands from standard input."""
    count = 20_000
    text = "1+2=X\n" * count
    bare = min(process([sys.executable, "-m", "kdbg.cli"]) for _ in range(3))
    spent = min(process([sys.executable, "-m", "kdbg.cli"], text) for _ in range(3)) - bare
    line("commands a second from standard input", f"{count / spent:,.0f}", "10,000")


def members(folder: Path, count: int = 100_000) -> None:
    """`::print` and `::printf` of so many members, and of an array, in a file of {next, value} pairs."""
    path = folder / "pairs.bin"
    path.write_bytes(b"".join(struct.pack("<QQ", 16 * number + 16, number) for number in range(count)))
    types = '::typedef -c LP64\n::typedef "struct { long next; long value; }" pair_t\n'
    types += f'::typedef "struct {{ long all[0t{2 * count}]; }}" pairs_t\n'
    command = [sys.executable, "-m", "kdbg.cli", str(path)]
    bare = min(process(command, types) for _ in range(3))
    for what, text in (
        ("::print of 100,000 members", f"0::array pair_t 0t{count} | ::print pair_t value\n"),
        ("::printf of 100,000 members", f'0::array pair_t 0t{count} | ::printf "%d\\n" pair_t value\n'),
        ("::print -L of an array of 200,000", "0::print -L pairs_t\n"),
    ):
        spent = min(process(command, types + text) for _ in range(3)) - bare
        line(what, f"{1000 * spent:.0f} ms", "quick")


def translations(dump: Path) -> None:
    """Translations one by one and as an array."""
    import numpy as np

    import kdbg

    with kdbg.open(dump) as target:
        space = target.space_for(process=4242)
        addresses = np.arange(0x10000000, 0x10000000 + 24_000 * 4096, 4096, dtype=np.uint64)
        many = np.tile(addresses, 40)
        np.random.default_rng(1).shuffle(many)
        few = many[:20_000].tolist()
        single = best(lambda: [space.translate(address) for address in few]) / len(few)
        array = best(lambda: space.translate_array(many)) / len(many)
        assert space.translate_array(many).mapped.all()
    line("translation, one", f"{1e6 * single:.2f} us")
    line("translation, in an array of a million", f"{1e9 * array:.1f} ns", "25 ns")


def commands(dump: Path, words: Sequence[tuple[str, str]]) -> None:
    """Commands in a session on an opened dump, each on a fresh one."""
    import kdbg
    from kdbg.lang.output import ListSink
    from kdbg.lang.session import Session

    for command, goal in words:
        shortest = float("inf")
        for _ in range(3):
            with kdbg.open(dump) as target:
                session = Session(target, ListSink(), ListSink())
                session.execute("::status")
                start = time.perf_counter()
                session.execute(command)
                shortest = min(shortest, time.perf_counter() - start)
        line(f"{command}  ({dump.name})", f"{1000 * shortest:.0f} ms", goal)


def main(words: list[str]) -> int:
    real = [Path(words.pop(words.index("--dump") + 1))] if "--dump" in words else []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(next((word for word in words if not word.startswith("-")), temporary))
        folder.mkdir(parents=True, exist_ok=True)
        domain, threads = builders.domain_100mb(folder), builders.threads(folder)
        sizes = [builders.sparse(folder, int(size * builders.GIGABYTE)) for size in (0.1, 1, 10)]
        whole_processes([domain, *real, *sizes])
        language()
        members(folder)
        translations(domain)
        commands(domain, [("::ptescan", "200 ms"), ("::ptescan -p 0t4242", "200 ms")])
        commands(threads, [("::threadlist", ""), ("::stacks", ""), ("::walk thread | ::findstack -v", "")])
    line("peak memory of this process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

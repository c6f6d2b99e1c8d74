"""Linux dumps side by side: kdbg with nothing but the dump, drgn and crash with the kernel's debug file.

    python -m bench.linux DUMP VMLINUX [--drgn PYTHON] [--crash CRASH] [--rounds N] [--only WORD]

PYTHON: an interpreter that has drgn; CRASH: crash, looked for in PATH. What is missing is left out. Every figure is of
a whole process: start, open, answer, end; the tools take turns, and the medians of N rounds (5) count. The dump for
stacks is one of a guest with 10,000 threads. A figure: seconds on the clock, seconds of the processor, peak MB.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
VALUE = 0xDECAFBAD0BADCAFE
PATIENCE = 60
ROOT = Path(__file__).resolve().parent.parent

KDBG = {
    "first answer": "::status",
    "all tasks": "::threadlist",
    "all stacks, printed": "::threadlist -v",
    "all stacks, grouped": "::stacks",
    "slab sweep": "::walk kmem_cache | ::walk kmem ! wc -l",
    "memory search": f"{VALUE:#x}::kgrep",
    "log": "::msgbuf",
}
CRASH = {
    "first answer": "sys",
    "all tasks": "ps",
    "all stacks, printed": "foreach bt",
    "slab sweep": "kmem -S",
    "memory search": f"search -p {VALUE:#x}",
    "log": "log",
}
_DRGN = """
import sys, drgn
from drgn.helpers.linux import for_each_task, for_each_slab_cache, slab_cache_for_each_allocated_object
p = drgn.Program(); p.set_core_dump(sys.argv[1]); p.load_debug_info([sys.argv[2]])
"""
DRGN = {
    "first answer": 'print(p["init_uts_ns"].name.release.string_().decode(), p["jiffies_64"].value_())',
    "all tasks": "for t in for_each_task(p): print(t.pid.value_(), t.tgid.value_(), t.comm.string_())",
    "all stacks, printed": """
for t in for_each_task(p):
    try: print(t.pid.value_(), p.stack_trace(t))
    except Exception as error: print(error)""",
    "slab sweep": """
n = 0
for cache in for_each_slab_cache(p):
    try:
        for _ in slab_cache_for_each_allocated_object(cache, "void"): n += 1
    except Exception as error: print(error)
print(n)""",
    "memory search": f"print(list(p.search_memory_u64({VALUE:#x})))",
    "log": "from drgn.helpers.linux import get_dmesg; print(get_dmesg(p).decode())",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took."""

    clock: float
    processor: float
    peak: float
    """MB."""

    def __str__(self) -> str:
        return f"{self.clock:7.3f} s {self.processor:7.3f} s {self.peak:6.0f} MB"


def process(words: Sequence[str], text: str, environment: Mapping[str, str]) -> Spent | None:
    """Run a process; None where it fails or takes too long."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as given:
        given.write(text.encode())
        given.seek(0)
        with open(os.devnull, "wb") as nowhere:
            child = subprocess.Popen(words, stdin=given, stdout=nowhere, stderr=nowhere, env=environment)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        return None
    return Spent(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def prompt(words: Sequence[str], sign: bytes, environment: Mapping[str, str]) -> Spent | None:
    """Run a process in a terminal until it shows its prompt, and end it."""
    start = time.perf_counter()
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe(words[0], list(words), dict(environment))
    seen = b""
    while sign not in seen and time.perf_counter() - start < PATIENCE:
        if not select.select([terminal], [], [], PATIENCE)[0]:
            break
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if b"\x1b[6n" in piece:  # where is the cursor?
            os.write(terminal, b"\x1b[1;1R")
        seen += piece
    clock = time.perf_counter() - start
    with contextlib.suppress(OSError):
        os.kill(pid, 9)
    _, _, used = os.wait4(pid, 0)
    os.close(terminal)
    return Spent(clock, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024) if sign in seen else None


class Tools:
    """The tools that are there, as command lines."""

    def __init__(self, dump: str, vmlinux: str, drgn: str | None, crash: str | None, folder: str) -> None:
        self.dump, self.vmlinux, self.drgn, self.crash = dump, vmlinux, drgn, crash
        self.folder = Path(folder)
        usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = {**usual, "TERM": "xterm", "PYTHONPYCACHEPREFIX": str(self.folder / "pyc")}

    def kdbg(self, question: str, cold: bool) -> Spent | None:
        """Run kdbg without a cache of its own (``cold``), or with one that an earlier run left."""
        environment = {**self.environment, "PYTHONPATH": str(ROOT)}
        cache = tempfile.mkdtemp(dir=self.folder) if cold else str(self.folder / "cache")
        environment["KDBG_CACHE"] = cache
        words = [sys.executable, "-m", "kdbg.cli"]
        if question == "first prompt":
            return prompt([*words, "-S", self.dump], b"\x1b[0;1m>", environment)
        return process([*words, self.dump], f"{KDBG[question]}\n", environment)

    def run_drgn(self, question: str) -> Spent | None:
        """Run drgn with the debug file."""
        if self.drgn is None:
            return None
        if question == "first prompt":
            words = [str(Path(self.drgn).with_name("drgn")), "-q", "-c", self.dump, "-s", self.vmlinux]
            return prompt(words, b">>> ", self.environment)
        if question not in DRGN:
            return None
        return process([self.drgn, "-c", _DRGN + DRGN[question], self.dump, self.vmlinux], "", self.environment)

    def run_crash(self, question: str) -> Spent | None:
        """Run crash with the debug file."""
        if self.crash is None:
            return None
        if question == "first prompt":
            return prompt([self.crash, self.vmlinux, self.dump], b"crash> ", self.environment)
        if question not in CRASH:
            return None
        commands = self.folder / "commands"
        commands.write_text(f"{CRASH[question]}\nquit\n")
        return process([self.crash, "-s", "-i", str(commands), self.vmlinux, self.dump], "", self.environment)


def median(found: Sequence[Spent]) -> Spent:
    """The median of each figure."""
    return Spent(*(statistics.median(getattr(one, name) for one in found) for name in Spent.__slots__))


def measure(tools: Tools, question: str, rounds: int) -> None:
    """Ask all tools in turns, and print the medians."""
    runs = {
        "kdbg, cold cache": lambda: tools.kdbg(question, True),
        "kdbg, warm cache": lambda: tools.kdbg(question, False),
        "drgn + vmlinux": lambda: tools.run_drgn(question),
        "crash + vmlinux": lambda: tools.run_crash(question),
    }
    found: dict[str, list[Spent]] = {name: [] for name in runs}
    left = {name for name, run in runs.items() if run() is not None}  # a round that warms files up
    for _ in range(rounds):
        for name, run in runs.items():
            if name in left and (spent := run()) is not None:
                found[name].append(spent)
    print(question)
    ours = median(found["kdbg, warm cache"]) if found["kdbg, warm cache"] else None
    for name, each in found.items():
        if not each:
            print(f"    {name:18} does not answer")
            continue
        here = median(each)
        ratio = f"   {here.clock / ours.clock:6.1f} x kdbg's time" if ours and not name.startswith("kdbg") else ""
        print(f"    {name:18} {here}{ratio}", flush=True)


def main(words: list[str]) -> int:
    options = {
        name: words.pop(words.index(name) + 1) for name in ("--drgn", "--crash", "--rounds", "--only") if name in words
    }
    files = [word for word in words if not word.startswith("--")]
    if len(files) != 2:
        print(__doc__)
        return 2
    rounds, only = int(options.get("--rounds", ROUNDS)), options.get("--only", "")
    crash = options.get("--crash") or shutil.which("crash")
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(*files, options.get("--drgn"), crash, folder)
        bare = [process([sys.executable, "-c", "pass"], "", tools.environment) for _ in range(rounds)]
        print(f"clock, processor, peak memory; medians of {rounds}, the tools in turns: {files[0]}")
        print(f"    {'python -c pass':18} {median([one for one in bare if one])}")
        for question in ("first answer", "first prompt", *list(KDBG)[1:]):
            if only in question:
                measure(tools, question, rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

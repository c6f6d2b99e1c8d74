"""Thousands of damaged cores: an error of ours or a partial answer, within 2 seconds and 500 MB, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.mutations import MEGABYTES, SECONDS, TooSlow, ask, mutated, watchdog

from samples.linux import LinuxGuest
from samples.solaris import standard

KINDS: dict[str, Callable[[Path], Path]] = {
    "xc_core-64": lambda folder: standard(64).write(folder, "xc_core"),
    "xc_core-32": lambda folder: standard(32).write(folder, "xc_core"),
    "elf-64": lambda folder: standard(64).write(folder, "elf"),
    "elf-32": lambda folder: standard(32).write(folder, "elf", tools64=True),
    "elf-hvm-64": lambda folder: standard(64, False).write(folder, "elf"),
    "elf-hvm-32": lambda folder: standard(32, False).write(folder, "elf"),
    "linux-pv": lambda folder: LinuxGuest(paravirtual=True).write(folder / "core"),
    "linux-hvm": lambda folder: LinuxGuest(with_vmcoreinfo=True).write(folder / "core"),
}
"""What is damaged: kind -> how to write it into a folder."""
QUICK = 50
"""Seeds of a normal run."""
ALL = 2000
STEP = 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """The undamaged core of a kind."""
    made: dict[str, bytes] = {}

    def core(kind: str) -> bytes:
        if kind not in made:
            made[kind] = KINDS[kind](tmp_path_factory.mktemp("whole")).read_bytes()
        return made[kind]

    return core


def run(whole: bytes, path: Path, seeds: range) -> int:
    """Ask damaged cores; the number of answers."""
    answers = 0
    for seed in seeds:
        path.write_bytes(mutated(whole, seed))
        try:
            with watchdog():
                answers += ask(path)
        except TooSlow:
            pytest.fail(f"seed {seed}: not done after {SECONDS} s")
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_undamaged_cores_answer(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    """The questions themselves are good ones: of a whole core most have an answer."""
    (tmp_path / "core").write_bytes(whole(kind))
    assert ask(tmp_path / "core") > 40


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_seeds(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    assert run(whole(kind), tmp_path / "core", range(QUICK)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("start", range(QUICK, ALL, STEP))
@pytest.mark.parametrize("kind", KINDS)
def test_all_seeds(whole: Callable[[str], bytes], tmp_path: Path, kind: str, start: int) -> None:
    run(whole(kind), tmp_path / "core", range(start, min(start + STEP, ALL)))


CHILD = """
import resource, sys
from pathlib import Path
from fuzz.mutations import ask
ask(Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_whole_processes(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    """Peak memory of a process that does nothing else."""
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root.parent)))}
    for seed in range(5000, 5005):
        (tmp_path / "core").write_bytes(mutated(whole(kind), seed))
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path / "core")],
            capture_output=True, text=True, timeout=60, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
        assert int(done.stdout) < MEGABYTES

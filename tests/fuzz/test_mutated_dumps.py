"""Damaged dumps of every format: an error that names the file, or what is left with the damage told; never more.

In one process under a watchdog: within 2 seconds and 500 MB each.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.dumps import KINDS, probe
from fuzz.dumps import whole as machine
from fuzz.mutations import SECONDS, TooSlow, mutated, watchdog

QUICK, ALL, STEP = 50, 2000, 100
FEWEST = {"elf-32": 1, "process-linux": 5, "process-illumos": 5, "kdump-incomplete": 45, "kdump-split": 49}
"""Pages that an undamaged dump of a kind gives, where these are few."""
CUTS = 200


@pytest.fixture(scope="module")
def whole() -> Callable[[str], bytes]:
    """The undamaged dump of a kind."""
    made: dict[str, bytes] = {}

    def dump(kind: str) -> bytes:
        if kind not in made:
            made[kind] = KINDS[kind](machine())
        return made[kind]

    return dump


def ask(path: Path, data: bytes, what: str, kernel: bool = False) -> int:
    """Probe a damaged dump under the watchdog."""
    path.write_bytes(data)
    try:
        with watchdog():
            return probe(path, kernel)
    except TooSlow:
        pytest.fail(f"{what}: not done after {SECONDS} s")
    except BaseException as error:
        error.add_note(what)
        raise


def run_seeds(whole: bytes, path: Path, seeds: range) -> int:
    """Ask dumps damaged at random; every fifth has its kernel asked too."""
    return sum(ask(path, mutated(whole, seed), f"seed {seed}", seed % 5 == 0) for seed in seeds)


@pytest.mark.parametrize("kind", KINDS)
def test_undamaged_dumps_answer(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    assert ask(tmp_path / "dump", whole(kind), "whole", kernel=True) >= FEWEST.get(kind, 50)


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_seeds(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    assert run_seeds(whole(kind), tmp_path / "dump", range(QUICK)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("start", range(QUICK, ALL, STEP))
@pytest.mark.parametrize("kind", KINDS)
def test_all_seeds(whole: Callable[[str], bytes], tmp_path: Path, kind: str, start: int) -> None:
    run_seeds(whole(kind), tmp_path / "dump", range(start, min(start + STEP, ALL)))


def places(size: int, count: int) -> list[int]:
    """Where to cut: within the headers, and everywhere else."""
    choose = random.Random(size)
    return [choose.randrange(min(size, 9000)) for _ in range(count // 4)] + [
        size * number // (count - count // 4) for number in range(count - count // 4)
    ]


def cut_and_filled(data: bytes, path: Path, count: int) -> None:
    """Cut short, and with zeros from there on."""
    for at in places(len(data), count):
        ask(path, data[:at], f"cut at {at}")
        ask(path, data[:at] + bytes(len(data) - at), f"zeros from {at}")


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_or_filled_with_zeros(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    cut_and_filled(whole(kind), tmp_path / "dump", CUTS // 10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_cut_at_all_places(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    cut_and_filled(whole(kind), tmp_path / "dump", CUTS)


EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 40)
HEADS = {"vmcore": (0, 1900), "vmdump": (0, 1900), "kdump": (0x190, 0x1D0), "elf": (0, 0x180), "lime": (0, 32),
         "avml": (0, 60), "flattened": (4080, 4140), "xc_core": (0, 64), "xen": (0, 0x300), "process": (0, 0x400),
         "gzip": (0, 24), "bzip2": (0, 24), "xz": (0, 32), "zstd": (0, 24)}  # fmt: skip
"""Where a kind's counts and offsets stand."""


def with_extremes(data: bytes, kind: str, path: Path, step: int) -> None:
    """Each word of the headers at its extremes."""
    start, end = HEADS[kind.partition("-")[0]]
    spots = [*range(start, end, 4)] + ([*range(4096, 4096 + 104, 4)] if kind.startswith("kdump") else [])
    cases = [(at, width, value) for at in spots for width in (4, 8) for value in EXTREMES if value < 1 << 8 * width]
    if kind.startswith("vm"):  # texts lie between the offsets and the counts
        cases = [case for case in cases if case[0] < 56 or case[0] > 1790]
    for at, width, value in cases[::step]:
        changed = data[:at] + value.to_bytes(width, "little") + data[at + width :]
        ask(path, changed, f"{value:#x} in {width} bytes at {at:#x}")


@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_offsets_at_their_extremes(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    with_extremes(whole(kind), kind, tmp_path / "dump", 23)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_counts_and_offsets_at_their_extremes(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    with_extremes(whole(kind), kind, tmp_path / "dump", 1)

"""Damaged dumps under triage: a report comes of all that can be opened, in every format, and no fault of kdbg's own."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.mutations import mutated, watchdog

import kdbg
from kdbg.errors import Error
from kdbg.triage.views import FORMATS, view
from samples.solaris import standard

SECONDS = 10
QUICK, ALL = 20, 300
SAMPLES = Path(__file__).parents[2] / "samples"
PACKED = (
    "real/xen-linux-crash.core.xz",
    "real/lx61-panic.elf.xz",
    "real/xen-host.vmcore.xz",
    "process/threads.core.xz",
)
BUILT = ("domain-64", "domain-32")
TYPES_DAMAGED = ("real/xen-linux-crash.core.xz", 566)
"""A seed that makes numbers and arrays in the kernel's types into functions."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """The undamaged dump of a name."""
    made: dict[str, bytes] = {}

    def dump(name: str) -> bytes:
        if name not in made:
            if name in PACKED:
                made[name] = lzma.decompress((SAMPLES / name).read_bytes())
            else:
                domain = standard(int(name.removeprefix("domain-")))
                made[name] = domain.write(tmp_path_factory.mktemp(name)).read_bytes()
        return made[name]

    return dump


def look_over(path: Path, data: bytes, what: str) -> bool:
    """Triage a damaged dump under the watchdog; whether it could be opened."""
    path.write_bytes(data)
    try:
        with watchdog(SECONDS):
            try:
                target = kdbg.open(path)
            except Error:
                return False
            with target:
                report = target.triage()
            faults = [f"{one.name}: {one.why}" for one in report.analyses if one.why.startswith("internal error")]
            assert faults == []
            assert all(view(form)(report) for form in FORMATS)
    except BaseException as error:
        error.add_note(what)
        raise
    return True


@pytest.mark.parametrize("name", [*PACKED, *BUILT])
def test_some_seeds(name: str, whole: Callable[[str], bytes], tmp_path: Path) -> None:
    opened = [look_over(tmp_path / "dump", mutated(whole(name), seed), f"{name}, seed {seed}") for seed in range(QUICK)]
    assert any(opened)


def test_types_that_were_damaged_are_no_fault_of_ours(whole: Callable[[str], bytes], tmp_path: Path) -> None:
    name, seed = TYPES_DAMAGED
    assert look_over(tmp_path / "dump", mutated(whole(name), seed), f"{name}, seed {seed}")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PACKED, *BUILT])
def test_all_seeds(name: str, whole: Callable[[str], bytes], tmp_path: Path) -> None:
    for seed in range(QUICK, ALL):
        look_over(tmp_path / "dump", mutated(whole(name), seed), f"{name}, seed {seed}")

"""Locks of a real guest, most of whose pages were left out: owners are changed, and clocks.

The guest of ``samples/real/lx612-locks`` has a mutex with two tasks that wait for it, and an rwsem with a writer and a
reader that wait (``lx612-locks.c``).
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdbg.kernels.linux.runqueues import run_queues
from kdbg.kernels.linux.waits import Blocked
from triage.patients import Patient, only

DUMP = Path(__file__).parents[2] / "samples" / "real" / "lx612-locks.elf.xz"
SECOND = 1_000_000_000
FLAGS = 7
"""Of a mutex in its owner's word (kernel/locking/mutex.c)."""


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Patient]:
    path = tmp_path / "locks.elf"
    path.write_bytes(lzma.decompress(DUMP.read_bytes()))
    made = Patient(path, tmp_path)
    yield made
    made.target.close()


def wait_of(patient: Patient, name: str) -> Blocked:
    """What the task of that name waits for."""
    return next(one for one in patient.target.run("::blocked") if one.name == name)


def give(patient: Patient, kind: str, lock: int, owner: int) -> None:
    """Make a task the owner of a mutex or rwsem."""
    place = patient.kernel.at(f"struct {kind}", lock).address_of("owner")
    patient.poke(place, (owner | patient.kernel.word(place) & FLAGS).to_bytes(8, "little"))


def test_a_mutex_and_an_rwsem_in_a_circle(patient: Patient) -> None:
    one, other = wait_of(patient, "kl-mx-one"), wait_of(patient, "kl-rw-write")
    assert one.object is not None
    assert other.object is not None
    give(patient, "mutex", one.object, other.address)
    give(patient, "rw_semaphore", other.object, one.address)
    report = patient.triage()
    finding = only(report, "lock.cycle")
    assert set(finding.threads) == {one.address, other.address}
    assert set(finding.locks) == {one.object, other.object}
    assert "kl-mx-one" in finding.summary
    assert "kl-rw-write" in finding.summary
    assert report.verdict.kind == "deadlock"


def test_a_mutex_whose_owner_is_no_task(patient: Patient) -> None:
    wait = wait_of(patient, "kl-mx-one")
    assert wait.object is not None
    assert wait.owner is not None
    give(patient, "mutex", wait.object, wait.owner + 0x40)
    finding = only(patient.triage(), "lock.owner-gone")
    assert finding.locks == (wait.object,)
    assert finding.addresses == (wait.owner + 0x40,)
    assert set(finding.threads) == {wait.address, wait_of(patient, "kl-mx-two").address}


def test_tasks_that_wait_for_longer_than_a_minute(patient: Patient) -> None:
    """All clocks of the scheduler go on by a minute; the longest wait was one of 42 seconds."""
    assert not patient.triage().found("thread.blocked-long")
    clock = patient.kernel.type("struct rq").member("clock").offset
    for queue in run_queues(patient.kernel).values():
        patient.poke(queue + clock, (patient.kernel.word(queue + clock) + 60 * SECOND).to_bytes(8, "little"))
    found = {thread for finding in patient.triage().found("thread.blocked-long") for thread in finding.threads}
    hung = [wait_of(patient, name).address for name in ("kl-mx-one", "kl-mx-two", "kl-rw-write", "kl-rw-read")]
    assert found >= set(hung)
    assert wait_of(patient, "kd-flockwait").address not in found, "a sleep that a signal ends is no hang"

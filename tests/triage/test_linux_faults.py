"""Faults in Linux dumps: bytes of a real dump are changed in a copy, and the triage finds what that makes of it.

The dump is one of the shared ones, whole: a small one lacks the page structures and lists that the analysers look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kdbg
from kdbg.kernels.linux.clock import clocks, jiffies, ticks_a_second
from kdbg.kernels.linux.runqueues import run_queues
from kdbg.kernels.linux.slub import SlabPages
from kdbg.kernels.linux.workqueues import WorkQueues
from triage.patients import Patient, loads, only

pytestmark = pytest.mark.shared
STACK_END = (0x57AC6E9D).to_bytes(4, "little")
SECOND = 1_000_000_000


@pytest.fixture
def patient(shared_dump: Callable[[str], Path], tmp_path: Path) -> Iterator[Patient]:
    made = Patient(shared_dump("lx61.elf"), tmp_path)
    yield made
    made.target.close()


def test_a_healthy_guest_has_no_finding(patient: Patient) -> None:
    report = patient.triage()
    assert report.findings == ()
    assert report.verdict.kind == "live"


def test_a_stack_without_its_mark_has_grown_past_its_end(patient: Patient) -> None:
    victim = next(thread for thread in patient.target.threads() if thread.pid == 1)
    assert patient.kernel.memory.read(victim.stack, 4) == STACK_END  # type: ignore[attr-defined]
    patient.poke(victim.stack, b"\0\0\0\0")  # type: ignore[attr-defined]
    assert only(patient.triage(), "stack.overflow").threads == (victim.address,)


def test_a_task_whose_link_leads_nowhere(patient: Patient) -> None:
    leader = patient.kernel.at("struct task_struct", next(iter(patient.target.processes())).address)
    patient.poke(leader.address_of("tasks"), (0x1000).to_bytes(8, "little"))
    report = patient.triage()
    assert any("tasks" in finding.summary for finding in report.found("list.corrupt"))


def test_a_free_object_that_was_overwritten(patient: Patient) -> None:
    swept = patient.kernel.part(SlabPages)
    cache = next(cache for cache in swept.caches() for slab in swept.of(cache) if slab.freelist and not slab.frozen)
    slab = next(slab for slab in swept.of(cache) if slab.freelist and not slab.frozen)
    of = swept.slubs.cache(cache)
    patient.poke(slab.freelist + of.offset, b"\x41" * 8)
    assert cache in {address for finding in patient.triage().found("kmem.corrupt") for address in finding.addresses}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.oom", b"Out of memory: Killed process 4711 (hog)"),
        ("log.hardware", b"mce: [Hardware Error]: CPU 0"),
        ("log.warning", b"INFO: task hog:4711 blocked for more than 120 seconds"),
    ],
)
def test_what_the_log_tells(name: str, text: bytes, patient: Patient) -> None:
    ring = patient.kernel.memory.read(patient.kernel.word_at("prb") + 0, 8)
    assert ring
    entry = max(patient.target.log(), key=lambda one: len(one.text))
    place = find(patient, entry.text.encode())
    patient.poke(place, text.ljust(len(entry.text))[: len(entry.text)])
    assert text.decode() in only(patient.triage(), name).evidence[0].text


def find(patient: Patient, text: bytes) -> int:
    """Address of a text in the log's buffer."""
    ring = patient.kernel.at("struct printk_ringbuffer", patient.kernel.word_at("prb"))
    start, size = int(ring.text_data_ring.data), 1 << int(ring.text_data_ring.size_bits)
    at = patient.kernel.memory.read(start, size).find(text)
    assert at >= 0
    return start + at


def put_cpu_0_at(patient: Patient, place: int, flags: int) -> None:
    """Change where CPU 0 stands, in all notes that tell of it: struct elf_prstatus, and QEMU's state of a CPU."""
    registers = patient.target.image.contexts[0]
    begin = min(offset for offset, _, _ in loads(patient.path))
    notes = patient.path.read_bytes()[:begin]
    at, found = notes.find(registers["rip"].to_bytes(8, "little")), 0
    while at >= 0:
        segment = int.from_bytes(notes[at + 8 : at + 16], "little") == registers["cs"]
        patient.changes.append((at, place.to_bytes(8, "little")))
        patient.changes.append((at + (16 if segment else 8), flags.to_bytes(8, "little")))
        at, found = notes.find(registers["rip"].to_bytes(8, "little"), at + 1), found + 1
    assert found


def test_a_cpu_that_waits_for_a_spin_lock_with_interrupts_off(patient: Patient) -> None:
    place = patient.kernel.symbol("native_queued_spin_lock_slowpath").address + 16
    put_cpu_0_at(patient, place, 0x6)
    report = patient.triage()
    finding = only(report, "cpu.spinning")
    assert finding.cpus == (0,)
    assert "interrupts off" in finding.summary
    assert report.verdict.kind == "hang"


def test_a_cpu_in_the_kernel_whose_clock_stands(patient: Patient) -> None:
    """Its run queue has had no tick for a minute, that of the other CPU has."""
    put_cpu_0_at(patient, patient.kernel.symbol("vfs_read").address + 16, 0x206)
    queues, clock = run_queues(patient.kernel), patient.kernel.type("struct rq").member("clock").offset
    latest = max(patient.kernel.word(address + clock) for address in queues.values())
    patient.poke(queues[1] + clock, (latest + 60 * SECOND).to_bytes(8, "little"))
    assert "without a tick for 6" in only(patient.triage(), "cpu.spinning").summary


def test_an_idle_cpu_lacks_no_ticks(patient: Patient) -> None:
    queues, clock = run_queues(patient.kernel), patient.kernel.type("struct rq").member("clock").offset
    latest = max(patient.kernel.word(address + clock) for address in queues.values())
    patient.poke(queues[0] + clock, (latest + 60 * SECOND).to_bytes(8, "little"))
    assert not patient.triage().found("cpu.spinning")


def test_a_kernel_page_that_user_mode_may_write(patient: Patient) -> None:
    walk = patient.kernel.space.walk(patient.kernel.symbol("init_task").address)
    step = walk.steps[-1]
    patient.poke_physical((step.frame << 12) + 8 * step.index, (step.entry | 4).to_bytes(8, "little"))
    finding = only(patient.triage(), "pte.kernel-user")
    page = (1 << 21) if step.level else (1 << 12)
    assert finding.addresses == (patient.kernel.symbol("init_task").address & ~(page - 1),)


def test_a_dump_that_was_cut_is_told_to_be_damaged(patient: Patient, tmp_path: Path) -> None:
    cut = tmp_path / "cut.elf"
    data = patient.path.read_bytes()
    cut.write_bytes(data[: len(data) - (4 << 20)])
    with kdbg.open(cut) as target:
        names = {finding.name for finding in target.triage().findings}
    assert names & {"dump.damaged", "dump.incomplete"}


def test_a_pool_of_workers_with_work_and_no_progress(patient: Patient) -> None:
    kernel = patient.kernel
    pool = next(pool for pool in kernel.part(WorkQueues).pools() if pool.cpu == 0)
    at, of = kernel.at("struct worker_pool", pool.address), kernel.type("struct work_struct")
    work = kernel.symbol("poweroff_work").address
    head, entry = at.address_of("worklist"), work + of.member("entry").offset
    patient.poke(head, entry.to_bytes(8, "little") * 2)
    patient.poke(entry, head.to_bytes(8, "little") * 2)
    patient.poke(at.address_of("watchdog_ts"), (jiffies(kernel) - 60 * ticks_a_second(kernel)).to_bytes(8, "little"))
    finding = only(patient.triage(), "workqueue.stuck")
    assert finding.addresses == (pool.address,)
    assert "poweroff_work_func" in finding.summary


def test_text_that_can_be_written_to(patient: Patient) -> None:
    """The rest of the kernel's text is protected, so that it is no note."""
    text = patient.kernel.symbol("vfs_read").address
    step = patient.kernel.space.walk(text).steps[-1]
    patient.poke_physical((step.frame << 12) + 8 * step.index, (step.entry | 2).to_bytes(8, "little"))
    finding = only(patient.triage(), "pte.writable-text")
    page = (1 << 21) if step.level else (1 << 12)
    assert finding.addresses == (text & ~(page - 1),)
    assert finding.severity == "warning"


def test_a_cpu_that_does_nothing_but_interrupts(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest had run for 13 s only, too short for shares of its time to mean anything."""
    monkeypatch.setattr("kdbg.triage.linux.channels.YOUNG", 10.0)
    up = clocks(patient.kernel).uptime
    assert up is not None
    numbers = dict(patient.kernel.type("enum cpu_usage_stat").enumerators)
    place = list(patient.kernel.per_cpu_places("kernel_cpustat"))[1] + 8 * numbers["CPUTIME_IRQ"]
    patient.poke(place, int(0.95 * up * SECOND).to_bytes(8, "little"))
    finding = only(patient.triage(), "irq.storm")
    assert finding.cpus == (1,)


def test_a_task_that_looks_for_one_to_kill(patient: Patient) -> None:
    put_cpu_0_at(patient, patient.kernel.symbol("out_of_memory").address + 8, 0x206)
    report = patient.triage()
    finding = only(report, "kmem.exhausted")
    assert finding.threads == (patient.target.cpus()[0].thread,)
    assert report.verdict.kind == "out-of-memory"


def test_a_cpu_that_does_not_come_back_from_the_hypervisor(patient: Patient) -> None:
    put_cpu_0_at(patient, patient.kernel.symbol("xen_hypercall_intel").address + 8, 0x206)
    queues, clock = run_queues(patient.kernel), patient.kernel.type("struct rq").member("clock").offset
    latest = max(patient.kernel.word(address + clock) for address in queues.values())
    patient.poke(queues[1] + clock, (latest + 60 * SECOND).to_bytes(8, "little"))
    finding = only(patient.triage(), "cpu.stuck-in-hypervisor")
    assert finding.cpus == (0,)
    assert "xen_hypercall_intel" in finding.summary
